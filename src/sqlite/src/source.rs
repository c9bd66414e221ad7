//! The committed state of a SQLite database, held still while it is read.
//!
//! How it is held depends on what stands beside the database (`docs/decisions/0003` has the measurements):
//!
//! - **rollback journal**: a read transaction of a read-only SQLite connection (its shared lock) keeps writers from
//!   the file; pages are read from the file;
//! - **WAL, in use** (there is a `-shm`): a read transaction keeps checkpoints from going beyond what it sees; pages
//!   are those of the log's committed frames, else of the file. The log may be restarted once all of it is in the
//!   file: that is noticed afterwards, and the capture begins again;
//! - **WAL, at rest** (no `-shm`): the shared lock is taken directly, since SQLite would leave files behind; the
//!   log, if any, is laid over the file. A process that opens the database meanwhile is noticed by its `-shm`.
//!
//! Invariant: no file is created, written or deleted. The SQLite connection opens the `-shm` for reading only, and
//! does not checkpoint when it closes.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use walkeep::core::{Error, PageCount, PageNo, PageSize, Result};

use crate::database_header::{DatabaseHeader, HEADER_LEN};
use crate::locks::{SharedLock, is_live};
use crate::wal::{Wal, read_at};
use crate::{descriptors, live_log};

/// How often opening is repeated when the database changes its way of keeping a journal meanwhile.
const ATTEMPTS: u32 = 10;

/// Pages are read from the file in pieces of about this size.
const CHUNK: usize = 1 << 20;

