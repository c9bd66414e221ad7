//! Comparing two databases, table by table: both sides are read in the order of their keys, and merged.
//!
//! Invariants:
//!
//! - a key is its bytes: keys that a collation calls equal (`NOCASE`) and that differ are two keys, so that such a row is
//!   deleted and inserted;
//! - of a table, one row of each side is in memory, and what differs;
//! - a table is passed over only if it is defined in the same words, begins at the same page, and none of its pages can
//!   have changed.

use std::cmp::Ordering;

use rusqlite::{ErrorCode, Rows, Statement};

use super::database::Database;
use super::row_changes::{Row, RowChange, RowChanges, RowOp, TableChange, TableEvent};
use super::table::Table;
use super::table_pages::{TablePages, Written};
use super::value::{Encoding, Value};

/// What differs between two databases, and which pages the tables of the second one have. `pages` are those of the first
/// one, if they are known; `written` are all pages that may differ, unless the same pages may be read differently.
pub(super) fn compare(
    before: &Database,
    after: &Database,
    pages: Option<TablePages>,
    written: Option<&Written>,
) -> rusqlite::Result<(RowChanges, Option<TablePages>)> {
    let (mut old, new) = (Table::all(&before.connection)?, Table::all(&after.connection)?);
    let pages = pages.or_else(|| TablePages::of(before, old.keys()));
    let touched = pages.as_ref().zip(written).map(|(pages, written)| pages.touched(written));
    let mut changed = Vec::new();
    let mut changes = RowChanges::default();
    for (name, table) in &new {
        let was = old.remove(name);
        let event = match &was {
            None => Some(TableEvent::Created),
            Some(was) if !was.has_columns_of(table) => Some(TableEvent::ColumnsChanged),
            Some(was) if was.sql != table.sql => Some(TableEvent::Redefined),
            Some(_) => None,
        };
        if let Some(change) = event {
            let sql = Some(table.sql.clone());
            changes.tables.push(TableChange { table: name.clone(), change, sql, why: None });
        }
        let is_touched = touched.as_ref().is_none_or(|touched| touched.contains(name.as_str()));
        if !is_touched && event.is_none() && was.as_ref().is_some_and(|was| was.root == table.root) {
            continue;
        }
        changed.push(name);
        let was = was.filter(|was| was.has_columns_of(table));
        match compare_table(was.as_ref().map(|was| (before, was)), (after, table), &mut changes.rows)? {
            None => {}
            Some(why) => changes.tables.push(TableChange {
                table: name.clone(),
                change: TableEvent::NotCompared,
                sql: None,
                why: Some(why),
            }),
        }
    }
    changes.tables.extend(old.into_keys().map(|table| TableChange {
        table,
        change: TableEvent::Dropped,
        sql: None,
        why: None,
    }));
    let pages = match pages {
        Some(pages) => pages.after(after, &changed, |name| new.contains_key(name)),
        None => TablePages::of(after, new.keys()),
    };
    Ok((changes, pages))
}

/// Adds what differs in a table. Returns why that cannot be told, if so.
fn compare_table(
    before: Option<(&Database, &Table)>,
    (after, table): (&Database, &Table),
    changes: &mut Vec<RowChange>,
) -> rusqlite::Result<Option<String>> {
    if let Some(why) = table.unnamed() {
        return Ok(Some(why.to_string()));
    }
    let mut new = match prepare(after, table)? {
        Ok(statement) => statement,
        Err(why) => return Ok(Some(why)),
    };
    let mut old = match before.map(|(before, was)| prepare(before, was)).transpose()? {
        Some(Err(why)) => return Ok(Some(why)),
        Some(Ok(statement)) => Some(statement),
        None => None,
    };
    let mut new = Cursor::new(new.query([])?, table, after.encoding)?;
    let encoding_before = before.map_or(after.encoding, |(before, _)| before.encoding);
    let mut old = match old.as_mut() {
        Some(statement) => Some(Cursor::new(statement.query([])?, table, encoding_before)?),
        None => None,
    };
    let mut found = Found::new(table, encoding_before, after.encoding);
    loop {
        let was = old.as_ref().and_then(|old| old.current.as_ref());
        let order = match (was, &new.current) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(was), Some(is)) => was.order(is, table),
        };
        match (was, &new.current) {
            (Some(was), Some(is)) if order == Ordering::Equal => found.pair(was, is),
            (Some(was), _) if order == Ordering::Less => found.delete(was),
            (_, Some(is)) => found.insert(is),
            _ => {}
        }
        if let Some(old) = old.as_mut().filter(|_| order.is_le()) {
            old.advance()?;
        }
        if order.is_ge() {
            new.advance()?;
        }
    }
    changes.append(&mut found.deleted);
    changes.append(&mut found.updated);
    changes.append(&mut found.inserted);
    Ok(None)
}

