//! A file of a [`Directory`](walkeep_core::Directory) as redb's storage.
//!
//! Invariants:
//!
//! - after a failed sync nothing is written, lengthened or synced any more: what it covered may be lost although a later
//!   sync succeeds;
//! - what a failed sync leaves behind cannot be trusted by whoever opens the file next either, as long as the machine runs:
//!   its memory may show what is not on the disk. So a file beside it, the *mark*, says that it has to be copied first;
//! - space is reserved when the file grows, so that a full disk is found before anything is written;
//! - it is known whether a commit that failed can have become durable: it cannot before the database's header is written.

use std::fmt;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{BackendError, StorageBackend};
use walkeep_core::{Directory, File};

/// The length of redb's pages, in bytes. The first one is the header: what a commit writes last.
const PAGE_LEN: u64 = 4096;

/// What befell a file since it was opened.
#[derive(Debug, Default)]
pub(super) struct Watch {
    sync_failed: AtomicBool,
    header_written: AtomicBool,
}

impl Watch {
    /// Whether a sync failed.
    pub(super) fn sync_failed(&self) -> bool {
        self.sync_failed.load(Ordering::SeqCst)
    }

    /// Whether the header was written since the last sync: if it was, a commit that failed may be there or not.
    pub(super) fn header_written(&self) -> bool {
        self.header_written.load(Ordering::SeqCst)
    }
}

/// A file as redb's storage.
pub(super) struct ShardFile {
    file: Box<dyn File>,
    watch: Arc<Watch>,
    directory: Arc<dyn Directory>,
    mark: PathBuf,
}

impl fmt::Debug for ShardFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShardFile({:?})", self.watch)
    }
}

impl ShardFile {
    /// A file, and the name of its mark.
    pub(super) fn new(
        file: Box<dyn File>,
        watch: Arc<Watch>,
        directory: Arc<dyn Directory>,
        mark: PathBuf,
    ) -> Self {
        Self { file, watch, directory, mark }
    }

    /// The mark need not be durable: with the power goes also what the machine's memory shows and the disk has not.
    fn mark(&self) {
        match self.directory.create_new(&self.mark) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                tracing::error!(file = %self.mark.display(), %error, "after a failed sync: restart the machine");
            }
            _ => {}
        }
    }

    fn not_after_a_failed_sync(&self) -> io::Result<()> {
        if self.watch.sync_failed() {
            return Err(io::Error::other("an earlier sync failed; nothing is written any more"));
        }
        Ok(())
    }
}

impl StorageBackend for ShardFile {
    /// A crash while the file grew may leave any length. What was durable lies before that; a part of a page at the end is taken
    /// for a page, so that redb knows the length for one of its own.
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.len()?.next_multiple_of(PAGE_LEN))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let count = self.file.read_at(offset, out)?;
        let end = offset.saturating_add(out.len() as u64);
        match out.get_mut(count..) {
            None | Some([]) => Ok(()),
            Some(rest) if end <= self.len()? => {
                rest.fill(0);
                Ok(())
            }
            Some(_) => {
                let what = format!("the file ends at {}", offset + count as u64);
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, what))
            }
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.not_after_a_failed_sync()?;
        if len > self.file.len()? { self.file.allocate(len) } else { self.file.set_len(len) }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.not_after_a_failed_sync()?;
        let synced = self.file.sync_data();
        match &synced {
            Ok(()) => self.watch.header_written.store(false, Ordering::SeqCst),
            Err(_) => {
                self.watch.sync_failed.store(true, Ordering::SeqCst);
                self.mark();
            }
        }
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.not_after_a_failed_sync()?;
        if offset < PAGE_LEN {
            self.watch.header_written.store(true, Ordering::SeqCst);
        }
        self.file.write_all_at(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.unlock()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        match (start, end) {
            (Bound::Unbounded | Bound::Included(0), Bound::Unbounded) => {
                self.file.try_lock().map_err(BackendError::from)
            }
            // Whole files are locked here, no parts of them.
            _ => Err(BackendError::Unsupported),
        }
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock().map_err(BackendError::from)
    }
}
