//! The last 288 bytes of a segment: where its sections are, and what they sum up to.

use std::ops::Range;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::block::DIRECTORY_ROW_LEN;
use super::columns::COLUMNS_ROW_LEN;
use super::commits::COMMIT_ROW_LEN;
use super::header::{HEADER_LEN, SegmentHeader};
use crate::error::{Error, Result};
use crate::page::PageCount;
use crate::page_hash::StateChecksum;
use crate::segment_key::SegmentKey;
use crate::unix_millis::UnixMillis;

/// The length of the footer in bytes.
pub const FOOTER_LEN: usize = FOOTER_LEN_U32 as usize;

const FOOTER_LEN_U32: u32 = 288;

const MAGIC: [u8; 8] = *b"PEEKLAW\0";
const CRC_OFFSET: usize = 276;

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawSection {
    offset: U64,
    len: U64,
    crc: U32,
    reserved: U32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawFooter {
    header: [u8; HEADER_LEN],
    columns: RawSection,
    commits: RawSection,
    directory: RawSection,
    index: RawSection,
    first_time: U64,
    last_time: U64,
    state: U64,
    size_after: U32,
    min_size_after: U32,
    object_checksum: U64,
    reserved: [u8; 8],
    footer_len: U32,
    crc: U32,
    magic: [u8; 8],
}

const _: () = assert!(size_of::<RawFooter>() == FOOTER_LEN);
const _: () = assert!(std::mem::offset_of!(RawFooter, crc) == CRC_OFFSET);

/// A part of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) crc: u32,
}

impl Section {
    fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.len)
    }

    fn raw(&self) -> RawSection {
        RawSection {
            offset: U64::new(self.offset),
            len: U64::new(self.len),
            crc: U32::new(self.crc),
            reserved: U32::new(0),
        }
    }
}

impl From<&RawSection> for Section {
    fn from(raw: &RawSection) -> Self {
        Self { offset: raw.offset.get(), len: raw.len.get(), crc: raw.crc.get() }
    }
}

/// What a segment is, where its sections are, and what they sum up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// The header, repeated.
    pub header: SegmentHeader,
    pub(super) columns: Section,
    pub(super) commits: Section,
    pub(super) directory: Section,
    pub(super) index: Section,
    /// The time of the first commit.
    pub first_time: UnixMillis,
    /// The time of the last commit.
    pub last_time: UnixMillis,
    /// The state checksum of the database after the last commit.
    pub state: StateChecksum,
    /// The size of the database after the last commit.
    pub size_after: PageCount,
    /// The smallest size of the database after any commit of the range, those thinned by compaction included.
    pub min_size_after: PageCount,
    /// CRC-64/NVME of all bytes before the footer.
    pub object_checksum: u64,
}

impl Footer {
    /// The bytes of the footer.
    #[must_use]
    pub fn encode(&self) -> [u8; FOOTER_LEN] {
        let mut raw = RawFooter {
            header: self.header.encode(),
            columns: self.columns.raw(),
            commits: self.commits.raw(),
            directory: self.directory.raw(),
            index: self.index.raw(),
            first_time: U64::new(self.first_time.get()),
            last_time: U64::new(self.last_time.get()),
            state: U64::new(self.state.0),
            size_after: U32::new(self.size_after.get()),
            min_size_after: U32::new(self.min_size_after.get()),
            object_checksum: U64::new(self.object_checksum),
            reserved: [0; 8],
            footer_len: U32::new(FOOTER_LEN_U32),
            crc: U32::new(0),
            magic: MAGIC,
        };
        raw.crc = U32::new(raw.computed_crc());
        zerocopy::transmute!(raw)
    }

