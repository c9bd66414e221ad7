//! The first 60 bytes of a data object, and where its frames are.
//!
//! The header has no checksum of its own: only the footer of the whole object covers it. What is read from the
//! header alone is bounded, but proven only when the whole object was read ([`super::DataReader`]).

use std::ops::Range;

use zerocopy::little_endian::{U16, U32, U64, U128};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::magic::{
    MAGIC, PAGE_LEN, PAGE_SIZE_STORED, VERSION, expect_magic, expect_page_size, expect_version, too_short,
};
use super::object_key::ObjectKey;
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::ids::SegmentId;
use crate::page::{PageCount, PageNo};
use crate::unix_millis::UnixMillis;

/// The length of the header of a data object in bytes.
pub const DATA_HEADER_LEN: usize = 60;
/// The length of a frame of a data object in bytes: page number, size, frame number, image.
pub const DATA_FRAME_LEN: usize = 16 + PAGE_LEN;
/// The length of the footer of a data object in bytes: its checksum.
pub const DATA_FOOTER_LEN: usize = 4;

/// The shortest data object: one frame.
const LEN_MIN: u64 = (DATA_HEADER_LEN + DATA_FRAME_LEN + DATA_FOOTER_LEN) as u64;

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawDataHeader {
    magic: U64,
    version: U16,
    frame_count: U32,
    segment_id: U128,
    start: U64,
    end: U64,
    size_after: U32,
    page_size: U16,
    time: U64,
}

const _: () = assert!(size_of::<RawDataHeader>() == DATA_HEADER_LEN);

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawDataFrameHeader {
    page: U32,
    size_after: U32,
    frame_no: U64,
}

const _: () = assert!(size_of::<RawDataFrameHeader>() + PAGE_LEN == DATA_FRAME_LEN);

/// What a data object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHeader {
    /// How many frames it holds: at least 1, at most the range.
    pub frame_count: u32,
    /// The object's own identity. libsql-wal's uploader and its compactor write the same UUID in opposite byte
    /// orders, so this is fit for comparing, not for showing.
    pub segment_id: SegmentId,
    /// The first frame.
    pub start: FrameNo,
    /// The last frame: a commit.
    pub end: FrameNo,
    /// The size of the database after the last frame; at least 1.
    pub size_after: PageCount,
    /// When it was sealed; of a compacted one, when its last input was.
    pub time: UnixMillis,
}

/// One page image of a data object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DataFrame<'a> {
    /// The page. It can lie behind the end of the database: see [`DataHeader::size_after`].
    pub page: PageNo,
    /// The frame that wrote this image.
    pub frame_no: FrameNo,
    /// The image, one page long.
    pub image: &'a [u8],
}

impl std::fmt::Debug for DataFrame<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataFrame(page {}, frame {})", self.page, self.frame_no)
    }
}

impl DataHeader {
    /// Reads the header from the first bytes of the object `object`, which is `object_len` bytes long.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is not one, or does not fit the object's length; `Invalid` when it is of a version or a
    /// page size that this code does not know.
    pub fn parse(object: &str, bytes: &[u8], object_len: u64) -> Result<Self> {
        let (raw, _) = RawDataHeader::read_from_prefix(bytes)
            .map_err(|_| too_short(object, "a libsql-wal data object", LEN_MIN, object_len))?;
        expect_magic(object, 0, raw.magic.get())?;
        expect_version(object, 8, raw.version.get())?;
        expect_page_size(object, 50, raw.page_size.get())?;
        let wrong = |offset, expected: &str, found: &dyn std::fmt::Display| {
            Error::corrupt(object, offset, expected, found)
        };
        let at_least_1 = |offset, number: u64| {
            FrameNo::new(number).ok_or_else(|| wrong(offset, "a frame number of at least 1", &number))
        };
        let header = Self {
            frame_count: raw.frame_count.get(),
            segment_id: SegmentId(raw.segment_id.get()),
            start: at_least_1(30, raw.start.get())?,
            end: at_least_1(38, raw.end.get())?,
            size_after: PageCount(raw.size_after.get()),
            time: UnixMillis(raw.time.get()),
        };
        if header.object_len() != object_len {
            let expected =
                format!("an object of {} bytes for {} frames", header.object_len(), header.frame_count);
            return Err(wrong(10, &expected, &format_args!("{object_len} bytes")));
        }
        match header.fault() {
            Some((offset, expected)) => Err(wrong(offset, expected, &format_args!("{header:?}"))),
            None => Ok(header),
        }
    }

