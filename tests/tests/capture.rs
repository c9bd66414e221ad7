//! Captures of databases in every situation they can be in: the capture is the committed state, byte for byte, and
//! leaves no trace on the database, its log or its side files.
//!
//! The application and `walkeep` are processes of their own, so that locks are real. This process opens copies only.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests make and damage files directly")]

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use walkeep_tests::app::App;
use walkeep_tests::capture_scene::{Scene, insert, live};
use walkeep_tests::database::{
    ACCOUNTS, BALANCE, assert_same, beside, expected_bytes, make_accounts, number, sql,
};
use walkeep_tests::footprint::{files, footprint};

const ROWS: &str = "SELECT count(*) FROM t";

// Rollback journals.

#[test]
fn a_rollback_mode_database_is_captured_whoever_has_it_open() {
    for mode in ["delete", "truncate", "persist"] {
        let scene = Scene::with_rows("PRAGMA journal_mode = delete");
        scene.capture_is_exact();
        let mut app = scene.app();
        assert_eq!(app.run(&format!("PRAGMA journal_mode = {mode}")), mode);
        app.run(&insert(10));
        let leftover = beside(&scene.db(), "-journal").exists();
        assert_eq!(leftover, mode != "delete", "{mode}");
        scene.capture_is_exact();

        app.run("BEGIN; SELECT count(*) FROM t");
        scene.capture_is_exact();
        app.run("COMMIT");
        scene.capture_is_exact();
        app.close();
        scene.capture_is_exact();
    }
}

#[test]
fn an_uncommitted_transaction_in_rollback_mode_is_not_captured() {
    for mode in ["delete", "truncate", "persist"] {
        let scene = Scene::with_rows("PRAGMA journal_mode = delete");
        let mut app = scene.app();
        app.run(&format!("PRAGMA journal_mode = {mode}; BEGIN IMMEDIATE; DELETE FROM t WHERE a > 5"));
        let frame = scene.capture_is_exact();
        assert_eq!(scene.query_restored(frame, ROWS), 50, "{mode}");
        app.run("ROLLBACK");
        assert_eq!(scene.capture_is_exact(), frame, "{mode}: nothing changed");
        app.run("DELETE FROM t WHERE a > 5");
        let frame = scene.capture_is_exact();
        assert_eq!(scene.query_restored(frame, ROWS), 5, "{mode}");
    }
}

#[test]
fn a_hot_journal_is_refused_plainly_and_nothing_is_stored() {
    let scene = Scene::with_rows("PRAGMA journal_mode = delete");
    let first = scene.capture();
    let stored = footprint(&scene.path("store"));
    let mut app = scene.app();
    // A cache of a few pages: the transaction reaches the file before it is committed.
    app.run("PRAGMA cache_size = 2; BEGIN IMMEDIATE; UPDATE t SET b = randomblob(300)");
    app.kill();
    assert!(beside(&scene.db(), "-journal").exists());
    let before = footprint(&scene.path("db"));
    let ran = scene.walkeep.run(&["replicate", "db/app.db", "store", "--once", "--json"]).expect(1);
    let error = ran.json_error();
    assert!(error["message"].as_str().unwrap().contains("journal"), "{error}");
    assert_eq!(before, footprint(&scene.path("db")));
    assert_eq!(stored, footprint(&scene.path("store")), "something was stored");

    // Its application rolls it back: the database is again what it was.
    scene.app().run("SELECT count(*) FROM t");
    assert_eq!(scene.capture_is_exact(), first);
}

#[test]
fn a_journal_beside_an_empty_file_is_left_alone() {
    let scene = Scene::new();
    fs::write(scene.db(), b"").unwrap();
    fs::write(beside(&scene.db(), "-journal"), [0xd9; 1024]).unwrap();
    let before = footprint(&scene.path("db"));
    let _ = scene.walkeep.run(&["replicate", "db/app.db", "store", "--once"]);
    assert_eq!(before, footprint(&scene.path("db")));
}

