//! A database that is held while others write it.
//!
//! Invariant: from one capture to the next there is a mark at every moment (the next one is taken before the last one
//! ends), so that no frame is written over before it was captured. The log begins anew only when everything up to
//! the newest mark was captured: under a mark that was taken when all of it was in the database file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use walkeep::core::{Error, PageSize, Result};

use super::checkpoint_lock::CheckpointLock;
use super::connection::{self, WriteBarrier, connect, failed};
use super::mark::Mark;
use super::state::DatabaseIdentity;
use crate::database_header::{self, DatabaseHeader};
use crate::descriptors;
use crate::hold::beside;
use crate::images::Images;
use crate::locks::is_written;
use crate::snapshot::Snapshot;
use crate::wal::Wal;
use crate::wal_header::{FRAME_HEADER_LEN, HEADER_LEN, read_at};
use crate::wal_index::{WalIndexHeader, backfilled};
use crate::wal_position::WalPosition;

/// A database in WAL mode, held by a mark.
#[derive(Debug)]
pub(super) struct LiveDatabase {
    path: PathBuf,
    busy_timeout: Duration,
    page_size: PageSize,
    database: Arc<File>,
    log: Arc<File>,
    shm: Arc<File>,
    checkpoint_lock: CheckpointLock,
    mark: Mark,
    /// The mark before, until everything up to `mark` is captured.
    older: Option<Mark>,
    spare: Option<Connection>,
}

impl LiveDatabase {
    /// Opens a database and takes a mark.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Invalid` when it is not a SQLite database in WAL mode, or may not be used; `Exhausted` while it is
    /// locked; `Io`.
    pub(super) fn open(path: &Path, busy_timeout: Duration) -> Result<Self> {
        let path = &std::fs::canonicalize(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::not_found(format!("the database {}", path.display())),
            _ => failed("open", path)(error),
        })?;
        let io = failed("open", path);
        let gone = || Error::not_found(format!("the database {}", path.display()));
        let database = descriptors::open(path).map_err(io)?.ok_or_else(gone)?;
        let mut bytes = [0; database_header::HEADER_LEN];
        let len = read_at(&database, 0, &mut bytes).map_err(io)?;
        check_mode(path, bytes.get(..len).unwrap_or_default())?;
        let connection = connect(path, busy_timeout)?;
        // The first read opens, or makes, the log and the -shm.
        connection::begin_read(path, &connection)?;
        connection::end(&connection);
        let side = |suffix: &str| {
            let beside = beside(path, suffix);
            let opened = descriptors::open(&beside).map_err(io)?;
            opened.ok_or_else(|| no_side_file(path, suffix))
        };
        let (log, shm) = (side("-wal")?, side("-shm")?);
        let for_locks = descriptors::open_for_locks(&beside(path, "-shm")).map_err(io)?;
        let checkpoint_lock = CheckpointLock::new(for_locks.ok_or_else(|| no_side_file(path, "-shm"))?);
        let mark = Mark::take(path, connection, &shm)?;
        // Now nobody changes the mode.
        let len = read_at(&database, 0, &mut bytes).map_err(io)?;
        let page_size = check_mode(path, bytes.get(..len).unwrap_or_default())?;
        let (path, older, spare) = (path.clone(), None, None);
        let live =
            Self { path, busy_timeout, page_size, database, log, shm, checkpoint_lock, mark, older, spare };
        if live.is_replaced()? {
            return Err(crate::hold::locked(&live.path, "it is being replaced by another file"));
        }
        Ok(live)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn page_size(&self) -> PageSize {
        self.page_size
    }

    pub(super) const fn mark(&self) -> &Mark {
        &self.mark
    }

    /// The place behind everything that the mark sees.
    pub(super) const fn end(&self) -> WalPosition {
        let header = &self.mark.header;
        match header.frames {
            0 => WalPosition::start(header.salts),
            frame => WalPosition { salts: header.salts, frame, checksum: header.checksum },
        }
    }

