//! What replication keeps on local disk beside a database: `.NAME-walkeep/`.
//!
//! - `lock`: held by the one process that replicates the database; its time of change is when that last gave a sign of life;
//! - `START-END.segment`: sealed segments that are not known to be stored, each with the position behind it;
//! - `position.json`: the position behind the newest segment that is stored;
//! - `opening.json`: the epoch of the last opening of the namespace;
//! - `pages`: the hash of every page after the newest segment;
//! - `status.json`: what `walkeep status` shows.
//!
//! Invariants: a crash at any point leaves a position and the segments behind it without a hole; whatever is lost or
//! damaged here costs a comparison with the store, never a wrong commit. Nothing outside the directory is written.

mod checked_file;
mod local_status;
mod position;
mod spool_file;
mod table_file;

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use walkeep::Handles;
use walkeep::backends::os::OsDirectory;
use walkeep::core::segment::SegmentSummary;
use walkeep::core::{Directory, Epoch, Error, LogId, Random, Result, SegmentId};

pub use self::local_status::LocalStatus;
pub(crate) use self::position::{DatabaseIdentity, Position};
pub(crate) use self::spool_file::SpoolFile;
pub(crate) use self::table_file::TableFile;
use super::status::Status;

const POSITION: &str = "position.json";
const OPENING: &str = "opening.json";
const STATUS: &str = "status.json";
const LOCK: &str = "lock";

/// The last opening of the namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Opening {
    pub(crate) log_id: LogId,
    pub(crate) epoch: Epoch,
    /// The database that it was opened for.
    #[serde(default)]
    pub(crate) database: Option<DatabaseIdentity>,
}

/// The directory, locked.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    pub(crate) directory: Arc<dyn Directory>,
    path: PathBuf,
    handles: Handles,
    lock: File,
}

/// The directory of a database's local state, if no other was asked for.
#[must_use]
pub fn state_directory(database: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(database.file_name().unwrap_or_default());
    name.push("-walkeep");
    database.with_file_name(name)
}

fn temporary_name(random: &dyn Random) -> Result<String> {
    Ok(format!("tmp-{:032x}", SegmentId::random(random)?.0))
}

impl StateDirectory {
    /// Opens the directory, creating it if it is new, and takes it for this process. Leftovers of a crash are removed.
    ///
    /// # Errors
    ///
    /// `Invalid` when another process has it; `Io`.
    pub(crate) fn open(path: &Path, handles: &Handles) -> Result<Self> {
        let failed = |error| Error::io(format!("open the local state {}", path.display()), error);
        let directory = OsDirectory::create(path).map_err(failed)?;
        let lock = lock(path)?;
        let opened =
            Self { directory: Arc::new(directory), path: path.to_path_buf(), handles: handles.clone(), lock };
        for name in opened.names()?.iter().filter(|name| name.starts_with("tmp-")) {
            opened.remove(name)?;
        }
        Ok(opened)
    }

