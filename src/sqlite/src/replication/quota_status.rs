//! What a namespace may take of its store, and takes.

use serde::{Deserialize, Serialize};
use walkeep::core::Quota;
use walkeep::storage::{Total, Usage};

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
    /// What all databases may take together and take that the same process replicates to the store; `None` if that is not
    /// limited. What other processes store there does not count.
    #[serde(default)]
    pub total: Option<Total>,
}
