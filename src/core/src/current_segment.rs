//! The current segment on local disk: a header, then one frame behind the other (`docs/format.md`, section 6).
//!
//! This is the codec; the files are `walkeep::log`'s. Frames are chained: the checksum of each is seeded by that of
//! the one before, and the first by a random salt of the file. So what a [`Chain`] accepts was written to this
//! file, in this place, behind everything before it; bytes that a disk kept from something else never pass.
//!
//! Invariants: a frame that does not pass does not move the chain; no bytes make it panic.
//!
//! Not here: which accepted frames count. Those behind the last commit are of a transaction that was never finished.

use twox_hash::XxHash3_64;
use zerocopy::little_endian::{U16, U32, U64, U128};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::commit::{Commit, CommitKind};
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::ids::LogId;
use crate::page::{PageCount, PageNo, PageSize};
use crate::page_hash::StateChecksum;
use crate::unix_millis::UnixMillis;

/// The length of the file's header in bytes.
pub const CURRENT_HEADER_LEN: usize = 96;
/// What stands before the image of each frame, in bytes.
pub const FRAME_HEADER_LEN: usize = 40;

const MAGIC: [u8; 8] = *b"WALKLOG\0";
const VERSION: u16 = 1;
const CHECKSUM_LEN: usize = 8;

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 8],
    version: U16,
    flags: U16,
    page_size: U32,
    log_id: U128,
    start: U64,
    salt: U64,
    state_before: U64,
    size_before: U32,
    reserved: [u8; 32],
    crc: U32,
}

const _: () = assert!(size_of::<RawHeader>() == CURRENT_HEADER_LEN);

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawFrame {
    checksum: U64,
    page: U32,
    size_after: U32,
    time: U64,
    state: U64,
    kind: u8,
    reserved: [u8; 7],
}

const _: () = assert!(size_of::<RawFrame>() == FRAME_HEADER_LEN);
const _: () = assert!(std::mem::offset_of!(RawFrame, page) == CHECKSUM_LEN);

/// What a current segment is, and what it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentHeader {
    /// The size of its pages.
    pub page_size: PageSize,
    /// The log it belongs to.
    pub log_id: LogId,
    /// Its first frame.
    pub start: FrameNo,
    /// Random, one per file: where its chain of checksums begins.
    pub salt: u64,
    /// The state checksum of the database before its first frame.
    pub state_before: StateChecksum,
    /// The size of the database before its first frame.
    pub size_before: PageCount,
}

impl CurrentHeader {
    /// The bytes of the header.
    #[must_use]
    pub fn encode(&self) -> [u8; CURRENT_HEADER_LEN] {
        let mut raw = RawHeader {
            magic: MAGIC,
            version: U16::new(VERSION),
            flags: U16::new(0),
            page_size: U32::new(self.page_size.bytes_u32()),
            log_id: U128::new(self.log_id.0),
            start: U64::new(self.start.get()),
            salt: U64::new(self.salt),
            state_before: U64::new(self.state_before.0),
            size_before: U32::new(self.size_before.get()),
            reserved: [0; 32],
            crc: U32::new(0),
        };
        raw.crc = U32::new(raw.computed_crc());
        zerocopy::transmute!(raw)
    }

    /// Reads the header of the file `object`.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is damaged; `Invalid` when it is of a version, or uses a feature, that this code does not
    /// know.
    pub fn parse(object: &str, bytes: &[u8]) -> Result<Self> {
        let raw = RawHeader::read_from_bytes(bytes).map_err(|_| {
            let expected = format!("a header of {CURRENT_HEADER_LEN} bytes");
            Error::corrupt(object, 0, expected, format!("{} bytes", bytes.len()))
        })?;
        if raw.magic != MAGIC {
            let found = format!("{:02x?}", raw.magic);
            return Err(Error::corrupt(object, 0, "the magic of a Walkeep log", found));
        }
        let (stored, computed) = (raw.crc.get(), raw.computed_crc());
        if stored != computed {
            let expected = format!("a header with crc {stored:08x}");
            return Err(Error::corrupt(object, 0, expected, format!("crc {computed:08x}")));
        }
        if raw.version.get() != VERSION {
            let why = format!("this version of Walkeep reads format {VERSION}; use a newer one");
            return Err(Error::invalid(format!("{object} of log format {}", raw.version), why));
        }
        if raw.flags.get() != 0 || raw.reserved != [0; 32] {
            return Err(Error::invalid(
                object,
                "it uses features that this version of Walkeep does not know",
            ));
        }
        let wrong = |expected| Error::corrupt(object, 0, expected, "a header that says otherwise");
        Ok(Self {
            page_size: PageSize::new(raw.page_size.get())
                .map_err(|_| wrong("a page size from 512 to 65536"))?,
            log_id: LogId(raw.log_id.get()),
            start: FrameNo::new(raw.start.get()).ok_or_else(|| wrong("a first frame of at least 1"))?,
            salt: raw.salt.get(),
            state_before: StateChecksum(raw.state_before.get()),
            size_before: PageCount(raw.size_before.get()),
        })
    }

