//! What a replica can be told, and what it tells.

use std::fmt;

use walkeep_core::{Commit, ReplicaVersion};

use super::journal_mode::JournalMode;
use crate::restore::RestoreOptions;
use crate::view::DATABASE_BYTES_MAX;

/// How to keep a replica.
#[derive(Clone, Debug)]
pub struct ReplicaOptions {
    /// In which journal mode SQLite sees it; default [`JournalMode::AsStored`].
    pub journal_mode: JournalMode,
    /// Take the place of a file that is not a replica of this namespace, and remove `-wal`, `-shm` and `-journal` files
    /// beside it; default no.
    pub force: bool,
    /// Refuse databases larger than this; default [`DATABASE_BYTES_MAX`].
    pub database_bytes_max: u64,
    /// How pages are fetched.
    pub restore: RestoreOptions,
}

impl Default for ReplicaOptions {
    fn default() -> Self {
        Self {
            journal_mode: JournalMode::default(),
            force: false,
            database_bytes_max: DATABASE_BYTES_MAX,
            restore: RestoreOptions::default(),
        }
    }
}

/// Why a replica is made from nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seeding {
    /// There was none.
    New,
    /// It takes the place of a file that was no replica of this namespace.
    TakenOver,
    /// The file is gone, or was never put in place.
    Missing,
    /// The file is not what was written: somebody else has changed or replaced it.
    Changed,
    /// What stands beside it is damaged, so that it is not known what the file is; with the damage.
    StateDamaged(String),
    /// The namespace has another log than the replica: it was deleted and made again, or this is another store.
    OtherLog,
    /// The size of pages has changed.
    OtherPageSize,
}

impl fmt::Display for Seeding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("it is new"),
            Self::TakenOver => f.write_str("what was there was no replica of this namespace"),
            Self::Missing => f.write_str("the file was not there"),
            Self::Changed => f.write_str("the file was changed by somebody else"),
            Self::StateDamaged(why) => write!(f, "its state cannot be read: {why}"),
            Self::OtherLog => f.write_str("the namespace has another log now"),
            Self::OtherPageSize => f.write_str("the size of its pages has changed"),
        }
    }
}

/// How a version was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// From the version before it.
    Updated,
    /// From nothing.
    Seeded(Seeding),
}

/// A version that was put in place.
#[derive(Clone, Debug)]
pub struct Applied {
    /// What it is.
    pub version: ReplicaVersion,
    /// The commit that it is after.
    pub commit: Commit,
    /// The commit before it in the file, if it is known.
    pub before: Option<ReplicaVersion>,
    /// How it was made.
    pub how: How,
    /// Pages that were written.
    pub pages_written: u64,
    /// Whether the writer had recorded a state checksum for the commit, and it was this one.
    pub verified: bool,
}

/// What a look at the store came to.
#[derive(Clone, Debug)]
pub enum Step {
    /// There is nothing newer than this.
    UpToDate(ReplicaVersion),
    /// The store ends before what the replica has: stored segments are gone. Nothing was done.
    StoreBehind {
        /// What the replica has.
        replica: ReplicaVersion,
        /// The newest commit of the store.
        newest: Commit,
    },
    /// A newer version was put in place.
    Applied(Box<Applied>),
}
