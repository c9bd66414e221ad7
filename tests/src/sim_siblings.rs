//! Directories in a simulated one: opened, exchanged and removed, while what was opened stays what it was.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use walkeep::backends::redb::Siblings;
use walkeep::core::files::{Directory, Entry, EntryKind, File, Metadata};

use crate::sim_directory::SimDirectory;

/// The name that a directory has now.
type Name = Arc<Mutex<PathBuf>>;

/// Directories in a simulated one.
#[derive(Debug)]
pub struct SimSiblings {
    directory: SimDirectory,
    opened: Mutex<Vec<Name>>,
}

impl SimSiblings {
    /// Those in this directory.
    #[must_use]
    pub fn new(directory: &SimDirectory) -> Self {
        Self { directory: directory.clone(), opened: Mutex::default() }
    }

    fn follow(&self, name: &Path) -> Arc<dyn Directory> {
        let name = Arc::new(Mutex::new(name.to_path_buf()));
        self.opened.lock().unwrap().push(Arc::clone(&name));
        Arc::new(Opened { directory: self.directory.clone(), name })
    }
}

impl Siblings for SimSiblings {
    fn open(&self, name: &Path) -> io::Result<Arc<dyn Directory>> {
        match self.directory.metadata(name)? {
            Some(found) if found.kind == EntryKind::Directory => Ok(self.follow(name)),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }

    fn create(&self, name: &Path) -> io::Result<Arc<dyn Directory>> {
        self.directory.create_directories(name)?;
        self.directory.sync_directory(Path::new(""))?;
        Ok(self.follow(name))
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.directory.exchange(one, other)?;
        for name in &*self.opened.lock().unwrap() {
            let mut name = name.lock().unwrap();
            if *name == one {
                *name = other.to_path_buf();
            } else if *name == other {
                *name = one.to_path_buf();
            }
        }
        self.directory.sync_directory(Path::new(""))
    }

    fn remove_tree(&self, name: &Path) -> io::Result<()> {
        let entries = match self.directory.entries(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            self.directory.remove_file(&name.join(entry.name))?;
        }
        self.directory.remove_directory(name)?;
        self.directory.sync_directory(Path::new(""))
    }
}

/// A directory that was opened, whatever its name is by now.
#[derive(Debug)]
struct Opened {
    directory: SimDirectory,
    name: Name,
}

impl Opened {
    fn at(&self, path: &Path) -> PathBuf {
        let name = self.name.lock().unwrap();
        if path.as_os_str().is_empty() { name.clone() } else { name.join(path) }
    }
}

impl Directory for Opened {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Directory::open(&self.directory, &self.at(path))
    }

    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.directory.open_writable(&self.at(path))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.directory.create_new(&self.at(path))
    }

    fn copy_new(&self, from: &Path, to: &Path) -> io::Result<Box<dyn File>> {
        self.directory.copy_new(&self.at(from), &self.at(to))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.directory.hard_link(&self.at(from), &self.at(to))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.directory.rename(&self.at(from), &self.at(to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.directory.remove_file(&self.at(path))
    }

    fn create_directories(&self, path: &Path) -> io::Result<()> {
        self.directory.create_directories(&self.at(path))
    }

    fn entries(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.directory.entries(&self.at(path))
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        self.directory.metadata(&self.at(path))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.directory.sync_directory(&self.at(path))
    }

    fn free_bytes(&self) -> io::Result<Option<u64>> {
        self.directory.free_bytes()
    }
}
