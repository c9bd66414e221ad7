//! A directory of the machine, held open.
//!
//! Invariant: no path and no symbolic link leads out of it (`cap-std` resolves every component below the open
//! directory).

use std::fs::TryLockError;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, FileType, MetadataExt, OpenOptions};
use walkeep_core::UnixMillis;
use walkeep_core::files::{Directory, Entry, EntryKind, File, FileStamp, Metadata};

use super::lock_holder;

/// An open directory of the operating system.
#[derive(Debug)]
pub struct OsDirectory {
    pub(super) dir: Dir,
}

impl OsDirectory {
    /// Opens a directory that exists.
    ///
    /// # Errors
    ///
    /// `NotFound`, `NotADirectory`, and the operating system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        // An empty path is what `Path::parent` makes of a bare file name.
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        Ok(Self { dir: Dir::open_ambient_dir(path, ambient_authority())? })
    }

    /// Opens a directory, creating it and the missing ones above it durably.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn create(path: &Path) -> io::Result<Self> {
        match Self::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => return opened,
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Self::open(path);
        };
        let parent = Self::create(parent)?;
        match parent.dir.create_dir(name) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        parent.sync_directory(Path::new(""))?;
        Self::open(path)
    }

    /// Which directory it is, whatever it is called: its device and its inode.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        let metadata = self.dir.dir_metadata()?;
        Ok((metadata.dev(), metadata.ino()))
    }

    fn open_dir(&self, path: &Path) -> io::Result<Dir> {
        if path.as_os_str().is_empty() { self.dir.try_clone() } else { self.dir.open_dir(path) }
    }
}

/// The inode, and when it was last changed in any way: nobody can set that time.
fn stamp_of(metadata: &cap_std::fs::Metadata) -> FileStamp {
    let changed = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
    FileStamp(u128::from(metadata.ino()) << 64 | changed.cast_unsigned() & u128::from(u64::MAX))
}

fn modified_of(metadata: &cap_std::fs::Metadata) -> Option<UnixMillis> {
    let millis = metadata.mtime().checked_mul(1000)?.checked_add(metadata.mtime_nsec() / 1_000_000)?;
    u64::try_from(millis).ok().map(UnixMillis)
}

fn kind_of(file_type: FileType) -> EntryKind {
    if file_type.is_file() {
        EntryKind::File
    } else if file_type.is_dir() {
        EntryKind::Directory
    } else {
        EntryKind::Other
    }
}

impl Directory for OsDirectory {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(OsFile { file: self.dir.open(path)?.into_std() }))
    }

    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = self.dir.open_with(path, OpenOptions::new().read(true).write(true))?;
        Ok(Box::new(OsFile { file: file.into_std() }))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = self.dir.open_with(path, OpenOptions::new().read(true).write(true).create_new(true))?;
        Ok(Box::new(OsFile { file: file.into_std() }))
    }

    fn copy_new(&self, from: &Path, to: &Path) -> io::Result<Box<dyn File>> {
        let mut source = self.dir.open(from)?.into_std();
        let to = self.dir.open_with(to, OpenOptions::new().read(true).write(true).create_new(true))?;
        let mut copy = to.into_std();
        // Uses `copy_file_range` where there is one, which shares blocks where the file system can.
        io::copy(&mut source, &mut copy)?;
        Ok(Box::new(OsFile { file: copy }))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.dir.hard_link(from, &self.dir, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.dir.rename(from, &self.dir, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.dir.remove_file(path)
    }

    fn create_directories(&self, path: &Path) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        self.dir.create_dir_with(path, builder.recursive(true))
    }

    fn entries(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let entries =
            if path.as_os_str().is_empty() { self.dir.entries()? } else { self.dir.read_dir(path)? };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                found.push(Entry { name, kind: kind_of(entry.file_type()?) });
            }
        }
        Ok(found)
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        match self.dir.symlink_metadata(path) {
            Ok(metadata) => Ok(Some(Metadata {
                kind: kind_of(metadata.file_type()),
                len: metadata.len(),
                stamp: stamp_of(&metadata),
                modified: modified_of(&metadata),
            })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        // The handle may be one that cannot be synced (opened for its path only): open it for reading.
        let dir = self.open_dir(path)?;
        dir.open(".")?.into_std().sync_all()
    }

    fn free_bytes(&self) -> io::Result<Option<u64>> {
        let stat = rustix::fs::fstatvfs(&self.dir)?;
        Ok(stat.f_bavail.checked_mul(stat.f_frsize))
    }
}

#[derive(Debug)]
struct OsFile {
    file: std::fs::File,
}

