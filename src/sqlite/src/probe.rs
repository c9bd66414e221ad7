//! What a file is, at a glance, without taking hold of it.
//!
//! Invariant: locks of this process on the file survive. (They die when any descriptor of the file is closed, so that
//! looking at a database by the usual means takes the locks of its own SQLite connections away.)
//!
//! It is a guess for choosing among files, not a promise: whether a database can be captured, [`Source`](crate::Source)
//! tells.

use std::io;
use std::path::Path;

use walkeep::core::Error;

use crate::database_header::{DatabaseHeader, HEADER_LEN};
use crate::descriptors;

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A SQLite database.
    Database {
        /// Whether its journal mode is WAL.
        wal_mode: bool,
    },
    /// An empty file: an empty database, or one in the making, or something else.
    Empty,
    /// There is nothing under this name.
    Missing,
    /// A directory, a pipe or the like.
    NotAFile,
    /// Another kind of file, or an encrypted database; and why.
    Foreign(String),
}

/// Looks at what a file is.
///
/// # Errors
///
/// The operating system's, such as a file that may not be read.
pub fn probe(path: &Path) -> io::Result<Probe> {
    let missing = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(Probe::Missing),
        _ => Err(error),
    };
    // A pipe is never opened: that would wait for a writer.
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Ok(Probe::NotAFile),
        Ok(_) => {}
        Err(error) => return missing(error),
    }
    let mut bytes = [0; HEADER_LEN];
    let read = match descriptors::peek(path, &mut bytes) {
        Ok(read) => read,
        Err(error) => return missing(error),
    };
    Ok(match DatabaseHeader::parse(path, bytes.get(..read).unwrap_or_default()) {
        Ok(Some(header)) => Probe::Database { wal_mode: header.wal_mode },
        Ok(None) => Probe::Empty,
        Err(Error::Invalid { why, .. }) => Probe::Foreign(why),
        Err(error) => Probe::Foreign(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(path: &Path, mode: &str) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.pragma_update(None, "journal_mode", mode).unwrap();
        connection.execute_batch("CREATE TABLE t (a)").unwrap();
        connection
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "test files")]
    fn each_kind_of_file_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        drop(database(&at("wal.db"), "wal"));
        drop(database(&at("delete.db"), "delete"));
        std::fs::write(at("empty"), "").unwrap();
        std::fs::write(at("text"), "text").unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        let kind = |name: &str| probe(&at(name)).unwrap();
        assert_eq!(kind("wal.db"), Probe::Database { wal_mode: true });
        assert_eq!(kind("delete.db"), Probe::Database { wal_mode: false });
        assert_eq!(kind("empty"), Probe::Empty);
        assert_eq!((kind("none"), kind("folder")), (Probe::Missing, Probe::NotAFile));
        assert!(matches!(kind("text"), Probe::Foreign(why) if why.contains("encrypted")));
    }

    #[test]
    fn a_look_at_a_database_in_use_leaves_its_locks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.db");
        drop(database(&path, "delete"));
        let kept = descriptors::open(&path).unwrap().unwrap();
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch("BEGIN; SELECT * FROM t").unwrap();
        let locked = || {
            // Locks of this process are seen by another one only.
            let script = "import fcntl, sys, struct\n\
                          f = open(sys.argv[1], 'r+b')\n\
                          try: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)\n\
                          except OSError: sys.exit(7)";
            let status = std::process::Command::new("python3").args(["-c", script]).arg(&path).status();
            status.unwrap().code() == Some(7)
        };
        assert!(locked(), "the scene: a reader holds its shared lock");
        assert_eq!(probe(&path).unwrap(), Probe::Database { wal_mode: false });
        assert!(locked());
        drop(kept);
    }
}
