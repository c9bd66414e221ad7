//! A daemon for many databases: files come, go, and are not ready yet; the configuration is read again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use walkeep_tests::command::Walkeep;
use walkeep_tests::database::{beside, sql};

const CONFIG: &str = "[[directory]]\nglob = \"dbs/*.db\"\nstore = \"store\"\n";

fn database(root: &Path, name: &str, mode: &str) {
    sql(&root.join("dbs").join(name), &format!("PRAGMA journal_mode = {mode}; CREATE TABLE t (a)"));
}

fn remove(root: &Path, name: &str) {
    let path = root.join("dbs").join(name);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(beside(&path, suffix));
    }
}

#[test]
fn files_that_come_go_and_are_not_ready_yet() {
    let root = tempfile::tempdir().unwrap();
    let (walkeep, at) = (Walkeep::at(root.path()), root.path());
    fs::create_dir(at.join("dbs")).unwrap();
    fs::write(at.join("w.toml"), CONFIG).unwrap();
    database(at, "a.db", "wal");
    database(at, "late.db", "delete");
    let mut daemon = walkeep.background(&["replicate", "--config", "w.toml"]);
    daemon.says("dbs/a.db to ");
    assert!(daemon.says("late.db: no longer replicated").contains("not in WAL mode"));

    // A name that no text has must not end the daemon, whoever matches it.
    fs::write(at.join("dbs").join(OsStr::from_bytes(b"\xff.db")), "").unwrap();
    database(at, "b.db", "wal");
    daemon.says("dbs/b.db to ");
    sql(&at.join("dbs/late.db"), "PRAGMA journal_mode = wal; INSERT INTO t VALUES (1)");
    daemon.says("dbs/late.db to ");
    remove(at, "b.db");
    daemon.says("b.db: no longer replicated");

    // Another interval is another way to replicate: what runs is stopped and started again.
    fs::write(at.join("w.toml"), format!("{CONFIG}sync_interval = \"0.5s\"\n")).unwrap();
    daemon.signal("HUP");
    daemon.says("w.toml was read again");
    daemon.says("a.db: no longer replicated; everything is stored");
    daemon.says("namespace a, epoch 2");
    daemon.says("namespace late, epoch 2");
    fs::write(at.join("w.toml"), "nonsense = 1\n").unwrap();
    daemon.signal("HUP");
    daemon.says("the configuration stays as it was");
    assert_eq!(daemon.stop(), Some(0), "{:#?}", daemon.stderr);
    for namespace in ["a", "b", "late"] {
        walkeep.ok(&["restore", "store", "-n", namespace, "-o", &format!("{namespace}.restored")]);
    }
}

#[test]
fn a_database_that_failed_is_not_called_stored() {
    let root = tempfile::tempdir().unwrap();
    let (walkeep, at) = (Walkeep::at(root.path()), root.path());
    fs::create_dir(at.join("dbs")).unwrap();
    fs::write(at.join("w.toml"), CONFIG).unwrap();
    database(at, "a.db", "wal");
    database(at, "plain.db", "delete");
    let mut daemon = walkeep.background(&["replicate", "--config", "w.toml"]);
    daemon.says("dbs/a.db to ");
    daemon.says("plain.db: no longer replicated");
    assert_eq!(daemon.stop(), Some(6), "{:#?}", daemon.stderr);
    assert!(daemon.stderr.iter().any(|line| line.contains("1 database had failed before")));
}

#[test]
fn a_store_that_cannot_be_had_ends_a_single_replication() {
    let root = tempfile::tempdir().unwrap();
    let (walkeep, at) = (Walkeep::at(root.path()), root.path());
    sql(&at.join("app.db"), "PRAGMA journal_mode = wal; CREATE TABLE t (a)");
    fs::write(at.join("store"), "a file").unwrap();
    let mut daemon = walkeep.background(&["replicate", "app.db", "store"]);
    assert!(daemon.ended().is_some_and(|code| code != 0), "{:#?}", daemon.stderr);
}

#[test]
fn a_namespace_of_the_environment_is_none_of_a_configuration() {
    let root = tempfile::tempdir().unwrap();
    let (walkeep, at) = (Walkeep::at(root.path()).with("WALKEEP_NAMESPACE", "other"), root.path());
    fs::create_dir(at.join("dbs")).unwrap();
    fs::write(at.join("w.toml"), CONFIG).unwrap();
    database(at, "a.db", "wal");
    let mut daemon = walkeep.background(&["replicate", "--config", "w.toml"]);
    assert!(daemon.says("dbs/a.db to ").contains("namespace a"));
    assert_eq!(daemon.stop(), Some(0), "{:#?}", daemon.stderr);
    let refused = walkeep.run(&["replicate", "--config", "w.toml", "-n", "app"]).expect(2);
    refused.says(&["--config cannot be used with -n"]);
}
