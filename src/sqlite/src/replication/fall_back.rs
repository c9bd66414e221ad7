//! How a capture got over what it did not see as it happened.

use std::fmt;

use serde::{Deserialize, Serialize};
use walkeep::core::UnixMillis;

/// How a capture went on, from the most to the least exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Transactions of a round of the log that was over already were read from behind the frames of the next one, and
    /// the database proven to be what they lead to. Nothing is missing.
    OldTail,
    /// The database was compared with the last known state: one commit has the difference, the restore points of what
    /// happened in between are missing.
    Difference,
    /// The whole database was stored.
    Whole,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OldTail => "old tail",
            Self::Difference => "difference",
            Self::Whole => "whole database",
        })
    }
}

/// That a capture went another way than from one commit to the next, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FallBack {
    /// The way it took.
    pub way: Way,
    /// What made it necessary.
    pub why: String,
    /// When.
    pub time: UnixMillis,
}