    /// Reads the footer from the last bytes of the object `object`, which is `object_len` bytes long. `tail` is
    /// any number of its last bytes, at least [`FOOTER_LEN`].
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is damaged or does not fit the object's length; `Invalid` for versions and features that
    /// this code does not know.
    pub fn parse(object: &str, tail: &[u8], object_len: u64) -> Result<Self> {
        let offset = object_len.saturating_sub(FOOTER_LEN as u64);
        let bytes = tail.len().checked_sub(FOOTER_LEN).and_then(|start| tail.get(start..));
        let raw = bytes.and_then(|bytes| RawFooter::read_from_bytes(bytes).ok()).ok_or_else(|| {
            let expected = format!("a segment of at least {} bytes", HEADER_LEN + FOOTER_LEN);
            Error::corrupt(object, offset, expected, format!("{} bytes", tail.len()))
        })?;
        let wrong = |at: usize, expected: &str, found: String| {
            Error::corrupt(object, offset + at as u64, expected, found)
        };
        if raw.magic != MAGIC {
            return Err(wrong(280, "the magic at the end of a segment", format!("{:02x?}", raw.magic)));
        }
        let (stored, computed) = (raw.crc.get(), raw.computed_crc());
        if stored != computed {
            return Err(wrong(0, &format!("a footer with crc {stored:08x}"), format!("crc {computed:08x}")));
        }
        let header = SegmentHeader::parse(object, offset, &raw.header)?;
        if raw.footer_len.get() as usize != FOOTER_LEN || raw.reserved != [0; 8] {
            return Err(Error::invalid(
                object,
                "its footer is of a form that this version of Walkeep does not know",
            ));
        }
        let footer = Self {
            header,
            columns: (&raw.columns).into(),
            commits: (&raw.commits).into(),
            directory: (&raw.directory).into(),
            index: (&raw.index).into(),
            first_time: UnixMillis(raw.first_time.get()),
            last_time: UnixMillis(raw.last_time.get()),
            state: StateChecksum(raw.state.get()),
            size_after: PageCount(raw.size_after.get()),
            min_size_after: PageCount(raw.min_size_after.get()),
            object_checksum: raw.object_checksum.get(),
        };
        footer
            .check_sections(offset)
            .map_err(|(at, expected)| wrong(at, expected, "other offsets or lengths".into()))?;
        Ok(footer)
    }

    /// Sections lie one behind the other up to the footer, and have the lengths that the counts demand.
    fn check_sections(&self, footer_offset: u64) -> Result<(), (usize, &'static str)> {
        if self.columns.offset <= HEADER_LEN as u64
            || self.columns.len != u64::from(self.header.frame_count) * COLUMNS_ROW_LEN as u64
        {
            return Err((128, "columns behind the blocks, 20 bytes a frame"));
        }
        let rows_of =
            |section: &Section, row: usize| section.len > 0 && section.len.is_multiple_of(row as u64);
        if self.columns.end() != Some(self.commits.offset) || !rows_of(&self.commits, COMMIT_ROW_LEN) {
            return Err((152, "commits behind the columns, 32 bytes each"));
        }
        if self.commits.end() != Some(self.directory.offset) || !rows_of(&self.directory, DIRECTORY_ROW_LEN) {
            return Err((176, "a directory behind the commits, 32 bytes a block"));
        }
        if self.directory.end() != Some(self.index.offset) || self.index.end() != Some(footer_offset) {
            return Err((200, "an index between directory and footer"));
        }
        Ok(())
    }

    /// The bytes of the object that [`super::SegmentIndex::parse`] wants: columns, commits, directory and index.
    #[must_use]
    pub const fn sections(&self) -> Range<u64> {
        self.columns.offset..self.index.offset + self.index.len
    }

    /// The bytes of the object that hold page images.
    #[must_use]
    pub const fn blocks(&self) -> Range<u64> {
        HEADER_LEN as u64..self.columns.offset
    }

    /// How many bytes each part of the object takes, in order.
    #[must_use]
    pub const fn part_lengths(&self) -> [(&'static str, u64); 7] {
        [
            ("header", HEADER_LEN as u64),
            ("blocks", self.columns.offset - HEADER_LEN as u64),
            ("columns", self.columns.len),
            ("commits", self.commits.len),
            ("directory", self.directory.len),
            ("index", self.index.len),
            ("footer", FOOTER_LEN as u64),
        ]
    }

    /// The name that the object must have.
    ///
    /// # Errors
    ///
    /// `Invalid` when the level is over what a name can hold.
    pub fn key(&self) -> Result<SegmentKey> {
        let SegmentHeader { epoch, start, end, level, .. } = self.header;
        SegmentKey::new(epoch, start, end, self.last_time, level)
    }
}

impl RawFooter {
    fn computed_crc(&self) -> u32 {
        let bytes = self.as_bytes();
        crc32fast::hash(bytes.get(..CRC_OFFSET).unwrap_or(bytes))
    }
}