    /// How many bytes each frame takes.
    #[must_use]
    pub const fn frame_len(&self) -> usize {
        FRAME_HEADER_LEN + self.page_size.bytes()
    }
}

impl RawHeader {
    fn computed_crc(&self) -> u32 {
        let bytes = self.as_bytes();
        crc32fast::hash(bytes.get(..CURRENT_HEADER_LEN - 4).unwrap_or(bytes))
    }
}

/// A frame that the chain accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainedFrame<'a> {
    /// Its number.
    pub frame_no: FrameNo,
    /// The page.
    pub page: PageNo,
    /// What it commits, if it is the last of a transaction.
    pub commit: Option<Commit>,
    /// The image.
    pub image: &'a [u8],
}

/// Where the chain of checksums of a current segment stands, for writing and for reading.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    frame_len: usize,
    checksum: u64,
    next: Option<FrameNo>,
}

impl Chain {
    /// The chain of a file before its first frame.
    #[must_use]
    pub fn new(header: &CurrentHeader) -> Self {
        let checksum = XxHash3_64::oneshot_with_seed(header.salt, &header.encode());
        Self { frame_len: header.frame_len(), checksum, next: Some(header.start) }
    }

    /// Writes the next frame behind `out`. `commit` ends a transaction; its state must be known.
    ///
    /// # Errors
    ///
    /// `Invalid` when the image is not a page long, or the commit is not of this frame or without its state;
    /// `Exhausted` when all frames are used. Nothing is written then.
    pub fn append(
        &mut self,
        page: PageNo,
        image: &[u8],
        commit: Option<&Commit>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let frame_no = self.next.filter(|frame| *frame < FrameNo::MAX);
        let frame_no = frame_no.ok_or_else(|| Error::Exhausted { what: "all frames are used".into() })?;
        let commits = |commit: &&Commit| commit.frame_no == frame_no && commit.state.is_some();
        if FRAME_HEADER_LEN + image.len() != self.frame_len || commit.is_some_and(|c| !commits(&c)) {
            let why = "an image is a page long, and a commit is that of its frame and has a state";
            return Err(Error::invalid(format!("frame {frame_no} of page {page}"), why));
        }
        let state = commit.and_then(|commit| commit.state);
        let raw = RawFrame {
            checksum: U64::new(0),
            page: U32::new(page.get()),
            size_after: U32::new(commit.map_or(0, |commit| commit.size_after.get())),
            time: U64::new(commit.map_or(0, |commit| commit.time.get())),
            state: U64::new(state.map_or(0, |state| state.0)),
            kind: commit.map_or(0, |commit| kind_byte(commit.kind)),
            reserved: [0; 7],
        };
        let start = out.len();
        out.extend_from_slice(raw.as_bytes());
        out.extend_from_slice(image);
        let checked = out.get(start + CHECKSUM_LEN..).unwrap_or_default();
        self.checksum = XxHash3_64::oneshot_with_seed(self.checksum, checked);
        if let Some(place) = out.get_mut(start..start + CHECKSUM_LEN) {
            place.copy_from_slice(&self.checksum.to_le_bytes());
        }
        self.next = frame_no.next();
        Ok(())
    }

    /// The next frame, if these are its bytes. Where they are not, the chain ends: nothing behind them is believed.
    pub fn accept<'a>(&mut self, bytes: &'a [u8]) -> Option<ChainedFrame<'a>> {
        let frame_no = self.next.filter(|_| bytes.len() == self.frame_len)?;
        let (raw, image) = RawFrame::ref_from_prefix(bytes).ok()?;
        let checksum = XxHash3_64::oneshot_with_seed(self.checksum, bytes.get(CHECKSUM_LEN..)?);
        if raw.checksum.get() != checksum {
            return None;
        }
        let frame = ChainedFrame { frame_no, page: PageNo::new(raw.page.get())?, commit: None, image };
        let commit = match raw.kind {
            0 if (raw.size_after.get(), raw.time.get(), raw.state.get()) == (0, 0, 0) => None,
            kind => Some(Commit {
                frame_no,
                size_after: PageCount(raw.size_after.get()),
                time: UnixMillis(raw.time.get()),
                state: Some(StateChecksum(raw.state.get())),
                kind: kind_of(kind)?,
            }),
        };
        if raw.reserved != [0; 7] || frame_no == FrameNo::MAX {
            return None;
        }
        (self.checksum, self.next) = (checksum, frame_no.next());
        Some(ChainedFrame { commit, ..frame })
    }
}

