//! `walkeep changes --rows`, as a user runs it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Value, json};
use walkeep_tests::command::Walkeep;
use walkeep_tests::database::sql;
use walkeep_tests::footprint::files;
use walkeep_tests::retention::keep_next_to_nothing;
use walkeep_tests::row_replay::{contents, replay_rows};
use walkeep_tests::store_writers::{Ledger, StoreWriter};

const FEED: [&str; 6] = ["changes", "store", "-g", "search", "-m", "a"];

const SCHEMA: &str = "PRAGMA journal_mode = wal;
    CREATE TABLE customers (name TEXT COLLATE NOCASE PRIMARY KEY, age, note);
    CREATE TABLE log (line);
    CREATE VIEW adults AS SELECT * FROM customers WHERE age > 17;
    CREATE TABLE numbers (id INTEGER PRIMARY KEY AUTOINCREMENT, n);
    INSERT INTO customers VALUES ('Ann', 30, x'00ff'), ('Bob', 17, NULL);
    INSERT INTO log VALUES ('first'), ('second');
    INSERT INTO numbers (n) VALUES (1), (9007199254740993);";

/// A shop, and a group behind its first commit.
fn shop(root: &Path) -> Walkeep {
    let walkeep = Walkeep::at(root);
    sql(&root.join("shop.db"), SCHEMA);
    let first = walkeep.replicate("shop.db").to_string();
    walkeep.ok(&["followers", "store", "create", "search", "--frame", &first]);
    walkeep
}

/// Changes the shop, stores that, and gives what is said of it.
fn rows(root: &Path, walkeep: &Walkeep, statements: &str) -> (Value, Value) {
    sql(&root.join("shop.db"), statements);
    walkeep.replicate("shop.db");
    let line = walkeep.ok(&[&FEED[..], &["--ack", "--rows"]].concat()).json();
    (line["tables"].clone(), line["rows"].clone())
}

#[test]
fn a_commit_is_told_row_by_row() {
    let root = tempfile::tempdir().unwrap();
    let (root, walkeep) = (root.path(), shop(root.path()));
    let said = rows(
        root,
        &walkeep,
        "UPDATE customers SET age = 18 WHERE name = 'bob'; DELETE FROM log WHERE rowid = 1;
         INSERT INTO numbers (n) VALUES (-9007199254740993); UPDATE customers SET name = 'ANN' WHERE name = 'ann';",
    );
    let expected = json!([
        { "table": "customers", "op": "delete", "key": { "name": "Ann" }, "old": { "age": 30, "note": { "blob": "00ff" } } },
        { "table": "customers", "op": "update", "key": { "name": "Bob" }, "old": { "age": 17 }, "new": { "age": 18 } },
        { "table": "customers", "op": "insert", "key": { "name": "ANN" }, "new": { "age": 30, "note": { "blob": "00ff" } } },
        { "table": "log", "op": "delete", "key": { "rowid": 1 }, "old": { "line": "first" } },
        { "table": "numbers", "op": "insert", "key": { "id": 3 }, "new": { "n": { "integer": "-9007199254740993" } } },
        { "table": "sqlite_sequence", "op": "update", "key": { "rowid": 1 }, "old": { "seq": 2 }, "new": { "seq": 3 } },
    ]);
    assert_eq!(said, (json!([]), expected));

    // Nothing but the file changes.
    assert_eq!(
        rows(root, &walkeep, "VACUUM; CREATE INDEX by_age ON customers (age)").1,
        json!([{
            "table": "log", "op": "delete", "key": { "rowid": 2 }, "old": { "line": "second" },
        }, {
            "table": "log", "op": "insert", "key": { "rowid": 1 }, "new": { "line": "second" },
        }]),
        "a table without a key is numbered anew, and nothing else is listed"
    );

    let (tables, said) = rows(
        root,
        &walkeep,
        "DROP TABLE log; ALTER TABLE numbers ADD COLUMN m DEFAULT 7; CREATE TABLE made (a, b, PRIMARY KEY (b, a)) WITHOUT ROWID;
         INSERT INTO made VALUES (1, 'x'); CREATE VIRTUAL TABLE found USING fts5 (text); INSERT INTO found VALUES ('words');",
    );
    let tables = tables.as_array().unwrap();
    let event = |name: &str| {
        tables.iter().find(|table| table["table"] == name).map(|table| table["change"].as_str().unwrap())
    };
    assert_eq!(event("log"), Some("dropped"));
    assert_eq!(event("numbers"), Some("columns_changed"));
    assert_eq!(
        (event("made"), event("found"), event("found_content")),
        (Some("created"), None, Some("created"))
    );
    let of = |name: &str| {
        said.as_array().unwrap().iter().filter(|row| row["table"] == name).cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        of("made"),
        [json!({ "table": "made", "op": "insert", "key": { "a": 1, "b": "x" }, "new": {} })]
    );
    assert_eq!(of("found_content")[0]["new"], json!({ "c0": "words" }));
    assert_eq!((of("log").len(), of("numbers").len()), (0, 3));
    assert_eq!(of("numbers")[0]["new"], json!({ "n": 1, "m": 7 }));

    // No temporary directory stays behind.
    let walkeep = walkeep.with("TMPDIR", root.join("tmp").to_str().unwrap());
    fs::create_dir(root.join("tmp")).unwrap();
    assert_eq!(rows(root, &walkeep, "DELETE FROM made").1.as_array().unwrap().len(), 1);
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
}

