//! A directory on a disk that is full, or becomes full at a chosen operation.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use walkeep::backends::os::OsDirectory;
use walkeep::core::files::{Directory, Entry, File, Metadata};

/// When the disk shows that it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// There are only so many free bytes.
    FreeBytes(u64),
    /// When space is reserved.
    Allocate,
    /// When a file is lengthened.
    SetLen,
    /// At the write after so many bytes (of a file system that reserves nothing).
    WriteAfter(u64),
    /// When a file is synced.
    Sync,
}

/// A directory of the machine on such a disk.
#[derive(Debug)]
pub struct FullDisk {
    inner: OsDirectory,
    full: Full,
}

impl FullDisk {
    /// The directory `path`, on a disk that is full in this way.
    #[must_use]
    pub fn at(path: &Path, full: Full) -> Arc<Self> {
        Arc::new(Self { inner: OsDirectory::open(path).unwrap(), full })
    }
}

#[derive(Debug)]
struct FullFile {
    inner: Box<dyn File>,
    full: Full,
    written: AtomicU64,
}

impl FullFile {
    fn fail_at(&self, full: Full) -> io::Result<()> {
        if self.full == full { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl File for FullFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.inner.read_at(offset, bytes)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let len = bytes.len() as u64;
        let written = self.written.fetch_add(len, Ordering::SeqCst) + len;
        match self.full {
            Full::WriteAfter(limit) if written > limit => {
                // What still fits is written.
                let fits = len.saturating_sub(written - limit);
                self.written.store(limit, Ordering::SeqCst);
                self.inner.write_all_at(offset, &bytes[..fits as usize])?;
                Err(ErrorKind::StorageFull.into())
            }
            _ => self.inner.write_all_at(offset, bytes),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fail_at(Full::SetLen)?;
        // What is cut off is free again.
        self.written.fetch_min(len, Ordering::SeqCst);
        self.inner.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.fail_at(Full::Allocate)?;
        self.inner.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.fail_at(Full::Sync)?;
        self.inner.sync()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.inner.unlock()
    }

    fn set_read_only(&self) -> io::Result<()> {
        self.inner.set_read_only()
    }
}

impl Directory for FullDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.inner.open(path)
    }

    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let inner = self.inner.open_writable(path)?;
        Ok(Box::new(FullFile { inner, full: self.full, written: AtomicU64::new(0) }))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let inner = self.inner.create_new(path)?;
        Ok(Box::new(FullFile { inner, full: self.full, written: AtomicU64::new(0) }))
    }

    fn copy_new(&self, from: &Path, to: &Path) -> io::Result<Box<dyn File>> {
        // Through this disk's own files, so that a copy fills it like anything else.
        let source = self.open(from)?;
        let mut content = vec![0; source.len()? as usize];
        source.read_at(0, &mut content)?;
        let copy = self.create_new(to)?;
        copy.write_all_at(0, &content)?;
        Ok(copy)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn create_directories(&self, path: &Path) -> io::Result<()> {
        self.inner.create_directories(path)
    }

    fn entries(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.inner.entries(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        self.inner.metadata(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_directory(path)
    }

    fn free_bytes(&self) -> io::Result<Option<u64>> {
        match self.full {
            Full::FreeBytes(free) => Ok(Some(free)),
            _ => self.inner.free_bytes(),
        }
    }
}
