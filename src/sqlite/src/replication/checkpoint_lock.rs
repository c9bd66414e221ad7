//! Keeps other processes from checkpointing a log that our mark keeps long anyway.
//!
//! While a mark of ours is held, the automatic checkpoints of an application cannot begin the log anew. Yet SQLite tries
//! one after every commit once the log has 1,000 pages, and sorts all frames that are not in the database file before it
//! finds that it may not copy them: a cost for each commit that grows with the log. Whoever has the lock of checkpoints
//! spares the writers that: SQLite gives up at once, and tells nobody.
//!
//! Invariants:
//!
//! - It is taken only while the log is being written fast, and is looked at again at every look: an application's own
//!   `PRAGMA wal_checkpoint` is answered with *busy* meanwhile, and a `-shm` that a dying process left half-written is
//!   not recovered before it is given back.
//! - It is a POSIX lock, which belongs to the process: checkpoints of ours go on under it, and take it away when they end.
//!   So it is never relied on, only asked for again. Nothing is safe because of it.
//!
//! Source: the comments on locks in SQLite's `wal.c` and `os_unix.c`.

use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::locks;

/// The lock of checkpoints of one `-shm`, taken or not.
#[derive(Debug)]
pub(super) struct CheckpointLock {
    /// Opened for writing, as locks need; it is never written to, and never closed.
    shm: Arc<File>,
    taken: bool,
}

impl CheckpointLock {
    pub(super) const fn new(shm: Arc<File>) -> Self {
        Self { shm, taken: false }
    }

    /// Takes it, if nobody checkpoints just now. Taking it again puts it back where a checkpoint of ours took it away.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(super) fn take(&mut self) -> io::Result<()> {
        self.taken = locks::try_lock_checkpoints(&self.shm)?;
        Ok(())
    }

    /// Puts it back where a checkpoint of ours took it away.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(super) fn renew(&mut self) -> io::Result<()> {
        if self.taken { self.take() } else { Ok(()) }
    }

    /// Gives it back: everybody may checkpoint.
    pub(super) fn give_back(&mut self) {
        if !std::mem::take(&mut self.taken) {
            return;
        }
        if let Err(error) = locks::unlock_checkpoints(&self.shm) {
            tracing::warn!(%error, "the lock of checkpoints could not be given back");
        }
    }
}

impl Drop for CheckpointLock {
    fn drop(&mut self) {
        self.give_back();
    }
}
