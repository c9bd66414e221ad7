//! The embedded store, as a user meets it: every command on `redb:///path`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use walkeep::Bucket;
use walkeep::backends::StoreUrl;
use walkeep::backends::os::OsDirectory;
use walkeep::core::Namespace;
use walkeep_sqlite::{CaptureOptions, capture};
use walkeep_tests::command::Walkeep;
use walkeep_tests::database::{assert_same, expected_bytes, sql};
use walkeep_tests::handles::handles;

fn store(root: &Path, more: &str) -> String {
    format!("redb://{}{more}", root.join("store").display())
}

fn folder() -> (TempDir, Walkeep) {
    let root = tempfile::tempdir().unwrap();
    let walkeep = Walkeep::at(root.path());
    (root, walkeep)
}

#[test]
fn a_database_is_stored_looked_at_and_given_back() {
    let (root, walkeep) = folder();
    let (at, app) = (root.path(), root.path().join("app.db"));
    let (new, store) = (store(at, "?shards=2"), store(at, ""));
    sql(&app, "PRAGMA journal_mode = wal; CREATE TABLE t (a); INSERT INTO t VALUES (randomblob(200000))");
    let first = walkeep.ok(&["replicate", "app.db", &new, "--once", "--json"]).json();
    let old = expected_bytes(&app);
    for _ in 0..3 {
        sql(
            &app,
            "INSERT INTO t VALUES (randomblob(5000)); UPDATE t SET a = randomblob(100) WHERE rowid = 2",
        );
        walkeep.ok(&["replicate", "app.db", &store, "--once"]);
    }
    assert!(at.join("store/shard-001.redb").exists() && !at.join("store/shard-002.redb").exists());

    let namespaces = walkeep.ok(&["ls", &store, "--json"]).json_lines();
    assert_eq!(namespaces.len(), 1, "{namespaces:?}");
    assert_eq!(walkeep.ok(&["log", &store, "-n", "app", "--json"]).json_lines().len(), 4);
    let segments = walkeep.ok(&["segments", &store, "-n", "app", "--json"]).json_lines();
    let key = segments[0]["key"].as_str().unwrap();
    walkeep.ok(&["inspect", &store, key, "-n", "app"]);
    walkeep.ok(&["verify", &store, "--deep"]);
    let frame = first["durable_frame_no"].to_string();
    let restore = |more: &[&str], out: &str| {
        walkeep.ok(&[&["restore", &store, "-n", "app", "-o", out], more].concat());
        fs::read(at.join(out)).unwrap()
    };
    assert_same(&restore(&["--frame", &frame], "old.db"), &old, "old.db");
    assert_same(&restore(&[], "new.db"), &expected_bytes(&app), "new.db");

    let removed = walkeep.ok(&["rm", &store, "-n", "app", "--yes", "--json"]).json();
    assert_eq!(removed["segments_deleted"], segments.len());
    walkeep.run(&["restore", &store, "-n", "app", "-o", "gone.db"]).expect(3);
}

