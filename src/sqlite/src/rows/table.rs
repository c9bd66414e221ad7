//! A table as the schema of a database says: its columns, and what names its rows.
//!
//! Tables only: views and virtual tables have no rows of their own. What a virtual table keeps is in its shadow tables,
//! which are tables. Of SQLite's own tables `sqlite_sequence` counts.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::value::Encoding;

/// The names of the rowid; a column of the same name hides it.
const ROWID_NAMES: [&str; 3] = ["rowid", "_rowid_", "oid"];

/// A column that stores something: generated ones follow from the others, and are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    declared: String,
    /// Its place in the primary key, from 1; 0 for none.
    key_place: u32,
}

/// A table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) sql: String,
    pub(super) root: u32,
    pub(super) columns: Vec<Column>,
    without_rowid: bool,
    /// By which name the rowid can be asked for.
    pub(super) rowid: Option<&'static str>,
    /// The columns of the primary key, in its order.
    pub(super) key: Vec<usize>,
}

impl Table {
    /// All tables of a database, by name.
    pub(super) fn all(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Self>> {
        let mut listing = connection.prepare(
            "SELECT name, coalesce(sql, ''), rootpage FROM main.sqlite_schema WHERE type = 'table' AND rootpage > 0
             AND (name NOT LIKE 'sqlite\\_%' ESCAPE '\\' OR name = 'sqlite_sequence')",
        )?;
        let names = listing.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let names = names.collect::<rusqlite::Result<Vec<(String, String, u32)>>>()?;
        let load =
            |(name, sql, root): (String, _, _)| Ok((name.clone(), Self::load(connection, name, sql, root)?));
        names.into_iter().map(load).collect()
    }

    fn load(connection: &Connection, name: String, sql: String, root: u32) -> rusqlite::Result<Self> {
        let mut asked =
            connection.prepare("SELECT name, type, pk, hidden FROM pragma_table_xinfo(?1, 'main')")?;
        let found = asked.query_map([&name], |row| {
            let column = Column { name: row.get(0)?, declared: row.get(1)?, key_place: row.get(2)? };
            Ok((column, row.get::<_, i64>(3)?))
        })?;
        let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
        let hides = |rowid: &&str| found.iter().any(|(column, _)| column.name.eq_ignore_ascii_case(rowid));
        let visible = ROWID_NAMES.into_iter().find(|rowid| !hides(rowid));
        let columns = found.iter().filter(|(_, hidden)| *hidden == 0).map(|(column, _)| column.clone());
        let columns = columns.collect::<Vec<_>>();
        let without_rowid = connection.query_row(
            "SELECT wr FROM pragma_table_list(?1) WHERE schema = 'main'",
            [&name],
            |row| row.get::<_, bool>(0),
        )?;
        let rowid = visible.filter(|_| !without_rowid);
        let mut key = (0..columns.len()).collect::<Vec<_>>();
        let place = |at: &usize| columns.get(*at).map_or(0, |column| column.key_place);
        key.retain(|at| place(at) > 0);
        key.sort_by_key(place);
        Ok(Self { name, sql, root, columns, without_rowid, rowid, key })
    }

    /// Whether rows of the two can be compared column by column.
    pub(super) fn has_columns_of(&self, other: &Self) -> bool {
        self.columns == other.columns
            && self.without_rowid == other.without_rowid
            && self.rowid == other.rowid
    }

    /// Why its rows have no name, if so.
    pub(super) fn unnamed(&self) -> Option<&'static str> {
        (!self.without_rowid && self.rowid.is_none()).then_some("its columns hide all names of the rowid")
    }

    /// Reads all rows in the order of the key: the rowid if there is one, then the columns. Text of a database in UTF-16
    /// is asked for as the bytes that it is, each column followed by whether it is text: SQLite would convert it.
    pub(super) fn select(&self, encoding: Encoding) -> String {
        let mut wanted = Vec::new();
        let mut order = Vec::new();
        for column in &self.columns {
            let name = quoted(&column.name);
            wanted.push(match encoding {
                Encoding::Utf8 => format!("r.{name}"),
                Encoding::Utf16Le | Encoding::Utf16Be => format!(
                    "iif(typeof(r.{name}) = 'text', CAST(r.{name} AS BLOB), r.{name}), typeof(r.{name}) = 'text'"
                ),
            });
        }
        for column in self.key.iter().filter_map(|at| self.columns.get(*at)) {
            order.push(format!("r.{} COLLATE BINARY", quoted(&column.name)));
        }
        if let Some(rowid) = self.rowid {
            wanted.insert(0, format!("r.{rowid}"));
            order.push(format!("r.{rowid}"));
        }
        let (wanted, order) = (wanted.join(", "), order.join(", "));
        format!("SELECT {wanted} FROM main.{} AS r ORDER BY {order}", quoted(&self.name))
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
