//! What a user may choose about a log.

use serde::{Deserialize, Serialize};
use walkeep_core::segment::Compression;
use walkeep_core::{Result, SealPolicy};

use crate::view::DATABASE_BYTES_MAX;

/// When a commit is made durable on the local disk, and so what a power loss costs. The end of the process alone
/// costs nothing, whatever the policy: the operating system has the bytes.
///
/// Whatever is lost, whole transactions are lost, newest first. What was sealed is never lost to a power loss: sealing
/// always syncs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncPolicy {
    /// Each commit is synced before it returns. A power loss costs nothing that was acknowledged.
    #[default]
    EveryCommit,
    /// A commit that finds the oldest commit not synced yet to be so many milliseconds old is synced, with all before
    /// it. A power loss costs the commits of that time, provided that a timer calls
    /// [`Log::sync_if_due`](super::Log::sync_if_due) at [`Log::sync_due_at`](super::Log::sync_due_at) (else the
    /// last commits before a pause stay exposed for as long as the pause lasts).
    IntervalMs(u64),
    /// Nothing is synced but sealed segments. A power loss costs what was committed since the last one.
    Never,
}

/// What a user may choose about a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogOptions {
    /// When commits are synced. Default: every commit.
    pub sync: SyncPolicy,
    /// When the current segment is due to be sealed. Default: 16 MiB or 10 seconds.
    pub seal: SealPolicy,
    /// How sealed segments are compressed. Default: zstd, level 1.
    pub compression: Compression,
    /// The largest database, in bytes. Memory goes with it: 8 bytes a page. Default: [`DATABASE_BYTES_MAX`].
    pub database_bytes_max: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            sync: SyncPolicy::default(),
            seal: SealPolicy::default(),
            compression: Compression::default(),
            database_bytes_max: DATABASE_BYTES_MAX,
        }
    }
}

impl LogOptions {
    pub(super) fn check(&self) -> Result<()> {
        self.seal.check()
    }
}
