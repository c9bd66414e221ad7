//! What opening a log comes to.

use std::fmt;

use walkeep_core::Commit;

use super::Log;

/// What opening a log comes to.
#[derive(Debug)]
pub enum Opened {
    /// It goes on.
    Ready(Box<Log>, Recovered),
    /// It does not go on where the store ends. Call [`Log::discard`], restore the database from the store, and open
    /// an empty log on it.
    Stale(Stale),
}

/// What was found when a log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The newest commit, local or durable.
    pub last: Option<Commit>,
    /// How many committed frames are here and not in the store yet: see [`Log::sealed`].
    pub frames_not_durable: u64,
    /// How many bytes were left by transactions that were never committed.
    pub cut_bytes: u64,
}

/// Why a local log does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// What does not fit.
    pub why: String,
    /// The newest local commit. Commits behind the durable one are lost when the log is discarded.
    pub local: Option<Commit>,
    /// The newest durable commit.
    pub durable: Option<Commit>,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the local log is stale: {}; discard it, and restore the database from the store", self.why)
    }
}