// A live write-ahead log.

#[test]
fn a_wal_database_that_an_idle_application_has_open_is_captured() {
    let (scene, mut app) = live();
    app.run(ROWS);
    assert!(beside(&scene.db(), "-shm").exists());
    scene.capture_is_exact();
}

#[test]
fn commits_in_the_log_are_captured_though_no_reader_has_set_a_mark() {
    let (scene, mut app) = live();
    app.run(&insert(10));
    let frame = scene.capture_is_exact();
    assert_eq!(scene.query_restored(frame, ROWS), 60);
    app.run(&insert(10));
    let frame = scene.capture_is_exact();
    assert_eq!(scene.query_restored(frame, ROWS), 70);
}

#[test]
fn commits_behind_the_mark_of_a_reader_are_captured() {
    let (scene, mut app) = live();
    app.run(&insert(10));
    let mut reader = scene.app();
    reader.run("BEGIN; SELECT count(*) FROM t");
    scene.capture_is_exact();
    app.run(&insert(10));
    let frame = scene.capture_is_exact();
    assert_eq!(scene.query_restored(frame, ROWS), 70);
    // Part of the log is in the file now, up to the mark.
    app.run("PRAGMA wal_checkpoint(PASSIVE)");
    app.run(&insert(10));
    scene.capture_is_exact();
    reader.run("COMMIT");
}

#[test]
fn an_uncommitted_transaction_in_the_log_is_not_captured() {
    let (scene, mut app) = live();
    app.run(&insert(10));
    app.run("PRAGMA cache_size = 2; BEGIN IMMEDIATE; UPDATE t SET b = randomblob(300)");
    let len = fs::metadata(beside(&scene.db(), "-wal")).unwrap().len();
    let frame = scene.capture_is_exact();
    assert_eq!(scene.query_restored(frame, ROWS), 60);
    app.run(&insert(50));
    let spilled = fs::metadata(beside(&scene.db(), "-wal")).unwrap().len();
    assert!(spilled > len, "the test needs frames of the open transaction in the log: {len}, {spilled}");
    assert_eq!(scene.capture_is_exact(), frame, "nothing is committed");
    app.run("ROLLBACK");
    assert_eq!(scene.capture_is_exact(), frame, "it was rolled back");
    // Shorter than what was rolled back: old frames stand behind the new ones.
    app.run("UPDATE t SET b = randomblob(300) WHERE a = 1");
    let next = scene.capture_is_exact();
    assert_eq!(scene.query_restored(next, ROWS), 60);
    assert!(next > frame);
}

/// Appends a whole commit to a log of 4 KiB pages behind its last frame, as a writer does before it tells the others:
/// the page of that frame with its last byte (of some row's random bytes) changed.
fn append_commit(wal: &Path) {
    const FRAME: usize = 24 + 4096;
    let mut bytes = fs::read(wal).unwrap();
    assert_eq!(bytes[..4], 0x377f_0682_u32.to_be_bytes(), "checksums of little-endian words");
    let last = bytes.len() - FRAME;
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let (mut a, mut b) = (word(last + 16), word(last + 20));
    let mut frame = bytes[last..].to_vec();
    frame[FRAME - 1] ^= 0xff;
    let summed = [&frame[..8], &frame[24..]].concat();
    for eight in summed.chunks_exact(8) {
        let word = |at: usize| u32::from_le_bytes(eight[at..at + 4].try_into().unwrap());
        a = a.wrapping_add(word(0)).wrapping_add(b);
        b = b.wrapping_add(word(4)).wrapping_add(a);
    }
    frame[16..20].copy_from_slice(&a.to_be_bytes());
    frame[20..24].copy_from_slice(&b.to_be_bytes());
    bytes.extend(frame);
    fs::write(wal, bytes).unwrap();
}

