//! How a capture holds a database still, and that it leaves nothing behind in states that are hard to come by.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests make and damage files directly")]

use std::fs;
use std::time::Duration;

use walkeep_sqlite::Source;
use walkeep_tests::capture_scene::{Scene, insert, live};
use walkeep_tests::database::{beside, sql};

fn hold(scene: &Scene) -> Source {
    Source::open(&scene.db(), Duration::from_secs(2)).unwrap()
}

#[test]
fn a_shm_of_nobody_is_left_as_it_is_with_a_log_or_without() {
    for log in ["whole", "empty", "none"] {
        let (scene, mut app) = live();
        app.run(&insert(10));
        if log != "whole" {
            app.run("PRAGMA wal_checkpoint(TRUNCATE)");
        }
        app.kill();
        if log == "none" {
            fs::remove_file(beside(&scene.db(), "-wal")).unwrap();
        }
        assert!(beside(&scene.db(), "-shm").exists());
        scene.capture_is_exact();
    }
}

#[test]
fn who_opens_a_database_with_a_shm_of_nobody_during_a_capture_is_noticed() {
    for work in ["SELECT count(*) FROM t", "commit", "checkpoint", "truncate"] {
        let (scene, mut app) = live();
        app.run("PRAGMA wal_checkpoint(TRUNCATE)");
        app.kill();
        let source = hold(&scene);
        assert!(source.is_unchanged().unwrap());
        let commit = insert(1);
        let sql = match work {
            "commit" => commit,
            "checkpoint" => format!("{commit} PRAGMA wal_checkpoint(PASSIVE)"),
            "truncate" => format!("{commit} PRAGMA wal_checkpoint(TRUNCATE)"),
            other => other.to_string(),
        };
        let mut app = scene.app();
        app.run(&sql);
        assert!(!source.is_unchanged().unwrap(), "{work}, still open");
        app.close();
        assert!(!source.is_unchanged().unwrap(), "{work}, closed");
        drop(source);
        scene.capture_is_exact();
    }
}

#[test]
fn a_database_whose_schema_sqlite_rejects_is_captured() {
    for mode in ["delete", "wal"] {
        let scene = Scene::with_rows(&format!("PRAGMA journal_mode = {mode}"));
        let mut app = scene.app();
        app.run("PRAGMA writable_schema = on; UPDATE sqlite_schema SET sql = 'CREATE TABLE t (((' ");
        let mut second = scene.app();
        assert!(second.try_run("SELECT count(*) FROM sqlite_schema").is_err(), "the schema is good");
        let frame = scene.capture().to_string();
        let args = ["restore", "store", "-n", "app", "--frame", &frame, "-o", "out.db"];
        scene.walkeep.ok(&[&args[..], &["--integrity-check", "none"]].concat());
    }
}

#[test]
fn the_read_lock_is_held_from_the_first_moment() {
    let scene = Scene::with_rows("PRAGMA journal_mode = delete");
    let mut app = scene.app();
    let source = hold(&scene);
    let error = app.try_run("PRAGMA busy_timeout = 0; DELETE FROM t").unwrap_err();
    assert!(error.contains("locked"), "{error}");
    drop(source);
    app.run("DELETE FROM t WHERE a = 1");

    let (scene, mut app) = live();
    app.run(&insert(10));
    let source = hold(&scene);
    app.run(&insert(10));
    // The log cannot begin anew: the read mark is in the way.
    let busy = app.run("PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(RESTART)");
    assert!(busy.starts_with("1|"), "{busy}");
    drop(source);
    let busy = app.run("PRAGMA wal_checkpoint(RESTART)");
    assert!(busy.starts_with("0|"), "{busy}");
}

#[test]
fn two_holds_of_one_process_do_not_take_each_other_s_lock_away() {
    let scene = Scene::with_rows("PRAGMA journal_mode = wal");
    let (first, second) = (hold(&scene), hold(&scene));
    drop(first);
    let mut app = scene.app();
    app.run(&insert(1));
    app.close();
    assert!(beside(&scene.db(), "-shm").exists(), "the last to close had the exclusive lock");
    assert!(!second.is_unchanged().unwrap());
    drop(second);
    sql(&scene.db(), "SELECT 1");
}
