//! `walkeep compact` as a user meets it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use tempfile::TempDir;
use walkeep_tests::command::Walkeep;
use walkeep_tests::database::{assert_same, expected_bytes, sql};
use walkeep_tests::footprint::files;

/// A folder with `app.db`, captured into `./store` several times.
fn shop(captures: usize) -> (TempDir, Walkeep) {
    let root = tempfile::tempdir().unwrap();
    let walkeep = Walkeep::at(root.path());
    sql(&root.path().join("app.db"), "PRAGMA journal_mode = wal; CREATE TABLE t (a)");
    for _ in 0..captures {
        sql(&root.path().join("app.db"), "INSERT INTO t VALUES (randomblob(6000))");
        walkeep.ok(&["replicate", "app.db", "store", "--once"]);
    }
    (root, walkeep)
}

#[test]
fn a_dry_run_says_what_would_be_merged_and_changes_nothing() {
    let (root, walkeep) = shop(3);
    let before = files(&root.path().join("store"));
    let said = walkeep.ok(&["compact", "store", "-n", "app", "--strategy", "identity", "--dry-run"]);
    let lines = said.stdout.lines().collect::<Vec<_>>();
    assert_eq!(lines.len(), 4, "the output and its inputs: {said:#?}");
    assert!(lines[0].contains("with about 4 requests: everything is merged"), "{said:#?}");
    let json = walkeep.ok(&["compact", "store", "--strategy", "identity", "--dry-run", "--json"]).json();
    assert_eq!((json["namespace"].as_str(), json["dry_run"].as_bool()), (Some("app"), Some(true)));
    let plan = &json["plans"][0];
    assert_eq!(plan["inputs"].as_array().unwrap().len(), 3);
    assert_eq!((plan["why"].as_str(), plan["requests"].as_u64()), (Some("all"), Some(4)));
    assert!(plan["bytes_in"].as_u64().unwrap() > 6000);
    assert!(lines[0].starts_with(plan["output"].as_str().unwrap()), "{said:#?}");
    assert!(lines[1].contains(plan["inputs"][0].as_str().unwrap()), "{said:#?}");
    assert_eq!(files(&root.path().join("store")), before);
}

#[test]
fn after_a_compaction_every_restore_point_is_what_it_was() {
    let (root, walkeep) = shop(4);
    let newest = expected_bytes(&root.path().join("app.db"));
    let log = walkeep.ok(&["log", "store", "--json"]).json_lines();
    let frames = log.iter().map(|commit| commit["frame_no"].as_u64().unwrap()).collect::<Vec<_>>();
    let before = frames.iter().map(|frame| walkeep.restored("app", *frame)).collect::<Vec<_>>();
    let json = walkeep.ok(&["compact", "store", "--strategy", "log-reduction", "--json"]).json();
    let done = json["compactions"].as_array().unwrap();
    assert!(!done.is_empty() && done.iter().all(|one| one["outcome"] == "stored"), "{json}");
    assert!(done[0]["bytes_out"].as_u64().unwrap() > 0 && done[0]["images"].as_u64().unwrap() > 0, "{json}");
    assert!(json["requests"].as_u64().unwrap() >= 6, "{json}");
    for (frame, before) in frames.iter().zip(before) {
        assert_same(&walkeep.restored("app", *frame), &before, "a restore point");
    }
    walkeep.ok(&["restore", "store", "-o", "new.db"]);
    assert_same(&std::fs::read(root.path().join("new.db")).unwrap(), &newest, "new.db");
    walkeep.ok(&["verify", "store", "--deep"]);
    let again = walkeep.ok(&["compact", "store", "--strategy", "log-reduction"]);
    assert_eq!(again.stdout, "app: nothing to compact\n");
    let said = walkeep.ok(&["compact", "store", "--strategy", "identity", "--cpu", "400", "--memory", "16M"]);
    assert!(said.stderr.starts_with("merging "), "{said:#?}");
    assert_eq!(said.stdout.lines().count(), 1, "{said:#?}");
}

#[test]
fn wrong_numbers_and_places_are_refused() {
    let (_root, walkeep) = shop(1);
    for wrong in [
        ["--memory", "7M"],
        ["--memory", "lots"],
        ["--cpu", "0"],
        ["--bytes-per-second", "0"],
        ["--requests-per-second", "0"],
        ["--strategy", "none"],
    ] {
        walkeep.run(&["compact", "store", wrong[0], wrong[1]]).expect(2).says(&[wrong[0]]);
    }
    walkeep.run(&["compact", "store", "-n", "other"]).expect(3).says(&["other"]);
}