#[test]
fn a_commit_that_the_live_connections_do_not_know_of_is_not_captured() {
    let (scene, mut app) = live();
    app.run(&insert(10));
    let frame = scene.capture_is_exact();
    // Its writer may still take it back: when its sync fails, say.
    append_commit(&beside(&scene.db(), "-wal"));
    assert_eq!(scene.capture(), frame, "a commit was captured that nobody else sees");
    app.run("DELETE FROM t WHERE a = 1");
    let frame = scene.capture_is_exact();
    assert_eq!(scene.query_restored(frame, ROWS), 59);

    // After a crash it counts, as it does for SQLite.
    append_commit(&beside(&scene.db(), "-wal"));
    app.kill();
    assert!(scene.capture_is_exact() > frame);
}

#[test]
fn a_log_that_was_checkpointed_completely_is_captured() {
    for how in ["PASSIVE", "FULL", "RESTART", "TRUNCATE"] {
        let (scene, mut app) = live();
        app.run(&insert(10));
        app.run(&format!("PRAGMA wal_checkpoint({how})"));
        let frame = scene.capture_is_exact();
        assert_eq!(scene.query_restored(frame, ROWS), 60, "{how}");
    }
}

#[test]
fn a_log_that_was_restarted_is_captured_without_its_old_frames() {
    for how in ["PASSIVE", "RESTART", "TRUNCATE"] {
        let (scene, mut app) = live();
        app.run(&insert(100));
        app.run(&format!("PRAGMA wal_checkpoint({how})"));
        let before = scene.capture();
        app.run("DELETE FROM t WHERE a = 7");
        let frame = scene.capture_is_exact();
        assert_eq!(scene.query_restored(frame, ROWS), 149, "{how}");
        assert_eq!(scene.query_restored(before, ROWS), 150, "{how}");
    }
}

#[test]
fn a_log_is_captured_while_an_application_with_an_exclusive_lock_is_refused() {
    let scene = Scene::with_rows("PRAGMA journal_mode = wal");
    let mut app = scene.app();
    app.run("PRAGMA locking_mode = exclusive");
    app.run(&insert(10));
    let before = footprint(&scene.path("db"));
    let args = ["replicate", "db/app.db", "store", "--once", "--busy-timeout", "0.2"];
    scene.walkeep.run(&args).expect(1).says(&["locked", "--busy-timeout"]);
    assert_eq!(before, footprint(&scene.path("db")));
    app.close();
    scene.capture_is_exact();
}

// A log that nobody has open.

#[test]
fn a_wal_database_at_rest_is_captured_without_making_side_files() {
    let scene = Scene::with_rows("PRAGMA journal_mode = wal");
    assert_eq!(files(&scene.path("db")), ["app.db"]);
    let frame = scene.capture_is_exact();
    assert_eq!(files(&scene.path("db")), ["app.db"]);
    assert_eq!(scene.query_restored(frame, ROWS), 50);
}

#[test]
fn a_log_left_by_a_killed_application_is_laid_over_the_file() {
    for with_shm in [true, false] {
        let (scene, mut app) = live();
        app.run(&insert(10));
        // Frames of a transaction that never commits, behind those that count.
        app.run("PRAGMA cache_size = 2; BEGIN IMMEDIATE; UPDATE t SET b = randomblob(300)");
        app.run(&insert(50));
        app.kill();
        if !with_shm {
            fs::remove_file(beside(&scene.db(), "-shm")).unwrap();
        }
        let frame = scene.capture_is_exact();
        assert_eq!(scene.query_restored(frame, ROWS), 60, "stale -shm: {with_shm}");
    }
}

