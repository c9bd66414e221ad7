//! Captures of databases whose files do not fit together: refused plainly rather than captured wrongly, and nothing is
//! changed, neither beside the database nor in the store.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests make and damage files directly")]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use walkeep_tests::capture_scene::{Scene, insert, live};
use walkeep_tests::command::Ran;
use walkeep_tests::database::{assert_same, beside, sql};
use walkeep_tests::footprint::footprint;

/// The header of a log, and a frame of it with 4 KiB pages.
const HEADER: u64 = 32;
const FRAME: u64 = 24 + 4096;

/// Changes a byte of a file.
fn flip(path: &Path, offset: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

/// Fails unless a capture is refused with this exit code, and changes nothing.
#[track_caller]
fn refused(scene: &Scene, code: i32) -> Ran {
    let look = || ["db", "store"].map(|name| scene.path(name)).map(|at| at.exists().then(|| footprint(&at)));
    let before = look();
    let ran = scene.walkeep.run(&["replicate", "db/app.db", "store", "--once"]).expect(code);
    assert_eq!(before, look(), "a refused capture left a trace");
    ran
}

/// The exit code for damage.
const DAMAGED: i32 = 4;

#[test]
fn a_damaged_log_of_a_database_in_use_is_refused_with_the_place_of_the_damage() {
    for checkpointed in [true, false] {
        let (scene, mut app) = live();
        for _ in 0..4 {
            app.run(&insert(10));
        }
        if checkpointed {
            // The file is ahead of what the damaged log could give.
            app.run("PRAGMA wal_checkpoint(PASSIVE)");
        }
        let wal = beside(&scene.db(), "-wal");
        let place = HEADER + 2 * FRAME;
        flip(&wal, place + 24 + 4000);
        refused(&scene, DAMAGED).says(&["app.db-wal", &format!("offset {place}"), "VACUUM INTO"]);
        // Undone, it is as if nothing had been.
        flip(&wal, place + 24 + 4000);
        scene.capture_is_exact();
    }
}

#[test]
fn a_log_in_use_whose_header_is_damaged_or_gone_is_refused() {
    let (scene, mut app) = live();
    app.run(&insert(10));
    let wal = beside(&scene.db(), "-wal");
    for offset in [0, 10, 17, 25] {
        flip(&wal, offset);
        refused(&scene, DAMAGED).says(&["app.db-wal", "offset 0"]);
        flip(&wal, offset);
    }
    let len = fs::metadata(&wal).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&wal).unwrap();
    file.set_len(len - 1).unwrap();
    refused(&scene, DAMAGED).says(&["app.db-wal", &format!("offset {}", len - FRAME)]);
}

#[test]
fn an_empty_file_beside_a_log_is_refused_and_the_log_stays() {
    let (scene, mut app) = live();
    app.run(&insert(10));
    app.kill();
    let _ = fs::remove_file(beside(&scene.db(), "-shm"));
    fs::write(scene.db(), b"").unwrap();
    refused(&scene, 1).says(&["empty", "app.db-wal", "truncated"]);
    fs::rename(beside(&scene.db(), "-wal"), beside(&scene.db(), "-journal")).unwrap();
    refused(&scene, 1).says(&["empty", "app.db-journal", "truncated"]);
}

#[test]
fn an_empty_file_with_a_first_transaction_open_is_an_empty_database() {
    let scene = Scene::new();
    let mut app = scene.app();
    app.run("BEGIN IMMEDIATE; CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)");
    let frame = scene.capture();
    assert!(scene.walkeep.restored("app", frame).is_empty());
    app.run("COMMIT");
    scene.capture_is_exact();
}

#[test]
fn a_log_that_sqlite_would_use_but_the_header_denies_is_refused() {
    for with_shm in [true, false] {
        let (scene, mut app) = live();
        app.run(&insert(10));
        app.kill();
        if !with_shm {
            fs::remove_file(beside(&scene.db(), "-shm")).unwrap();
        }
        let file = fs::OpenOptions::new().write(true).open(scene.db()).unwrap();
        file.write_all_at(&[1, 1], 18).unwrap();
        refused(&scene, 1).says(&["app.db-wal", "has commits"]);
        file.write_all_at(&[2, 2], 18).unwrap();
        scene.capture_is_exact();
    }
}

#[test]
fn a_log_at_rest_with_pages_of_another_size_is_refused() {
    for with_shm in [true, false] {
        let (scene, mut app) = live();
        app.run(&insert(10));
        app.kill();
        if !with_shm {
            fs::remove_file(beside(&scene.db(), "-shm")).unwrap();
        }
        let other = scene.path("other.db");
        sql(&other, "PRAGMA page_size = 512; PRAGMA journal_mode = wal; CREATE TABLE t (a, b)");
        fs::copy(other, scene.db()).unwrap();
        refused(&scene, 1).says(&["app.db-wal", "pages of 4096 bytes", "pages of 512"]);
        // Without a commit in it, SQLite would not use it either.
        let wal = fs::OpenOptions::new().write(true).open(beside(&scene.db(), "-wal")).unwrap();
        wal.set_len(HEADER + FRAME - 1).unwrap();
        let frame = scene.capture();
        assert_same(&scene.walkeep.restored("app", frame), &fs::read(scene.db()).unwrap(), "the database");
    }
}
