//! One of the two databases that are compared. It is untrusted input.

use std::path::Path;

use rusqlite::Connection;

use super::value::Encoding;
use crate::check::open_untrusted;

/// A database, opened for reading.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) connection: Connection,
    pub(super) encoding: Encoding,
}

impl Database {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = open_untrusted(path)?;
        let encoding: String = connection.query_row("PRAGMA encoding", [], |row| row.get(0))?;
        let encoding = match encoding.as_str() {
            "UTF-16le" => Encoding::Utf16Le,
            "UTF-16be" => Encoding::Utf16Be,
            _ => Encoding::Utf8,
        };
        Ok(Self { connection, encoding })
    }
}