impl File for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        if len == 0 {
            return self.set_len(0);
        }
        match fallocate(&self.file, FallocateFlags::empty(), 0, len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.set_len(len),
            done => Ok(done?),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Refused where the file system knows no such hint: nothing is lost by that.
    fn uncache(&self, offset: u64, len: u64) {
        use rustix::fs::{Advice, fadvise};
        if let Some(len) = std::num::NonZeroU64::new(len) {
            fadvise(&self.file, offset, Some(len), Advice::DontNeed).ok();
        }
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }

    fn lock_holder(&self) -> Option<u32> {
        lock_holder::of(&self.file)
    }

    fn set_read_only(&self) -> io::Result<()> {
        let mut permissions = self.file.metadata()?.permissions();
        permissions.set_readonly(true);
        self.file.set_permissions(permissions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbolic_link_out_of_the_directory_is_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        OsDirectory::open(outside.path()).unwrap().create_new(Path::new("secret")).unwrap();
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("link")).unwrap();
        let dir = OsDirectory::open(root.path()).unwrap();
        for path in ["link/secret", "../x", "/etc/hostname"] {
            assert!(dir.open(Path::new(path)).is_err(), "{path}");
            assert!(dir.create_new(Path::new(path)).is_err(), "{path}");
        }
        assert!(dir.create_new(Path::new("link/new")).is_err());
        assert!(!outside.path().join("new").exists());
    }

    #[test]
    fn nested_directories_are_created_and_synced() {
        let root = tempfile::tempdir().unwrap();
        let dir = OsDirectory::create(&root.path().join("a/b/c")).unwrap();
        dir.create_directories(Path::new("d/e")).unwrap();
        dir.sync_directory(Path::new("d")).unwrap();
        dir.sync_directory(Path::new("")).unwrap();
        assert!(root.path().join("a/b/c/d/e").is_dir());
    }

    /// Looked at where the kernel says whether it has something in its memory: on ext4, XFS and btrfs.
    #[test]
    fn what_is_uncached_is_read_from_the_disk_again() {
        use rustix::io::{Errno, ReadWriteFlags, preadv2};

        let root = tempfile::tempdir().unwrap();
        let dir = OsDirectory::open(root.path()).unwrap();
        let file = dir.create_new(Path::new("file")).unwrap();
        let bytes = (0..64 << 10).map(|n: u32| n.to_le_bytes()[1]).collect::<Vec<_>>();
        file.write_all_at(0, &bytes).unwrap();
        file.sync_data().unwrap();
        let seen = std::fs::File::open(root.path().join("file")).unwrap();
        let in_memory = || {
            let mut byte = [0];
            preadv2(&seen, &mut [io::IoSliceMut::new(&mut byte)], 8192, ReadWriteFlags::NOWAIT)
        };
        let tells = matches!(rustix::fs::fstatfs(&seen).unwrap().f_type, 0xEF53 | 0x5846_5342 | 0x9123_683E);
        if tells {
            assert_eq!(in_memory(), Ok(1));
        }
        file.uncache(0, 64 << 10);
        if tells {
            assert_eq!(in_memory(), Err(Errno::AGAIN));
        }
        let mut read = vec![0; bytes.len()];
        assert_eq!(file.read_at(0, &mut read).unwrap(), bytes.len());
        assert_eq!(read, bytes);
    }

    #[test]
    fn a_copy_has_the_content_of_its_source_and_a_life_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let dir = OsDirectory::open(root.path()).unwrap();
        let (from, to) = (Path::new("from"), Path::new("to"));
        let source = dir.create_new(from).unwrap();
        source.write_all_at(0, &[7; 100_000]).unwrap();
        let copy = dir.copy_new(from, to).unwrap();
        copy.write_all_at(1, &[8]).unwrap();
        source.write_all_at(2, &[9]).unwrap();
        let mut head = [0; 4];
        assert_eq!(copy.read_at(0, &mut head).unwrap(), 4);
        assert_eq!((head, copy.len().unwrap()), ([7, 8, 7, 7], 100_000));
        assert_eq!(source.read_at(0, &mut head).unwrap(), 4);
        assert_eq!(head, [7, 7, 9, 7]);
        assert_eq!(dir.copy_new(from, to).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(dir.copy_new(Path::new("no"), Path::new("new")).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(dir.metadata(Path::new("new")).unwrap().is_none(), "without a source nothing is made");
    }

    #[test]
    fn the_stamp_tells_a_file_that_was_written_to_or_replaced() {
        let root = tempfile::tempdir().unwrap();
        let dir = OsDirectory::open(root.path()).unwrap();
        let name = Path::new("file");
        let stamp = || dir.metadata(name).unwrap().unwrap().stamp;
        let file = dir.create_new(name).unwrap();
        file.write_all_at(0, &[1; 10]).unwrap();
        let before = stamp();
        assert_eq!(stamp(), before);
        std::thread::sleep(std::time::Duration::from_millis(50));
        file.write_all_at(0, &[2; 10]).unwrap();
        let written = stamp();
        assert_ne!(written, before);
        dir.create_new(Path::new("other")).unwrap();
        dir.rename(Path::new("other"), name).unwrap();
        assert_ne!(stamp(), written);
    }

    #[test]
    fn a_read_only_file_is_readable_and_loses_all_rights_to_write() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let dir = OsDirectory::open(root.path()).unwrap();
        let file = dir.create_new(Path::new("file")).unwrap();
        file.set_read_only().unwrap();
        let mode = std::fs::metadata(root.path().join("file")).unwrap().permissions().mode();
        assert_eq!(mode & 0o222, 0, "{mode:o}");
        assert_ne!(mode & 0o400, 0, "{mode:o}");
        file.write_all_at(0, &[1]).unwrap();
    }

    #[test]
    fn a_locked_file_is_locked_for_everybody_else_until_it_is_closed() {
        let root = tempfile::tempdir().unwrap();
        let dir = OsDirectory::open(root.path()).unwrap();
        let name = Path::new("file");
        assert_eq!(dir.open_writable(name).unwrap_err().kind(), ErrorKind::NotFound);
        let first = dir.create_new(name).unwrap();
        assert_eq!(first.lock_holder(), None);
        assert!(first.try_lock().unwrap());
        let second = dir.open_writable(name).unwrap();
        assert!(!second.try_lock().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(second.lock_holder(), Some(std::process::id()));
        drop(first);
        assert!(second.try_lock().unwrap());
        second.unlock().unwrap();
        let third = dir.open_writable(name).unwrap();
        assert!(third.try_lock().unwrap());
        third.write_all_at(0, &[1]).unwrap();
        third.sync_data().unwrap();
    }

    #[test]
    fn free_space_is_told() {
        let root = tempfile::tempdir().unwrap();
        assert!(OsDirectory::open(root.path()).unwrap().free_bytes().unwrap().unwrap() > 0);
    }
}
