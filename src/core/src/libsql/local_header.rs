//! The first 92 bytes of a local segment file.
//!
//! libsql-wal writes them anew at every commit and when it seals, without syncing in between: after a crash they can
//! be ahead of the frames or behind them. So the commit that they name is believed only if the frames up to it are
//! there and hold.

use zerocopy::little_endian::{U16, U32, U64, U128};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::magic::{
    MAGIC, PAGE_SIZE_STORED, VERSION, expect_magic, expect_page_size, expect_version, too_short,
};
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::ids::LogId;
use crate::page::PageCount;
use crate::unix_millis::UnixMillis;

/// The length of the header of a local segment file in bytes.
pub const LOCAL_HEADER_LEN: usize = 92;

const FLAG_UNORDERED: u32 = 1;
const FLAG_SEALED: u32 = 2;

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawLocalHeader {
    magic: U64,
    version: U16,
    start: U64,
    last_committed: U64,
    frame_count: U64,
    size_after: U32,
    index_offset: U64,
    index_len: U64,
    flags: U32,
    salt: U32,
    page_size: U16,
    log_id: U128,
    sealed_at: U64,
    crc: U32,
}

const _: () = assert!(size_of::<RawLocalHeader>() == LOCAL_HEADER_LEN);

/// What a local segment file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalHeader {
    /// The number of its first frame.
    pub start: FrameNo,
    /// The last frame of the last transaction; `None` before the first commit.
    pub last_committed: Option<FrameNo>,
    /// How many frames were committed. When libsql-wal repairs and seals a file after a crash it forgets to set
    /// this anew.
    pub frame_count: u64,
    /// The size of the database after the last transaction; before the first, that of the segment before.
    pub size_after: PageCount,
    /// Where the index is: of sealed files only.
    pub index: Option<LocalIndexPlace>,
    /// Whether frames may stand in any order: so it is on replicas. Of several images of one page the last in the
    /// file counts, always.
    pub unordered: bool,
    /// What the checksum chain begins with.
    pub salt: u32,
    /// The log it belongs to.
    pub log_id: LogId,
    /// When it was sealed; 0 before, and when libsql-wal sealed it after a crash.
    pub sealed_at: UnixMillis,
}

/// Where the index of a sealed file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalIndexPlace {
    /// Where it begins, in bytes: behind the last frame whose checksum held when the file was sealed.
    pub offset: u64,
    /// Its length in bytes, without the checksum of 4 bytes that follows it.
    pub len: u64,
}

impl LocalHeader {
    /// Reads the header from the first bytes of the file `file`.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is damaged; `Invalid` when it is of a version, has a page size, or uses a feature that this
    /// code does not know.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let (raw, _) = RawLocalHeader::read_from_prefix(bytes).map_err(|_| {
            too_short(file, "a libsql-wal segment file", LOCAL_HEADER_LEN as u64, bytes.len() as u64)
        })?;
        expect_magic(file, 0, raw.magic.get())?;
        let (stored, computed) = (raw.crc.get(), raw.computed_crc());
        if stored != computed {
            let expected = format!("a header with crc {stored:08x}");
            return Err(Error::corrupt(file, 88, expected, format!("crc {computed:08x}")));
        }
        expect_version(file, 8, raw.version.get())?;
        expect_page_size(file, 62, raw.page_size.get())?;
        let flags = raw.flags.get();
        if flags & !(FLAG_UNORDERED | FLAG_SEALED) != 0 {
            let what = format!("{file} with flags {flags:08x} (offset 54)");
            return Err(Error::invalid(what, "it uses features that this version of Walkeep does not know"));
        }
        raw.decode(file)
    }

    /// The bytes of the header.
    #[must_use]
    pub fn encode(&self) -> [u8; LOCAL_HEADER_LEN] {
        let sealed = if self.index.is_some() { FLAG_SEALED } else { 0 };
        let unordered = if self.unordered { FLAG_UNORDERED } else { 0 };
        let mut raw = RawLocalHeader {
            magic: U64::new(MAGIC),
            version: U16::new(VERSION),
            start: U64::new(self.start.get()),
            last_committed: U64::new(self.last_committed.map_or(0, FrameNo::get)),
            frame_count: U64::new(self.frame_count),
            size_after: U32::new(self.size_after.get()),
            index_offset: U64::new(self.index.map_or(0, |index| index.offset)),
            index_len: U64::new(self.index.map_or(0, |index| index.len)),
            flags: U32::new(sealed | unordered),
            salt: U32::new(self.salt),
            page_size: U16::new(PAGE_SIZE_STORED),
            log_id: U128::new(self.log_id.0),
            sealed_at: U64::new(self.sealed_at.get()),
            crc: U32::new(0),
        };
        raw.crc = U32::new(raw.computed_crc());
        zerocopy::transmute!(raw)
    }

    /// Whether the file was sealed.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.index.is_some()
    }

    /// How many frames the last transaction that the header knows of ends with. Where frames are in order, their
    /// numbers say it, because `frame_count` may be stale.
    #[must_use]
    pub const fn committed_count(&self) -> u64 {
        match self.last_committed {
            None => 0,
            Some(_) if self.unordered => self.frame_count,
            Some(last) => (last.get() - self.start.get()).saturating_add(1),
        }
    }
}

impl RawLocalHeader {
    fn computed_crc(&self) -> u32 {
        let bytes = self.as_bytes();
        crc32fast::hash(bytes.get(..LOCAL_HEADER_LEN - 4).unwrap_or(bytes))
    }

    fn decode(&self, file: &str) -> Result<LocalHeader> {
        let wrong = |offset, expected: String, found: u64| Err(Error::corrupt(file, offset, expected, found));
        let Some(start) = FrameNo::new(self.start.get()) else {
            return wrong(10, "a frame number of at least 1".into(), 0);
        };
        let last_committed = FrameNo::new(self.last_committed.get());
        if let Some(last) = last_committed.filter(|last| *last < start) {
            return wrong(18, format!("0, or a frame at or behind {start}"), last.get());
        }
        let place = LocalIndexPlace { offset: self.index_offset.get(), len: self.index_len.get() };
        let sealed = self.flags.get() & FLAG_SEALED != 0;
        if sealed == (place.offset == 0) {
            let expected =
                if sealed { "where the index of a sealed file begins" } else { "0 before it is sealed" };
            return wrong(38, expected.into(), place.offset);
        }
        if !sealed && place.len != 0 {
            return wrong(46, "0 before it is sealed".into(), place.len);
        }
        Ok(LocalHeader {
            start,
            last_committed,
            frame_count: self.frame_count.get(),
            size_after: PageCount(self.size_after.get()),
            index: sealed.then_some(place),
            unordered: self.flags.get() & FLAG_UNORDERED != 0,
            salt: self.salt.get(),
            log_id: LogId(self.log_id.get()),
            sealed_at: UnixMillis(self.sealed_at.get()),
        })
    }
}
