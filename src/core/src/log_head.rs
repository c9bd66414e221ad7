//! Where a log goes on.

use crate::commit::Commit;
use crate::epoch::Epoch;
use crate::ids::LogId;
use crate::page::PageSize;
use crate::page_hash::HashSeed;
use crate::unix_millis::UnixMillis;

/// Where a log goes on, and under which identity: what opening a namespace for writing gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogHead {
    /// The log's identity.
    pub log_id: LogId,
    /// The seed of its page hashes.
    pub hash_seed: HashSeed,
    /// The epoch to write in: new segments carry it.
    pub epoch: Epoch,
    /// The size of a page, as it was asked for.
    pub page_size: PageSize,
    /// The newest durable commit, whatever page size it had; `None` when the log is empty.
    pub durable: Option<Commit>,
    /// Times of new commits are not lower than this.
    pub time_floor: UnixMillis,
    /// Whether nothing is stored anywhere: the database file alone has what the local log no longer has.
    pub unbounded: bool,
}
