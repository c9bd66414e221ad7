//! Local files as a handle: every write, sync, rename, link and removal of the engine goes through a
//! [`Directory`], so that a test can record them, fail them, or crash between any two.
//!
//! Paths are relative to the directory. An implementation never follows a symbolic link out of it.
//!
//! Durability: data is durable after [`File::sync`]; a name (created, renamed, linked or removed) is durable after
//! [`Directory::sync_directory`] of the directory that holds it. A failed sync is final: what it covered may be
//! lost although a later sync succeeds, so it is never retried.

use std::fmt::Debug;
use std::io;
use std::path::Path;

use crate::unix_millis::UnixMillis;

/// What kind of thing a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Something else: a symbolic link, a socket.
    Other,
}

/// Tells whether a name has still the same file, and whether that was written to: equal as long as neither happened, as
/// far as the times of the file system tell. They advance every few milliseconds, so that a write right after another
/// may go unnoticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp(pub u128);

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// File, directory or something else.
    pub kind: EntryKind,
    /// The length in bytes, of a file.
    pub len: u64,
    /// Changes when the file is written to or replaced.
    pub stamp: FileStamp,
    /// When it was last written to, by the clock of the file system; `None` where that is not known.
    pub modified: Option<UnixMillis>,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, where it is valid UTF-8; other names are left out of listings.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
}

/// An open file.
pub trait File: Debug + Send + Sync {
    /// The length in bytes.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file is empty.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads at an offset; fewer bytes than asked only at the end of the file.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at an offset.
    ///
    /// # Errors
    ///
    /// The operating system's; part of the bytes may have been written.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file, or lengthens it with zeros.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reserves disk space for the first `len` bytes and lengthens the file to them, so that later writes cannot
    /// find the disk full. Where the file system cannot, it only lengthens the file.
    ///
    /// # Errors
    ///
    /// `StorageFull` when there is not enough space.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Makes everything written so far durable.
    ///
    /// # Errors
    ///
    /// Final: see the module.
    fn sync(&self) -> io::Result<()>;

    /// As [`File::sync`], except that what is not needed to read the data again (such as times) may be left out.
    ///
    /// # Errors
    ///
    /// Final: see the module.
    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    /// A hint: these bytes are durable and not read again soon, so the machine's memory need not keep them. Where the system
    /// takes no such hint, and for what is not synced yet, nothing happens.
    fn uncache(&self, _offset: u64, _len: u64) {}

    /// Tries to lock the file against everybody else who locks it, also in this process; `false` when somebody else has it
    /// locked. The lock ends with this handle, also when the process dies. It keeps nobody from reading or writing.
    ///
    /// # Errors
    ///
    /// `Unsupported` where files cannot be locked, and the operating system's.
    fn try_lock(&self) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Ends the lock that [`File::try_lock`] took.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn unlock(&self) -> io::Result<()> {
        Ok(())
    }

    /// The number of the process that has the file locked, for messages; `None` where that cannot be told.
    fn lock_holder(&self) -> Option<u32> {
        None
    }

    /// Takes from everybody the right to open this file for writing. Who has it open for writing goes on; the system's
    /// administrator is not kept out.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn set_read_only(&self) -> io::Result<()>;
}

/// A directory and everything below it.
pub trait Directory: Debug + Send + Sync {
    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// `NotFound`, and the operating system's.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Opens a file that exists for reading and writing.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Unsupported` where files are written once and never again; and the operating system's.
    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Creates a file for reading and writing.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`, and the operating system's.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Creates a file for reading and writing that has the content of another. Where the file system can, the two share
    /// what neither changes. After an error a part of the new file may be there.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when the new name is taken, `NotFound` when the old one is not there, `StorageFull`, and the
    /// operating system's.
    fn copy_new(&self, from: &Path, to: &Path) -> io::Result<Box<dyn File>>;

    /// Gives a file a second name, unless the name is taken: the atomic "create only if absent".
    ///
    /// # Errors
    ///
    /// `AlreadyExists`, and the operating system's.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames a file, replacing what has the new name.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// `NotFound`, and the operating system's.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Creates a directory and the missing ones above it. The new names are not durable yet.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn create_directories(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in no particular order. An empty path is this directory itself.
    ///
    /// # Errors
    ///
    /// `NotFound`, and the operating system's.
    fn entries(&self, path: &Path) -> io::Result<Vec<Entry>>;

    /// What a name is, without following a link; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>>;

    /// Makes the names in a directory durable. An empty path is this directory itself.
    ///
    /// # Errors
    ///
    /// Final: see the module.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// How many bytes can be written in this file system; `None` where that cannot be told.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn free_bytes(&self) -> io::Result<Option<u64>>;
}
