//! SQLite databases for tests, and what they must be restored to.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// How many accounts the database of transfers has.
pub const ACCOUNTS: i64 = 400;

/// What every account has in the beginning.
pub const BALANCE: i64 = 1000;

/// The file that SQLite keeps beside a database under this suffix.
#[must_use]
pub fn beside(database: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", database.display()))
}

/// Runs SQL on a database with a connection that is closed afterwards.
pub fn sql(database: &Path, statements: &str) {
    let connection = Connection::open(database).unwrap();
    connection.execute_batch(statements).unwrap_or_else(|error| panic!("{statements}: {error}"));
    connection.close().unwrap();
}

/// The single value that a query gives on a database, as a number.
#[must_use]
pub fn number(database: &Path, query: &str) -> i64 {
    Connection::open(database).unwrap().query_row(query, [], |row| row.get(0)).unwrap()
}

/// The accounts between which applications make transfers.
pub fn make_accounts(database: &Path, pragmas: &str) {
    sql(
        database,
        &format!(
            "{pragmas}
             CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, note BLOB);
             CREATE INDEX by_balance ON accounts (balance);
             CREATE TABLE done (transfers INTEGER NOT NULL);
             INSERT INTO done VALUES (0);
             WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {ACCOUNTS})
               INSERT INTO accounts SELECT i, {BALANCE}, randomblob(100) FROM n;"
        ),
    );
}

/// The bytes that a restore of the database as it is now must give: those of the file once its log is checkpointed,
/// found out with a copy. Nobody may be writing.
#[must_use]
pub fn expected_bytes(database: &Path) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy.db");
    std::fs::copy(database, &copy).unwrap();
    let wal = beside(database, "-wal");
    if wal.exists() {
        std::fs::copy(wal, beside(&copy, "-wal")).unwrap();
        let connection = Connection::open(&copy).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        connection.close().unwrap();
    }
    std::fs::read(copy).unwrap()
}

/// A number that tells contents apart.
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Fails unless the two contents are equal; says where they differ, not all of what they are.
pub fn assert_same(found: &[u8], expected: &[u8], what: &str) {
    let differs = found.iter().zip(expected).position(|(a, b)| a != b);
    assert!(
        found.len() == expected.len() && differs.is_none(),
        "{what}: {} bytes, expected {}; they differ first at {differs:?}",
        found.len(),
        expected.len()
    );
}
