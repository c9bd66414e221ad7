//! What a namespace may take of its store, and takes.

use serde::{Deserialize, Serialize};
use walkeep::core::Quota;
use walkeep::storage::Usage;

/// What a namespace may take of its store, and takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaStatus {
    /// What it may take by itself.
    pub limit: Quota,
    /// What it takes, counting what is being stored; `None` while nothing limits it in bytes or segments, so that nobody counts.
    pub used: Option<Usage>,
    /// Whether the next segment waits for room.
    pub over: bool,
    /// How often a segment was refused for want of room since the start: each attempt counts.
    pub refusals: u64,
}
