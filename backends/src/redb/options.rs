//! How a set of shards is opened.

use std::time::Duration;

use walkeep_core::shards::{ShardCount, ShardPurpose};

/// How a set of shards is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardsOptions {
    /// What is kept in it. A set of another purpose is refused.
    pub purpose: ShardPurpose,
    /// How many shards it must have; `None` takes what an existing set has. A set with another number is refused.
    pub shards: Option<ShardCount>,
    /// How many shards a new set gets if `shards` does not say it.
    pub shards_if_new: ShardCount,
    /// Whether a set that is not there is created.
    pub create: bool,
    /// How much memory all shards together may use for what was read and what is about to be written, in bytes.
    pub cache_bytes: usize,
    /// How many rows of small objects may wait in memory, in all shards together, before they are written, and of how many directories
    /// it is known where they begin (`docs/redb.md`); one of each takes about 256 bytes. The fewer, the more is written and looked for.
    pub rows_waiting: usize,
    /// How long to wait for another process that has the set open.
    pub lock_wait: Duration,
    /// Whether all pages are checked at every opening, not only after a crash. That reads everything.
    pub check: bool,
}

impl ShardsOptions {
    /// The usual ones: created if missing, 4 shards if new, 64 MiB of memory, two seconds for another process to end, no
    /// check of all pages.
    ///
    pub fn new(purpose: ShardPurpose) -> Self {
        Self {
            purpose,
            shards: None,
            shards_if_new: ShardCount::new(4).unwrap_or(ShardCount::ONE),
            create: true,
            cache_bytes: 64 << 20,
            rows_waiting: 128 << 10,
            lock_wait: Duration::from_secs(2),
            check: false,
        }
    }

    /// How many rows may wait in each of so many shards.
    pub(super) fn rows_of_each(&self, shards: ShardCount) -> usize {
        self.rows_waiting / usize::from(shards.get())
    }

    /// The cache of each of so many shards.
    pub(super) fn cache_of_each(&self, shards: ShardCount) -> usize {
        (self.cache_bytes / usize::from(shards.get())).max(256 << 10)
    }
}
