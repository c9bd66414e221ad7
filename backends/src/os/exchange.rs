//! Two directories that change their names in one step, and directories that go with all that is in them.

use std::io;
use std::path::Path;

use walkeep_core::Directory;

use super::OsDirectory;

impl OsDirectory {
    /// Gives each of two names in this directory what the other has, in one step, and makes that durable.
    ///
    /// # Errors
    ///
    /// `NotFound` when one of them is not there; `InvalidInput` where the file system cannot do it; the operating system's.
    #[cfg(target_os = "linux")]
    pub fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        use rustix::fs::{RenameFlags, renameat_with};

        renameat_with(&self.dir, one, &self.dir, other, RenameFlags::EXCHANGE)?;
        self.sync_directory(Path::new(""))
    }

    /// Gives each of two names in this directory what the other has: not on this system.
    ///
    /// # Errors
    ///
    /// `Unsupported`.
    #[cfg(not(target_os = "linux"))]
    pub fn exchange(&self, _one: &Path, _other: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Removes a directory in this one with all that is in it, if it is there. Links are removed, not followed.
    ///
    /// # Errors
    ///
    /// The operating system's; a part may be gone then.
    pub fn remove_tree(&self, name: &Path) -> io::Result<()> {
        match self.dir.remove_dir_all(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => {
                removed?;
                self.sync_directory(Path::new(""))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_directories_change_their_names_and_one_goes() {
        let root = tempfile::tempdir().unwrap();
        let directory = OsDirectory::open(root.path()).unwrap();
        for name in ["one", "two"] {
            directory.create_directories(Path::new(name)).unwrap();
            directory.create_new(&Path::new(name).join(format!("in-{name}"))).unwrap();
        }
        directory.exchange(Path::new("one"), Path::new("two")).unwrap();
        assert!(root.path().join("one/in-two").exists() && root.path().join("two/in-one").exists());
        assert!(directory.exchange(Path::new("one"), Path::new("three")).is_err());
        directory.remove_tree(Path::new("one")).unwrap();
        directory.remove_tree(Path::new("one")).unwrap();
        assert!(!root.path().join("one").exists() && root.path().join("two/in-one").exists());
    }
}
