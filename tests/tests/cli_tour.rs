//! The command from end to end, as a user meets it: what it prints, where, and what it leaves behind.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests make and damage files directly")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use walkeep_tests::command::Walkeep;
use walkeep_tests::database::{assert_same, expected_bytes, number, sql};
use walkeep_tests::footprint::{files, footprint};

/// A folder with `app.db`, captured into `./store` several times.
struct Shop {
    root: TempDir,
    walkeep: Walkeep,
    /// Durable frame, time in milliseconds and bytes of every capture.
    captured: Vec<(u64, u64, Vec<u8>)>,
}

impl Shop {
    fn new(captures: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut shop = Self { walkeep: Walkeep::at(root.path()), root, captured: Vec::new() };
        sql(&shop.path("app.db"), "PRAGMA journal_mode = wal; CREATE TABLE t (a)");
        for _ in 0..captures {
            sql(&shop.path("app.db"), "INSERT INTO t VALUES (randomblob(6000))");
            shop.capture();
        }
        shop
    }

    fn capture(&mut self) {
        // Times are in milliseconds: captures of a test must not share one.
        std::thread::sleep(Duration::from_millis(5));
        let bytes = expected_bytes(&self.path("app.db"));
        let json = self.walkeep.ok(&["replicate", "app.db", "store", "--once", "--json"]).json();
        let number = |field: &str| json[field].as_u64().unwrap();
        self.captured.push((number("durable_frame_no"), number("time_ms"), bytes));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The key of the newest segment.
    fn newest_key(&self) -> String {
        let rows = self.walkeep.ok(&["segments", "store", "-n", "app", "--json"]).json_lines();
        rows[0]["key"].as_str().unwrap().to_string()
    }
}

#[track_caller]
fn has_fields(json: &Value, fields: &[&str]) {
    for field in fields {
        assert!(json.get(field).is_some_and(|value| !value.is_null()), "no {field} in {json}");
    }
}

#[test]
fn the_tour_of_the_readme_gives_both_databases_back() {
    let root = tempfile::tempdir().unwrap();
    let walkeep = Walkeep::at(root.path());
    let app = root.path().join("app.db");
    sql(&app, "PRAGMA journal_mode = wal; CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    let first = walkeep.ok(&["replicate", "app.db", "./store", "--once", "--json"]).json();
    let old = expected_bytes(&app);
    let frame = first["durable_frame_no"].to_string();
    sql(&app, "INSERT INTO t SELECT a + 1 FROM t; VACUUM");
    walkeep.ok(&["replicate", "app.db", "./store", "--once"]);
    let log = walkeep.ok(&["log", "./store", "-n", "app"]);
    assert_eq!(log.stdout.lines().count(), 3, "a heading and two commits: {log:#?}");
    walkeep.ok(&["restore", "./store", "-n", "app", "--frame", &frame, "-o", "old.db"]);
    walkeep.ok(&["restore", "./store", "-n", "app", "-o", "new.db"]);
    assert_same(&fs::read(root.path().join("old.db")).unwrap(), &old, "old.db");
    assert_same(&fs::read(root.path().join("new.db")).unwrap(), &expected_bytes(&app), "new.db");
    assert_eq!(number(&root.path().join("old.db"), "SELECT count(*) FROM t"), 1);
    assert_eq!(number(&root.path().join("new.db"), "SELECT count(*) FROM t"), 2);
}

#[test]
fn the_demo_succeeds_and_explains_itself() {
    let root = tempfile::tempdir().unwrap();
    let temp = root.path().join("temp");
    fs::create_dir(&temp).unwrap();
    let walkeep = Walkeep::at(root.path()).with("TMPDIR", temp.to_str().unwrap());
    let ran = walkeep.ok(&["demo"]);
    for text in [
        "DELETE FROM orders",
        "$ walkeep replicate shop.db ./store --once",
        "$ walkeep log ./store -n shop",
        "$ walkeep restore ./store -n shop --frame",
        "0 orders left",
        "equal to the copy",
    ] {
        assert!(ran.stdout.contains(text), "{text:?} is missing: {ran:#?}");
    }
    assert_eq!(ran.stderr, "");
    assert_eq!(fs::read_dir(&temp).unwrap().count(), 0, "the demo leaves nothing behind");

    let json = walkeep.ok(&["demo", "--keep", "--json"]).json();
    has_fields(
        &json,
        &["frames", "orders_before_mistake", "orders_after_mistake", "restored_equal", "directory"],
    );
    assert_eq!(json["restored_equal"], true);
    assert_eq!(json["orders_after_mistake"], 0);
    let kept = PathBuf::from(json["directory"].as_str().unwrap());
    let before = kept.join("before.db");
    assert_eq!(
        number(&before, "SELECT count(*) FROM orders"),
        json["orders_before_mistake"].as_i64().unwrap()
    );
}

#[test]
fn every_command_writes_json_with_its_fields() {
    let shop = Shop::new(2);
    let walkeep = &shop.walkeep;
    sql(&shop.path("app.db"), "INSERT INTO t VALUES (3)");
    let replicated = walkeep.ok(&["replicate", "app.db", "store", "--once", "--json"]).json();
    has_fields(
        &replicated,
        &[
            "namespace",
            "durable_frame_no",
            "time",
            "time_ms",
            "pages",
            "page_size",
            "pages_stored",
            "bytes_stored",
        ],
    );
    assert_eq!(replicated["namespace"], "app");
    assert_eq!(replicated["changed"], true);

    let rows = walkeep.ok(&["ls", "store", "--json"]).json_lines();
    assert_eq!(rows.len(), 1);
    has_fields(
        &rows[0],
        &["namespace", "durable_frame_no", "restorable_from", "restorable_to", "segments", "bytes"],
    );
    assert_eq!(rows[0]["durable_frame_no"], replicated["durable_frame_no"]);
    assert_eq!(rows[0]["segments"], 3);
    assert_eq!(rows[0]["restorable_to"], replicated["time"]);

    let rows = walkeep.ok(&["log", "store", "-n", "app", "--json"]).json_lines();
    assert_eq!(rows.len(), 3);
    has_fields(
        &rows[0],
        &["frame_no", "time", "time_ms", "frames", "pages", "kind", "state_checksum", "segment"],
    );
    let frames = rows.iter().map(|row| row["frame_no"].as_u64().unwrap()).collect::<Vec<_>>();
    let expected =
        [&replicated["durable_frame_no"].as_u64().unwrap(), &shop.captured[1].0, &shop.captured[0].0];
    assert!(frames.iter().eq(expected), "newest first: {frames:?}");

    let rows = walkeep.ok(&["segments", "store", "-n", "app", "--json"]).json_lines();
    assert_eq!(rows.len(), 3);
    has_fields(&rows[0], &["key", "epoch", "start", "end", "time", "time_ms", "level", "bytes"]);

    let plan = walkeep.ok(&["restore", "store", "--dry-run", "--json"]).json();
    has_fields(
        &plan,
        &[
            "namespace",
            "frame_no",
            "time",
            "pages",
            "page_size",
            "objects",
            "requests",
            "bytes_to_read",
            "disk_bytes",
        ],
    );
    assert_eq!(plan["gaps"], Value::Array(Vec::new()));
    let restored = walkeep.ok(&["restore", "store", "-o", "out.db", "--json"]).json();
    has_fields(
        &restored,
        &[
            "namespace",
            "frame_no",
            "time",
            "pages",
            "bytes",
            "requests",
            "state_checksum",
            "verified",
            "output",
        ],
    );
    assert_eq!(restored["verified"], true);
    assert_eq!(restored["bytes"], plan["disk_bytes"]);
    assert_eq!(restored["requests"], plan["requests"], "the plan says what is done");
    assert_eq!(restored["bytes"].as_u64(), Some(fs::metadata(shop.path("out.db")).unwrap().len()));
    let rows = walkeep.ok(&["log", "store", "--json", "--limit", "1"]).json_lines();
    assert_eq!(rows[0]["state_checksum"], restored["state_checksum"]);

    let inspected = walkeep.ok(&["inspect", "store", &shop.newest_key(), "--pages", "--json"]).json();
    has_fields(
        &inspected,
        &["key", "bytes", "epoch", "start", "end", "page_size", "parts", "codecs", "commits", "pages"],
    );
    assert_eq!(inspected["pages"].as_array().unwrap().len() as u64, inspected["frames"].as_u64().unwrap());

    for args in [&["verify", "store", "--json"][..], &["verify", "store", "--deep", "--json"]] {
        let rows = walkeep.ok(args).json_lines();
        has_fields(
            &rows[0],
            &["namespace", "ok", "deep", "manifests", "segments", "segment_bytes", "problems"],
        );
        assert_eq!(rows[0]["ok"], true);
        assert_eq!(rows[0]["states_proven"], if args.len() > 3 { 3 } else { 0 });
    }
}

#[test]
fn data_goes_to_stdout_and_nothing_to_stderr() {
    let shop = Shop::new(1);
    let key = shop.newest_key();
    for args in [
        &["replicate", "app.db", "store", "--once"][..],
        &["ls", "store"],
        &["log", "store"],
        &["segments", "store"],
        &["inspect", "store", &key],
        &["restore", "store", "--dry-run"],
        &["restore", "store", "-o", "out.db"],
        &["verify", "store"],
        &["verify", "store", "--deep"],
        &["completions", "bash"],
    ] {
        let ran = shop.walkeep.ok(args);
        assert!(!ran.stdout.is_empty() && ran.stderr.is_empty(), "{ran:#?}");
    }
}

#[test]
fn variables_stand_in_for_the_store_and_the_namespace() {
    let shop = Shop::new(1);
    let store = Walkeep::at(shop.root.path()).with("WALKEEP_STORE", "store");
    sql(&shop.path("other.db"), "CREATE TABLE o (a)");
    assert_eq!(store.ok(&["replicate", "other.db", "--once", "--json"]).json()["namespace"], "other");
    assert_eq!(store.ok(&["ls", "--json"]).json_lines().len(), 2);
    let key = shop.newest_key();
    assert_eq!(store.ok(&["inspect", &key, "-n", "app", "--json"]).json()["key"], *key);

    let both = store.clone().with("WALKEEP_NAMESPACE", "app");
    for args in [&["log", "--json"][..], &["segments", "--json"], &["verify", "--json"]] {
        assert_eq!(both.ok(args).json_lines().len(), 1, "{args:?}");
    }
    let restored = both.ok(&["restore", "-o", "out.db", "--json"]).json();
    assert_eq!(restored["namespace"], "app");
    assert_same(&fs::read(shop.path("out.db")).unwrap(), &shop.captured[0].2, "out.db");
    // What is written out wins.
    assert_eq!(both.ok(&["restore", "-n", "other", "--dry-run", "--json"]).json()["namespace"], "other");
    assert_eq!(both.ok(&["replicate", "other.db", "--once", "--json"]).json()["namespace"], "app");
}

#[test]
fn the_namespace_is_the_only_one_or_must_be_named() {
    let shop = Shop::new(1);
    let dry_run = &["restore", "store", "--dry-run", "--json"];
    assert_eq!(shop.walkeep.ok(dry_run).json()["namespace"], "app");
    sql(&shop.path("b.c.db"), "CREATE TABLE o (a)");
    // The file name without its extension.
    let second = shop.walkeep.ok(&["replicate", "b.c.db", "store", "--once", "--json"]).json();
    assert_eq!(second["namespace"], "b.c");
    shop.walkeep.run(&["restore", "store", "--dry-run"]).expect(2).says(&["app", "b.c", "-n"]);
}

#[test]
fn replicating_an_unchanged_database_stores_nothing_and_writes_nothing() {
    let shop = Shop::new(2);
    let before = footprint(&shop.path("store"));
    let json = shop.walkeep.ok(&["replicate", "app.db", "store", "--once", "--json"]).json();
    assert_eq!(before, footprint(&shop.path("store")));
    assert_eq!(json["pages_stored"], 0);
    assert_eq!(json["bytes_stored"], 0);
    assert_eq!(json["changed"], false);
    assert_eq!(json["durable_frame_no"], shop.captured[1].0);
    let ran = shop.walkeep.ok(&["replicate", "app.db", "store", "--once"]);
    assert!(ran.stdout.contains("nothing changed"), "{ran:#?}");
    assert_eq!(before, footprint(&shop.path("store")));
}

#[test]
fn reading_commands_write_nothing_into_the_store() {
    let shop = Shop::new(2);
    let before = footprint(&shop.path("store"));
    for args in [
        &["ls", "store"][..],
        &["log", "store"],
        &["segments", "store"],
        &["verify", "store", "--deep"],
        &["restore", "store", "-o", "out.db"],
        &["inspect", "store", &shop.newest_key()],
    ] {
        shop.walkeep.ok(args);
    }
    assert_eq!(before, footprint(&shop.path("store")));
}

#[test]
fn help_version_and_completions_are_no_failures() {
    let walkeep = Walkeep::at(&std::env::temp_dir());
    let help = walkeep.ok(&["--help"]);
    for text in ["Exit codes", "walkeep demo", "walkeep replicate app.db ./store --once", "8 outcome unknown"]
    {
        assert!(help.stdout.contains(text), "{help:#?}");
    }
    for command in
        ["demo", "replicate", "restore", "ls", "log", "segments", "inspect", "verify", "completions"]
    {
        assert!(help.stdout.contains(command), "{command} is not in --help");
        let ran = walkeep.ok(&[command, "--help"]);
        assert!(ran.stdout.contains("Usage: walkeep") && ran.stderr.is_empty(), "{ran:#?}");
    }
    assert!(walkeep.ok(&["--version"]).stdout.starts_with("walkeep "));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(walkeep.ok(&["completions", shell]).stdout.contains("replicate"), "{shell}");
    }
}

#[test]
fn a_segment_is_inspected_in_the_store_and_as_a_plain_file() {
    let shop = Shop::new(1);
    let key = shop.newest_key();
    let in_store = shop.walkeep.ok(&["inspect", "store", &key, "-n", "app", "--json"]).json();
    assert_eq!(in_store["key"], *key);
    let name = files(&shop.path("store")).into_iter().find(|name| name.ends_with(&key)).unwrap();
    fs::copy(shop.path("store").join(name), shop.path("segment.bin")).unwrap();
    let of_file = shop.walkeep.ok(&["inspect", "segment.bin", "--json"]).json();
    assert_eq!(in_store, of_file);
    let parts = in_store["parts"].as_object().unwrap().values().map(|len| len.as_u64().unwrap());
    assert_eq!(Some(parts.sum()), in_store["bytes"].as_u64(), "the parts are all of the object");
    let text = shop.walkeep.ok(&["inspect", "segment.bin", "--pages"]).stdout;
    for word in ["header", "columns", "footer", "zstd", "commits", "page, frame, hash"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn the_log_is_limited_by_times_and_number() {
    let shop = Shop::new(4);
    let rows = |more: &[&str]| {
        let ran = shop.walkeep.ok(&[&["log", "store", "--json"], more].concat());
        ran.json_lines().iter().map(|row| row["frame_no"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let frames = shop.captured.iter().rev().map(|capture| capture.0).collect::<Vec<_>>();
    let time = |at: usize| rfc3339(shop.captured[at].1);
    assert_eq!(rows(&[]), frames);
    assert_eq!(rows(&["--limit", "2"]), frames[..2]);
    assert!(rows(&["--limit", "0"]).is_empty());
    assert_eq!(rows(&["--since", &time(1)]), frames[..3], "both ends are included");
    assert_eq!(rows(&["--until", &time(1)]), frames[2..]);
    assert_eq!(rows(&["--since", &time(1), "--until", &time(2)]), frames[1..3]);
    assert_eq!(rows(&["--until", &time(2), "--limit", "1"]), frames[1..2]);
    assert_eq!(rows(&["--since", "-1h"]), frames);
    assert!(rows(&["--until", "1 hour ago"]).is_empty());
}

/// A time of a capture as a user would write it.
fn rfc3339(millis: u64) -> String {
    walkeep::core::UnixMillis(millis).to_string()
}

#[test]
fn every_capture_is_restored_by_its_frame_and_by_its_time() {
    let shop = Shop::new(3);
    for (frame, time, bytes) in &shop.captured {
        assert_same(&shop.walkeep.restored("app", *frame), bytes, &format!("frame {frame}"));
        let at = rfc3339(*time);
        let ran = shop.walkeep.ok(&["restore", "store", "-o", "at.db", "--at", &at, "--force"]);
        assert_same(&fs::read(shop.path("at.db")).unwrap(), bytes, &at);
        assert_eq!(ran.stderr, "", "an exact time needs no note");
    }
}

#[test]
fn a_time_between_two_commits_is_answered_with_the_earlier_one_and_says_which() {
    let shop = Shop::new(3);
    let (frame, time, bytes) = &shop.captured[1];
    let between = rfc3339(shop.captured[2].1 - 1);
    let ran = shop.walkeep.ok(&["restore", "store", "-o", "at.db", "--at", &between]);
    assert_same(&fs::read(shop.path("at.db")).unwrap(), bytes, &between);
    ran.says(&[&format!("frame {frame} of {}", rfc3339(*time))]);
    // Behind the last commit: the last one.
    let ran = shop.walkeep.ok(&["restore", "store", "--dry-run", "--at", "now"]);
    ran.says(&[&format!("frame {}", shop.captured[2].0)]);
}

#[test]
fn local_and_relative_times_are_read_and_the_reading_is_said() {
    let shop = Shop::new(2);
    let (frame, time, _) = &shop.captured[0];
    // In a zone three hours ahead of UTC, which POSIX writes with a minus.
    let utc = rfc3339(*time + 3 * 3_600_000);
    let local = utc.trim_end_matches('Z').replace('T', " ");
    let east = Walkeep::at(shop.root.path()).with("TZ", "EAST-3");
    let ran = east.ok(&["restore", "store", "--dry-run", "--json", "--at", &local]);
    assert_eq!(ran.json()["frame_no"], *frame);
    assert!(ran.stderr.contains("local time") && ran.stderr.contains("+03:00"), "{ran:#?}");

    for relative in ["-0s", "0 seconds ago"] {
        let ran = shop.walkeep.ok(&["restore", "store", "--dry-run", "--json", "--at", relative]);
        assert_eq!(ran.json()["frame_no"], shop.captured[1].0);
        assert!(ran.stderr.contains(&format!("{relative} is 20")), "{ran:#?}");
    }
    for before_all in ["-5m", "5 minutes ago"] {
        shop.walkeep.run(&["restore", "store", "--dry-run", "--at", before_all]).expect(3);
    }
}

#[test]
fn notes_are_json_too_when_json_is_asked_for() {
    let shop = Shop::new(1);
    let ran = shop.walkeep.ok(&["restore", "store", "--dry-run", "--json", "--at", "-0s"]);
    let notes = ran.stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    for note in notes {
        has_fields(&note, &["kind", "message"]);
        assert_eq!(note["kind"], "note");
    }
}

#[test]
fn a_dry_run_writes_nothing() {
    let shop = Shop::new(2);
    let before = footprint(shop.root.path());
    let text = shop.walkeep.ok(&["restore", "store", "-o", "new.db", "--dry-run"]).stdout;
    for line in ["restore point", "objects", "requests", "bytes to read", "disk needed", "gaps"] {
        assert!(text.contains(line), "{text}");
    }
    shop.walkeep.ok(&["restore", "store", "--dry-run"]);
    assert_eq!(before, footprint(shop.root.path()));
}

#[test]
fn force_replaces_a_database_and_says_which_leftovers_it_removed() {
    let shop = Shop::new(1);
    for name in ["out.db", "out.db-wal", "out.db-shm", "out.db-journal"] {
        fs::write(shop.path(name), "old").unwrap();
    }
    let ran = shop.walkeep.ok(&["restore", "store", "-o", "out.db", "--force"]);
    assert_same(&fs::read(shop.path("out.db")).unwrap(), &shop.captured[0].2, "out.db");
    let ran = ran.says(&["out.db-wal", "out.db-shm", "out.db-journal", "replaced"]);
    assert!(ran.stdout.contains("out.db"), "{ran:#?}");
    let left = fs::read_dir(shop.root.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut left = left.map(|name| name.into_string().unwrap()).collect::<Vec<_>>();
    left.sort();
    assert_eq!(left, ["app.db", "out.db", "store"]);

    fs::write(shop.path("out.db-wal"), "old").unwrap();
    let json = shop.walkeep.ok(&["restore", "store", "-o", "out.db", "--force", "--json"]).json();
    assert_eq!(json["removed"], serde_json::json!(["out.db-wal"]));
}

#[test]
fn a_reader_that_closes_the_pipe_ends_the_command_quietly() {
    let shop = Shop::new(3);
    let late = shop.walkeep.clone().after("sleep 0.2");
    for args in [&["log", "store"][..], &["ls", "store", "--json"], &["completions", "bash"], &["--help"]] {
        let ran = late.run_unread(args);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:#?}");
    }
}
