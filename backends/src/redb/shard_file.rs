//! A file of a [`Directory`](walkeep_core::Directory) as redb's storage.
//!
//! Invariants:
//!
//! - after a failed sync nothing is written, lengthened or synced any more: what it covered may be lost although a later
//!   sync succeeds;
//! - what a failed sync leaves behind cannot be trusted by whoever opens the file next either, as long as the machine runs:
//!   its memory may show what is not on the disk. So a file beside it makes it *suspect*: it has to be copied first;
//! - bytes of objects leave the machine's memory once they are durable, rows stay: an object is written once, and redb has a memory of its own;
//! - space is reserved when the file grows, so that a full disk is found before anything is written;
//! - it is known whether a commit that failed can have become durable: it cannot before the database's header is written.

use std::fmt;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{BackendError, StorageBackend};
use walkeep_core::{Directory, File};

/// The length of redb's pages, in bytes. The first one is the header: what a commit writes last.
const PAGE_LEN: u64 = 4096;

/// From this length on what is written is a pack or a chunk, the bytes of objects; rows are in shorter pages.
const UNCACHED_LEN_MIN: u64 = 16 << 10;

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
    suspect: PathBuf,
    /// The packs and chunks that were written since the last sync: offset and length.
    unsynced: Mutex<Vec<(u64, u64)>>,
}

impl fmt::Debug for ShardFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShardFile({:?})", self.watch)
    }
}

impl ShardFile {
    /// A file, and the name of the one that makes it suspect.
    pub(super) fn new(
        file: Box<dyn File>,
        watch: Arc<Watch>,
        directory: Arc<dyn Directory>,
        suspect: PathBuf,
    ) -> Self {
        Self { file, watch, directory, suspect, unsynced: Mutex::default() }
    }

    /// That need not be durable: with the power goes also what the machine's memory shows and the disk has not.
    fn become_suspect(&self) {
        match self.directory.create_new(&self.suspect) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                tracing::error!(file = %self.suspect.display(), %error, "after a failed sync: restart the machine");
            }
            _ => {}
        }
    }

    /// Lets the machine forget the bytes of objects that are durable now. Otherwise they would take the room of what is read again, such
    /// as the databases whose log they are, and each commit would have to find new room.
    fn uncache(&self) {
        let mut written = std::mem::take(&mut *self.unsynced.lock().unwrap_or_else(PoisonError::into_inner));
        written.sort_unstable();
        for run in written.chunk_by(|(offset, len), (next, _)| offset + len == *next) {
            let len = run.iter().map(|(_, len)| len).sum();
            if let Some((offset, _)) = run.first() {
                self.file.uncache(*offset, len);
            }
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
            Ok(()) => {
                self.watch.header_written.store(false, Ordering::SeqCst);
                self.uncache();
            }
            Err(_) => {
                self.watch.sync_failed.store(true, Ordering::SeqCst);
                self.become_suspect();
            }
        }
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.not_after_a_failed_sync()?;
        if offset < PAGE_LEN {
            self.watch.header_written.store(true, Ordering::SeqCst);
        }
        self.file.write_all_at(offset, data)?;
        let len = data.len() as u64;
        if len >= UNCACHED_LEN_MIN {
            self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).push((offset, len));
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file was told, in order; its syncs fail when they are to.
    #[derive(Clone, Debug, Default)]
    struct Told(Arc<Mutex<Vec<String>>>, Arc<AtomicBool>);

    impl Told {
        fn note(&self, what: String) {
            self.0.lock().unwrap().push(what);
        }

        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl File for Told {
        fn len(&self) -> io::Result<u64> {
            Ok(1 << 20)
        }

        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }

        fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.note(format!("write {} at {offset}", bytes.len()));
            Ok(())
        }

        fn set_len(&self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn allocate(&self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            self.note("sync".into());
            if self.1.load(Ordering::SeqCst) { Err(io::Error::other("on purpose")) } else { Ok(()) }
        }

        fn set_read_only(&self) -> io::Result<()> {
            Ok(())
        }

        fn uncache(&self, offset: u64, len: u64) {
            self.note(format!("uncache {len} at {offset}"));
        }
    }

    #[test]
    fn bytes_of_objects_leave_the_memory_once_they_are_durable() {
        let root = tempfile::tempdir().unwrap();
        let directory: Arc<dyn Directory> = Arc::new(crate::os::OsDirectory::open(root.path()).unwrap());
        let told = Told::default();
        let file = ShardFile::new(Box::new(told.clone()), Arc::default(), directory, "suspect".into());
        let write = |offset: u64, len: usize| file.write(offset, &vec![7; len]).unwrap();
        write(3 << 16, 1 << 16);
        write(0, 4096);
        write(1 << 16, 1 << 16);
        write(1 << 20, 16 << 10);
        write(4096, 4096);
        write(2 << 16, 1 << 16);
        assert_eq!(told.take().len(), 6);
        file.sync_data().unwrap();
        assert_eq!(told.take(), ["sync", "uncache 196608 at 65536", "uncache 16384 at 1048576"]);
        file.sync_data().unwrap();
        assert_eq!(told.take(), ["sync"]);
        write(1 << 16, 1 << 16);
        told.1.store(true, Ordering::SeqCst);
        assert!(file.sync_data().is_err());
        assert_eq!(told.take().last().unwrap(), "sync");
    }
}
