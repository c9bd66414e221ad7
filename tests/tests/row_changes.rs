//! Rows of changes: whatever is written, doing what is listed on a copy of the old database gives the new one's rows.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use rusqlite::{Connection, ErrorCode};
use serde_json::Value;
use walkeep_tests::command::Walkeep;
use walkeep_tests::row_replay::{contents, replay_rows};

/// A table of the shop: how to make it, how to make a copy of it, and the columns to compare in either.
struct Shape {
    name: &'static str,
    sql: &'static str,
    copy: Option<&'static str>,
    columns: &'static [&'static str],
    copied: &'static [&'static str],
    /// What random statements set: the key, and another column.
    key: &'static str,
    other: &'static str,
}

const SHAPES: [Shape; 6] = [
    Shape {
        name: "counted",
        sql: "CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, v, w TEXT)",
        copy: None,
        columns: &["id", "v", "w"],
        copied: &["id", "v", "w"],
        key: "w",
        other: "v",
    },
    Shape {
        name: "rowids",
        sql: "CREATE TABLE rowids (k, v)",
        copy: None,
        columns: &["rowid", "k", "v"],
        copied: &["rowid", "k", "v"],
        key: "k",
        other: "v",
    },
    Shape {
        name: "composite",
        sql: "CREATE TABLE composite (a TEXT COLLATE NOCASE DEFAULT 'x', k, v, PRIMARY KEY (k DESC, a)) WITHOUT ROWID",
        copy: None,
        columns: &["a", "k", "v"],
        copied: &["a", "k", "v"],
        key: "k",
        other: "v",
    },
    // Of rows without a key the rowid is told; a copy keeps it in a column.
    Shape {
        name: "nullable",
        sql: "CREATE TABLE nullable (k PRIMARY KEY, v, g AS (v || 'x') STORED, h AS (k))",
        copy: Some("CREATE TABLE nullable (k UNIQUE, v, \"rowid\")"),
        columns: &["k", "v", "CASE WHEN k IS NULL THEN rowid END"],
        copied: &["k", "v", "\"rowid\""],
        key: "k",
        other: "v",
    },
    Shape {
        name: "nocase",
        sql: "CREATE TABLE nocase (k TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, v NUMERIC)",
        copy: None,
        columns: &["k", "v"],
        copied: &["k", "v"],
        key: "k",
        other: "v",
    },
    Shape {
        name: "\"we\"\"ird 'one'\"",
        sql: "CREATE TABLE \"we\"\"ird 'one'\" (\"RowId\", \"a \"\"b\" REAL, v)",
        copy: None,
        columns: &["_rowid_", "\"RowId\"", "\"a \"\"b\"", "v"],
        copied: &["_rowid_", "\"RowId\"", "\"a \"\"b\"", "v"],
        key: "\"RowId\"",
        other: "\"a \"\"b\"",
    },
];

const VALUES: [&str; 16] = [
    "NULL",
    "1",
    "1.0",
    "0.125",
    "9007199254740993",
    "(-9223372036854775807 - 1)",
    "9e999",
    "-2",
    "'a'",
    "'A'",
    "'ä𝄞'",
    "''",
    "CAST(x'ff41' AS TEXT)",
    "CAST(x'00d8' AS TEXT)",
    "x'00ff'",
    "'it''s'",
];

/// What happens in a transaction: to which table, what, and with which values.
type Step = (usize, u8, usize, usize);

fn statement((table, what, key, other): Step, count: usize) -> String {
    let Shape { name, sql, key: k, other: v, .. } = &SHAPES[table];
    let (one, two) = (VALUES[key], VALUES[other]);
    match what {
        0..=3 => format!("INSERT INTO {name} ({k}, {v}) VALUES ({one}, {two})"),
        4 | 5 => format!("UPDATE {name} SET {v} = {two} WHERE {k} IS {one}"),
        6 => format!("UPDATE {name} SET {k} = {two} WHERE {k} IS {one}"),
        7 => format!("DELETE FROM {name} WHERE {k} IS {one}"),
        8 => format!("DELETE FROM {name} WHERE {v} IS {two}"),
        9 if key < 4 => format!("ALTER TABLE {name} ADD COLUMN extra{count} DEFAULT 'x'"),
        9 if key < 7 => format!("DROP TABLE {name}; {sql}"),
        9 if key < 9 => "VACUUM".into(),
        _ => format!("INSERT OR REPLACE INTO {name} ({k}, {v}) VALUES ({one}, {two})"),
    }
}

fn all(database: &Connection, copied: bool) -> BTreeMap<&'static str, Vec<String>> {
    let columns = |shape: &Shape| if copied { shape.copied } else { shape.columns };
    SHAPES.iter().map(|shape| (shape.name, contents(database, columns(shape), shape.name))).collect()
}

fn replay_tables(copy: &Connection, tables: &[Value]) {
    for table in tables {
        let (name, change) = (table["table"].as_str().unwrap(), table["change"].as_str().unwrap());
        if name == "sqlite_sequence" {
            continue;
        }
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        if matches!(change, "dropped" | "columns_changed") {
            copy.execute_batch(&format!("DROP TABLE {quoted}")).unwrap();
        }
        if matches!(change, "created" | "columns_changed") {
            let shape = SHAPES.iter().find(|shape| shape.name.trim_matches('"') == name);
            match shape.and_then(|shape| shape.copy) {
                Some(sql) => {
                    copy.execute_batch(sql).unwrap();
                    // Columns that were added since.
                    for (at, _) in table["sql"].as_str().unwrap().match_indices("extra") {
                        let rest = &table["sql"].as_str().unwrap()[at..];
                        let column = rest.split(' ').next().unwrap();
                        copy.execute_batch(&format!("ALTER TABLE {quoted} ADD COLUMN {column}")).unwrap();
                    }
                }
                None => copy.execute_batch(table["sql"].as_str().unwrap()).unwrap(),
            }
        }
    }
}

