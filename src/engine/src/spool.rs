//! Where a segment is put together before it is stored: in memory while it is small, then in a file without a
//! name, which is gone when the process ends, however it ends.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use walkeep_core::{Body, Directory, File, Random, Result};

use crate::file_body::FileBody;

/// Kept in memory up to this size.
const MEMORY_MAX: usize = 32 << 20;

/// Written in pieces of this size.
const CHUNK: usize = 1 << 20;

/// A growing segment.
#[derive(Debug)]
pub struct Spool {
    directory: Arc<dyn Directory>,
    name: String,
    buffer: Vec<u8>,
    memory_max: usize,
    file: Option<Arc<dyn File>>,
    written: u64,
}

impl Spool {
    /// An empty spool; a file would be made in `directory`.
    ///
    /// # Errors
    ///
    /// `Io` when the source of randomness fails.
    pub fn new(directory: Arc<dyn Directory>, random: &dyn Random) -> Result<Self> {
        let mut suffix = [0; 8];
        random.fill(&mut suffix)?;
        let name = format!(".walkeep-spool-{:016x}", u64::from_le_bytes(suffix));
        Ok(Self { directory, name, buffer: Vec::new(), memory_max: MEMORY_MAX, file: None, written: 0 })
    }

    /// The same, kept in memory only up to `memory_max` bytes.
    #[must_use]
    pub(crate) fn with_memory_max(self, memory_max: usize) -> Self {
        Self { memory_max, ..self }
    }

    /// What was written, as the body of an object.
    ///
    /// # Errors
    ///
    /// `Io`, `Exhausted`.
    pub fn into_body(mut self) -> Result<Body> {
        match self.file.take() {
            None => Ok(Body::from(self.buffer)),
            Some(file) => {
                self.spill(&*file).map_err(|error| walkeep_core::Error::io("write the spool", error))?;
                Ok(Body::Source(Arc::new(FileBody { file, len: self.written })))
            }
        }
    }

    fn spill(&mut self, file: &dyn File) -> io::Result<()> {
        file.write_all_at(self.written, &self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        match self.file.clone() {
            Some(file) if self.buffer.len() >= CHUNK => self.spill(&*file)?,
            None if self.buffer.len() > self.memory_max => {
                let file = self.directory.create_new(Path::new(&self.name))?;
                // Without a name it cannot be left behind.
                self.directory.remove_file(Path::new(&self.name))?;
                self.spill(&*file)?;
                self.buffer.shrink_to(CHUNK * 2);
                self.file = Some(file.into());
            }
            _ => {}
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