#[test]
fn old_frames_behind_the_end_of_the_log_do_not_count_after_a_crash() {
    for round in ["an earlier round", "rolled back"] {
        let (scene, mut app) = live();
        if round == "rolled back" {
            // The same salts, but the chain of checksums leads past them.
            app.run("PRAGMA cache_size = 2; BEGIN IMMEDIATE; UPDATE t SET b = randomblob(300)");
            app.run(&format!("{} ROLLBACK", insert(100)));
        } else {
            // Whole commits, under other salts, with older images of the page that changes next.
            for _ in 0..5 {
                app.run("UPDATE t SET b = randomblob(300)");
            }
            app.run("PRAGMA wal_checkpoint(RESTART)");
        }
        let len = fs::metadata(beside(&scene.db(), "-wal")).unwrap().len();
        app.run("DELETE FROM t WHERE a = 1");
        assert_eq!(
            fs::metadata(beside(&scene.db(), "-wal")).unwrap().len(),
            len,
            "the test needs old frames"
        );
        let rows = app.run(ROWS).parse::<i64>().unwrap();
        app.kill();
        let frame = scene.capture_is_exact();
        assert_eq!(scene.query_restored(frame, ROWS), rows, "{round}");
    }
}

#[test]
fn a_log_cut_short_by_a_crash_counts_up_to_its_last_whole_commit() {
    let (scene, mut app) = live();
    app.run(&insert(10));
    let whole = fs::metadata(beside(&scene.db(), "-wal")).unwrap().len();
    app.run(&insert(10));
    app.kill();
    fs::remove_file(beside(&scene.db(), "-shm")).unwrap();
    let wal = fs::OpenOptions::new().write(true).open(beside(&scene.db(), "-wal")).unwrap();
    let len = wal.metadata().unwrap().len();
    wal.set_len(len - 100).unwrap();
    let frame = scene.capture_is_exact();
    assert_eq!(scene.query_restored(frame, ROWS), 60);
    for len in [whole - 1, 20, 0] {
        wal.set_len(len).unwrap();
        scene.capture_is_exact();
    }
}

#[test]
fn a_database_that_may_only_be_read_is_captured() {
    for leftover in ["none", "wal", "wal and shm", "live"] {
        let (scene, mut app) = live();
        app.run(&insert(10));
        let mut running = None;
        match leftover {
            "none" => app.close(),
            "live" => running = Some(app),
            _ => app.kill(),
        }
        if leftover == "wal" {
            fs::remove_file(beside(&scene.db(), "-shm")).unwrap();
        }
        for name in files(&scene.path("db")) {
            fs::set_permissions(scene.path("db").join(name), fs::Permissions::from_mode(0o444)).unwrap();
        }
        fs::set_permissions(scene.path("db"), fs::Permissions::from_mode(0o555)).unwrap();
        scene.capture_is_exact();
        fs::set_permissions(scene.path("db"), fs::Permissions::from_mode(0o755)).unwrap();
        drop(running);
    }
}

#[test]
fn a_database_behind_a_symbolic_link_is_captured_with_its_log() {
    let (scene, mut app) = live();
    app.run(&insert(10));
    symlink("db/app.db", scene.path("link.db")).unwrap();
    let before = footprint(&scene.path("db"));
    let frame = scene.walkeep.replicate("link.db");
    assert_eq!(before, footprint(&scene.path("db")));
    assert_same(&scene.walkeep.restored("link", frame), &expected_bytes(&scene.db()), "through the link");
    assert!(
        !beside(&scene.path("link.db"), "-wal").exists() && !beside(&scene.path("link.db"), "-shm").exists()
    );
}

// Page sizes and sizes of databases.

/// A database whose pages keep some bytes free at their end, as encryption extensions want it.
fn reserve_bytes(database: &Path, page_size: u32, reserved: u8) {
    sql(database, &format!("PRAGMA page_size = {page_size}; PRAGMA user_version = 1"));
    let mut bytes = fs::read(database).unwrap();
    bytes[20] = reserved;
    // Where the cells of the (empty) first page begin: 65536 is written as 0.
    let cells = page_size - u32::from(reserved);
    bytes[105..107].copy_from_slice(&cells.to_be_bytes()[2..]);
    fs::write(database, bytes).unwrap();
}