fn replayed(root: &Path, encoding: &str, transactions: &[Vec<Step>]) {
    let walkeep = Walkeep::at(root);
    let database = root.join("shop.db");
    let open = Connection::open(&database).unwrap();
    open.execute_batch(&format!("PRAGMA encoding = '{encoding}'; PRAGMA page_size = 512")).unwrap();
    for shape in &SHAPES {
        open.execute_batch(shape.sql).unwrap();
    }
    let mut states = BTreeMap::from([(walkeep.replicate("shop.db"), all(&open, false))]);
    for (count, steps) in transactions.iter().enumerate() {
        for (i, step) in steps.iter().enumerate() {
            let sql = statement(*step, count * 100 + i);
            if let Err(error) = open.execute_batch(&sql) {
                assert_eq!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation), "{sql}: {error}");
            }
        }
        states.insert(walkeep.replicate("shop.db"), all(&open, false));
    }
    walkeep.ok(&["followers", "store", "create", "g", "--from-start"]);
    let lines = walkeep.ok(&["changes", "store", "-g", "g", "-m", "a", "--rows"]).json_lines();
    assert_eq!(lines.len(), states.len());
    let copy = Connection::open_in_memory().unwrap();
    copy.execute_batch(&format!("PRAGMA encoding = '{encoding}'")).unwrap();
    for line in &lines {
        replay_tables(&copy, line["tables"].as_array().unwrap());
        let rows = line["rows"].as_array().unwrap().iter().filter(|row| row["table"] != "sqlite_sequence");
        let mut named = BTreeSet::new();
        for row in line["rows"].as_array().unwrap() {
            assert!(named.insert((row["table"].to_string(), row["key"].to_string())), "{row} is named twice");
        }
        replay_rows(&copy, &rows.cloned().collect::<Vec<_>>());
        let frame = line["frame_no"].as_u64().unwrap();
        assert_eq!(all(&copy, true), states[&frame], "at frame {frame}: {line:#}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn rows_that_are_listed_make_the_old_database_the_new_one(
        wide in any::<bool>(),
        transactions in prop::collection::vec(
            prop::collection::vec((0..SHAPES.len(), 0..12_u8, 0..VALUES.len(), 0..VALUES.len()), 1..25),
            1..7,
        ),
    ) {
        let root = tempfile::tempdir().unwrap();
        replayed(root.path(), if wide { "UTF-16le" } else { "UTF-8" }, &transactions);
    }
}

/// Of a large value, which lies on pages of its own, a program may write a part: then no other page of its table is written.
#[test]
fn a_part_of_a_large_value_that_was_written_is_a_change() {
    let root = tempfile::tempdir().unwrap();
    let walkeep = Walkeep::at(root.path());
    let open = Connection::open(root.path().join("shop.db")).unwrap();
    open.execute_batch(
        "CREATE TABLE large (v); CREATE TABLE others (v); INSERT INTO large VALUES (zeroblob(50000))",
    )
    .unwrap();
    walkeep.replicate("shop.db");
    for offset in [49_000, 20_000] {
        let mut value = open.blob_open("main", "large", "v", 1, false).unwrap();
        value.write_at(b"x", offset).unwrap();
        value.close().unwrap();
        walkeep.replicate("shop.db");
    }
    walkeep.ok(&["followers", "store", "create", "g", "--from-start"]);
    let lines = walkeep.ok(&["changes", "store", "-g", "g", "-m", "a", "--rows"]).json_lines();
    let listed = lines.iter().map(|line| line["rows"].as_array().unwrap().len()).collect::<Vec<_>>();
    assert_eq!(listed, [1, 1, 1]);
    let value = lines[2]["rows"][0]["new"]["v"]["blob"].as_str().unwrap();
    assert_eq!(value.matches("78").count(), 2);
}

/// Where a table begins stands in the schema, and not on a page of its own.
#[test]
fn tables_that_exchange_their_pages_are_compared() {
    let root = tempfile::tempdir().unwrap();
    let walkeep = Walkeep::at(root.path());
    let open = Connection::open(root.path().join("shop.db")).unwrap();
    open.execute_batch("CREATE TABLE a (v); CREATE TABLE c (v); INSERT INTO a VALUES (7)").unwrap();
    walkeep.replicate("shop.db");
    let exchange = "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 5 - rootpage";
    open.execute_batch(exchange).unwrap();
    walkeep.replicate("shop.db");
    walkeep.ok(&["followers", "store", "create", "g", "--from-start"]);
    let lines = walkeep.ok(&["changes", "store", "-g", "g", "-m", "a", "--rows"]).json_lines();
    assert_eq!(lines[1]["changed"], serde_json::json!([1]), "no page of either");
    let rows = lines[1]["rows"].as_array().unwrap();
    let told = rows.iter().map(|row| (row["table"].as_str().unwrap(), row["op"].as_str().unwrap()));
    assert_eq!(told.collect::<Vec<_>>(), [("a", "delete"), ("c", "insert")]);
}
