//! What keeps a database still, and how it is taken.
//!
//! Everything begins with SQLite's shared lock on the database file, taken directly. Under it the file cannot change
//! its journal mode, a file of no bytes gets none, and the side files of a WAL database cannot be removed: what is
//! decided then is still so when SQLite opens the database.
//!
//! Invariant: SQLite is only asked to open what it opens without creating or deleting a file: never an empty file
//! (it would delete a log beside it), and never a WAL database whose `-shm` nobody has open (it would create a log).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use walkeep::core::{Error, Result};

use crate::database_header::{DatabaseHeader, HEADER_LEN};
use crate::descriptors;
use crate::locks::{SharedLock, is_live};
use crate::wal::Wal;
use crate::wal_header::read_at;

/// How long to stand still before a database with a `-shm` of nobody is read. Times of files are those of the last
/// clock tick (at most 10 ms): a change after the pause gives a time that differs from the one before.
const TICK: Duration = Duration::from_millis(20);

/// What came of one attempt. The error is for the case that it stays so: until then, try again.
pub(crate) type Attempt<T> = std::result::Result<T, Error>;

/// What keeps the database still.
#[derive(Debug)]
pub(crate) enum Hold {
    /// A read transaction in rollback mode; it ends when the connection is dropped.
    Transaction(#[expect(dead_code, reason = "held for its locks")] Connection),
    /// A read transaction beside live connections, and the `-shm` that they share.
    Live(#[expect(dead_code, reason = "held for its locks")] Connection, Arc<File>),
    /// The shared lock of an empty file: nobody can write its first page.
    Empty(#[expect(dead_code, reason = "held for its lock")] SharedLock),
    /// The shared lock of a WAL database without a `-shm`: whoever opens it makes one, which then stays.
    AtRest(#[expect(dead_code, reason = "held for its lock")] SharedLock),
    /// The shared lock of a WAL database whose `-shm` nobody has open, and the files as they were then.
    Stale(#[expect(dead_code, reason = "held for its lock")] SharedLock, Prints),
}

/// A database that is held.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) file: Arc<File>,
    pub(crate) header: Option<DatabaseHeader>,
    pub(crate) hold: Hold,
}

/// Inode, length, and the times of the last changes, of a file; `None` when there is none.
type Print = Option<(u64, u64, [i64; 4])>;

fn print(path: &Path) -> Result<Print> {
    match std::fs::metadata(path) {
        Ok(of) => Ok(Some((of.ino(), of.len(), [of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()]))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("look at {}", path.display()), error)),
    }
}

/// The database, its log and its `-shm`, and what stands in front in the `-shm`: its two headers and the marks. Every
/// commit changes those, even where a file system keeps times by the second.
type Prints = ([Print; 3], Vec<u8>);

fn prints(path: &Path) -> Result<Prints> {
    let shm_path = beside(path, "-shm");
    let failed = |error: io::Error| Error::io(format!("read {}", shm_path.display()), error);
    let mut front = vec![0; 136];
    let len = match descriptors::open(&shm_path).map_err(failed)? {
        Some(shm) => read_at(&shm, 0, &mut front).map_err(failed)?,
        None => 0,
    };
    front.truncate(len);
    Ok(([print(path)?, print(&beside(path, "-wal"))?, print(&shm_path)?], front))
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Takes hold of the database, if that can be done at once.
///
/// # Errors
///
/// As [`crate::Source::open`].
pub(crate) fn take(path: &Path) -> Result<Attempt<Held>> {
    let failed = |error: io::Error| Error::io(format!("lock {}", path.display()), error);
    let file = descriptors::open(path).map_err(failed)?;
    let file = file.ok_or_else(|| Error::not_found(format!("the database {}", path.display())))?;
    let Some(lock) = SharedLock::try_acquire(&file).map_err(failed)? else {
        return Ok(Err(locked(path, "another process writes to it, or has it for itself")));
    };
    // The lock on a file that was replaced says nothing of the one in its place.
    let replaced = || -> Result<bool> {
        let current = descriptors::open(path).map_err(failed)?;
        Ok(current.is_none_or(|current| !Arc::ptr_eq(&current, &file)))
    };
    let again = || Ok(Err(locked(path, "it is replaced by another file all the time")));
    if replaced()? {
        return again();
    }
    let header = header_of(path, &file)?;
    let hold = match header {
        None => {
            refuse_logs_of_an_empty_file(path, &lock)?;
            Ok(Hold::Empty(lock))
        }
        Some(header) if header.wal_mode => hold_wal(path, lock)?,
        Some(_) => {
            refuse_log_in_rollback_mode(path)?;
            begin(path, false)?.map(Hold::Transaction)
        }
    };
    if replaced()? {
        return again();
    }
    Ok(hold.map(|hold| Held { file, header, hold }))
}

/// SQLite takes a log beside an empty file for a leftover and deletes it; more likely it is the file that is wrong.
fn refuse_logs_of_an_empty_file(path: &Path, lock: &SharedLock) -> Result<()> {
    let refused = |suffix: &str| {
        Error::invalid(
            format!("capturing {}", path.display()),
            format!(
                "the database is empty but has a log beside it ({}); it looks truncated. Do not open it before you \
                 have a copy of both: SQLite deletes the log",
                beside(path, suffix).display()
            ),
        )
    };
    if print(&beside(path, "-wal"))?.is_some_and(|(_, len, _)| len > 0) {
        return Err(refused("-wal"));
    }
    // A first transaction that goes on has a journal as well: twice, as it may be over in between.
    let hot = || -> Result<bool> {
        let failed = |error| Error::io(format!("lock {}", path.display()), error);
        Ok(has_journal(path)? && !lock.is_reserved().map_err(failed)?)
    };
    if hot()? && hot()? {
        return Err(refused("-journal"));
    }
    Ok(())
}

/// SQLite uses a log with commits whatever the header of the database says.
fn refuse_log_in_rollback_mode(path: &Path) -> Result<()> {
    let log = beside(path, "-wal");
    let failed = |error: io::Error| Error::io(format!("read {}", log.display()), error);
    let Some(file) = descriptors::open(&log).map_err(failed)? else {
        return Ok(());
    };
    if Wal::committed_page_size(file).map_err(failed)?.is_none() {
        return Ok(());
    }
    Err(Error::invalid(
        format!("capturing {}", path.display()),
        format!(
            "its header says that it keeps no write-ahead log, but {} has commits, which SQLite would use: one of \
             the two was replaced. Put the right one in its place, or move the log away if it is a leftover",
            log.display()
        ),
    ))
}

fn hold_wal(path: &Path, lock: SharedLock) -> Result<Attempt<Hold>> {
    let shm_path = beside(path, "-shm");
    let failed = |error: io::Error| Error::io(format!("read {}", shm_path.display()), error);
    let restless = || Ok(Err(locked(path, "it is opened and closed all the time")));
    let Some(shm) = descriptors::open(&shm_path).map_err(failed)? else {
        return Ok(Ok(Hold::AtRest(lock)));
    };
    let before = prints(path)?;
    if !is_live(&shm).map_err(failed)? {
        std::thread::sleep(TICK);
        let hold = Hold::Stale(lock, before);
        return if hold.is_unchanged(path)? { Ok(Ok(hold)) } else { restless() };
    }
    if !exists(&beside(path, "-wal"))? {
        // SQLite would create one.
        return Ok(Err(locked(path, "its connections have no log")));
    }
    let connection = match begin(path, true)? {
        Ok(connection) => connection,
        Err(error) => return Ok(Err(error)),
    };
    // If the others died before SQLite opened it, there is no read mark: it reads without the -shm then.
    let current = descriptors::open(&shm_path).map_err(failed)?;
    let same = current.is_some_and(|current| Arc::ptr_eq(&current, &shm));
    if same && is_live(&shm).map_err(failed)? { Ok(Ok(Hold::Live(connection, shm))) } else { restless() }
}

impl Hold {
    /// Whether nobody can have changed what was read under this hold. Not for the log of live connections.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(crate) fn is_unchanged(&self, path: &Path) -> Result<bool> {
        let shm_path = beside(path, "-shm");
        match self {
            Self::Transaction(_) | Self::Live(..) | Self::Empty(_) => Ok(true),
            Self::AtRest(_) => Ok(!exists(&shm_path)?),
            Self::Stale(_, before) => {
                // Who opened it meanwhile cut the -shm first; who closed it again has left its log, and any
                // checkpoint has changed the time of the database.
                let failed = |error: io::Error| Error::io(format!("read {}", shm_path.display()), error);
                let shm = descriptors::open(&shm_path).map_err(failed)?;
                let live = shm.is_none_or(|shm| is_live(&shm).unwrap_or(true));
                Ok(!live && prints(path)? == *before)
            }
        }
    }
}

fn header_of(path: &Path, file: &File) -> Result<Option<DatabaseHeader>> {
    let mut bytes = [0; HEADER_LEN];
    let len =
        read_at(file, 0, &mut bytes).map_err(|error| Error::io(format!("read {}", path.display()), error))?;
    DatabaseHeader::parse(path, bytes.get(..len).unwrap_or_default())
}

fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(|error| Error::io(format!("look for {}", path.display()), error))
}

/// Whether there is a journal that SQLite would roll back if no writer were at work: its first byte is not 0.
///
/// # Errors
///
/// `Io`.
pub(crate) fn has_journal(path: &Path) -> Result<bool> {
    let path = beside(path, "-journal");
    let mut first = [0];
    let read = File::open(&path).and_then(|mut file| file.read(&mut first));
    match read {
        Ok(len) => Ok(len > 0 && first != [0]),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io(format!("read {}", path.display()), error)),
    }
}

/// Begins a read transaction.
fn begin(path: &Path, wal_mode: bool) -> Result<Attempt<Connection>> {
    use rusqlite::ffi;
    let uri = format!("file:{}?mode=ro&readonly_shm=1", escape(path)?);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(&uri, flags)?;
        // The caller waits, in shorter pauses than SQLite's of up to 100 ms: beside a writer that leaves the file
        // alone for moments only, those would wait for ever.
        connection.busy_timeout(Duration::ZERO)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.execute_batch("BEGIN")?;
        // The first read takes the lock. It looks at the header alone: the schema may be one that SQLite rejects.
        connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?;
        Ok(connection)
    };
    let error = match connect() {
        Ok(connection) => return Ok(Ok(connection)),
        Err(error) => error,
    };
    let code = error.sqlite_error().map_or(0, |error| error.extended_code);
    let busy = matches!(code & 0xff, ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED);
    let moved = matches!(code, ffi::SQLITE_READONLY_RECOVERY | ffi::SQLITE_READONLY_CANTINIT)
        || code & 0xff == ffi::SQLITE_CANTOPEN;
    let error = explain(path, error);
    if busy || (moved && wal_mode) { Ok(Err(error)) } else { Err(error) }
}

