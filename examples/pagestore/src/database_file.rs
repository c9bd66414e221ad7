//! The database file: written by checkpoints only.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use walkeep::core::{HashSeed, PageCount, PageHashTable, PageNo};
use walkeep::log::Checkpoint;
use walkeep::{Error, Result};

use crate::PAGE_SIZE;

/// An open database file.
#[derive(Debug)]
pub struct DatabaseFile {
    file: File,
}

impl DatabaseFile {
    /// Opens a file, creating it if it is not there.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        Ok(Self { file: file.map_err(|error| Error::io(format!("open {}", path.display()), error))? })
    }

    /// The hash of every page: what a log is opened with. A page that a crash cut short is as long as a page.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn hashes(&self, seed: HashSeed) -> Result<PageHashTable> {
        let len = self.file.metadata().map_err(failed)?.len();
        let pages = u32::try_from(len.div_ceil(PAGE_SIZE.bytes_u64())).map_err(|_| Error::Exhausted {
            what: format!("a database file of {len} bytes has too many pages"),
        })?;
        let mut hashes = Vec::new();
        for page in (1..=pages).filter_map(PageNo::new) {
            hashes.push((page, seed.page(page, &self.read(page)?)));
        }
        let mut table = PageHashTable::new(seed);
        table.apply(PageCount(pages), &hashes);
        Ok(table)
    }

    /// A page; zeros behind the end.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn read(&self, page: PageNo) -> Result<Bytes> {
        let mut image = vec![0; PAGE_SIZE.bytes()];
        let (mut filled, offset) = (0, page.file_offset(PAGE_SIZE));
        loop {
            match self.file.read_at(&mut image[filled..], offset + filled as u64).map_err(failed)? {
                0 => return Ok(image.into()),
                read => filled += read,
            }
        }
    }

    /// Copies a checkpoint, in the order that [`Checkpoint`] asks for.
    ///
    /// # Errors
    ///
    /// `Io`: after a failed sync nobody knows what is on the disk. End, and begin anew.
    pub fn apply(&self, checkpoint: &Checkpoint<'_>) -> Result<()> {
        let smallest = checkpoint.smallest_size().file_bytes(PAGE_SIZE);
        if self.file.metadata().map_err(failed)?.len() > smallest {
            self.file.set_len(smallest).map_err(failed)?;
        }
        for image in checkpoint.images() {
            let (page, image) = image?;
            self.file.write_all_at(&image, page.file_offset(PAGE_SIZE)).map_err(failed)?;
        }
        self.file.set_len(checkpoint.size().file_bytes(PAGE_SIZE)).map_err(failed)?;
        self.file.sync_all().map_err(failed)
    }

    /// Makes it empty.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn clear(&self) -> Result<()> {
        self.file.set_len(0).and_then(|()| self.file.sync_all()).map_err(failed)
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::io("the database file", error)
}