#[test]
fn every_page_size_is_captured_with_and_without_reserved_bytes() {
    for (page_size, reserved) in [(512, 0), (512, 8), (4096, 32), (65_536, 0), (65_536, 255)] {
        for mode in ["delete", "wal"] {
            let scene = Scene::new();
            reserve_bytes(&scene.db(), page_size, reserved);
            sql(
                &scene.db(),
                &format!("PRAGMA journal_mode = {mode}; CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)"),
            );
            let mut app = scene.app();
            app.run(&insert(100));
            assert_eq!(app.run("PRAGMA page_size"), page_size.to_string());
            assert_eq!(app.run("PRAGMA integrity_check"), "ok");
            let header = fs::read(scene.db()).unwrap();
            assert_eq!(header[20], reserved);
            scene.capture_is_exact();
            app.run("UPDATE t SET b = zeroblob(2000) WHERE a % 3 = 0");
            scene.capture_is_exact();
        }
    }
}

#[test]
fn a_database_that_shrinks_and_grows_is_restored_at_every_capture() {
    for (page_size, mode, auto_vacuum) in [
        (512, "wal", "none"),
        (4096, "delete", "full"),
        (4096, "wal", "incremental"),
        (65_536, "wal", "none"),
    ] {
        let scene = Scene::with_rows(&format!(
            "PRAGMA page_size = {page_size}; PRAGMA auto_vacuum = {auto_vacuum}; PRAGMA journal_mode = {mode}"
        ));
        let mut app = scene.app();
        let mut sizes = Vec::new();
        let mut captured = Vec::new();
        let large = "INSERT INTO t (b) SELECT randomblob(65536) FROM t LIMIT 20";
        let many_rows = insert(200);
        for step in [
            large,
            "DELETE FROM t WHERE a > 10",
            "PRAGMA incremental_vacuum",
            "VACUUM",
            "PRAGMA wal_checkpoint(TRUNCATE)",
            large,
            "UPDATE t SET b = zeroblob(length(b)) WHERE a % 2",
            "DELETE FROM t",
            "VACUUM",
            &many_rows,
        ] {
            app.run(step);
            let expected = expected_bytes(&scene.db());
            sizes.push(expected.len());
            captured.push((scene.capture(), expected, step));
        }
        let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
        assert!(most > &(least * 4), "the test needs a database that changes its size: {sizes:?}");
        for (frame, expected, step) in captured {
            let what = format!("{page_size} {mode} {auto_vacuum}: frame {frame}, after {step}");
            assert_same(&scene.walkeep.restored("app", frame), &expected, &what);
        }
        scene.walkeep.ok(&["verify", "store", "--deep"]);
    }
}

#[test]
fn another_page_size_begins_an_epoch_and_leaves_older_frames_restorable() {
    let scene = Scene::with_rows("PRAGMA page_size = 4096");
    let mut captured = vec![(scene.capture(), expected_bytes(&scene.db()))];
    for page_size in [512, 65_536, 4096] {
        sql(&scene.db(), &format!("PRAGMA page_size = {page_size}; VACUUM"));
        captured.push((scene.capture_is_exact(), expected_bytes(&scene.db())));
        sql(&scene.db(), &insert(20));
        captured.push((scene.capture_is_exact(), expected_bytes(&scene.db())));
    }
    for (frame, expected) in captured {
        assert_same(&scene.walkeep.restored("app", frame), &expected, &format!("frame {frame}"));
    }
    scene.walkeep.ok(&["verify", "store", "--deep"]);
}

