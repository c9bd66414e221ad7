//! The write-ahead log of a SQLite database: reading the committed frames of a `-wal` file.
//!
//! Invariants: a frame counts only if its salts are the header's and the cumulative checksum holds; only frames up
//! to the last commit count. Anything else (a torn frame, half a header, frames of an earlier round) is the end of
//! the log, not an error.
//!
//! Source: the SQLite file format, "The Write-Ahead Log".

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use walkeep::core::{PageCount, PageNo, PageSize};

use crate::wal_header::HEADER_LEN;
use crate::wal_header::{FRAME_HEADER_LEN, Salts, WalFrame, WalHeader, read_at};

/// Frames are read in pieces of about this size.
const CHUNK: usize = 1 << 20;

/// The committed content of a `-wal` file.
#[derive(Debug)]
pub(crate) struct Wal {
    file: Arc<File>,
    page_size: PageSize,
    salts: Option<Salts>,
    /// Where in the file the newest committed image of each page begins.
    images: HashMap<PageNo, u64>,
    size_after: Option<PageCount>,
    /// Frames up to the last commit.
    frames: u64,
    /// Where in the file the first frame begins that does not continue the chain.
    end: u64,
    /// Whether an image was gone when it was read: another process has cut the file.
    cut: AtomicBool,
}

impl Wal {
    /// Reads the committed frames of a log, at most the first `frames_max`.
    ///
    /// # Errors
    ///
    /// The operating system's. A log that is empty or damaged has no frames; that is not an error.
    pub(crate) fn scan(file: Arc<File>, page_size: PageSize, frames_max: u64) -> io::Result<Self> {
        let header = WalHeader::read(&file)?;
        let mut wal = Self {
            file,
            page_size,
            salts: None,
            images: HashMap::new(),
            size_after: None,
            frames: 0,
            end: 0,
            cut: AtomicBool::new(false),
        };
        if let Some(header) = header.filter(|header| header.page_size == page_size) {
            wal.salts = Some(header.salts);
            wal.end = HEADER_LEN as u64;
            wal.scan_frames(&header, frames_max)?;
        }
        Ok(wal)
    }

    /// Whether a log has a commit, in pages of whatever size its header says; if so, that size.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn committed_page_size(file: Arc<File>) -> io::Result<Option<PageSize>> {
        let Some(header) = WalHeader::read(&file)? else {
            return Ok(None);
        };
        let wal = Self::scan(file, header.page_size, u64::MAX)?;
        Ok(wal.size_after.map(|_| header.page_size))
    }

    fn scan_frames(&mut self, header: &WalHeader, frames_max: u64) -> io::Result<()> {
        let frame_len = FRAME_HEADER_LEN + self.page_size.bytes();
        let mut chunk = vec![0; (CHUNK / frame_len).max(1) * frame_len];
        let mut offset = HEADER_LEN as u64;
        let mut sum = header.checksum;
        let mut uncommitted: Vec<(PageNo, u64)> = Vec::new();
        let (mut seen, mut unsealed) = (0, false);
        loop {
            let len = read_at(&self.file, offset, &mut chunk)?;
            for frame in chunk.get(..len).unwrap_or_default().chunks_exact(frame_len) {
                let live = frames_max < u64::MAX;
                let read = if live {
                    header.live_frame(sum, unsealed, frame)
                } else {
                    header.frame(sum, frame).map(|frame| (frame, false))
                };
                let Some((frame, is_unsealed)) = read.filter(|_| seen < frames_max) else {
                    return Ok(());
                };
                unsealed = is_unsealed;
                sum = frame.checksum;
                let WalFrame { page, size_after, .. } = frame;
                uncommitted.push((page, offset + FRAME_HEADER_LEN as u64));
                offset += frame_len as u64;
                seen += 1;
                self.end = offset;
                if size_after.is_some() {
                    self.frames = seen;
                    self.size_after = size_after;
                    self.images.extend(uncommitted.drain(..));
                }
            }
            if len < chunk.len() {
                return Ok(());
            }
        }
    }

    pub(crate) const fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// The salts of the log that was read; `None` when it had no valid header.
    pub(crate) const fn salts(&self) -> Option<Salts> {
        self.salts
    }

    /// The size of the database after the last commit; `None` when the log has none.
    pub(crate) const fn size_after(&self) -> Option<PageCount> {
        self.size_after
    }

    /// How many frames there are up to the last commit that was read.
    pub(crate) const fn frames(&self) -> u64 {
        self.frames
    }

    /// Where in the file the first part begins that is not a frame of this log, or was not asked for.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// Where in the file the newest committed image of a page is.
    pub(crate) fn offset(&self, page: PageNo) -> Option<u64> {
        self.images.get(&page).copied()
    }

    /// Reads the newest committed image of a page; `false` when the log has none.
    ///
    /// A log of which everything is in the database file may be cut or begun anew at any time. What is read then is
    /// worthless, and [`Wal::is_unchanged`] says so.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn read(&self, page: PageNo, image: &mut [u8]) -> io::Result<bool> {
        let Some(offset) = self.images.get(&page) else {
            return Ok(false);
        };
        match self.file.read_exact_at(image, *offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.cut.store(true, Ordering::Relaxed);
                Ok(true)
            }
            read => read.map(|()| true),
        }
    }

    /// Whether the log in the file is still the one that was read: not restarted, not cut.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn is_unchanged(&self) -> io::Result<bool> {
        let header = WalHeader::read(&self.file)?;
        let same = !self.cut.load(Ordering::Relaxed) && header.map(|header| header.salts) == self.salts;
        // A log that had no frames may begin one: the database file, held still, is what was read.
        Ok(self.images.is_empty() || same)
    }
}