#[test]
fn keys_are_told_apart_by_their_bytes_and_values_by_their_types() {
    let root = tempfile::tempdir().unwrap();
    let (root, walkeep) = (root.path(), shop(root.path()));
    let (tables, _) = rows(
        root,
        &walkeep,
        "INSERT INTO customers VALUES ('bill', 40, NULL), ('Cid', 1, 1); CREATE TABLE hidden (rowid, oid, _rowid_)",
    );
    let last = &tables.as_array().unwrap()[1];
    assert_eq!((&last["table"], &last["change"]), (&json!("hidden"), &json!("not_compared")));
    assert!(last["why"].as_str().unwrap().contains("rowid"));
    // In the order of NOCASE, bill comes before Bob and Cid, in that of the bytes behind them.
    let change =
        "DELETE FROM customers WHERE name = 'bill'; UPDATE customers SET age = 30.0 WHERE name = 'ann'";
    let expected = json!([
        { "table": "customers", "op": "delete", "key": { "name": "bill" }, "old": { "age": 40, "note": null } },
        { "table": "customers", "op": "update", "key": { "name": "Ann" }, "old": { "age": 30 }, "new": { "age": 30.0 } },
    ]);
    assert_eq!(rows(root, &walkeep, change).1, expected);
}

/// A table that cannot be compared says so for each commit that read it.
#[test]
fn a_table_is_read_only_for_commits_that_wrote_to_it() {
    let root = tempfile::tempdir().unwrap();
    let (root, walkeep) = (root.path(), shop(root.path()));
    let commits = [
        ("CREATE TABLE hidden (rowid, oid, _rowid_)", true),
        ("INSERT INTO log VALUES ('third')", false),
        ("INSERT INTO hidden VALUES (1, randomblob(20000), 3)", true),
        ("CREATE TABLE more (a); INSERT INTO more VALUES (1)", false),
        ("UPDATE log SET line = randomblob(9000)", false),
        ("UPDATE hidden SET rowid = 2", true),
        ("CREATE INDEX lines ON log (line)", false),
        ("DROP TABLE more", false),
        ("VACUUM", true),
    ];
    for (statements, _) in commits {
        sql(&root.join("shop.db"), statements);
        walkeep.replicate("shop.db");
    }
    let lines = walkeep.ok(&[&FEED[..], &["--ack", "--rows"]].concat()).json_lines();
    assert_eq!(lines.len(), commits.len());
    for (line, (statements, is_read)) in lines.iter().zip(commits) {
        let tables = line["tables"].as_array().unwrap();
        let said = tables.iter().any(|table| table["change"] == "not_compared" && table["table"] == "hidden");
        assert_eq!(said, is_read, "{statements}: {tables:?}");
    }
}