    fn names(&self) -> Result<Vec<String>> {
        let entries = self.directory.entries(Path::new(""));
        let entries = entries.map_err(|error| Error::io(format!("list {}", self.path.display()), error))?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    fn remove(&self, name: &str) -> Result<()> {
        match self.directory.remove_file(Path::new(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format!("remove {name} of the local state"), error))
            }
            _ => Ok(()),
        }
    }

    /// The position behind the newest segment that is stored.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(crate) fn position(&self) -> Result<Option<Position>> {
        checked_file::read(&*self.directory, POSITION)
    }

    /// Records it.
    ///
    /// # Errors
    ///
    /// `Io`, `Exhausted`, `Unknown`.
    pub(crate) fn set_position(&self, position: &Position, sync: bool) -> Result<()> {
        checked_file::replace(&*self.directory, POSITION, position, sync, &*self.handles.random)
    }

    /// The last opening.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(crate) fn opening(&self) -> Result<Option<Opening>> {
        checked_file::read(&*self.directory, OPENING)
    }

    /// Records an opening, durably.
    ///
    /// # Errors
    ///
    /// `Io`, `Exhausted`, `Unknown`.
    pub(crate) fn set_opening(&self, opening: &Opening) -> Result<()> {
        checked_file::replace(&*self.directory, OPENING, opening, true, &*self.handles.random)
    }

    /// Records the status.
    ///
    /// # Errors
    ///
    /// `Io`, `Exhausted`.
    pub(crate) fn set_status(&self, status: &Status) -> Result<()> {
        checked_file::replace(&*self.directory, STATUS, status, false, &*self.handles.random)
    }

    /// Shows that the replication is alive. That costs no write of its own.
    pub(crate) fn give_sign_of_life(&self) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(self.handles.clock.now().get());
        if let Err(error) = self.lock.set_modified(now) {
            tracing::debug!(%error, "no sign of life could be given");
        }
    }

    /// The segments in the spool behind a position, oldest first, up to the first one that is not whole or does not join. Those behind it
    /// are removed.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(crate) fn spool(&self, behind: Option<&Position>) -> Result<Vec<SpoolFile>> {
        let mut names = self.names()?;
        names.retain(|name| spool_file::is_name(name));
        names.sort_unstable();
        let mut files: Vec<SpoolFile> = Vec::new();
        for (at, name) in names.iter().enumerate() {
            let file = SpoolFile::open(&self.directory, name)?;
            let is_stored = |file: &SpoolFile| {
                behind.is_some_and(|position| {
                    position.log_id == file.position.log_id && file.end() <= position.commit.frame_no
                })
            };
            if file.as_ref().is_some_and(is_stored) {
                self.remove(name)?;
                continue;
            }
            let joins = |file: &SpoolFile| {
                files.last().is_none_or(|last| {
                    last.end().next() == Some(file.start()) && last.position.log_id == file.position.log_id
                })
            };
            match file.filter(joins) {
                Some(file) => files.push(file),
                None => {
                    tracing::warn!(%name, "a segment in the spool is not whole (a power loss?); it is captured anew");
                    names.iter().skip(at).try_for_each(|name| self.remove(name))?;
                    break;
                }
            }
        }
        Ok(files)
    }

    /// Removes every segment from the spool but these.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(crate) fn keep_in_spool(&self, kept: &[SpoolFile]) -> Result<()> {
        let kept = kept.iter().map(SpoolFile::name).collect::<Vec<_>>();
        let names = self.names()?;
        let others = names.iter().filter(|name| spool_file::is_name(name) && !kept.contains(name));
        others.into_iter().try_for_each(|name| self.remove(name))
    }

    /// Writes a file under a temporary name, then the position behind what `write` wrote, and gives it its name.
    ///
    /// # Errors
    ///
    /// Those of `write`; `Io`, `Exhausted`.
    pub(crate) fn add_to_spool(
        &self,
        position: &Position,
        write: impl FnOnce(Arc<dyn walkeep::core::File>) -> Result<SegmentSummary>,
    ) -> Result<SpoolFile> {
        let temporary = temporary_name(&*self.handles.random)?;
        let added = self.write_spool_file(&temporary, position, write);
        if added.is_err() {
            // If it stays, the next start removes it.
            let _ = self.directory.remove_file(Path::new(&temporary));
        }
        added
    }

    fn write_spool_file(
        &self,
        temporary: &str,
        position: &Position,
        write: impl FnOnce(Arc<dyn walkeep::core::File>) -> Result<SegmentSummary>,
    ) -> Result<SpoolFile> {
        let failed =
            |error| Error::io(format!("write a segment to the spool in {}", self.path.display()), error);
        let file = self.directory.create_new(Path::new(temporary)).map_err(failed)?;
        let file: Arc<dyn walkeep::core::File> = file.into();
        let summary = write(Arc::clone(&file))?;
        file.write_all_at(summary.len, &spool_file::tail(position)?).map_err(failed)?;
        let name = spool_file::name(summary.key.start(), summary.key.end());
        self.directory.rename(Path::new(temporary), Path::new(&name)).map_err(failed)?;
        Ok(SpoolFile::new(&self.directory, name, summary, *position, false))
    }

    /// Makes a file of the spool durable, but not its name.
    ///
    /// # Errors
    ///
    /// `Unknown`, which is final.
    pub(crate) fn sync_spool_file(&self, file: &mut SpoolFile) -> Result<()> {
        let name = file.name();
        let synced = self.directory.open(Path::new(&name)).and_then(|file| file.sync());
        synced.map_err(|error| Error::Unknown { what: format!("sync {name} of the spool: {error}") })?;
        file.synced = true;
        Ok(())
    }

    /// Makes all names durable.
    ///
    /// # Errors
    ///
    /// `Unknown`, which is final.
    pub(crate) fn sync_names(&self) -> Result<()> {
        let synced = self.directory.sync_directory(Path::new(""));
        synced.map_err(|error| Error::Unknown { what: format!("sync {}: {error}", self.path.display()) })
    }

    /// Removes a file of the spool, which is stored.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(crate) fn remove_from_spool(&self, file: &SpoolFile) -> Result<()> {
        self.remove(&file.name())
    }
}

fn lock(path: &Path) -> Result<File> {
    let path = path.join(LOCK);
    let failed = |error| Error::io(format!("lock {}", path.display()), error);
    let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
    let mut file = opened.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Error::invalid(
                format!("the local state {}", path.parent().unwrap_or(&path).display()),
                "another process replicates this database; there can be only one on a machine",
            ));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}
