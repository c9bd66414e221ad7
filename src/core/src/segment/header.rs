//! The first 128 bytes of a segment: what it is. The footer repeats them.

use zerocopy::little_endian::{U16, U32, U64, U128};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::epoch::Epoch;
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::ids::{LogId, SegmentId};
use crate::page::PageSize;

/// The length of the header in bytes.
pub const HEADER_LEN: usize = 128;

const MAGIC: [u8; 8] = *b"WALKEEP\0";
const VERSION: u16 = 1;

/// The header as it stands in the object.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawHeader {
    magic: [u8; 8],
    version: U16,
    flags: U16,
    page_size: U32,
    log_id: U128,
    segment_id: U128,
    epoch: U32,
    level: u8,
    reserved_a: [u8; 3],
    start: U64,
    end: U64,
    frame_count: U32,
    reserved_b: [u8; 4],
    key_id: [u8; 16],
    salt: [u8; 16],
    reserved_c: [u8; 12],
    crc: U32,
}

const _: () = assert!(size_of::<RawHeader>() == HEADER_LEN);

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The size of its pages.
    pub page_size: PageSize,
    /// The log it belongs to.
    pub log_id: LogId,
    /// Its own identity.
    pub segment_id: SegmentId,
    /// The epoch it was written in.
    pub epoch: Epoch,
    /// How often it was compacted; 0 is as the writer sealed it.
    pub level: u8,
    /// The first frame.
    pub start: FrameNo,
    /// The last frame: a commit.
    pub end: FrameNo,
    /// How many frames it holds: at least 1. Fewer than the range after compaction, and where an import had fewer; more
    /// where all pages of a whole database got the number of the frame that it is at.
    pub frame_count: u32,
}

impl SegmentHeader {
    /// The bytes of the header.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut raw = RawHeader {
            magic: MAGIC,
            version: U16::new(VERSION),
            flags: U16::new(0),
            page_size: U32::new(self.page_size.bytes_u32()),
            log_id: U128::new(self.log_id.0),
            segment_id: U128::new(self.segment_id.0),
            epoch: U32::new(self.epoch.get()),
            level: self.level,
            reserved_a: [0; 3],
            start: U64::new(self.start.get()),
            end: U64::new(self.end.get()),
            frame_count: U32::new(self.frame_count),
            reserved_b: [0; 4],
            key_id: [0; 16],
            salt: [0; 16],
            reserved_c: [0; 12],
            crc: U32::new(0),
        };
        raw.crc = U32::new(raw.computed_crc());
        zerocopy::transmute!(raw)
    }

    /// Reads the header at `offset` of the object `object`.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is damaged; `Invalid` when it is of a version, or uses a feature, that this code does not
    /// know.
    pub fn parse(object: &str, offset: u64, bytes: &[u8]) -> Result<Self> {
        let raw = RawHeader::read_from_bytes(bytes).map_err(|_| {
            Error::corrupt(
                object,
                offset,
                format!("a header of {HEADER_LEN} bytes"),
                format!("{} bytes", bytes.len()),
            )
        })?;
        raw.decode(object, offset)
    }
}

impl RawHeader {
    fn computed_crc(&self) -> u32 {
        let bytes = self.as_bytes();
        crc32fast::hash(bytes.get(..HEADER_LEN - 4).unwrap_or(bytes))
    }

    fn decode(&self, object: &str, offset: u64) -> Result<SegmentHeader> {
        if self.magic != MAGIC {
            return Err(Error::corrupt(
                object,
                offset,
                "the magic of a Walkeep segment",
                format!("{:02x?}", self.magic),
            ));
        }
        let (stored, computed) = (self.crc.get(), self.computed_crc());
        if stored != computed {
            let expected = format!("a header with crc {stored:08x}");
            return Err(Error::corrupt(object, offset, expected, format!("crc {computed:08x}")));
        }
        if self.version.get() != VERSION {
            return Err(Error::invalid(
                format!("{object} of segment format {}", self.version),
                format!("this version of Walkeep reads format {VERSION}; use a newer one"),
            ));
        }
        let reserved =
            [&self.reserved_a[..], &self.reserved_b, &self.key_id, &self.salt, &self.reserved_c].concat();
        if self.flags.get() != 0 || reserved.iter().any(|&byte| byte != 0) {
            return Err(Error::invalid(
                object,
                "it uses features (encryption?) that this version of Walkeep does not know",
            ));
        }
        let wrong = |what: &str| Error::corrupt(object, offset, what, "a header that says otherwise");
        let header = SegmentHeader {
            page_size: PageSize::new(self.page_size.get())
                .map_err(|_| wrong("a page size from 512 to 65536"))?,
            log_id: LogId(self.log_id.get()),
            segment_id: SegmentId(self.segment_id.get()),
            epoch: Epoch(self.epoch.get()),
            level: self.level,
            start: FrameNo::new(self.start.get()).ok_or_else(|| wrong("a first frame of at least 1"))?,
            end: FrameNo::new(self.end.get()).ok_or_else(|| wrong("a last frame of at least 1"))?,
            frame_count: self.frame_count.get(),
        };
        if header.start > header.end || header.frame_count == 0 {
            return Err(wrong("a range of frames that is not empty"));
        }
        Ok(header)
    }
}
