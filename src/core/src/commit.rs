//! The last frame of a transaction: a point that can be restored.

use serde::{Deserialize, Serialize};

use crate::frame_no::FrameNo;
use crate::page::PageCount;
use crate::page_hash::StateChecksum;
use crate::unix_millis::UnixMillis;

/// How a commit came to be recorded, which decides what is known about the time before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitKind {
    /// One transaction of the database: nothing lies between it and the commit before.
    #[default]
    Transaction,
    /// One of a series of captures by comparison (`replicate --once`): transactions between it and the commit
    /// before were not recorded one by one. A time between the two is answered with the earlier capture.
    Snapshot,
    /// A capture by comparison after a gap in a continuous recording: what the database was between this commit
    /// and the one before is unknown, and times strictly between are unreachable.
    Discontinuous,
}

/// A commit: its last frame, and what the database is after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The last frame of the transaction.
    pub frame_no: FrameNo,
    /// The size of the database after it.
    pub size_after: PageCount,
    /// When it was recorded. Never lower than that of an earlier commit of the log; equal is possible.
    pub time: UnixMillis,
    /// The state checksum of the database after it, where the writer knew it.
    pub state: Option<StateChecksum>,
    /// What is known about the time before it.
    pub kind: CommitKind,
}