/// What keeps the database still.
#[derive(Debug)]
enum Hold {
    /// A read transaction; it ends when the connection is dropped.
    Transaction(#[expect(dead_code, reason = "held for its locks")] Connection),
    /// The shared lock of a database at rest.
    Lock(#[expect(dead_code, reason = "held for its lock")] SharedLock),
}

/// The committed state of a SQLite database, held still while this value lives.
///
/// Writers in WAL mode go on meanwhile; in rollback mode they wait.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    file: Arc<File>,
    page_size: PageSize,
    size: PageCount,
    wal: Option<Wal>,
    // Declared last: dropped after everything that reads.
    hold: Hold,
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

impl Source {
    /// Takes hold of a database. Waits up to `timeout` for a writer that has it locked.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such file; `Invalid` when it is not a SQLite database, or a crashed writer has
    /// left it with a journal that must be rolled back first; `Exhausted` when it stayed locked; `Io`.
    pub fn open(path: &Path, timeout: Duration) -> Result<Self> {
        let failed = |error: io::Error| Error::io(format!("read {}", path.display()), error);
        // A symbolic link is resolved first, as SQLite does: the side files stand beside what it points to.
        let path = &std::fs::canonicalize(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::not_found(format!("the database {}", path.display())),
            _ => failed(error),
        })?;
        if !path.is_file() {
            return Err(Error::invalid(
                format!("{} as a SQLite database", path.display()),
                "it is not a file",
            ));
        }
        let waiting = Waiting::new(timeout);
        let mut attempt = 0;
        // Side files that come and go are waited for like locks.
        while attempt < ATTEMPTS || !waiting.is_over() {
            attempt += 1;
            let file = descriptors::open(path).map_err(failed)?;
            let file = file.ok_or_else(|| Error::not_found(format!("the database {}", path.display())))?;
            let wal_mode = header_of(path, &file)?.is_some_and(|header| header.wal_mode);
            let at_rest = wal_mode && !exists(&beside(path, "-shm"))?;
            let hold = if at_rest {
                Some(Self::hold_at_rest(path, &file, &waiting)?)
            } else {
                begin(path, wal_mode, &waiting)?
            };
            if let Some(hold) = hold
                && let Some(source) = Self::held(path, file, hold, wal_mode, at_rest, &waiting)?
            {
                return Ok(source);
            }
        }
        Err(locked(path, "it changes its journal mode, or is opened and closed, all the time"))
    }

    fn hold_at_rest(path: &Path, file: &Arc<File>, waiting: &Waiting) -> Result<Hold> {
        loop {
            match SharedLock::try_acquire(file) {
                Ok(Some(lock)) => return Ok(Hold::Lock(lock)),
                Ok(None) if waiting.is_over() => {
                    return Err(locked(path, "another process has it locked exclusively"));
                }
                Ok(None) => waiting.pause(),
                Err(error) => return Err(Error::io(format!("lock {}", path.display()), error)),
            }
        }
    }

    /// Looks at the database now that it is held; `None` when it is not any more what it was before.
    fn held(
        path: &Path,
        file: Arc<File>,
        hold: Hold,
        wal_mode: bool,
        at_rest: bool,
        waiting: &Waiting,
    ) -> Result<Option<Self>> {
        let failed = |error: io::Error| Error::io(format!("read {}", path.display()), error);
        let header = header_of(path, &file)?;
        let current = descriptors::open(path).map_err(failed)?;
        let replaced = current.is_none_or(|current| !Arc::ptr_eq(&current, &file));
        let changed = header.is_some_and(|header| header.wal_mode) != wal_mode;
        if replaced || changed || (at_rest && exists(&beside(path, "-shm"))?) {
            return Ok(None);
        }
        let journal = std::fs::metadata(beside(path, "-journal")).map_or(0, |metadata| metadata.len());
        if at_rest && journal > 0 {
            return Err(hot_journal(path));
        }
        let page_size = header.map_or(PageSize::DEFAULT, |header| header.page_size);
        let wal = if wal_mode { scan_wal(path, page_size, at_rest, waiting)? } else { Some(None) };
        let Some(wal) = wal else {
            waiting.pause();
            return Ok(None);
        };
        let in_file = file.metadata().map_err(failed)?.len() / page_size.bytes_u64();
        let in_file = u32::try_from(in_file).map_err(|_| {
            Error::invalid(path.display().to_string(), "it has more pages than SQLite can number")
        })?;
        let size = wal.as_ref().and_then(Wal::size_after).unwrap_or(PageCount(in_file));
        Ok(Some(Self { path: path.to_path_buf(), file, page_size, size, wal, hold }))
    }

    /// The path of the database.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The size of a page.
    #[must_use]
    pub const fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// The size of the database.
    #[must_use]
    pub const fn size(&self) -> PageCount {
        self.size
    }

    /// Calls `visit` with every page of the database in order.
    ///
    /// # Errors
    ///
    /// `Io`, and what `visit` returns.
    pub fn for_each_page(&self, mut visit: impl FnMut(PageNo, &[u8]) -> Result<()>) -> Result<()> {
        let failed = |error: io::Error| Error::io(format!("read {}", self.path.display()), error);
        let lock_page = self.page_size.lock_page();
        let mut chunk = vec![0; CHUNK.max(self.page_size.bytes())];
        let pages_a_chunk = u32::try_from(chunk.len() / self.page_size.bytes()).unwrap_or(1);
        let mut first = PageNo::FIRST;
        while self.size.contains(first) {
            // Beyond the end of the file are zeros: pages that are in the log alone, or were never written.
            let len = read_at(&self.file, first.file_offset(self.page_size), &mut chunk).map_err(failed)?;
            chunk.get_mut(len..).unwrap_or_default().fill(0);
            let pages = (first.get()..=self.size.get()).take(pages_a_chunk as usize).filter_map(PageNo::new);
            for (page, image) in pages.zip(chunk.chunks_exact_mut(self.page_size.bytes())) {
                if page == lock_page {
                    image.fill(0);
                } else if let Some(wal) = &self.wal {
                    wal.read(page, image).map_err(failed)?;
                }
                visit(page, image)?;
            }
            match first.get().checked_add(pages_a_chunk).and_then(PageNo::new) {
                Some(next) => first = next,
                None => break,
            }
        }
        Ok(())
    }

    /// Whether everything read so far belongs to one state of the database. If not, begin again with a new
    /// [`Source`].
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn is_unchanged(&self) -> Result<bool> {
        let failed = |error: io::Error| Error::io(format!("read {}", self.path.display()), error);
        if matches!(self.hold, Hold::Lock(_)) && exists(&beside(&self.path, "-shm"))? {
            return Ok(false);
        }
        self.wal.as_ref().map_or(Ok(true), |wal| wal.is_unchanged().map_err(failed))
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

/// The committed log, up to what live connections hold to be committed; the outer `None` when that cannot be said
/// now, the inner one when there is no log.
fn scan_wal(
    path: &Path,
    page_size: PageSize,
    at_rest: bool,
    waiting: &Waiting,
) -> Result<Option<Option<Wal>>> {
    let log = beside(path, "-wal");
    let failed = |error: io::Error| Error::io(format!("read {}", log.display()), error);
    if !at_rest
        && let Some(shm) = descriptors::open(&beside(path, "-shm")).map_err(failed)?
        && is_live(&shm).map_err(failed)?
    {
        return Ok(live_log::read(&log, &shm, page_size, || waiting.pause())?.map(Some));
    }
    let Some(file) = descriptors::open(&log).map_err(failed)? else {
        return Ok(Some(None));
    };
    Ok(Some(Some(Wal::scan(file, page_size, u64::MAX).map_err(failed)?)))
}

/// Begins a read transaction; `None` when the side files came or went meanwhile: look again.
///
/// SQLite's own busy handler pauses for up to 100 ms. Beside a writer that leaves the file alone for moments only,
/// that would wait for ever: the attempts here are closer together.
fn begin(path: &Path, wal_mode: bool, waiting: &Waiting) -> Result<Option<Hold>> {
    use rusqlite::ffi;
    let uri = format!("file:{}?mode=ro&readonly_shm=1", escape(path)?);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(&uri, flags)?;
        connection.busy_timeout(Duration::ZERO)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.execute_batch("BEGIN")?;
        Ok(connection)
    };
    let connection = connect().map_err(|error| explain(path, error))?;
    loop {
        // The first read takes the lock.
        let read = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
        let Err(error) = read else {
            return Ok(Some(Hold::Transaction(connection)));
        };
        let code = error.sqlite_error().map_or(0, |error| error.extended_code);
        let busy = matches!(code & 0xff, ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED);
        let moved = matches!(code, ffi::SQLITE_READONLY_RECOVERY | ffi::SQLITE_READONLY_CANTINIT)
            || code & 0xff == ffi::SQLITE_CANTOPEN;
        if waiting.is_over() || !(busy || (moved && wal_mode)) {
            return Err(explain(path, error));
        }
        waiting.pause();
        if !busy {
            return Ok(None);
        }
    }
}

fn escape(path: &Path) -> Result<String> {
    let text = path.to_str().ok_or_else(|| {
        Error::invalid(format!("the path {}", path.display()), "Walkeep needs a path that is valid UTF-8")
    })?;
    Ok(text.replace('%', "%25").replace('?', "%3f").replace('#', "%23"))
}

fn explain(path: &Path, error: rusqlite::Error) -> Error {
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

fn locked(path: &Path, why: &str) -> Error {
    let what = format!("{} is locked: {why}; try again, or wait longer with --busy-timeout", path.display());
    Error::Exhausted { what }
}

fn hot_journal(path: &Path) -> Error {
    Error::invalid(
        format!("capturing {}", path.display()),
        "a writer crashed and left a journal that must be rolled back first, which would change the database: open \
         it once with its application or with sqlite3",
    )
}

/// Waiting for a lock, in short pauses.
struct Waiting {
    pauses: std::cell::Cell<u32>,
}

const PAUSE: Duration = Duration::from_millis(2);

impl Waiting {
    fn new(timeout: Duration) -> Self {
        let pauses = timeout.as_millis() / PAUSE.as_millis();
        Self { pauses: std::cell::Cell::new(u32::try_from(pauses).unwrap_or(u32::MAX)) }
    }

    fn is_over(&self) -> bool {
        self.pauses.get() == 0
    }

    fn pause(&self) {
        self.pauses.set(self.pauses.get().saturating_sub(1));
        std::thread::sleep(PAUSE);
    }
}
