//! One SQL statement, with its parameters and rows as JSON.
//!
//! A statement is a transaction of its own. What reaches beyond the tenant's database, or leaves a transaction open for
//! the next request, is refused by SQLite's authorizer.

use axum::http::StatusCode;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::{ToSqlOutput, Value as Sql, ValueRef};
use rusqlite::{Batch, Connection, ToSql};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::failure::Failure;

/// A statement.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The statement, with `?1`, `?2` and so on for its parameters.
    pub sql: String,
    /// Null, numbers, texts, and booleans as 0 and 1.
    #[serde(default)]
    pub params: Vec<Json>,
}

/// What it gave.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows. Blobs are lists of bytes.
    pub rows: Vec<Vec<Json>>,
    /// How many rows it changed.
    pub changes: u64,
}

struct Param<'a>(&'a Json);

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match self.0 {
            Json::Null => Sql::Null,
            Json::Bool(value) => Sql::Integer(i64::from(*value)),
            Json::String(text) => return Ok(ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => Sql::Integer(integer),
                (None, Some(real)) if number.is_f64() => Sql::Real(real),
                _ => return Err(wrong(format!("the number {number} is too large"))),
            },
            Json::Array(_) | Json::Object(_) => {
                return Err(wrong("a parameter is null, a number, a text or a boolean".into()));
            }
        };
        Ok(ToSqlOutput::Owned(value))
    }
}

fn wrong(why: String) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(why.into())
}

fn json(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Null => Json::Null,
        ValueRef::Integer(integer) => integer.into(),
        ValueRef::Real(real) => real.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
        ValueRef::Blob(blob) => blob.into(),
    }
}

/// Keeps the statements of a tenant within its database.
///
/// # Errors
///
/// SQLite's.
pub fn confine(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.authorizer(Some(|context: AuthContext<'_>| match context.action {
        // Other files, transactions over several requests, and the journal mode, on which replication rests.
        AuthAction::Attach { .. }
        | AuthAction::Detach { .. }
        | AuthAction::Transaction { .. }
        | AuthAction::Savepoint { .. }
        | AuthAction::Pragma { .. } => Authorization::Deny,
        _ => Authorization::Allow,
    }))
}

/// Runs a statement.
///
/// # Errors
///
/// What SQLite refuses is the client's fault; a full disk is not.
pub fn run(connection: &Connection, request: &Statement) -> Result<Answer, Failure> {
    let mut batch = Batch::new(connection, &request.sql);
    let Some(mut statement) = batch.next()? else {
        return Err(Failure::new(StatusCode::BAD_REQUEST, "there is no statement in `sql`"));
    };
    if batch.next()?.is_some() {
        let why = "`sql` has several statements: send one at a time, each is a transaction of its own";
        return Err(Failure::new(StatusCode::BAD_REQUEST, why));
    }
    let before = connection.total_changes();
    let columns = statement.column_names().map(String::from).collect::<Vec<_>>();
    let mut found = statement.query(rusqlite::params_from_iter(request.params.iter().map(Param)))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let row = (0..columns.len()).map(|at| row.get_ref(at).map(json));
        rows.push(row.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    drop(found);
    Ok(Answer { columns, rows, changes: connection.total_changes() - before })
}
