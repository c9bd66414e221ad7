//! What the daemon of a database has left beside it, as another process reads it.
//!
//! It is what the daemon wrote last, which may be long ago while nothing happens; the sign of life tells whether it looks.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use walkeep::backends::os::OsDirectory;
use walkeep::core::{Error, Result, UnixMillis};

use super::super::status::{Phase, Status};
use super::{LOCK, STATUS, checked_file};

/// So many safety polls without a sign of life, and so long in any case, and nobody looks any more.
const SILENT_POLLS: u32 = 3;
const SILENT_MIN: Duration = Duration::from_secs(5);

/// The status that a daemon wrote beside a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalStatus {
    /// What it wrote last.
    pub status: Status,
    /// Whether a process has the database now.
    pub runs: bool,
    /// When that last gave a sign of life; `None` when it is not known.
    pub sign_of_life: Option<UnixMillis>,
}

impl LocalStatus {
    /// Reads the status in the local state of a database; `None` when there is none.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn read(state_directory: &Path) -> Result<Option<Self>> {
        let directory = match OsDirectory::open(state_directory) {
            Ok(directory) => directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(format!("open {}", state_directory.display()), error)),
        };
        let Some(status) = checked_file::read(&directory, STATUS)? else { return Ok(None) };
        let lock = File::open(state_directory.join(LOCK)).ok();
        let changed = lock.as_ref().and_then(|lock| lock.metadata().and_then(|found| found.modified()).ok());
        let since = changed.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let millis = since.and_then(|since| u64::try_from(since.as_millis()).ok());
        // A shared lock for a moment: whoever replicates holds it exclusively.
        let runs = lock.is_some_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)));
        Ok(Some(Self { status, runs, sign_of_life: millis.map(UnixMillis) }))
    }

    /// How long a process that should look at the database has given no sign of life, if that is too long: it hangs, or is
    /// stopped, or works on something large.
    #[must_use]
    pub fn silent_for(&self, now: UnixMillis) -> Option<Duration> {
        let looks = self.runs && matches!(self.status.phase, Phase::Capturing | Phase::SpoolFull);
        let since = self.sign_of_life.filter(|_| looks)?;
        let silent = Duration::from_millis(now.get().saturating_sub(since.get()));
        let poll = Duration::from_millis(self.status.poll_interval_ms?);
        (silent > poll.saturating_mul(SILENT_POLLS).max(SILENT_MIN)).then_some(silent)
    }
}
