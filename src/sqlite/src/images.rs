//! Where page images are, and reading them from there.

use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::wal_header::read_at;

/// Where the image of a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImageAt {
    /// In the log, at this offset.
    Log(u64),
    /// In the database file, at this offset. What is behind its end is zeros.
    Database(u64),
    /// Nowhere: it is zeros.
    Zero,
}

/// The files that images are in.
#[derive(Clone, Debug)]
pub(crate) struct Images {
    pub(crate) log: Arc<File>,
    pub(crate) database: Arc<File>,
}

impl Images {
    /// Reads an image.
    ///
    /// # Errors
    ///
    /// The operating system's; `UnexpectedEof` when the log ends before it.
    pub(crate) fn read(&self, at: ImageAt, image: &mut [u8]) -> io::Result<()> {
        let len = match at {
            ImageAt::Log(offset) => {
                let len = read_at(&self.log, offset, image)?;
                return if len == image.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            ImageAt::Database(offset) => read_at(&self.database, offset, image)?,
            ImageAt::Zero => 0,
        };
        image.get_mut(len..).unwrap_or_default().fill(0);
        Ok(())
    }
}
