//! A file as something to write to, front to back.

use std::io::{self, Write};
use std::sync::Arc;

use crate::files::File;

/// Written in pieces of this size.
const CHUNK: usize = 1 << 20;

/// Writes to a file from its beginning, in large pieces. [`Write::flush`] writes what is left; nothing is synced.
#[derive(Debug)]
pub struct FileWriter {
    file: Arc<dyn File>,
    written: u64,
    buffer: Vec<u8>,
}

impl FileWriter {
    /// A writer at the beginning of a file.
    #[must_use]
    pub const fn new(file: Arc<dyn File>) -> Self {
        Self { file, written: 0, buffer: Vec::new() }
    }
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(self.written, &self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