#[test]
fn databases_of_no_page_and_of_one_page_are_captured() {
    let scene = Scene::new();
    fs::write(scene.db(), b"").unwrap();
    let empty = scene.capture_is_exact();
    assert_eq!(scene.capture(), empty, "an empty database that did not change stores nothing");
    sql(&scene.db(), "PRAGMA user_version = 1");
    assert_eq!(fs::metadata(scene.db()).unwrap().len(), 4096);
    let one = scene.capture_is_exact();
    sql(&scene.db(), "PRAGMA journal_mode = wal");
    scene.capture_is_exact();
    sql(&scene.db(), &format!("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB); {}", insert(10)));
    scene.capture_is_exact();
    // Replaced by an empty file, and by one of a single small page.
    fs::write(scene.db(), b"").unwrap();
    let again = scene.capture_is_exact();
    assert!(again > one);
    fs::remove_file(scene.db()).unwrap();
    sql(&scene.db(), "PRAGMA page_size = 512; PRAGMA user_version = 1");
    scene.capture_is_exact();
    assert!(scene.walkeep.restored("app", empty).is_empty());
    assert_eq!(scene.walkeep.restored("app", one).len(), 4096);
    assert!(scene.walkeep.restored("app", again).is_empty());
}

// The page of the lock bytes at 1 GiB.

const GIB: u64 = 1 << 30;

/// Makes a database large without writing it: lengthened by zeros, with the new size in its header.
fn lengthen(database: &Path, pages: u32, page_size: u32) {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(database).unwrap();
    file.set_len(u64::from(pages) * u64::from(page_size)).unwrap();
    file.seek(SeekFrom::Start(28)).unwrap();
    file.write_all(&pages.to_be_bytes()).unwrap();
}

/// Compares large files piece by piece.
fn assert_files_same(found: &Path, expected: &Path) {
    let (mut a, mut b) = (fs::File::open(found).unwrap(), fs::File::open(expected).unwrap());
    assert_eq!(a.metadata().unwrap().len(), b.metadata().unwrap().len());
    let (mut left, mut right) = (vec![0; 4 << 20], vec![0; 4 << 20]);
    let mut offset = 0;
    loop {
        let read = a.read(&mut left).unwrap();
        if read == 0 {
            return;
        }
        b.read_exact(&mut right[..read]).unwrap();
        assert!(left[..read] == right[..read], "they differ in the {read} bytes at {offset}");
        offset += read;
    }
}

#[test]
fn a_sparse_database_across_the_lock_page_is_captured_and_stays_sparse() {
    for page_size in [4096, 65_536] {
        let scene = Scene::with_rows(&format!("PRAGMA page_size = {page_size}"));
        let lock_page = u32::try_from(GIB / u64::from(page_size)).unwrap() + 1;
        lengthen(&scene.db(), lock_page - 3, page_size);
        // (lock_page - 3) pages: SQLite adds the next ones itself, and leaves the lock page out.
        let restore = |frame: u64, out: &str| {
            let frame = frame.to_string();
            // The pages that were added by hand belong to no table, which SQLite's check would find.
            let args = ["restore", "store", "-n", "app", "--frame", &frame, "-o", out];
            scene.walkeep.ok(&[&args[..], &["--integrity-check", "none"]].concat());
            scene.path(out)
        };
        let before = scene.capture();
        // A plain copy would not be sparse. All that is not zeros stands in front.
        let mut front = vec![0; 1 << 20];
        fs::File::open(scene.db()).unwrap().read_exact(&mut front).unwrap();
        fs::write(scene.path("before.copy"), front).unwrap();
        let copy = fs::OpenOptions::new().write(true).open(scene.path("before.copy")).unwrap();
        copy.set_len(fs::metadata(scene.db()).unwrap().len()).unwrap();
        let mut app = scene.app();
        app.run(&format!("INSERT INTO t (b) VALUES (randomblob({}))", 8 * page_size));
        let pages = app.run("PRAGMA page_count").parse::<u32>().unwrap();
        assert!(pages > lock_page + 2, "the test needs pages on both sides: {pages}, {lock_page}");
        let after = scene.capture();
        app.close();

        let restored = restore(after, "after.db");
        assert_files_same(&restored, &scene.db());
        let blocks = fs::metadata(&restored).unwrap().blocks() * 512;
        assert!(blocks < 64 << 20, "a restored sparse database takes {blocks} bytes of disk");
        let lengths = "SELECT sum(length(b)) FROM t";
        assert_eq!(number(&restored, lengths), 50 * 300 + 8 * i64::from(page_size));
        assert_files_same(&restore(before, "before.db"), &scene.path("before.copy"));
    }
}