/// Stores a commit for each of these times, which are over.
fn store_at(app: &Path, store: &str, times: &[u64]) {
    let store = store.parse::<StoreUrl>().unwrap().create().unwrap();
    let bucket = Bucket::new(Arc::new(store), None).unwrap();
    let spool = Arc::new(OsDirectory::open(&std::env::temp_dir()).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for time in times {
        sql(app, "INSERT INTO t VALUES (randomblob(6000))");
        let options = CaptureOptions::new(Arc::clone(&spool) as _, handles(*time, *time).0);
        let namespace = Namespace::new("app").unwrap();
        runtime.block_on(capture(app, &bucket, &namespace, &options)).unwrap();
    }
}

#[test]
fn what_retention_drops_is_merged_and_deleted() {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    let (root, walkeep) = folder();
    let (app, store) = (root.path().join("app.db"), store(root.path(), ""));
    sql(&app, "CREATE TABLE t (a)");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let days_ago = |days: u64| u64::try_from(now).unwrap() - days * DAY;
    store_at(&app, &store, &[days_ago(9), days_ago(8), days_ago(7), days_ago(6)]);
    let segments = || walkeep.ok(&["segments", &store, "-n", "app", "--json"]).json_lines().len();
    assert_eq!(segments(), 4);
    walkeep.ok(&["retain", &store, "-n", "app", "--keep-all", "24h"]);
    walkeep.ok(&["compact", &store, "-n", "app", "--strategy", "identity"]);
    let collected = walkeep.ok(&["gc", &store, "-n", "app", "--grace", "0", "--json"]).json();
    // The last one holds the frontier: the newest commit that is kept.
    assert_eq!(collected["deleted"], 3, "{collected}");
    assert_eq!(segments(), 2);
    walkeep.ok(&["verify", &store, "--deep"]);
    walkeep.ok(&["restore", &store, "-n", "app", "-o", "out.db"]);
    assert_same(&fs::read(root.path().join("out.db")).unwrap(), &expected_bytes(&app), "out.db");
}

#[test]
fn databases_of_one_configuration_share_the_store_and_others_are_told_who_has_it() {
    let (root, walkeep) = folder();
    let at = root.path();
    fs::create_dir(at.join("dbs")).unwrap();
    for name in ["a", "b"] {
        sql(&at.join("dbs").join(format!("{name}.db")), "PRAGMA journal_mode = wal; CREATE TABLE t (a)");
    }
    let entry = |name: &str, store: &str| {
        format!("[[database]]\npath = \"dbs/{name}.db\"\nstore = \"{store}\"\nsync_interval = \"0.1s\"\n")
    };
    // One store, by two addresses.
    let config = entry("a", &store(at, "?shards=4")) + &entry("b", &store(at, ""));
    fs::write(at.join("w.toml"), config).unwrap();
    let mut daemon = walkeep.background(&["replicate", "--config", "w.toml"]);
    daemon.says("namespace a, epoch 1");
    daemon.says("namespace b, epoch 1");

    let process = daemon.id();
    let refused = walkeep.run(&["ls", &store(at, "")]).expect(6);
    #[cfg(target_os = "linux")]
    refused.says(&[&format!("process {process} has it open"), "stop the other one"]);
    assert_eq!(daemon.stop(), Some(0), "{:#?}", daemon.stderr);
    assert_eq!(walkeep.ok(&["ls", &store(at, ""), "--json"]).json_lines().len(), 2);
    for name in ["a", "b"] {
        walkeep.ok(&["restore", &store(at, ""), "-n", name, "-o", &format!("{name}.restored")]);
    }
}

#[test]
fn what_is_no_such_store_is_refused_and_nothing_is_made() {
    let (root, walkeep) = folder();
    let at = root.path();
    sql(&at.join("app.db"), "CREATE TABLE t (a)");
    for (more, says) in [("?shards=3", "power of two"), ("?shards=0", "power of two"), ("?shard=4", "shards")]
    {
        walkeep.run(&["replicate", "app.db", &store(at, more), "--once"]).expect(2).says(&[says]);
    }
    walkeep.run(&["ls", "redb://store"]).expect(2).says(&["absolute path"]);
    walkeep.run(&["ls", &store(at, "")]).expect(6).says(&["does not exist"]);
    walkeep.run(&["replicate", "none.db", &store(at, ""), "--once"]).expect(1);
    assert!(!at.join("store").exists(), "something was made");

    walkeep.ok(&["replicate", "app.db", &store(at, ""), "--once"]);
    walkeep.run(&["ls", &store(at, "?shards=8")]).expect(1).says(&["it has 4"]);
    fs::rename(at.join("store/layout.json"), at.join("layout.json")).unwrap();
    walkeep.run(&["ls", &store(at, "")]).expect(1).says(&["put the file back"]);
    fs::rename(at.join("layout.json"), at.join("store/layout.json")).unwrap();
    walkeep.ok(&["verify", &store(at, "")]);
}

#[test]
fn deleted_space_is_given_back_and_what_is_left_is_whole() {
    let (root, walkeep) = folder();
    let (new, store) = (store(root.path(), "?shards=2"), store(root.path(), ""));
    for name in ["big.db", "kept.db"] {
        let rows = if name == "big.db" { 40 } else { 2 };
        let numbers =
            format!("WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {rows})");
        let fill = format!("{numbers} INSERT INTO t SELECT randomblob(100000) FROM n");
        sql(&root.path().join(name), &format!("PRAGMA journal_mode = wal; CREATE TABLE t (a); {fill}"));
        walkeep.ok(&["replicate", name, &new, "--once"]);
    }
    let length = || {
        let files = fs::read_dir(root.path().join("store")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    walkeep.ok(&["rm", &store, "-n", "big", "--yes"]);
    let before = length();
    let shrunk = walkeep.ok(&["shrink", &store, "--json"]).json();
    assert!(length() < before / 4, "{before} became {}", length());
    let given = shrunk["bytes_before"].as_u64().unwrap() - shrunk["bytes"].as_u64().unwrap();
    // Closing it writes a little more.
    assert!(given.abs_diff(before - length()) < 100_000, "{shrunk}: {before} became {}", length());
    walkeep.ok(&["verify", &store, "--deep"]);
    walkeep.ok(&["restore", &store, "-n", "kept", "-o", "out.db"]);
    let out = fs::read(root.path().join("out.db")).unwrap();
    assert_same(&out, &expected_bytes(&root.path().join("kept.db")), "out.db");

    // One side of two; what has no such space; and what is not there.
    let pair = format!("mirror:?first={}&second={store}", root.path().join("plain").display());
    walkeep.ok(&["replicate", "kept.db", &pair, "--once", "-n", "again"]);
    assert!(walkeep.ok(&["shrink", &pair]).stdout.contains("given back"));
    let both = format!("mirror:?first={store}&second={store}-second");
    walkeep.ok(&["replicate", "kept.db", &both, "--once", "-n", "twice"]);
    let shrunk = walkeep.ok(&["shrink", &both, "--json"]).json_lines();
    let places = shrunk.iter().map(|side| side["place"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(places, [store.clone(), format!("{store}-second")], "of each it is said what was given back");
    walkeep.run(&["shrink", "plain"]).expect(2).says(&["redb:///path"]);
    walkeep.run(&["shrink", &format!("{store}2")]).expect(3).says(&["does not exist"]);
    assert!(!root.path().join("store2").exists());
}
