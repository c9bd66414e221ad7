//! What a commit did to tables and rows, as it is written for programs.

use std::collections::BTreeMap;

use serde::Serialize;

/// Values by the names of their columns. NULL, integers up to 2^53 in size, reals and text are JSON's own (a real has a
/// point or an exponent); `{"integer": "…"}` is a larger integer in decimal, `{"blob": "…"}` a blob in hexadecimal,
/// `{"text": "…"}` the bytes of text that is not valid, `{"real": "Infinity"}` what it says.
pub type Row = BTreeMap<String, serde_json::Value>;

/// What differs between two databases.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RowChanges {
    /// What happened to tables as such, by their names. It comes before their rows.
    pub tables: Vec<TableChange>,
    /// What happened to rows: table by table, and in each what was deleted, then updated, then inserted.
    pub rows: Vec<RowChange>,
}

/// What happened to a table as such.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableChange {
    /// The table.
    pub table: String,
    /// What happened.
    pub change: TableEvent,
    /// How the table is now created; `None` when it is not there any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// Why its rows were not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What can happen to a table as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TableEvent {
    /// It is new: all its rows are inserted.
    Created,
    /// It is gone, with its rows, which are not listed.
    Dropped,
    /// Its columns or its key are others: it counts as dropped and created, and all its rows are inserted.
    ColumnsChanged,
    /// It is defined in other words, with the same columns: rows are compared as ever.
    Redefined,
    /// Its rows cannot be compared, and may have changed.
    NotCompared,
}

/// What happened to a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RowChange {
    /// The table.
    pub table: String,
    /// What happened.
    pub op: RowOp,
    /// The columns of the primary key; the rowid where there is none, and besides where a part of the key is NULL.
    pub key: Row,
    /// What the other columns were: all of a row that was deleted, and those that an update changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Row>,
    /// What the other columns are: all of a row that was inserted, and those that an update changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Row>,
}

/// What can happen to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowOp {
    /// It is gone.
    Delete,
    /// Columns outside of its key changed.
    Update,
    /// It is new.
    Insert,
}