// Applications that do not stand still.

const SUM: &str = "SELECT sum(balance) FROM accounts";

/// Restores a capture and looks at it as the application would. How many transfers it holds.
fn check_accounts(scene: &Scene, frame: u64) -> i64 {
    let path = scene.path("check.db");
    let name = path.to_str().unwrap();
    let frame_no = frame.to_string();
    let args = ["restore", "store", "-n", "app", "--frame", &frame_no, "-o", name, "--force"];
    scene.walkeep.ok(&[&args[..], &["--integrity-check", "full"]].concat());
    assert_eq!(number(&path, SUM), ACCOUNTS * BALANCE, "frame {frame}: half a transfer was captured");
    number(&path, "SELECT transfers FROM done")
}

/// Captures while an application is at work; every capture holds whole transfers only, none of those before lost.
fn captures_hold_whole_transfers(scene: &Scene, app: App, captures: usize) -> u64 {
    let frames = (0..captures).map(|_| scene.walkeep.replicate("db/app.db")).collect::<Vec<_>>();
    let done = app.finish();
    let transfers = frames.iter().map(|frame| check_accounts(scene, *frame)).collect::<Vec<_>>();
    assert!(transfers.is_sorted(), "a later capture holds less: {transfers:?}");
    assert!(transfers.last() > transfers.first(), "the application did nothing meanwhile: {transfers:?}");
    assert!(transfers.last().unwrap().unsigned_abs() <= done, "{transfers:?}, done were {done}");
    let last = scene.capture_is_exact();
    assert_eq!(check_accounts(scene, last).unsigned_abs(), done);
    done
}

#[test]
fn thirty_captures_beside_a_writer_at_full_speed_are_each_one_committed_state() {
    let scene = Scene::new();
    make_accounts(&scene.db(), "PRAGMA journal_mode = wal;");
    captures_hold_whole_transfers(&scene, App::transfers(&scene.db()), 30);
}

#[test]
fn captures_beside_a_writer_in_rollback_mode_are_each_one_committed_state() {
    let scene = Scene::new();
    make_accounts(&scene.db(), "PRAGMA journal_mode = delete;");
    captures_hold_whole_transfers(&scene, App::transfers(&scene.db()), 10);
}

#[test]
fn captures_beside_applications_that_open_and_close_are_each_one_committed_state() {
    let scene = Scene::new();
    make_accounts(&scene.db(), "PRAGMA journal_mode = wal;");
    let other = App::churn(&scene.db());
    let app = App::churn(&scene.db());
    let frames = (0..30).map(|_| scene.walkeep.replicate("db/app.db")).collect::<Vec<_>>();
    let done = i64::try_from(app.finish() + other.finish()).unwrap();
    let transfers = frames.iter().map(|frame| check_accounts(&scene, *frame)).collect::<Vec<_>>();
    assert!(transfers.is_sorted(), "a later capture holds less: {transfers:?}");
    assert!(transfers.last() > transfers.first(), "the applications did nothing meanwhile: {transfers:?}");
    assert_eq!(check_accounts(&scene, scene.capture_is_exact()), done);
}

#[test]
fn a_writer_that_is_killed_leaves_a_database_that_is_captured_as_it_will_recover() {
    let scene = Scene::new();
    make_accounts(&scene.db(), "PRAGMA journal_mode = wal;");
    for _ in 0..5 {
        let app = App::transfers(&scene.db());
        scene.walkeep.replicate("db/app.db");
        app.kill();
        let frame = scene.capture_is_exact();
        check_accounts(&scene, frame);
    }
}
