//! Looking at a restored file with SQLite. It is untrusted input: opened immutable and defensively.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use walkeep::core::{Error, Result};

/// How closely to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IntegrityCheck {
    /// Not at all.
    None,
    /// `PRAGMA quick_check`: structure, without comparing indexes with tables.
    #[default]
    Quick,
    /// `PRAGMA integrity_check`.
    Full,
}

/// Lines that SQLite may report; more say nothing new.
const FINDINGS_MAX: u32 = 20;

/// Opens a database file that nobody else has open, and that may be made to do harm: for reading, immutable and
/// defensively. Its name may have any characters.
pub(crate) fn open_untrusted(path: &Path) -> rusqlite::Result<Connection> {
    let text = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(format!("file:{text}?immutable=1"), flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.execute_batch("PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;")?;
    Ok(connection)
}

/// Checks a database file that nobody else has open. Returns what SQLite found wrong: nothing in a good one.
///
/// # Errors
///
/// `Io` when SQLite cannot open or read the file.
pub fn check(path: &Path, how: IntegrityCheck) -> Result<Vec<String>> {
    let pragma = match how {
        IntegrityCheck::None => return Ok(Vec::new()),
        IntegrityCheck::Quick => "quick_check",
        IntegrityCheck::Full => "integrity_check",
    };
    let run = || -> rusqlite::Result<Vec<String>> {
        let connection = open_untrusted(path)?;
        let mut statement = connection.prepare(&format!("PRAGMA {pragma}({FINDINGS_MAX})"))?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        rows.filter(|row| row.as_ref().map_or(true, |text| text != "ok")).collect()
    };
    match run() {
        Err(rusqlite::Error::SqliteFailure(error, message))
            if matches!(
                error.code,
                rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase
            ) =>
        {
            Ok(vec![message.unwrap_or_else(|| error.to_string())])
        }
        done => done.map_err(|error| {
            Error::io(format!("check {} with SQLite", path.display()), std::io::Error::other(error))
        }),
    }
}