const fn kind_byte(kind: CommitKind) -> u8 {
    match kind {
        CommitKind::Transaction => 1,
        CommitKind::Snapshot => 2,
        CommitKind::Discontinuous => 3,
    }
}

fn kind_of(byte: u8) -> Option<CommitKind> {
    [CommitKind::Transaction, CommitKind::Snapshot, CommitKind::Discontinuous]
        .into_iter()
        .find(|kind| kind_byte(*kind) == byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(salt: u64) -> CurrentHeader {
        CurrentHeader {
            page_size: PageSize::MIN,
            log_id: LogId(5),
            start: FrameNo::new(7).unwrap(),
            salt,
            state_before: StateChecksum(9),
            size_before: PageCount(3),
        }
    }

    fn commit(frame: u64) -> Commit {
        Commit {
            frame_no: FrameNo::new(frame).unwrap(),
            size_after: PageCount(4),
            time: UnixMillis(1),
            state: Some(StateChecksum(2)),
            kind: CommitKind::Snapshot,
        }
    }

    /// Three frames, the second and third of which commit.
    fn written(salt: u64) -> Vec<u8> {
        let mut chain = Chain::new(&header(salt));
        let mut bytes = Vec::new();
        let page = |n| PageNo::new(n).unwrap();
        chain.append(page(1), &[1; 512], None, &mut bytes).unwrap();
        chain.append(page(4), &[2; 512], Some(&commit(8)), &mut bytes).unwrap();
        chain.append(page(1), &[3; 512], Some(&commit(9)), &mut bytes).unwrap();
        bytes
    }

    fn accepted(salt: u64, bytes: &[u8]) -> Vec<ChainedFrame<'_>> {
        let mut chain = Chain::new(&header(salt));
        bytes.chunks(552).map_while(|frame| chain.accept(frame)).collect()
    }

    #[test]
    fn frames_read_back_as_written() {
        let bytes = written(1);
        let frames = accepted(1, &bytes);
        let seen = frames.iter().map(|f| (f.frame_no.get(), f.page.get(), f.image[0])).collect::<Vec<_>>();
        assert_eq!(seen, [(7, 1, 1), (8, 4, 2), (9, 1, 3)]);
        let commits = frames.iter().map(|frame| frame.commit).collect::<Vec<_>>();
        assert_eq!(commits, [None, Some(commit(8)), Some(commit(9))]);
    }

    /// What these functions write is a format: it must stay readable.
    #[test]
    fn headers_and_frames_are_what_they_were() {
        assert_eq!(crc32fast::hash(&header(1).encode()), 558_161_692);
        assert_eq!(crc32fast::hash(&written(1)), 2_893_095_777);
    }

    #[test]
    fn frames_of_another_file_or_place_are_not_accepted() {
        let bytes = written(1);
        assert_eq!(accepted(2, &bytes).len(), 0, "another salt");
        let moved = [&bytes[..552], &bytes[1104..]].concat();
        assert_eq!(accepted(1, &moved).len(), 1, "another place");
        assert_eq!(accepted(1, &vec![0; 1104]).len(), 0, "zeros");
    }

    #[test]
    fn every_flipped_bit_ends_the_chain_where_it_is() {
        let bytes = written(1);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert_eq!(accepted(1, &flipped).len(), at / 552, "offset {at}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_refused() {
        let bytes = header(1).encode();
        assert_eq!(CurrentHeader::parse("x", &bytes).unwrap(), header(1));
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(CurrentHeader::parse("x", &flipped).is_err(), "bit {at}");
        }
    }

    #[test]
    fn a_later_version_is_refused_with_both_numbers() {
        let mut raw = RawHeader::read_from_bytes(&header(1).encode()).unwrap();
        raw.version = U16::new(2);
        raw.crc = U32::new(raw.computed_crc());
        let error = CurrentHeader::parse("x", raw.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("log format 2") && error.contains("reads format 1"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = CurrentHeader::parse("x", &bytes);
            let _ = Chain::new(&header(1)).accept(&bytes);
        }
    }
}
