//! The committed state of a SQLite database, held still while it is read.
//!
//! How it is held depends on what stands beside the database (`docs/decisions/0003` has the measurements):
//!
//! - **rollback journal**: a read transaction of a read-only SQLite connection (its shared lock) keeps writers from
//!   the file; pages are read from the file;
//! - **WAL, in use** (live connections have the `-shm` open): a read transaction keeps checkpoints from going beyond
//!   what it sees; pages are those of the log's committed frames, else of the file. The log may be restarted once all
//!   of it is in the file: that is noticed afterwards, and the capture begins again;
//! - **WAL, at rest** (no `-shm`, or one that nobody has open): the shared lock is taken directly, since SQLite would
//!   leave files behind; the log, if any, is laid over the file. A process that opens the database meanwhile is
//!   noticed by the `-shm`, or by what it changed;
//! - **an empty file**: an empty database, under the shared lock.
//!
//! Invariant: no file is created, written or deleted. The SQLite connection opens the `-shm` for reading only, and
//! does not checkpoint when it closes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use walkeep::core::{Error, PageCount, PageNo, PageSize, Result};

use crate::hold::{self, Attempt, Held, Hold, beside};
use crate::snapshot::Snapshot;
use crate::wal::Wal;
use crate::{descriptors, live_log};

/// How often opening is tried at least, however short the time to wait.
const ATTEMPTS: u32 = 10;

/// The committed state of a SQLite database, held still while this value lives.
///
/// Writers in WAL mode go on meanwhile; in rollback mode they wait.
#[derive(Debug)]
pub struct Source {
    snapshot: Snapshot,
    // Declared last: dropped after everything that reads.
    hold: Hold,
}

impl Source {
    /// Takes hold of a database. Waits up to `timeout` for a writer that has it locked.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such file; `Invalid` when it is not a SQLite database, or a crashed writer has
    /// left it with a journal that must be rolled back first, or it is empty beside a log; `Corrupt` when the log
    /// of live connections is damaged; `Exhausted` when it stayed locked; `Io`.
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
        loop {
            attempt += 1;
            match hold::take(path)?.map(|held| Self::held(path, held, &waiting)) {
                Ok(source) => match source? {
                    Ok(source) => return Ok(source),
                    Err(error) if attempt >= ATTEMPTS && waiting.is_over() => return Err(error),
                    Err(_) => {}
                },
                Err(error) if attempt >= ATTEMPTS && waiting.is_over() => return Err(error),
                Err(_) => {}
            }
            // Side files that come and go are waited for like locks.
            waiting.pause();
        }
    }

    /// Looks at the database now that it is held.
    fn held(path: &Path, held: Held, waiting: &Waiting) -> Result<Attempt<Self>> {
        let Held { file, header, hold } = held;
        if matches!(hold, Hold::AtRest(_) | Hold::Stale(..)) && hold::has_journal(path)? {
            return Err(hold::hot_journal(path));
        }
        let page_size = header.map_or(PageSize::DEFAULT, |header| header.page_size);
        let wal = match scan_wal(path, page_size, &hold, waiting)? {
            Ok(wal) => wal,
            Err(error) => return Ok(Err(error)),
        };
        let snapshot = Snapshot::new(path, file, page_size, wal)?;
        Ok(Ok(Self { snapshot, hold }))
    }

    /// The path of the database.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.snapshot.path
    }

    /// The size of a page.
    #[must_use]
    pub const fn page_size(&self) -> PageSize {
        self.snapshot.page_size
    }

    /// The size of the database.
    #[must_use]
    pub const fn size(&self) -> PageCount {
        self.snapshot.size
    }

    /// Calls `visit` with every page of the database in order.
    ///
    /// # Errors
    ///
    /// `Io`, and what `visit` returns.
    pub fn for_each_page(&self, visit: impl FnMut(PageNo, &[u8]) -> Result<()>) -> Result<()> {
        self.snapshot.for_each_page(visit)
    }

    /// Whether everything read so far belongs to one state of the database. If not, begin again with a new
    /// [`Source`].
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn is_unchanged(&self) -> Result<bool> {
        let failed = |error: io::Error| Error::io(format!("read {}", self.snapshot.path.display()), error);
        if !self.hold.is_unchanged(&self.snapshot.path)? {
            return Ok(false);
        }
        self.snapshot.wal.as_ref().map_or(Ok(true), |wal| wal.is_unchanged().map_err(failed))
    }
}

/// The committed log: up to what live connections hold to be committed, else all of it. `None` when there is none.
fn scan_wal(
    path: &Path,
    page_size: PageSize,
    hold: &Hold,
    waiting: &Waiting,
) -> Result<Attempt<Option<Wal>>> {
    let log = beside(path, "-wal");
    let failed = |error: io::Error| Error::io(format!("read {}", log.display()), error);
    match hold {
        Hold::Transaction(_) | Hold::Empty(_) => Ok(Ok(None)),
        Hold::Live(_, shm) => {
            let wal = live_log::read(&log, shm, page_size, || waiting.pause())?;
            Ok(wal
                .map(Some)
                .ok_or_else(|| hold::locked(path, "its connections are about to recover its log")))
        }
        Hold::AtRest(_) | Hold::Stale(..) => {
            let Some(file) = descriptors::open(&log).map_err(failed)? else {
                return Ok(Ok(None));
            };
            let wal = Wal::scan(Arc::clone(&file), page_size, u64::MAX).map_err(failed)?;
            if wal.salts().is_none()
                && let Some(other) = Wal::committed_page_size(file).map_err(failed)?
            {
                let (other, own) = (other.bytes(), page_size.bytes());
                return Err(Error::invalid(
                    format!("capturing {}", path.display()),
                    format!(
                        "its log {} has commits in pages of {other} bytes, the database has pages of {own}: SQLite \
                         would use the log. They do not belong together: put the right one in its place, or move \
                         the log away if it is a leftover",
                        log.display()
                    ),
                ));
            }
            Ok(Ok(Some(wal)))
        }
    }
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