/// The statement that reads a table, or why it cannot be read: the application's collations are not here.
fn prepare<'a>(database: &'a Database, table: &Table) -> rusqlite::Result<Result<Statement<'a>, String>> {
    match database.connection.prepare(&table.select(database.encoding)) {
        Ok(statement) => Ok(Ok(statement)),
        Err(error) if error.sqlite_error_code().is_none_or(|code| code == ErrorCode::Unknown) => {
            Ok(Err(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

/// A row.
struct Record {
    rowid: Option<i64>,
    values: Vec<Value>,
}

impl Record {
    fn key<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = &'a Value> {
        table.key.iter().filter_map(|at| self.values.get(*at))
    }

    /// Whether the key alone does not name it: there is none, or a part of it is NULL.
    fn needs_rowid(&self, table: &Table) -> bool {
        self.key(table).next().is_none() || self.key(table).any(Value::is_null)
    }

    fn order(&self, other: &Self, table: &Table) -> Ordering {
        let mut parts = self.key(table).zip(other.key(table)).map(|(a, b)| a.order(b));
        match parts.find(|order| order.is_ne()) {
            Some(order) => order,
            None if self.needs_rowid(table) => self.rowid.cmp(&other.rowid),
            None => Ordering::Equal,
        }
    }
}

/// The rows of a table, in order.
struct Cursor<'a> {
    rows: Rows<'a>,
    encoding: Encoding,
    columns: usize,
    has_rowid: bool,
    current: Option<Record>,
}

impl<'a> Cursor<'a> {
    /// At the first row.
    fn new(rows: Rows<'a>, table: &Table, encoding: Encoding) -> rusqlite::Result<Self> {
        let (columns, has_rowid) = (table.columns.len(), table.rowid.is_some());
        let mut cursor = Self { rows, encoding, columns, has_rowid, current: None };
        cursor.advance()?;
        Ok(cursor)
    }

    fn advance(&mut self) -> rusqlite::Result<()> {
        let Some(row) = self.rows.next()? else {
            self.current = None;
            return Ok(());
        };
        let first = usize::from(self.has_rowid);
        let rowid = if self.has_rowid { Some(row.get(0)?) } else { None };
        let mut values = Vec::with_capacity(self.columns);
        for column in 0..self.columns {
            values.push(match self.encoding {
                Encoding::Utf8 => Value::new(row.get_ref(first + column)?),
                Encoding::Utf16Le | Encoding::Utf16Be => {
                    let value = Value::new(row.get_ref(first + 2 * column)?);
                    let is_text: bool = row.get(first + 2 * column + 1)?;
                    if is_text { value.into_text() } else { value }
                }
            });
        }
        self.current = Some(Record { rowid, values });
        Ok(())
    }
}

/// What was found to differ in a table.
struct Found<'a> {
    table: &'a Table,
    encoding_before: Encoding,
    encoding: Encoding,
    deleted: Vec<RowChange>,
    updated: Vec<RowChange>,
    inserted: Vec<RowChange>,
}

impl<'a> Found<'a> {
    fn new(table: &'a Table, encoding_before: Encoding, encoding: Encoding) -> Self {
        let (deleted, updated, inserted) = (Vec::new(), Vec::new(), Vec::new());
        Self { table, encoding_before, encoding, deleted, updated, inserted }
    }

    fn delete(&mut self, was: &Record) {
        let key = self.key(was, self.encoding_before);
        let old = Some(self.others(was, self.encoding_before, |_| true));
        self.deleted.push(self.change(RowOp::Delete, key, old, None));
    }

    fn insert(&mut self, is: &Record) {
        let key = self.key(is, self.encoding);
        let new = Some(self.others(is, self.encoding, |_| true));
        self.inserted.push(self.change(RowOp::Insert, key, None, new));
    }

    /// Two rows of one key, as SQLite orders them.
    fn pair(&mut self, was: &Record, is: &Record) {
        // 1 and 1.0 are one key to SQLite, and not the same.
        if !was.key(self.table).zip(is.key(self.table)).all(|(a, b)| a.is_same(b)) {
            self.delete(was);
            self.insert(is);
            return;
        }
        let differs = |at: usize| match (was.values.get(at), is.values.get(at)) {
            (Some(a), Some(b)) => !a.is_same(b),
            _ => false,
        };
        if (0..is.values.len()).any(differs) {
            let key = self.key(is, self.encoding);
            let old = Some(self.others(was, self.encoding_before, differs));
            let new = Some(self.others(is, self.encoding, differs));
            self.updated.push(self.change(RowOp::Update, key, old, new));
        }
    }

    fn change(&self, op: RowOp, key: Row, old: Option<Row>, new: Option<Row>) -> RowChange {
        RowChange { table: self.table.name.clone(), op, key, old, new }
    }

    fn key(&self, record: &Record, encoding: Encoding) -> Row {
        let mut key = self.named(record, encoding, |at| self.table.key.contains(&at));
        if let (Some(name), Some(rowid)) = (self.table.rowid, record.rowid)
            && record.needs_rowid(self.table)
        {
            key.insert(name.to_string(), Value::Integer(rowid).to_json(encoding));
        }
        key
    }

    fn others(&self, record: &Record, encoding: Encoding, wanted: impl Fn(usize) -> bool) -> Row {
        self.named(record, encoding, |at| !self.table.key.contains(&at) && wanted(at))
    }

    fn named(&self, record: &Record, encoding: Encoding, wanted: impl Fn(usize) -> bool) -> Row {
        let columns = self.table.columns.iter().zip(&record.values).enumerate();
        let columns = columns.filter(|(at, _)| wanted(*at));
        columns.map(|(_, (column, value))| (column.name.clone(), value.to_json(encoding))).collect()
    }
}
