//! Doing what `walkeep changes --rows` lists, on a database of one's own, and what must come of it.

use rusqlite::Connection;
use serde_json::{Map, Value};

/// Does the rows of one line. Each must meet exactly one row.
///
/// # Panics
///
/// When one cannot be done.
pub fn replay_rows(copy: &Connection, rows: &[Value]) {
    for row in rows {
        let table = quoted(row["table"].as_str().unwrap());
        let (key, old, new) =
            (row["key"].as_object().unwrap(), row["old"].as_object(), row["new"].as_object());
        let statement = match (row["op"].as_str().unwrap(), old, new) {
            ("delete", Some(_), None) => format!("DELETE FROM {table} WHERE {}", equal(key)),
            ("update", Some(old), Some(new)) => {
                let set = new.iter().map(|(name, value)| format!("{} = {}", quoted(name), literal(value)));
                let set = set.collect::<Vec<_>>().join(", ");
                let old = if old.is_empty() { String::new() } else { format!(" AND {}", equal(old)) };
                format!("UPDATE {table} SET {set} WHERE {}{old}", equal(key))
            }
            ("insert", None, Some(new)) => {
                let (names, values): (Vec<_>, Vec<_>) =
                    key.iter().chain(new).map(|(name, value)| (quoted(name), literal(value))).unzip();
                format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), values.join(", "))
            }
            _ => panic!("{row}"),
        };
        let done = copy.execute(&statement, []).unwrap_or_else(|error| panic!("{statement}: {error}"));
        assert_eq!(done, 1, "{statement} of {row}");
    }
}

/// All rows that a query gives, each value with its type and its bytes, in an order that is always the same.
///
/// # Panics
///
/// When it fails.
#[must_use]
pub fn contents(database: &Connection, columns: &[&str], table: &str) -> Vec<String> {
    let columns = columns.iter().map(|of| format!("typeof({of}) || ':' || hex(CAST({of} AS BLOB))"));
    let query = format!("SELECT {} FROM {table}", columns.collect::<Vec<_>>().join(" || ',' || "));
    let mut statement = database.prepare(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut rows = rows.collect::<Result<Vec<_>, _>>().unwrap();
    rows.sort();
    rows
}

fn equal(values: &Map<String, Value>) -> String {
    let parts = values.iter().map(|(name, value)| match value {
        Value::Null => format!("{} IS NULL", quoted(name)),
        value => format!("{} COLLATE BINARY = {}", quoted(name), literal(value)),
    });
    parts.collect::<Vec<_>>().join(" AND ")
}

/// A value in SQL.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Object(special) => match special.iter().next().map(|(kind, value)| (&kind[..], value)) {
            // The smallest integer has no literal of its own.
            Some(("integer", text)) => format!("CAST('{}' AS INTEGER)", text.as_str().unwrap()),
            Some(("blob", hex)) => format!("x'{}'", hex.as_str().unwrap()),
            Some(("text", hex)) => format!("CAST(x'{}' AS TEXT)", hex.as_str().unwrap()),
            Some(("real", text)) => (if text == "Infinity" { "9e999" } else { "-9e999" }).into(),
            _ => panic!("{value}"),
        },
        _ => panic!("{value}"),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