#[test]
fn positions_are_what_they_are_without_rows() {
    let root = tempfile::tempdir().unwrap();
    let walkeep = shop(root.path());
    for n in 0..3 {
        sql(&root.path().join("shop.db"), &format!("INSERT INTO log VALUES ({n})"));
        walkeep.replicate("shop.db");
    }
    let rows = |more: &[&str]| walkeep.ok(&[&FEED[..], &["--rows"], more].concat()).json_lines();
    let all = rows(&[]);
    let new = all.iter().map(|line| line["rows"][0]["new"]["line"].clone()).collect::<Vec<_>>();
    assert_eq!(new, [0, 1, 2]);
    assert_eq!(rows(&["--limit", "1", "--ack"]), all[..1]);
    // What the command got, and did not do, it gets again.
    let fails = [&FEED[..], &["--rows", "--ack", "--exec", "cat >> got; test $(wc -l < got) != 2"]].concat();
    walkeep.run(&fails).expect(10);
    assert_eq!(rows(&["--ack"]), all[2..]);
    let got = fs::read_to_string(root.path().join("got")).unwrap();
    let got = got.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
    assert_eq!(got, all[1..]);
}

/// A shop that has grown too large to be merged with the little that follows: four commits, and what `changes --rows`
/// says of them. The second takes back what the first added, and the file shrinks.
fn large_shop(root: &Path) -> (Walkeep, Vec<Value>) {
    let walkeep = Walkeep::at(root);
    let schema =
        "PRAGMA auto_vacuum = FULL; CREATE TABLE base (bytes); CREATE TABLE t (id INTEGER PRIMARY KEY, v);
        INSERT INTO base VALUES (randomblob(400000)); INSERT INTO t VALUES (1, 'first'), (2, 'second');";
    sql(&root.join("shop.db"), schema);
    let first = walkeep.replicate("shop.db").to_string();
    walkeep.ok(&["followers", "store", "create", "search", "--frame", &first]);
    for statements in [
        "INSERT INTO t VALUES (3, hex(randomblob(6000))), (4, 'fourth')",
        "DELETE FROM t WHERE id = 3; UPDATE t SET v = 'changed' WHERE id = 1",
        "UPDATE t SET v = 'changed again' WHERE id = 1; INSERT INTO t VALUES (5, hex(randomblob(15000)))",
        "DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (6, hex(randomblob(15000)))",
    ] {
        sql(&root.join("shop.db"), statements);
        walkeep.replicate("shop.db");
    }
    let lines = fed(&walkeep);
    assert_eq!(
        lines.iter().map(|line| line["rows"].as_array().unwrap().len()).collect::<Vec<_>>(),
        [2, 2, 2, 2]
    );
    (walkeep, lines)
}

fn fed(walkeep: &Walkeep) -> Vec<Value> {
    walkeep.ok(&[&FEED[..], &["--rows"]].concat()).json_lines()
}

/// Merges what follows the large first commit into one segment.
fn merge(walkeep: &Walkeep) {
    let merged = walkeep.ok(&["compact", "store", "--strategy", "log-reduction", "--json"]).json();
    let inputs =
        merged["compactions"].as_array().unwrap().iter().map(|one| one["inputs"].as_array().unwrap().len());
    assert_eq!(inputs.collect::<Vec<_>>(), [4], "{merged}");
}

/// The stored segments, the newest first.
fn segments(root: &Path) -> Vec<PathBuf> {
    let stored = files(&root.join("store")).into_iter().filter(|file| file.contains("/segments/"));
    stored.map(|file| root.join("store").join(file)).collect()
}

