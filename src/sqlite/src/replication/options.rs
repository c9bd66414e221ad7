//! How databases are replicated: plain data.

use std::path::PathBuf;
use std::time::Duration;

use walkeep::core::Quota;
use walkeep::core::segment::Compression;
use walkeep::core::{Error, Result};

/// How one database is replicated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationOptions {
    /// How long commits are gathered before they are sealed into one segment; default 1 s. 0: each commit as it is
    /// seen.
    pub sync_interval: Duration,
    /// Bytes of log frames after which a segment is sealed before its time, and which one holds at most if it has
    /// several transactions; default 64 MiB.
    pub seal_bytes: u64,
    /// The size of the log in bytes from which it is checkpointed; default 4 MiB.
    pub checkpoint_bytes: u64,
    /// Bytes of segments that wait on local disk for the store at most; default 1 GiB. Beyond, commits are no longer
    /// recorded one by one, until everything is stored.
    pub spool_bytes_max: u64,
    /// How long to wait for a lock of another process; default 5 s.
    pub busy_timeout: Duration,
    /// How often to look although nothing was heard; default 10 s.
    pub poll_interval: Duration,
    /// Where local state is kept; by default `.NAME-walkeep` beside the database.
    pub state_directory: Option<PathBuf>,
    /// Whether a database that does not continue the namespace's newest state is stored on top of it all the same.
    pub rewind: bool,
    /// How to compress; default zstd level 1.
    pub compression: Compression,
    /// What the namespace may take of the store; unlimited, which is the default: what [`StorageOptions::quota`] of its
    /// store says. What has no room waits on local disk, up to `spool_bytes_max`, and is stored when there is room.
    ///
    /// [`StorageOptions::quota`]: walkeep::storage::StorageOptions::quota
    pub quota: Quota,
    /// The largest database to compare with, in bytes; default [`walkeep::DATABASE_BYTES_MAX`].
    pub database_bytes_max: u64,
}

impl Default for ReplicationOptions {
    fn default() -> Self {
        Self {
            sync_interval: Duration::from_secs(1),
            seal_bytes: 64 << 20,
            checkpoint_bytes: 4 << 20,
            spool_bytes_max: 1 << 30,
            busy_timeout: Duration::from_secs(5),
            poll_interval: Duration::from_secs(10),
            state_directory: None,
            rewind: false,
            compression: Compression::default(),
            quota: Quota::UNLIMITED,
            database_bytes_max: walkeep::DATABASE_BYTES_MAX,
        }
    }
}

impl ReplicationOptions {
    /// Checks that a database can be replicated like this.
    ///
    /// # Errors
    ///
    /// `Invalid`, naming the option.
    pub fn check(&self) -> Result<()> {
        let positive = [
            ("seal_bytes", self.seal_bytes),
            ("checkpoint_bytes", self.checkpoint_bytes),
            ("spool_bytes_max", self.spool_bytes_max),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(Error::invalid(format!("{name} = 0"), "it must be at least 1"));
        }
        if self.poll_interval.is_zero() {
            return Err(Error::invalid("poll_interval = 0", "it must be longer than that"));
        }
        Ok(())
    }
}