pub(crate) fn escape(path: &Path) -> Result<String> {
    let text = path.to_str().ok_or_else(|| {
        Error::invalid(format!("the path {}", path.display()), "Walkeep needs a path that is valid UTF-8")
    })?;
    Ok(text.replace('%', "%25").replace('?', "%3f").replace('#', "%23"))
}

pub(crate) fn explain(path: &Path, error: rusqlite::Error) -> Error {
    use rusqlite::ffi;
    let code = error.sqlite_error().map_or(0, |error| error.extended_code);
    match code & 0xff {
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => locked(path, "another process has it locked"),
        ffi::SQLITE_READONLY | ffi::SQLITE_CANTOPEN if exists(&beside(path, "-journal")).unwrap_or(false) => {
            hot_journal(path)
        }
        ffi::SQLITE_NOTADB => Error::invalid(
            format!("{} as a SQLite database", path.display()),
            "SQLite does not recognise it (damaged, or encrypted, which Walkeep cannot read)",
        ),
        _ => Error::io(format!("open {} with SQLite", path.display()), io::Error::other(error)),
    }
}

/// The database cannot be had now.
pub(crate) fn locked(path: &Path, why: &str) -> Error {
    let what = format!("{} is locked: {why}; try again, or wait longer with --busy-timeout", path.display());
    Error::Exhausted { what }
}

/// The database cannot be had without rolling a journal back.
pub(crate) fn hot_journal(path: &Path) -> Error {
    Error::invalid(
        format!("capturing {}", path.display()),
        "a writer crashed and left a journal that must be rolled back first, which would change the database: open \
         it once with its application or with sqlite3",
    )
}
