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

const HEADER_LEN: usize = 32;
const FRAME_HEADER_LEN: usize = 24;
const MAGIC_LITTLE_ENDIAN: u32 = 0x377f_0682;
const MAGIC_BIG_ENDIAN: u32 = 0x377f_0683;
const VERSION: u32 = 3_007_000;

/// Frames are read in pieces of about this size.
const CHUNK: usize = 1 << 20;

/// The salts of a round of the log: a restart changes both.
pub(crate) type Salts = [u8; 8];

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

struct Header {
    page_size: PageSize,
    salts: Salts,
    big_endian: bool,
    checksum: (u32, u32),
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// The log's checksum: two sums over 32-bit words that feed each other.
pub(crate) fn checksum(bytes: &[u8], big_endian: bool, (mut a, mut b): (u32, u32)) -> (u32, u32) {
    let word = |four: &[u8]| {
        let four = four.try_into().unwrap_or_default();
        if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    };
    for eight in bytes.chunks_exact(8) {
        let (first, second) = eight.split_at(4);
        a = a.wrapping_add(word(first)).wrapping_add(b);
        b = b.wrapping_add(word(second)).wrapping_add(a);
    }
    (a, b)
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let big_endian = match be32(bytes, 0) {
            MAGIC_LITTLE_ENDIAN => false,
            MAGIC_BIG_ENDIAN => true,
            _ => return None,
        };
        let sum = checksum(bytes.get(..24)?, big_endian, (0, 0));
        let valid = be32(bytes, 4) == VERSION && sum == (be32(bytes, 24), be32(bytes, 28));
        let page_size = PageSize::new(be32(bytes, 8)).ok().filter(|_| valid)?;
        Some(Self { page_size, salts: bytes.get(16..24)?.try_into().ok()?, big_endian, checksum: sum })
    }
}

impl Wal {
    /// Reads the committed frames of a log, at most the first `frames_max`.
    ///
    /// # Errors
    ///
    /// The operating system's. A log that is empty or damaged has no frames; that is not an error.
    pub(crate) fn scan(file: Arc<File>, page_size: PageSize, frames_max: u64) -> io::Result<Self> {
        let mut header = [0; HEADER_LEN];
        let len = read_at(&file, 0, &mut header)?;
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
        let header = header.get(..len).filter(|bytes| bytes.len() == HEADER_LEN).and_then(Header::parse);
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
        let mut header = [0; HEADER_LEN];
        let len = read_at(&file, 0, &mut header)?;
        let header = header.get(..len).filter(|bytes| bytes.len() == HEADER_LEN).and_then(Header::parse);
        let Some(header) = header else {
            return Ok(None);
        };
        let wal = Self::scan(file, header.page_size, u64::MAX)?;
        Ok(wal.size_after.map(|_| header.page_size))
    }

    fn scan_frames(&mut self, header: &Header, frames_max: u64) -> io::Result<()> {
        let frame_len = FRAME_HEADER_LEN + self.page_size.bytes();
        let mut chunk = vec![0; (CHUNK / frame_len).max(1) * frame_len];
        let mut offset = HEADER_LEN as u64;
        let mut sum = header.checksum;
        let mut uncommitted: Vec<(PageNo, u64)> = Vec::new();
        let mut seen = 0;
        loop {
            let len = read_at(&self.file, offset, &mut chunk)?;
            for frame in chunk.get(..len).unwrap_or_default().chunks_exact(frame_len) {
                let (head, image) = frame.split_at(FRAME_HEADER_LEN);
                sum = checksum(head.get(..8).unwrap_or_default(), header.big_endian, sum);
                sum = checksum(image, header.big_endian, sum);
                let chained =
                    sum == (be32(head, 16), be32(head, 20)) && head.get(8..16) == Some(&header.salts);
                let Some(page) = PageNo::new(be32(head, 0)).filter(|_| chained && seen < frames_max) else {
                    return Ok(());
                };
                uncommitted.push((page, offset + FRAME_HEADER_LEN as u64));
                offset += frame_len as u64;
                seen += 1;
                self.end = offset;
                if be32(head, 4) != 0 {
                    self.frames = seen;
                    self.size_after = Some(PageCount(be32(head, 4)));
                    self.images.extend(uncommitted.drain(..));
                }
            }
            if len < chunk.len() {
                return Ok(());
            }
        }
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
        let mut header = [0; HEADER_LEN];
        let len = read_at(&self.file, 0, &mut header)?;
        let header = header.get(..len).filter(|bytes| bytes.len() == HEADER_LEN).and_then(Header::parse);
        let same = !self.cut.load(Ordering::Relaxed) && header.map(|header| header.salts) == self.salts;
        // A log that had no frames may begin one: the database file, held still, is what was read.
        Ok(self.images.is_empty() || same)
    }
}

/// Reads at an offset; fewer bytes than asked only at the end of the file.
pub(crate) fn read_at(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
