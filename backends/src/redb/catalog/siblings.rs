//! The directory that a catalog's directory is in, as far as resharding needs it.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walkeep_core::Directory;

use crate::os::OsDirectory;

/// A directory of directories. A directory that was opened stays the same one whatever its name is by then.
pub trait Siblings: Debug {
    /// Opens one of them.
    ///
    /// # Errors
    ///
    /// `NotFound`, and the operating system's.
    fn open(&self, name: &Path) -> io::Result<Arc<dyn Directory>>;

    /// Opens one of them, and makes it durably if it is not there.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn create(&self, name: &Path) -> io::Result<Arc<dyn Directory>>;

    /// Gives each of two names what the other has, in one step, and makes that durable.
    ///
    /// # Errors
    ///
    /// `InvalidInput` or `Unsupported` where the file system cannot do it; the operating system's: it may have happened.
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()>;

    /// Removes one of them with all that is in it, if it is there.
    ///
    /// # Errors
    ///
    /// The operating system's; a part may be gone then.
    fn remove_tree(&self, name: &Path) -> io::Result<()>;
}

/// A directory of this machine.
#[derive(Debug)]
pub(super) struct OsSiblings {
    path: PathBuf,
    directory: OsDirectory,
}

impl OsSiblings {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let directory = OsDirectory::open(&path)?;
        Ok(Self { path, directory })
    }
}

impl Siblings for OsSiblings {
    fn open(&self, name: &Path) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(OsDirectory::open(&self.path.join(name))?))
    }

    fn create(&self, name: &Path) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(OsDirectory::create(&self.path.join(name))?))
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.directory.exchange(one, other)
    }

    fn remove_tree(&self, name: &Path) -> io::Result<()> {
        self.directory.remove_tree(name)
    }
}
