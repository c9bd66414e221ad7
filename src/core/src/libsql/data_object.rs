//! Reading data objects: frame by frame as they come, or whole.
//!
//! Invariants: pages rise strictly, so each has one image; every frame lies in the range of the header; nothing
//! counts before the checksum of the whole object was compared.

use super::data_header::{DATA_FOOTER_LEN, DATA_FRAME_LEN, DATA_HEADER_LEN, DataFrame, DataHeader};
use super::magic::too_short;
use crate::error::{Error, Result};
use crate::page::PageNo;

/// Checks a data object while it is read, in memory for one frame.
///
/// Call [`DataReader::new`] with the header, [`DataReader::frame`] for each frame in order, then
/// [`DataReader::finish`]. Until `finish` returned, any frame may be damaged: write them where they can be thrown
/// away.
#[derive(Debug)]
pub struct DataReader {
    object: String,
    header: DataHeader,
    crc: crc32fast::Hasher,
    next: u32,
    last_page: Option<PageNo>,
}

impl DataReader {
    /// Begins with the first [`DATA_HEADER_LEN`] bytes of the object `object`, which is `object_len` bytes long.
    ///
    /// # Errors
    ///
    /// As [`DataHeader::parse`].
    pub fn new(object: &str, header_bytes: &[u8], object_len: u64) -> Result<Self> {
        let header = DataHeader::parse(object, header_bytes, object_len)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(header_bytes.get(..DATA_HEADER_LEN).unwrap_or(header_bytes));
        Ok(Self { object: object.to_string(), header, crc, next: 0, last_page: None })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &DataHeader {
        &self.header
    }

    /// Reads the next frame from its [`DATA_FRAME_LEN`] bytes.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is not a frame, its page does not follow the one before, or all frames were read.
    pub fn frame<'a>(&mut self, bytes: &'a [u8]) -> Result<DataFrame<'a>> {
        let Some(range) = self.header.frame_range(self.next) else {
            let expected = format!("the checksum behind {} frames", self.header.frame_count);
            return Err(Error::corrupt(&self.object, self.header.footer_offset(), expected, "another frame"));
        };
        let frame = self.header.frame(&self.object, self.next, bytes)?;
        if let Some(last) = self.last_page.filter(|last| *last >= frame.page) {
            let expected = format!("a page behind page {last}");
            return Err(Error::corrupt(&self.object, range.start, expected, format!("page {}", frame.page)));
        }
        self.crc.update(bytes);
        self.last_page = Some(frame.page);
        self.next += 1;
        Ok(frame)
    }

    /// Ends with the last [`DATA_FOOTER_LEN`] bytes: now the frames are proven.
    ///
    /// # Errors
    ///
    /// `Corrupt` when frames are missing or the checksum differs.
    pub fn finish(self, footer: &[u8]) -> Result<DataHeader> {
        let offset = self.header.footer_offset();
        let Ok(stored) = <[u8; DATA_FOOTER_LEN]>::try_from(footer) else {
            let found = format!("{} bytes", footer.len());
            return Err(Error::corrupt(&self.object, offset, "a checksum of 4 bytes", found));
        };
        if self.next != self.header.frame_count {
            let expected = format!("{} frames", self.header.frame_count);
            return Err(Error::corrupt(&self.object, offset, expected, format!("{} frames", self.next)));
        }
        let (stored, computed) = (u32::from_le_bytes(stored), self.crc.finalize());
        if stored != computed {
            let expected = format!("an object with crc {stored:08x}");
            return Err(Error::corrupt(&self.object, offset, expected, format!("crc {computed:08x}")));
        }
        Ok(self.header)
    }
}

/// A data object, read whole and proven.
///
/// ```
/// use walkeep_core::libsql::{DataFrame, DataHeader, DataObject, DataWriter};
/// use walkeep_core::{FrameNo, PageCount, PageNo, SegmentId, UnixMillis};
///
/// let frame_no = FrameNo::FIRST;
/// let (segment_id, time) = (SegmentId(7), UnixMillis(1000));
/// let header =
///     DataHeader { frame_count: 1, segment_id, start: frame_no, end: frame_no, size_after: PageCount(1), time };
/// let mut writer = DataWriter::new(Vec::new(), header)?;
/// writer.push(&DataFrame { page: PageNo::FIRST, frame_no, image: &[1; 4096] })?;
/// let bytes = writer.finish()?;
///
/// let object = DataObject::parse("an object", &bytes)?;
/// assert_eq!(object.header(), &header);
/// assert_eq!(object.image(PageNo::FIRST), Some(&[1; 4096][..]));
/// # Ok::<(), walkeep_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataObject<'a> {
    header: DataHeader,
    frames: Vec<DataFrame<'a>>,
}

impl<'a> DataObject<'a> {
    /// Reads the object `object`, all of it.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is not what was written; `Invalid` when it is of a version or a page size that this code
    /// does not know.
    pub fn parse(object: &str, bytes: &'a [u8]) -> Result<Self> {
        let mut reader = DataReader::new(object, bytes, bytes.len() as u64)?;
        let body = bytes.get(DATA_HEADER_LEN..).unwrap_or_default();
        let (frame_bytes, footer) = body
            .split_last_chunk::<DATA_FOOTER_LEN>()
            .ok_or_else(|| too_short(object, "a checksum", DATA_HEADER_LEN as u64 + 4, bytes.len() as u64))?;
        // The length of the object was compared with its number of frames, so this fits in memory beside it.
        let mut frames = Vec::with_capacity(frame_bytes.len() / DATA_FRAME_LEN);
        for chunk in frame_bytes.chunks(DATA_FRAME_LEN) {
            frames.push(reader.frame(chunk)?);
        }
        Ok(Self { header: reader.finish(footer)?, frames })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &DataHeader {
        &self.header
    }

    /// The frames, by page.
    #[must_use]
    pub fn frames(&self) -> &[DataFrame<'a>] {
        &self.frames
    }

    /// The pages, rising: what the index object must hold.
    pub fn pages(&self) -> impl ExactSizeIterator<Item = PageNo> + '_ {
        self.frames.iter().map(|frame| frame.page)
    }

    /// The image of a page, if the object has one, also of a page behind the end of the database.
    #[must_use]
    pub fn image(&self, page: PageNo) -> Option<&'a [u8]> {
        let at = self.frames.binary_search_by_key(&page, |frame| frame.page).ok()?;
        self.frames.get(at).map(|frame| frame.image)
    }
}