    /// The log as it is now; `None` while a writer changes the header.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(super) fn look(&self) -> Result<Option<WalIndexHeader>> {
        WalIndexHeader::read(&self.shm).map_err(failed("read the -shm of", &self.path))
    }

    /// The length of a frame of the log.
    pub(super) const fn frame_len(&self) -> u64 {
        FRAME_HEADER_LEN as u64 + self.page_size.bytes_u64()
    }

    /// Where in the log the frame behind so many begins.
    pub(super) const fn offset(&self, frames: u64) -> u64 {
        HEADER_LEN as u64 + frames * self.frame_len()
    }

    /// The length of the frames of the log up to its last commit.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(super) fn log_bytes(&self) -> Result<u64> {
        let frames = self.look()?.map_or(0, |header| header.frames);
        Ok(frames * self.frame_len())
    }

    /// How many frames of the log are in the database file.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(super) fn in_file(&self) -> Result<u64> {
        backfilled(&self.shm).map_err(failed("read the -shm of", &self.path))
    }

    /// Whether a writer is at work, whose commit may not be visible yet.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(super) fn is_written(&self) -> Result<bool> {
        is_written(&self.shm).map_err(failed("look at the locks of", &self.path))
    }

    pub(super) fn log_path(&self) -> PathBuf {
        beside(&self.path, "-wal")
    }

    pub(super) fn log(&self) -> &File {
        &self.log
    }

    pub(super) fn images(&self) -> Images {
        Images { log: Arc::clone(&self.log), database: Arc::clone(&self.database) }
    }

    /// # Errors
    ///
    /// `Io`.
    pub(super) fn identity(&self) -> Result<DatabaseIdentity> {
        DatabaseIdentity::of(&self.database).map_err(failed("look at", &self.path))
    }

    /// Whether another file has the place of the database, or of its log.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(super) fn is_replaced(&self) -> Result<bool> {
        let files = [("", &self.database), ("-wal", &self.log), ("-shm", &self.shm)];
        for (suffix, file) in files {
            let path = beside(&self.path, suffix);
            if !descriptors::is_at(file, &path).map_err(failed("look at", &path))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes a mark at the end of the log, and keeps the one before until [`LiveDatabase::release`].
    ///
    /// # Errors
    ///
    /// As [`Mark::take`].
    pub(super) fn leap(&mut self) -> Result<()> {
        let connection = match self.spare.take() {
            Some(spare) => spare,
            None => connect(&self.path, self.busy_timeout)?,
        };
        let next = Mark::take(&self.path, connection, &self.shm)?;
        let last = std::mem::replace(&mut self.mark, next);
        match self.older {
            // Something up to there is not captured yet.
            Some(_) => self.spare = last.end(),
            None => self.older = Some(last),
        }
        Ok(())
    }

    /// Whether the log may have begun anew between the mark before and this one.
    pub(super) fn may_have_restarted(&self) -> bool {
        self.older.as_ref().is_none_or(|older| older.may_restart)
    }

    /// Everything up to the mark is captured: the one before ends.
    pub(super) fn release(&mut self) {
        if let Some(older) = self.older.take() {
            self.spare = older.end();
        }
    }

    /// Closes what is not needed while nothing happens.
    pub(super) fn rest(&mut self) {
        self.spare = None;
    }

    /// The database at the mark. It holds still while no other mark is taken.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the log does not have the frames that it should; `Io`.
    pub(super) fn snapshot(&self) -> Result<Snapshot> {
        let header = &self.mark.header;
        let file = Arc::clone(&self.database);
        if self.mark.all_in_file {
            let mut snapshot = Snapshot::new(&self.path, file, self.page_size, None)?;
            if header.frames > 0 {
                snapshot.size = header.size;
            }
            return Ok(snapshot);
        }
        let io = failed("read the log of", &self.path);
        let wal = Wal::scan(Arc::clone(&self.log), self.page_size, header.frames).map_err(io)?;
        if wal.salts() != Some(header.salts) || wal.frames() != header.frames {
            let expected = format!("{} frames that the open connections use", header.frames);
            let found = format!("{} that hold", wal.frames());
            return Err(Error::corrupt(beside(&self.path, "-wal").display(), wal.end(), expected, found));
        }
        Snapshot::new(&self.path, file, self.page_size, Some(wal))
    }

    /// Copies frames of the log into the database; see [`connection::checkpoint`].
    ///
    /// # Errors
    ///
    /// As there.
    pub(super) fn checkpoint(&mut self) -> Result<(u64, u64)> {
        let connection = connect(&self.path, Duration::ZERO)?;
        let done = connection::checkpoint(&self.path, &connection);
        self.checkpoint_lock.renew().map_err(failed("lock the -shm of", &self.path))?;
        done
    }

    /// Makes what was copied into the database durable. SQLite does so by itself only when all of the log was copied.
    ///
    /// # Errors
    ///
    /// `Unknown`: what was copied may be lost, and is in the log.
    pub(super) fn sync(&self) -> Result<()> {
        let what = |error| Error::Unknown { what: format!("sync {}: {error}", self.path.display()) };
        self.database.sync_data().map_err(what)
    }

    /// From now on only we checkpoint: see [`CheckpointLock`].
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(super) fn keep_checkpoints_away(&mut self) -> Result<()> {
        self.checkpoint_lock.take().map_err(failed("lock the -shm of", &self.path))
    }

    /// Everybody may checkpoint.
    pub(super) fn let_others_checkpoint(&mut self) {
        self.checkpoint_lock.give_back();
    }

    /// Copies frames of the log into the database while it is not held, so that the log can begin anew.
    pub(super) fn checkpoint_unattended(path: &Path) {
        let done = connect(path, Duration::ZERO).and_then(|it| connection::checkpoint(path, &it));
        if let Err(error) = done {
            tracing::debug!(%error, "a checkpoint did not come about");
        }
    }

    /// Keeps writers out for a moment; `None` when one does not make room.
    ///
    /// # Errors
    ///
    /// As [`connect`].
    pub(super) fn barrier(&self) -> Result<Option<WriteBarrier>> {
        WriteBarrier::take(&self.path, connect(&self.path, Duration::ZERO)?)
    }
}

/// The page size of a database in WAL mode.
fn check_mode(path: &Path, bytes: &[u8]) -> Result<PageSize> {
    let header = DatabaseHeader::parse(path, bytes)?;
    match header {
        Some(header) if header.wal_mode => Ok(header.page_size),
        _ => Err(Error::invalid(
            format!("replicating {}", path.display()),
            format!(
                "it {}: continuous replication reads SQLite's write-ahead log. Let the application use \
                 `PRAGMA journal_mode = wal`, or let Walkeep switch it, once and for good, with --set-wal; single \
                 captures work in any mode (--once)",
                if header.is_none() { "is empty and not in WAL mode" } else { "is not in WAL mode" }
            ),
        )),
    }
}

/// That there is no hold, where there must be one: the session ends, and the next one takes it.
pub(super) fn not_held() -> Error {
    Error::Unknown { what: "the database is not held; it is opened again".into() }
}

fn no_side_file(path: &Path, suffix: &str) -> Error {
    Error::invalid(
        format!("replicating {}", path.display()),
        format!(
            "it has no {suffix} file although it is open: a process has it for itself (`PRAGMA locking_mode = \
             exclusive`), or its files are being replaced. Let the application use the normal locking mode"
        ),
    )
}