/// Loses segments that were merged: all but so many of the oldest.
fn lose_what_was_merged(root: &Path, left: usize) {
    let mut raw = segments(root);
    raw.retain(|file| file.to_str().unwrap().ends_with("-00"));
    for file in &raw[..raw.len() - left] {
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn commits_that_were_merged_are_told_one_by_one() {
    let root = tempfile::tempdir().unwrap();
    let (walkeep, lines) = large_shop(root.path());
    merge(&walkeep);
    assert_eq!(fed(&walkeep), lines);
    walkeep.ok(&["gc", "store", "--grace", "0"]);
    assert_eq!(fed(&walkeep), lines, "all that a follower needs stays");
    // Also by a feed that begins inside of what was merged.
    walkeep.ok(&[&FEED[..], &["--ack", "--limit", "2"]].concat());
    assert_eq!(fed(&walkeep), lines[2..]);
}

/// Not what Walkeep does by itself: single commits are lost, and what was merged of them is not.
#[test]
fn commits_of_which_only_the_merged_segment_is_left_are_told_at_once() {
    let root = tempfile::tempdir().unwrap();
    let (walkeep, lines) = large_shop(root.path());
    merge(&walkeep);
    lose_what_was_merged(root.path(), 2);
    let some = fed(&walkeep);
    lose_what_was_merged(root.path(), 1);
    let [line] = &fed(&walkeep)[..] else { panic!("one line stands for all") };
    assert_eq!(
        some,
        [&lines[0], line].map(Clone::clone),
        "what is left comes by itself, and once more with the others"
    );
    let (first, last) = (&lines[0], &lines[3]);
    assert_eq!((&line["first_frame"], &line["frame_no"]), (&first["first_frame"], &last["frame_no"]));
    let frames = lines.iter().map(|line| line["frames"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(line["frames"].as_u64(), Some(frames));
    let rows = line["rows"].as_array().unwrap();
    let told = rows.iter().map(|row| (row["op"].as_str().unwrap(), row["key"]["id"].as_u64().unwrap()));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [("delete", 2), ("update", 1), ("insert", 4), ("insert", 5), ("insert", 6)],
        "what came and went in between is not told"
    );
    assert_eq!((&rows[1]["old"]["v"], &rows[1]["new"]["v"]), (&json!("first"), &json!("changed again")));
    let copy = Connection::open_in_memory().unwrap();
    copy.execute_batch(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'first'), (2, 'second')",
    )
    .unwrap();
    replay_rows(&copy, rows);
    let now = Connection::open(root.path().join("shop.db")).unwrap();
    assert_eq!(contents(&copy, &["id", "v"], "t"), contents(&now, &["id", "v"], "t"));

    // A position inside of what was merged: it is told from where, which is before the position.
    let inside = lines[1]["frame_no"].to_string();
    walkeep.ok(&["followers", "store", "ack", "search", "a", &inside]);
    assert_eq!(fed(&walkeep), std::slice::from_ref(line));
}

/// Past its cap a group goes on at a commit for which what was merged is read: nothing else has it any more.
#[test]
fn rows_go_on_behind_what_was_merged_and_collected() {
    let root = tempfile::tempdir().unwrap();
    let (root, (walkeep, _)) = (root.path(), large_shop(root.path()));
    merge(&walkeep);
    sql(&root.join("shop.db"), "DELETE FROM t WHERE id = 4");
    let newest = walkeep.replicate("shop.db").to_string();
    walkeep.ok(&["followers", "store", "delete", "search"]);
    walkeep.ok(&["followers", "store", "create", "search", "--from-start", "--max-bytes", "1"]);
    keep_next_to_nothing(&root.join("store"));
    walkeep.ok(&["gc", "store", "--grace", "0"]);
    assert_eq!(segments(root).len(), 3, "the first one, the merged one, the newest one");
    let gone = walkeep.run(&[&FEED[..], &["--rows"]].concat()).expect(3);
    gone.says(&["some are gone", &format!("restore the database at frame {newest}")]);
    walkeep.ok(&["followers", "store", "ack", "search", "a", &newest]);
    let said = rows(root, &walkeep, "UPDATE t SET v = NULL WHERE id = 1").1;
    let expected = json!([
        { "table": "t", "op": "update", "key": { "id": 1 }, "old": { "v": "changed again" }, "new": { "v": null } },
    ]);
    assert_eq!(said, expected);
}

#[test]
fn what_is_no_sqlite_database_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let store = root.path().join("store");
    let mut ledger = Ledger::default();
    let mut writer = StoreWriter::start(store.to_str().unwrap(), &[], "w");
    assert!(writer.take(3, &mut ledger));
    assert_eq!(writer.stop(&mut ledger), 0);
    let walkeep = Walkeep::at(root.path());
    walkeep.ok(&["followers", "store", "create", "search", "--from-start"]);
    walkeep.ok(&[&FEED[..], &["--limit", "1"]].concat());
    let refused = walkeep.run(&[&FEED[..], &["--rows", "--ack", "--limit", "1"]].concat()).expect(1);
    refused.says(&["namespace shop at frame", "as a SQLite database is refused"]);
}
