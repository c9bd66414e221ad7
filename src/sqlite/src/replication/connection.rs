//! Connections to a live database: what they may do, and how they end.
//!
//! Invariant: a connection writes nothing to the database or its log, except for the checkpoints that it is asked for;
//! its close leaves log and `-shm` as they are.

use std::io;
use std::path::Path;
use std::time::Duration;

use nix::libc;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};
use walkeep::core::{Error, Result};

use crate::hold::{escape, explain};

/// How often the lock of a barrier is asked for. The pauses are shorter than SQLite's own, of up to 100 ms: beside a writer
/// that makes room for moments only, those would wait for ever.
const BARRIER_ATTEMPTS: i32 = 3000;
const BARRIER_PAUSE: Duration = Duration::from_micros(20);

/// Opens a connection to a database in WAL mode. It makes `-wal` and `-shm` if there are none.
///
/// # Errors
///
/// `Exhausted` while it is locked; `Invalid` with a remedy when this process may not use it; `Io`.
pub(super) fn connect(path: &Path, busy_timeout: Duration) -> Result<Connection> {
    let uri = format!("file:{}?mode=rw", escape(path)?);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(&uri, flags)?;
        connection.busy_timeout(busy_timeout)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // Nothing is set here that would make SQLite read the schema. Its default syncs the log before a checkpoint, and
        // the database after.
        Ok(connection)
    };
    open().map_err(|error| refused(path, error))
}

/// Begins a read transaction: it takes and holds the read lock, without reading the schema.
///
/// # Errors
///
/// As [`connect`].
pub(super) fn begin_read(path: &Path, connection: &Connection) -> Result<()> {
    let begin = || -> rusqlite::Result<()> {
        connection.execute_batch("BEGIN")?;
        connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?;
        Ok(())
    };
    begin().map_err(|error| refused(path, error))
}

/// Ends a transaction, whatever it is.
pub(super) fn end(connection: &Connection) {
    if let Err(error) = connection.execute_batch("ROLLBACK") {
        tracing::debug!(%error, "a transaction could not be ended");
    }
}

/// What SQLite refused, with what to do about it.
pub(super) fn refused(path: &Path, error: rusqlite::Error) -> Error {
    let code = error.sqlite_error().map_or(0, |error| error.extended_code);
    let what = || format!("replicating {}", path.display());
    match code & 0xff {
        ffi::SQLITE_CANTOPEN if are_files_exhausted() => Error::Exhausted {
            what: format!(
                "{} cannot be opened: too many open files; raise the limit (ulimit -n, LimitNOFILE=)",
                path.display()
            ),
        },
        ffi::SQLITE_CANTOPEN | ffi::SQLITE_READONLY | ffi::SQLITE_PERM => Error::invalid(
            what(),
            format!(
                "SQLite may not open it for writing ({error}). Replication needs to write the locks in its -shm and to \
                 make -wal and -shm: give this user write access to the three files and their directory; on read-only \
                 media store single captures with `walkeep replicate --once`"
            ),
        ),
        ffi::SQLITE_PROTOCOL => Error::Exhausted {
            what: format!(
                "{} cannot be read now: a process stands still in the middle of a change to its -shm, or locks do not \
                 work there (a network file system?)",
                path.display()
            ),
        },
        _ => explain(path, error),
    }
}

/// Whether this process, or the machine, can open no more files: SQLite does not say so.
fn are_files_exhausted() -> bool {
    let opened = std::fs::File::open("/dev/null");
    opened.is_err_and(|error| matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)))
}

/// Copies frames of the log into the database, as far as nobody needs them in the log. Nobody waits for it.
///
/// Returns how many frames the log has, and how many of them are in the database.
///
/// # Errors
///
/// `Exhausted` when another process checkpoints; `Io`.
pub(super) fn checkpoint(path: &Path, connection: &Connection) -> Result<(u64, u64)> {
    let row = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    });
    let (busy, log, done) = row.map_err(|error| refused(path, error))?;
    if busy != 0 {
        return Err(Error::Exhausted {
            what: format!("{} is being checkpointed by another process", path.display()),
        });
    }
    Ok((u64::try_from(log).unwrap_or(0), u64::try_from(done).unwrap_or(0)))
}

/// A lock that keeps writers out. Nothing is written under it.
#[derive(Debug)]
pub(super) struct WriteBarrier(Connection);

impl WriteBarrier {
    /// Takes the lock; `None` when writers do not make room for a while.
    ///
    /// # Errors
    ///
    /// As [`connect`].
    pub(super) fn take(path: &Path, mut connection: Connection) -> Result<Option<Self>> {
        let patient = connection.busy_handler(Some(|attempt| {
            std::thread::sleep(BARRIER_PAUSE);
            attempt < BARRIER_ATTEMPTS
        }));
        patient.map_err(|error| refused(path, error))?;
        match connection.execute_batch("BEGIN IMMEDIATE") {
            Ok(()) => Ok(Some(Self(connection))),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(None),
            Err(error) => Err(refused(path, error)),
        }
    }
}

impl Drop for WriteBarrier {
    fn drop(&mut self) {
        end(&self.0);
    }
}

/// Switches a database to WAL mode, which its user asked for.
///
/// # Errors
///
/// `Exhausted` while it is locked; `Invalid` when it cannot be done; `Io`.
pub fn set_wal(path: &Path, busy_timeout: Duration) -> Result<()> {
    let uri = format!("file:{}?mode=rw", escape(path)?);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI;
    let switch = || -> rusqlite::Result<String> {
        let connection = Connection::open_with_flags(&uri, flags)?;
        connection.busy_timeout(busy_timeout)?;
        connection.query_row("PRAGMA journal_mode = wal", [], |row| row.get(0))
    };
    let mode = switch().map_err(|error| refused(path, error))?;
    if mode == "wal" {
        return Ok(());
    }
    let why = format!("SQLite kept it in mode {mode:?}");
    Err(Error::invalid(format!("switching {} to WAL mode", path.display()), why))
}

/// What the operating system refused.
pub(super) fn failed(what: &str, path: &Path) -> impl Fn(io::Error) -> Error + Copy {
    move |error| Error::io(format!("{what} {}", path.display()), error)
}
