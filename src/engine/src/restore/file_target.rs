//! A database file as the target of a restore.
//!
//! Invariants: what stood under the file's name is untouched until [`FileTarget::publish`]; before it everything
//! is in a hidden file beside it, which is removed when the target is dropped. A leftover write-ahead log of an
//! older database never meets the new file: it is removed first. If the very last step of replacing a file fails, the old
//! file is therefore still there, but may lack commits that were in its log alone.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walkeep_core::{DatabaseShape, Directory, Error, File, PageSink, Random, RestoreTarget, Result};

/// Files that belong to a database and would be mixed with a new one under its name.
pub(crate) const LEFTOVERS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A database file that is being restored.
#[derive(Debug)]
pub struct FileTarget {
    directory: Arc<dyn Directory>,
    name: String,
    hidden: PathBuf,
    force: bool,
    file: Option<Arc<dyn File>>,
    /// What is being restored, once it was begun.
    shape: Option<DatabaseShape>,
    removed: Vec<String>,
}

#[derive(Debug)]
struct FileSink {
    file: Arc<dyn File>,
    name: String,
    shape: DatabaseShape,
}

impl PageSink for FileSink {
    fn write(&self, offset: u64, pages: &[u8]) -> Result<()> {
        self.file
            .write_all_at(offset, pages)
            .map_err(|error| failed("write", &self.name, Some(&self.shape), error))
    }
}

/// What a failed operation on the unfinished file means; a full disk says how much is needed.
fn failed(what: &str, name: &str, shape: Option<&DatabaseShape>, error: std::io::Error) -> Error {
    match (Error::io(format!("{what} the restored {name}"), error), shape) {
        (Error::Exhausted { what }, Some(shape)) => no_space(name, shape, what),
        (error, _) => error,
    }
}

fn no_space(name: &str, shape: &DatabaseShape, why: impl std::fmt::Display) -> Error {
    let needed = shape.file_bytes();
    Error::Exhausted { what: format!("restoring {name} needs {needed} bytes of disk space: {why}") }
}

impl FileTarget {
    /// A file `name` in `directory`. With `force` it replaces what is there.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when the file, or a `-wal`, `-shm` or `-journal` beside it, exists and `force` is off; `Io`.
    pub fn new(directory: Arc<dyn Directory>, name: &str, force: bool, random: &dyn Random) -> Result<Self> {
        let mut suffix = [0; 8];
        random.fill(&mut suffix)?;
        let hidden = PathBuf::from(format!(".{name}.walkeep-{:016x}", u64::from_le_bytes(suffix)));
        let name = name.to_string();
        let target = Self { directory, name, hidden, force, file: None, shape: None, removed: Vec::new() };
        if !force {
            target.check_free()?;
        }
        Ok(target)
    }

    fn check_free(&self) -> Result<()> {
        for suffix in std::iter::once("").chain(LEFTOVERS) {
            let name = format!("{}{suffix}", self.name);
            let found = self.directory.metadata(Path::new(&name));
            if found.map_err(|error| Error::io(format!("look at {name}"), error))?.is_some() {
                return Err(Error::AlreadyExists { what: format!("the file {name}") });
            }
        }
        Ok(())
    }

    /// The name of the file while it is not published, in the directory of the target.
    #[must_use]
    pub fn hidden_name(&self) -> &Path {
        &self.hidden
    }

    /// Puts the finished file in its place. Returns the names of leftovers that were removed to make room.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when the name was taken meanwhile and `force` is off; `Io`; `Unknown` when the file is in
    /// place but perhaps not durably.
    pub fn publish(mut self) -> Result<Vec<String>> {
        let failed = |what: &str, error| Error::io(format!("{what} the restored file"), error);
        if self.force {
            self.remove_leftovers()?;
            self.directory
                .rename(&self.hidden, Path::new(&self.name))
                .map_err(|error| failed("move into place", error))?;
        } else {
            self.check_free()?;
            self.directory.hard_link(&self.hidden, Path::new(&self.name)).map_err(|error| {
                match error.kind() {
                    ErrorKind::AlreadyExists => {
                        Error::AlreadyExists { what: format!("the file {}", self.name) }
                    }
                    _ => failed("move into place", error),
                }
            })?;
            self.remove_hidden();
        }
        self.file = None;
        self.directory.sync_directory(Path::new("")).map_err(|error| Error::Unknown {
            what: format!("{} is restored, but syncing its directory failed ({error})", self.name),
        })?;
        Ok(std::mem::take(&mut self.removed))
    }

    fn remove_leftovers(&mut self) -> Result<()> {
        for suffix in LEFTOVERS {
            let name = format!("{}{suffix}", self.name);
            match self.directory.remove_file(Path::new(&name)) {
                Ok(()) => self.removed.push(name),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io(format!("remove {name}"), error)),
            }
        }
        if self.removed.is_empty() {
            return Ok(());
        }
        // The old log must be gone for good before the new file has the name it belongs to.
        self.directory
            .sync_directory(Path::new(""))
            .map_err(|error| Error::io("sync the directory of the restored file", error))
    }

    fn remove_hidden(&self) {
        if let Err(error) = self.directory.remove_file(&self.hidden) {
            tracing::warn!(file = %self.hidden.display(), %error, "an unfinished file stays behind");
        }
    }

    fn check_space(&self, shape: &DatabaseShape, needed: u64) -> Result<()> {
        let free =
            self.directory.free_bytes().map_err(|error| Error::io("look at the free disk space", error))?;
        match free {
            Some(free) if free < needed => Err(no_space(&self.name, shape, format!("{free} bytes are free"))),
            _ => Ok(()),
        }
    }
}

impl RestoreTarget for FileTarget {
    fn begin(&mut self, shape: DatabaseShape) -> Result<Arc<dyn PageSink>> {
        let written = shape.pages_written * shape.page_size.bytes_u64();
        self.check_space(&shape, written)?;
        let file = self
            .directory
            .create_new(&self.hidden)
            .map_err(|error| Error::io(format!("create {}", self.hidden.display()), error))?;
        let file: Arc<dyn File> = file.into();
        self.file = Some(Arc::clone(&file));
        // A mostly empty database stays sparse; otherwise the space is reserved, so that a full disk shows now.
        let reserved = if written * 2 >= shape.file_bytes() {
            file.allocate(shape.file_bytes())
        } else {
            file.set_len(shape.file_bytes())
        };
        reserved.map_err(|error| failed("make room for", &self.name, Some(&shape), error))?;
        self.shape = Some(shape);
        Ok(Arc::new(FileSink { file, name: self.name.clone(), shape }))
    }

    fn finish(&mut self) -> Result<()> {
        let Some(file) = &self.file else {
            return Err(Error::invalid("finishing a restore", "it was not begun"));
        };
        file.sync().map_err(|error| failed("sync", &self.name, self.shape.as_ref(), error))
    }
}

impl Drop for FileTarget {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            self.remove_hidden();
        }
    }
}
