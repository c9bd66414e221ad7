//! A directory of the machine whose every sync takes longer: a simulated disk that is slower to make things durable, with the real one below.
//!
//! The waits are each caller's own and may overlap without limit, which is more than real disks do: it favours whoever syncs often at the same time.

use std::io;
use std::path::Path;
use std::time::Duration;

use walkeep::backends::os::OsDirectory;
use walkeep::core::Directory;
use walkeep::core::files::{Entry, File, Metadata};

/// A directory of the machine that sleeps in each sync, of a file or of a directory, before the real one.
#[derive(Debug)]
pub struct SlowSyncs {
    real: OsDirectory,
    sleep: Duration,
}

impl SlowSyncs {
    /// The directory at a path, which is created.
    #[must_use]
    pub fn create(path: &Path, sleep: Duration) -> Self {
        Self { real: OsDirectory::create(path).unwrap(), sleep }
    }

    fn slow(&self, file: io::Result<Box<dyn File>>) -> io::Result<Box<dyn File>> {
        Ok(Box::new(SlowFile { real: file?, sleep: self.sleep }))
    }
}

impl Directory for SlowSyncs {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.slow(self.real.open(path))
    }

    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.slow(self.real.open_writable(path))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.slow(self.real.create_new(path))
    }

    fn copy_new(&self, from: &Path, to: &Path) -> io::Result<Box<dyn File>> {
        self.slow(self.real.copy_new(from, to))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.real.hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.real.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.real.remove_file(path)
    }

    fn create_directories(&self, path: &Path) -> io::Result<()> {
        self.real.create_directories(path)
    }

    fn entries(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.real.entries(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        self.real.metadata(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        std::thread::sleep(self.sleep);
        self.real.sync_directory(path)
    }

    fn free_bytes(&self) -> io::Result<Option<u64>> {
        self.real.free_bytes()
    }
}

#[derive(Debug)]
struct SlowFile {
    real: Box<dyn File>,
    sleep: Duration,
}

impl File for SlowFile {
    fn len(&self) -> io::Result<u64> {
        self.real.len()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.real.read_at(offset, bytes)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.real.write_all_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.real.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.real.allocate(len)
    }

    fn sync(&self) -> io::Result<()> {
        std::thread::sleep(self.sleep);
        self.real.sync()
    }

    fn sync_data(&self) -> io::Result<()> {
        std::thread::sleep(self.sleep);
        self.real.sync_data()
    }

    fn uncache(&self, offset: u64, len: u64) {
        self.real.uncache(offset, len);
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.real.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.real.unlock()
    }

    fn lock_holder(&self) -> Option<u32> {
        self.real.lock_holder()
    }

    fn set_read_only(&self) -> io::Result<()> {
        self.real.set_read_only()
    }
}
