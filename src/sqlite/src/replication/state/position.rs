//! How far a database was captured.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};
use walkeep::core::{Commit, LogId, PageSize};

use crate::wal_header::read_at;
use crate::wal_position::WalPosition;

/// Where the change counter stands in a database file.
const CHANGE_COUNTER: u64 = 24;

/// Which file a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatabaseIdentity {
    device: u64,
    inode: u64,
    change_counter: u32,
    /// When the file was written last, in nanoseconds.
    modified_ns: i64,
}

impl DatabaseIdentity {
    /// What tells this file from others, and from an older one copied over it.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let mut counter = [0; 4];
        read_at(file, CHANGE_COUNTER, &mut counter)?;
        let change_counter = u32::from_be_bytes(counter);
        let modified_ns = metadata.mtime().wrapping_mul(1_000_000_000).wrapping_add(metadata.mtime_nsec());
        Ok(Self { device: metadata.dev(), inode: metadata.ino(), change_counter, modified_ns })
    }

    /// Whether the file was written in between: by a checkpoint, or by somebody who copied another one over it.
    pub(crate) fn is_written_since(&self, earlier: &Self) -> bool {
        self.modified_ns != earlier.modified_ns
    }

    /// Whether `later` is the same file, and not an older one copied over it, as far as that can be seen.
    pub(crate) fn goes_on_as(&self, later: &Self) -> bool {
        let same = (self.device, self.inode) == (later.device, later.inode);
        // It counts round and round.
        same && later.change_counter.wrapping_sub(self.change_counter) < 1 << 31
    }
}

/// How far a database was captured: a commit, and the place in the write-ahead log behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Position {
    /// The log that the commit is in.
    pub(crate) log_id: LogId,
    pub(crate) page_size: PageSize,
    pub(crate) commit: Commit,
    pub(crate) wal: WalPosition,
    pub(crate) database: DatabaseIdentity,
}
