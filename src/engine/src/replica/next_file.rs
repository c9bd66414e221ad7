//! The next version of a replica's file, while it is made beside the one that readers see.
//!
//! Invariant: nothing of it is in the file under the replica's name before [`NextFile::publish`]. It has a hidden name
//! that no other process uses, and is removed when it is dropped.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walkeep_core::{
    DatabaseShape, Directory, Error, File, HashSeed, PageNo, PageSink, Random, RestoreTarget, Result,
};

use super::journal_mode::JournalMode;

/// What the hidden names of a replica begin with, in its directory.
pub(super) fn hidden_prefix(name: &str) -> String {
    format!(".{name}.walkeep-replica-")
}

/// A hidden name that was never used.
pub(super) fn hidden_name(name: &str, random: &dyn Random) -> Result<PathBuf> {
    let HashSeed(suffix) = HashSeed::random(random)?;
    Ok(PathBuf::from(format!("{}{suffix:016x}", hidden_prefix(name))))
}

/// A file that is being made.
#[derive(Debug)]
pub(super) struct NextFile {
    directory: Arc<dyn Directory>,
    name: String,
    hidden: PathBuf,
    file: Option<Arc<dyn File>>,
    mode: JournalMode,
}

#[derive(Debug)]
struct Sink(Arc<dyn File>, String);

impl PageSink for Sink {
    fn write(&self, offset: u64, pages: &[u8]) -> Result<()> {
        self.0.write_all_at(offset, pages).map_err(|error| failed("write", &self.1, error))
    }
}

/// What a failed operation means.
fn failed(what: &str, name: &str, error: std::io::Error) -> Error {
    match Error::io(format!("{what} the next version of {name}"), error) {
        Error::Exhausted { what } => {
            let why = "a replica needs room for two versions of it";
            Error::Exhausted { what: format!("{what}; {why}") }
        }
        error => error,
    }
}

impl NextFile {
    /// A file that does not exist yet.
    pub(super) fn new(
        directory: Arc<dyn Directory>,
        name: &str,
        mode: JournalMode,
        random: &dyn Random,
    ) -> Result<Self> {
        let hidden = hidden_name(name, random)?;
        Ok(Self { directory, name: name.to_string(), hidden, file: None, mode })
    }

    /// Makes it an empty database of this shape. May block.
    pub(super) fn begin_empty(&mut self, shape: &DatabaseShape) -> Result<()> {
        let written = shape.pages_written * shape.page_size.bytes_u64();
        self.check_space(written)?;
        let file = self.directory.create_new(&self.hidden).map_err(|error| self.failed("create", error))?;
        let file = self.keep(file);
        let len = shape.file_bytes();
        // As for a restore: a mostly empty database stays sparse.
        let reserved = if written * 2 >= len { file.allocate(len) } else { file.set_len(len) };
        reserved.map_err(|error| self.failed("make room for", error))
    }

    /// Makes it a copy of the version that readers see, of this shape, with zeros in these pages. May block.
    pub(super) fn begin_copy(&mut self, shape: &DatabaseShape, zeroed: &[PageNo]) -> Result<()> {
        self.check_space(shape.file_bytes())?;
        let from = PathBuf::from(&self.name);
        let copied = self.directory.copy_new(&from, &self.hidden);
        if copied.is_err() {
            self.remove_hidden();
        }
        let file = self.keep(copied.map_err(|error| self.failed("copy the replica to", error))?);
        file.set_len(shape.file_bytes()).map_err(|error| self.failed("set the length of", error))?;
        let zeros = vec![0; shape.page_size.bytes()];
        for page in zeroed {
            let written = file.write_all_at(page.file_offset(shape.page_size), &zeros);
            written.map_err(|error| self.failed("write", error))?;
        }
        Ok(())
    }

    fn keep(&mut self, file: Box<dyn File>) -> Arc<dyn File> {
        let file: Arc<dyn File> = file.into();
        self.file = Some(Arc::clone(&file));
        file
    }

    /// The file, once it was begun.
    pub(super) fn file(&self) -> Result<&Arc<dyn File>> {
        self.file.as_ref().ok_or_else(|| Error::invalid("a version of a replica", "it was not begun"))
    }

    /// Puts the finished file in the place of what readers see.
    ///
    /// # Errors
    ///
    /// `Io`: nothing happened. `Unknown`: it is in place, but perhaps not durably.
    pub(super) fn publish(mut self) -> Result<()> {
        let name = PathBuf::from(&self.name);
        self.directory.rename(&self.hidden, &name).map_err(|error| self.failed("move into place", error))?;
        self.file = None;
        self.directory.sync_directory(Path::new("")).map_err(|error| Error::Unknown {
            what: format!("{} is up to date, but syncing its directory failed ({error})", self.name),
        })
    }

    fn check_space(&self, needed: u64) -> Result<()> {
        match self.directory.free_bytes().map_err(|error| Error::io("look at the free disk space", error))? {
            Some(free) if free < needed => {
                let name = &self.name;
                let what = format!(
                    "the next version of {name} needs {needed} bytes of disk space, and {free} are free: a \
                     replica needs room for two versions of it"
                );
                Err(Error::Exhausted { what })
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, what: &str, error: std::io::Error) -> Error {
        failed(what, &self.name, error)
    }

    fn remove_hidden(&self) {
        match self.directory.remove_file(&self.hidden) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(file = %self.hidden.display(), %error, "an unfinished file stays behind");
            }
            _ => {}
        }
    }
}

impl RestoreTarget for NextFile {
    fn begin(&mut self, _shape: DatabaseShape) -> Result<Arc<dyn PageSink>> {
        Ok(Arc::new(Sink(Arc::clone(self.file()?), self.name.clone())))
    }

    fn finish(&mut self) -> Result<()> {
        let file = self.file()?;
        let done = self.mode.show(&**file).and_then(|()| file.set_read_only()).and_then(|()| file.sync());
        done.map_err(|error| self.failed("finish", error))
    }
}

impl Drop for NextFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            self.remove_hidden();
        }
    }
}
