//! A directory of the machine, held open.
//!
//! Invariant: no path and no symbolic link leads out of it (`cap-std` resolves every component below the open
//! directory).

use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, FileType, OpenOptions};
use walkeep_core::files::{Directory, Entry, EntryKind, File, Metadata};

/// An open directory of the operating system.
#[derive(Debug)]
pub struct OsDirectory {
    dir: Dir,
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

    fn open_dir(&self, path: &Path) -> io::Result<Dir> {
        if path.as_os_str().is_empty() { self.dir.try_clone() } else { self.dir.open_dir(path) }
    }
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

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = self.dir.open_with(path, OpenOptions::new().read(true).write(true).create_new(true))?;
        Ok(Box::new(OsFile { file: file.into_std() }))
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
            Ok(metadata) => Ok(Some(Metadata { kind: kind_of(metadata.file_type()), len: metadata.len() })),
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

    #[test]
    fn free_space_is_told() {
        let root = tempfile::tempdir().unwrap();
        assert!(OsDirectory::open(root.path()).unwrap().free_bytes().unwrap().unwrap() > 0);
    }
}
