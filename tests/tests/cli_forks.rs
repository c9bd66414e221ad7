//! Forking, detaching, freezing and deleting namespaces, as a user meets them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests look at files directly")]

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use walkeep_tests::command::{Ran, Walkeep};
use walkeep_tests::database::{assert_same, expected_bytes, number, sql};
use walkeep_tests::footprint::footprint;

struct Shop {
    root: TempDir,
    walkeep: Walkeep,
}

/// Fails unless stdout says all of these.
#[track_caller]
fn prints(ran: &Ran, texts: &[&str]) {
    for text in texts {
        assert!(ran.stdout.contains(text), "stdout does not say {text:?}: {ran:#?}");
    }
}

impl Shop {
    /// `app.db` with two rows, captured into `./store` after each.
    fn new() -> (Self, u64) {
        let root = tempfile::tempdir().unwrap();
        let shop = Self { walkeep: Walkeep::at(root.path()), root };
        sql(&shop.path("app.db"), "PRAGMA journal_mode = wal; CREATE TABLE t (a); INSERT INTO t VALUES (1)");
        let first = shop.walkeep.replicate("app.db");
        sql(&shop.path("app.db"), "INSERT INTO t VALUES (2)");
        shop.walkeep.replicate("app.db");
        (shop, first)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn rows(&self, namespace: &str) -> i64 {
        let output = format!("{namespace}-restored.db");
        self.walkeep.ok(&["restore", "store", "-n", namespace, "-o", &output, "--force"]);
        number(&self.path(&output), "SELECT count(*) FROM t")
    }

    fn ls(&self) -> Vec<serde_json::Value> {
        let ran = self.walkeep.ok(&["ls", "store", "--json"]);
        assert_eq!(ran.stderr, "", "nothing is strange in the store");
        ran.json_lines()
    }
}

#[test]
fn the_tour_of_a_fork() {
    let (shop, first) = Shop::new();
    let walkeep = &shop.walkeep;
    let made =
        walkeep.ok(&["fork", "store", "-n", "app", "try", "--frame", &first.to_string(), "--json"]).json();
    assert_eq!((made["namespace"].as_str(), made["parent"].as_str()), (Some("try"), Some("app")));
    assert_eq!(made["frame_no"], first);
    prints(&walkeep.ok(&["fork", "store", "-n", "app", "again"]), &["again is a fork of app at frame"]);
    assert_eq!((shop.rows("try"), shop.rows("again"), shop.rows("app")), (1, 2, 2));

    // A restored fork is a database like any other, and is replicated to the fork.
    walkeep.ok(&["restore", "store", "-n", "try", "-o", "try.db"]);
    sql(&shop.path("try.db"), "PRAGMA journal_mode = wal; INSERT INTO t VALUES (7), (8), (9)");
    walkeep.ok(&["replicate", "try.db", "store", "-n", "try", "--once"]);
    assert_eq!((shop.rows("try"), shop.rows("app")), (4, 2));
    prints(&walkeep.ok(&["verify", "store", "--deep"]), &["try: ok", "again: ok", "app: ok"]);
    let log = walkeep.ok(&["log", "store", "-n", "try", "--json"]).json_lines();
    assert_eq!(log.last().unwrap()["frame_no"], first, "the history begins with the fork");
    let shared = walkeep.ok(&["segments", "store", "-n", "try", "--json"]).json_lines();
    assert_eq!(shared.last().unwrap()["stored_in"], "app");
    let key = shared.last().unwrap()["key"].as_str().unwrap().to_string();
    walkeep.ok(&["inspect", "store", &key, "-n", "try"]);
    let ls = shop.ls();
    let row = |name: &str| ls.iter().find(|row| row["namespace"] == name).unwrap();
    assert_eq!(row("try")["fork_of"]["namespace"], "app");
    assert_eq!(row("app")["fork_of"], serde_json::Value::Null);
    assert_eq!(row("again")["segments"], 0);
    prints(&walkeep.ok(&["ls", "store"]), &[&format!("active, fork of app at {first}")]);

    // The parent goes; its forks stay.
    let refused = walkeep.run(&["rm", "store", "-n", "app"]).expect(2);
    refused.says(&["again, try", "--yes"]);
    prints(&walkeep.ok(&["rm", "store", "-n", "app", "--yes"]), &["needed by: again, try"]);
    walkeep.run(&["log", "store", "-n", "app"]).expect(3).says(&["deleted"]);
    assert_eq!(shop.ls().len(), 2);
    assert_eq!((shop.rows("try"), shop.rows("again")), (4, 2));
    prints(&walkeep.ok(&["detach", "store", "-n", "try"]), &["try is no fork any more"]);
    let gone = walkeep.ok(&["rm", "store", "-n", "again", "--yes", "--json"]).json();
    assert_eq!(gone["deleted_too"][0], "app");
    let left = footprint(&shop.path("store/namespaces/app"));
    let left = left.keys().filter(|name| !name.starts_with("manifest")).collect::<Vec<_>>();
    assert_eq!(left, [".", "segments"], "the tombstone, and an empty folder");
    assert_eq!(shop.rows("try"), 4);
    prints(&walkeep.ok(&["verify", "store", "--deep"]), &["try: ok"]);
    // The only namespace need not be named.
    walkeep.ok(&["log", "store"]);
}

#[test]
fn a_frozen_namespace_is_read_only_until_it_is_thawed() {
    let (shop, _) = Shop::new();
    let walkeep = &shop.walkeep;
    prints(&walkeep.ok(&["freeze", "store", "-n", "app"]), &["app is read only"]);
    prints(&walkeep.ok(&["freeze", "store", "-n", "app"]), &["app is read only already"]);
    sql(&shop.path("app.db"), "INSERT INTO t VALUES (3)");
    walkeep.run(&["replicate", "app.db", "store", "--once"]).expect(1).says(&["frozen", "walkeep thaw"]);
    walkeep.run(&["rm", "store", "-n", "app", "--yes"]).expect(1).says(&["frozen"]);
    assert_eq!(shop.rows("app"), 2);
    assert_eq!(shop.ls()[0]["state"], "frozen");
    walkeep.ok(&["fork", "store", "-n", "app", "copy"]);
    let thawed = walkeep.ok(&["thaw", "store", "-n", "app", "--json"]).json();
    assert_eq!((thawed["state"].as_str(), thawed["changed"].as_bool()), (Some("active"), Some(true)));
    walkeep.replicate("app.db");
    assert_eq!((shop.rows("app"), shop.rows("copy")), (3, 2));
}

#[test]
fn a_deleted_name_can_be_used_again() {
    let (shop, _) = Shop::new();
    let walkeep = &shop.walkeep;
    walkeep.ok(&["fork", "store", "-n", "app", "try"]);
    for _ in 0..2 {
        walkeep.ok(&["rm", "store", "-n", "try", "--yes"]);
        walkeep.ok(&["fork", "store", "-n", "app", "try"]);
        assert_eq!(shop.rows("try"), 2);
    }
    walkeep.ok(&["rm", "store", "-n", "try", "--yes"]);
    walkeep.ok(&["rm", "store", "-n", "app", "--yes"]);
    walkeep.run(&["restore", "store", "-n", "app", "-o", "x.db"]).expect(3);
    // Anew, from the database: another log, whose local state is not that of the old one.
    sql(&shop.path("app.db"), "INSERT INTO t VALUES (3)");
    walkeep.replicate("app.db");
    walkeep.ok(&["restore", "store", "-n", "app", "-o", "new.db"]);
    assert_same(&fs::read(shop.path("new.db")).unwrap(), &expected_bytes(&shop.path("app.db")), "new.db");
    prints(&walkeep.ok(&["verify", "store", "--deep"]), &["app: ok"]);
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    let (shop, _) = Shop::new();
    let walkeep = &shop.walkeep;
    walkeep.ok(&["fork", "store", "-n", "app", "taken"]);
    walkeep.ok(&["fork", "store", "-n", "app", "parent"]);
    walkeep.ok(&["fork", "store", "-n", "parent", "child"]);
    walkeep.ok(&["rm", "store", "-n", "parent", "--yes"]);
    let before = footprint(&shop.path("store"));
    for (args, code, says) in [
        (vec!["fork", "store", "-n", "app", "taken"], 7, "taken already exists"),
        (vec!["fork", "store", "-n", "app", "app"], 7, "app already exists"),
        (vec!["fork", "store", "-n", "app", "parent"], 7, "forks that need what it stored"),
        (vec!["fork", "store", "-n", "parent", "x"], 3, "deleted"),
        (vec!["fork", "store", "-n", "nobody", "x"], 3, "nobody"),
        (vec!["fork", "store", "-n", "app", "x", "--frame", "999"], 3, "999"),
        (vec!["fork", "store", "-n", "app", "x", "--frame", "1"], 3, "no commit ends there"),
        (
            vec!["fork", "store", "-n", "app", "x", "--at", "2001-01-01T00:00:00Z"],
            3,
            "before the first commit",
        ),
        (vec!["fork", "store", "-n", "app", "x", "--pin", "none"], 3, "pin none"),
        (vec!["fork", "store", "-n", "app", "x", "--frame", "1", "--latest"], 2, "cannot be used with"),
        (vec!["fork", "store", "-n", "app", "../x"], 2, "ASCII"),
        (vec!["fork", "store", "-n", "child", "x", "--frame", "1"], 3, "before namespace child was forked"),
        (vec!["detach", "store", "-n", "app"], 1, "it is no fork"),
        (vec!["detach", "store", "-n", "parent"], 3, "deleted"),
        (vec!["rm", "store", "-n", "app"], 2, "--yes"),
        (vec!["rm", "store", "-n", "nobody"], 3, "nobody"),
        (vec!["rm", "store", "-n", "nobody", "--yes"], 3, "nobody"),
        (vec!["freeze", "store", "-n", "parent"], 3, "deleted"),
        (vec!["thaw", "store", "-n", "nobody"], 3, "nobody"),
    ] {
        walkeep.run(&args).expect(code).says(&[says]);
        assert_eq!(footprint(&shop.path("store")), before, "{args:?}");
    }
    walkeep.run(&["replicate", "app.db", "store", "-n", "parent", "--once"]).expect(1).says(&["forks"]);
}
