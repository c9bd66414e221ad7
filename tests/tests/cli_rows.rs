//! `walkeep changes --rows`, as a user runs it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use walkeep_tests::command::Walkeep;
use walkeep_tests::database::sql;
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
