//! The pages of a database at one commit: those of the log up to there, else those of the file.
//!
//! Whether it holds still is for whoever made it to see to.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walkeep::core::{Error, PageCount, PageNo, PageSize, Result};

use crate::images::{ImageAt, Images};
use crate::wal::Wal;
use crate::wal_header::read_at;

/// Pages are read from the file in pieces of about this size.
const CHUNK: usize = 1 << 20;

/// The pages of a database at one commit.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<File>,
    pub(crate) page_size: PageSize,
    pub(crate) size: PageCount,
    pub(crate) wal: Option<Wal>,
}

impl Snapshot {
    /// The database of a file and its log, or its file alone.
    ///
    /// # Errors
    ///
    /// `Invalid` when the file has more pages than SQLite can number; `Io`.
    pub(crate) fn new(path: &Path, file: Arc<File>, page_size: PageSize, wal: Option<Wal>) -> Result<Self> {
        let failed = |error: io::Error| Error::io(format!("read {}", path.display()), error);
        let in_file = file.metadata().map_err(failed)?.len() / page_size.bytes_u64();
        let in_file = u32::try_from(in_file).map_err(|_| {
            Error::invalid(path.display().to_string(), "it has more pages than SQLite can number")
        })?;
        let size = wal.as_ref().and_then(Wal::size_after).unwrap_or(PageCount(in_file));
        Ok(Self { path: path.to_path_buf(), file, page_size, size, wal })
    }

    /// Calls `visit` with every page of the database in order.
    ///
    /// # Errors
    ///
    /// `Io`, and what `visit` returns.
    pub(crate) fn for_each_page(&self, mut visit: impl FnMut(PageNo, &[u8]) -> Result<()>) -> Result<()> {
        let failed = |error: io::Error| Error::io(format!("read {}", self.path.display()), error);
        let lock_page = self.page_size.lock_page();
        let mut chunk = vec![0; CHUNK.max(self.page_size.bytes())];
        let pages_a_chunk = u32::try_from(chunk.len() / self.page_size.bytes()).unwrap_or(1);
        let mut first = PageNo::FIRST;
        while self.size.contains(first) {
            // Beyond the end of the file are zeros: pages that are in the log alone, or were never written.
            let len = read_at(&self.file, first.file_offset(self.page_size), &mut chunk).map_err(failed)?;
            chunk.get_mut(len..).unwrap_or_default().fill(0);
            let pages = (first.get()..=self.size.get()).take(pages_a_chunk as usize).filter_map(PageNo::new);
            for (page, image) in pages.zip(chunk.chunks_exact_mut(self.page_size.bytes())) {
                if page == lock_page {
                    image.fill(0);
                } else if let Some(wal) = &self.wal {
                    wal.read(page, image).map_err(failed)?;
                }
                visit(page, image)?;
            }
            match first.get().checked_add(pages_a_chunk).and_then(PageNo::new) {
                Some(next) => first = next,
                None => break,
            }
        }
        Ok(())
    }

    /// Reads an image from its place.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(crate) fn read(&self, at: ImageAt, image: &mut [u8]) -> Result<()> {
        let log = self.wal.as_ref().map_or(&self.file, |wal| wal.file());
        let images = Images { log: Arc::clone(log), database: Arc::clone(&self.file) };
        images.read(at, image).map_err(|error| Error::io(format!("read {}", self.path.display()), error))
    }

    /// Where the image of a page is.
    pub(crate) fn place(&self, page: PageNo) -> ImageAt {
        if page == self.page_size.lock_page() || !self.size.contains(page) {
            return ImageAt::Zero;
        }
        let in_log = self.wal.as_ref().and_then(|wal| wal.offset(page));
        in_log.map_or(ImageAt::Database(page.file_offset(self.page_size)), ImageAt::Log)
    }
}
