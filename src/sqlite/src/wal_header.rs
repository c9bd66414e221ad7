//! The header of a `-wal` file, and one frame of it.
//!
//! Invariant: a frame counts only if its salts are the header's and the cumulative checksum holds.
//!
//! Source: the SQLite file format, "The Write-Ahead Log".

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use walkeep::core::{PageCount, PageNo, PageSize};

pub(crate) const HEADER_LEN: usize = 32;
pub(crate) const FRAME_HEADER_LEN: usize = 24;
const MAGIC_LITTLE_ENDIAN: u32 = 0x377f_0682;
const MAGIC_BIG_ENDIAN: u32 = 0x377f_0683;
const VERSION: u32 = 3_007_000;

/// The salts of a round of the log: a restart changes both.
pub(crate) type Salts = [u8; 8];

/// The two sums that every frame of a round goes on from.
pub(crate) type Checksum = (u32, u32);

/// What stands in front of the frames of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WalHeader {
    pub(crate) page_size: PageSize,
    pub(crate) salts: Salts,
    big_endian: bool,
    pub(crate) checksum: Checksum,
}

/// A frame that belongs to its round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WalFrame<'a> {
    pub(crate) page: PageNo,
    /// The size of the database, if the frame ends a transaction.
    pub(crate) size_after: Option<PageCount>,
    /// The sums after it.
    pub(crate) checksum: Checksum,
    pub(crate) image: &'a [u8],
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// The log's checksum: two sums over 32-bit words that feed each other.
pub(crate) fn checksum(bytes: &[u8], big_endian: bool, (mut a, mut b): Checksum) -> Checksum {
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

impl WalHeader {
    /// Reads the header of a log; `None` when it has no valid one.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn read(file: &File) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEADER_LEN];
        let len = read_at(file, 0, &mut bytes)?;
        Ok(bytes.get(..len).filter(|bytes| bytes.len() == HEADER_LEN).and_then(Self::parse))
    }

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

    /// The length of a frame in the file.
    pub(crate) const fn frame_len(&self) -> usize {
        FRAME_HEADER_LEN + self.page_size.bytes()
    }

    /// Reads a frame that goes on from these sums; `None` when it is not of this round.
    pub(crate) fn frame<'a>(&self, before: Checksum, bytes: &'a [u8]) -> Option<WalFrame<'a>> {
        self.frame_of(self.salts, before, bytes)
    }

    /// Reads a frame that live connections hold to be committed: also one that SQLite forgot to seal, and the one behind it,
    /// whose sums go on from nobody knows where.
    pub(crate) fn live_frame<'a>(
        &self,
        before: Checksum,
        behind_unsealed: bool,
        bytes: &'a [u8],
    ) -> Option<(WalFrame<'a>, bool)> {
        if let Some(frame) = self.frame(before, bytes) {
            return Some((frame, false));
        }
        let (head, image) = bytes.split_at_checked(FRAME_HEADER_LEN)?;
        let unsealed = is_unsealed(head);
        let goes_on = behind_unsealed && head.get(8..16) == Some(&self.salts);
        let page = PageNo::new(be32(head, 0)).filter(|_| unsealed || goes_on)?;
        let size = be32(head, 4);
        let size_after = (size != 0).then_some(PageCount(size));
        Some((WalFrame { page, size_after, checksum: checksum_of(head), image }, unsealed))
    }

    /// The same for a round with other salts: one whose frames still stand behind those of this one.
    pub(crate) fn frame_of<'a>(
        &self,
        salts: Salts,
        before: Checksum,
        bytes: &'a [u8],
    ) -> Option<WalFrame<'a>> {
        let (head, image) = bytes.split_at_checked(FRAME_HEADER_LEN)?;
        if head.get(8..16) != Some(&salts) {
            return None;
        }
        let sum = checksum(head.get(..8)?, self.big_endian, before);
        let sum = checksum(image, self.big_endian, sum);
        let page = PageNo::new(be32(head, 0)).filter(|_| sum == (be32(head, 16), be32(head, 20)))?;
        let size = be32(head, 4);
        Some(WalFrame { page, size_after: (size != 0).then_some(PageCount(size)), checksum: sum, image })
    }
}

/// Whether a frame has no salts and no sums: so SQLite writes those of a transaction whose frames it will write again, and
/// fills them in at the commit. Versions before 3.45 forget some of them after a `ROLLBACK TO` in a transaction that is larger
/// than the cache: such a commit is there for those who have the database open, and lost after a crash.
pub(crate) fn is_unsealed(head: &[u8]) -> bool {
    head.get(8..FRAME_HEADER_LEN) == Some(&[0; FRAME_HEADER_LEN - 8])
}

/// The sums that a frame's header says.
pub(crate) fn checksum_of(head: &[u8]) -> Checksum {
    (be32(head, 16), be32(head, 20))
}

/// Whether these salts are the ones that an ordinary restart gives after `before`.
pub(crate) fn follows(before: Salts, after: Salts) -> bool {
    be32(&before, 0).wrapping_add(1) == be32(&after, 0)
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