    /// The offset of the field that cannot be, and what it should be.
    pub(super) fn fault(&self) -> Option<(u64, &'static str)> {
        if self.start > self.end {
            Some((38, "a last frame at or behind the first"))
        } else if self.frame_count == 0 || u64::from(self.frame_count) - 1 > self.end.get() - self.start.get()
        {
            Some((10, "at least one frame, and no more than the range has"))
        } else if self.size_after.get() == 0 {
            Some((46, "a database of at least one page"))
        } else {
            None
        }
    }

    /// The bytes of the header.
    #[must_use]
    pub fn encode(&self) -> [u8; DATA_HEADER_LEN] {
        zerocopy::transmute!(RawDataHeader {
            magic: U64::new(MAGIC),
            version: U16::new(VERSION),
            frame_count: U32::new(self.frame_count),
            segment_id: U128::new(self.segment_id.0),
            start: U64::new(self.start.get()),
            end: U64::new(self.end.get()),
            size_after: U32::new(self.size_after.get()),
            page_size: U16::new(PAGE_SIZE_STORED),
            time: U64::new(self.time.get()),
        })
    }

    /// The name that the object must have.
    ///
    /// # Errors
    ///
    /// `Invalid` when the range of frames is empty; never for a header that was parsed.
    pub fn key(&self) -> Result<ObjectKey> {
        ObjectKey::new(self.start, self.end, self.time)
    }

    /// Checks that the object is what its name says.
    ///
    /// # Errors
    ///
    /// `Corrupt` when range or time differ.
    pub fn expect_key(&self, object: &str, key: &ObjectKey) -> Result<()> {
        if (self.start, self.end, self.time) == (key.start(), key.end(), key.time()) {
            return Ok(());
        }
        let say = |start, end, time: UnixMillis| format!("frames {start} to {end}, sealed at {time}");
        let expected = say(key.start(), key.end(), key.time()) + ", as the name says";
        Err(Error::corrupt(object, 30, expected, say(self.start, self.end, self.time)))
    }

    /// The length of the whole object in bytes.
    #[must_use]
    pub const fn object_len(&self) -> u64 {
        self.footer_offset() + DATA_FOOTER_LEN as u64
    }

    /// Where the checksum of the object stands.
    #[must_use]
    pub const fn footer_offset(&self) -> u64 {
        Self::frame_offset(self.frame_count)
    }

    /// Where a frame stands in the object; `None` when it has no such frame.
    #[must_use]
    pub fn frame_range(&self, ordinal: u32) -> Option<Range<u64>> {
        let offset = Self::frame_offset(ordinal);
        (ordinal < self.frame_count).then(|| offset..offset + DATA_FRAME_LEN as u64)
    }

    const fn frame_offset(ordinal: u32) -> u64 {
        DATA_HEADER_LEN as u64 + ordinal as u64 * DATA_FRAME_LEN as u64
    }

    /// Reads one frame from the bytes that [`DataHeader::frame_range`] names.
    ///
    /// A frame has no checksum of its own: damage of the image shows only when the whole object is read.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it cannot be that frame.
    pub fn frame<'a>(&self, object: &str, ordinal: u32, bytes: &'a [u8]) -> Result<DataFrame<'a>> {
        let offset = Self::frame_offset(ordinal);
        let wrong =
            |at: u64, expected: String, found: String| Error::corrupt(object, offset + at, expected, found);
        let raw = RawDataFrameHeader::read_from_prefix(bytes).ok();
        let Some((raw, image)) = raw.filter(|_| bytes.len() == DATA_FRAME_LEN) else {
            let expected = format!("a frame of {DATA_FRAME_LEN} bytes");
            return Err(wrong(0, expected, format!("{} bytes", bytes.len())));
        };
        let Some(page) = PageNo::new(raw.page.get()) else {
            return Err(wrong(0, "a page number of at least 1".into(), "0".into()));
        };
        if raw.size_after.get() != 0 {
            let expected = "0: a stored segment has no commits inside".into();
            return Err(wrong(4, expected, raw.size_after.to_string()));
        }
        match FrameNo::new(raw.frame_no.get()).filter(|frame| (self.start..=self.end).contains(frame)) {
            Some(frame_no) => Ok(DataFrame { page, frame_no, image }),
            None => {
                let expected = format!("a frame from {} to {}", self.start, self.end);
                Err(wrong(8, expected, raw.frame_no.to_string()))
            }
        }
    }
}

impl DataFrame<'_> {
    /// The bytes before the image.
    pub(super) fn encode_header(&self) -> [u8; size_of::<RawDataFrameHeader>()] {
        zerocopy::transmute!(RawDataFrameHeader {
            page: U32::new(self.page.get()),
            size_after: U32::new(0),
            frame_no: U64::new(self.frame_no.get()),
        })
    }
}
