//! Where the queue of a namespace stands, for whoever shows it.

use walkeep_core::{Epoch, FrameNo, Quota};

use super::quota::{Total, Usage};

/// Where a namespace's queue stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStatus {
    /// The epoch it was opened in.
    pub epoch: Epoch,
    /// The durable frame, if there is one.
    pub durable: Option<FrameNo>,
    /// Segments that wait or are being stored.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Attempts that failed since one that did not.
    pub failures: u32,
    /// What the last attempt failed with; after another writer took over, that.
    pub last_error: Option<String>,
    /// Whether nothing more will be stored, because another writer took over, or trying again cannot help.
    pub closed: bool,
    /// What it may take of the store.
    pub quota: Quota,
    /// What it takes, counting what is being stored; `None` while nothing limits it in bytes or segments.
    pub used: Option<Usage>,
    /// How often a segment was refused for want of room: each attempt counts.
    pub refusals: u64,
    /// What all namespaces together may take and take, if that is limited.
    pub total: Option<Total>,
    /// Whether the next segment waits because there is no room for it: see `last_error`.
    pub over_quota: bool,
}
