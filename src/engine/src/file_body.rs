//! A file, or the first part of one, as the body of an object.

use std::io;
use std::sync::Arc;

use walkeep_core::{BodySource, File};

/// The first `len` bytes of an open file, which are never changed again.
#[derive(Debug)]
pub(crate) struct FileBody {
    pub(crate) file: Arc<dyn File>,
    pub(crate) len: u64,
}

impl BodySource for FileBody {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        if self.file.read_at(offset, bytes)? == bytes.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}
