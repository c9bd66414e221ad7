//! The index object of a segment: which page is at which ordinal of the data object.
//!
//! A header of 22 bytes (magic, version, length and CRC-32 of what follows), then a map (`page_fst`) from
//! page numbers to ordinals. Frames of a data object stand in order of page, so the n-th page has the ordinal n: an
//! index holds nothing that its data object does not say, and [`PageIndex::expect_pages`] can prove it.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::magic::{MAGIC, VERSION, expect_magic, expect_version, too_short};
use crate::error::{Error, Result};
use crate::page::PageNo;
use crate::page_fst::PageFst;

/// The length of the header of an index object in bytes.
pub const INDEX_HEADER_LEN: usize = 22;

const BASE: u64 = INDEX_HEADER_LEN as u64;
/// A header and a map of no pages.
const LEN_MIN: u64 = BASE + 36;

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawIndexHeader {
    magic: U64,
    version: U16,
    len: U64,
    crc: U32,
}

const _: () = assert!(size_of::<RawIndexHeader>() == INDEX_HEADER_LEN);

/// An index object whose checksums hold.
#[derive(Clone, Debug)]
pub struct PageIndex {
    fst: PageFst,
}

impl PageIndex {
    /// Reads the index object `object`, all of it.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is not what was written; `Invalid` when it is of a version that this code does not know.
    pub fn parse(object: &str, bytes: &[u8]) -> Result<Self> {
        let (raw, map) = RawIndexHeader::read_from_prefix(bytes)
            .map_err(|_| too_short(object, "a libsql-wal index object", LEN_MIN, bytes.len() as u64))?;
        expect_magic(object, 0, raw.magic.get())?;
        expect_version(object, 8, raw.version.get())?;
        if raw.len.get() != map.len() as u64 {
            let expected = format!("an index of {} bytes", raw.len);
            return Err(Error::corrupt(object, 10, expected, format!("{} bytes", map.len())));
        }
        let (stored, computed) = (raw.crc.get(), crc32fast::hash(map));
        if stored != computed {
            let expected = format!("an index with crc {stored:08x}");
            return Err(Error::corrupt(object, BASE, expected, format!("crc {computed:08x}")));
        }
        let fst = PageFst::new(map).map_err(|malformed| malformed.at(object, BASE))?;
        Ok(Self { fst })
    }

    /// The bytes of the index object for a data object with these pages, in its order.
    ///
    /// # Errors
    ///
    /// `Invalid` unless pages rise strictly.
    pub fn encode(pages: impl IntoIterator<Item = PageNo>) -> Result<Vec<u8>> {
        let map = PageFst::build(pages.into_iter().zip(0..))?;
        Ok([&Self::header(&map)[..], &map].concat())
    }

    /// The bytes of this index object.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&Self::header(self.fst.as_bytes())[..], self.fst.as_bytes()].concat()
    }

    fn header(map: &[u8]) -> [u8; INDEX_HEADER_LEN] {
        zerocopy::transmute!(RawIndexHeader {
            magic: U64::new(MAGIC),
            version: U16::new(VERSION),
            len: U64::new(map.len() as u64),
            crc: U32::new(crc32fast::hash(map)),
        })
    }

    /// How many pages it says it has: the number of frames of its data object. It allocates nothing by it, and
    /// neither should you: a few bytes can say four billion.
    #[must_use]
    pub const fn page_count(&self) -> u64 {
        self.fst.len()
    }

    /// The ordinal of a page's frame in the data object, if it has one. Bound it by the data object's length, and
    /// compare the page that stands there.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the index makes no sense on the way to this page.
    pub fn find(&self, object: &str, page: PageNo) -> Result<Option<u32>> {
        let Some(ordinal) = self.fst.get(page).map_err(|malformed| malformed.at(object, BASE))? else {
            return Ok(None);
        };
        match u32::try_from(ordinal).ok().filter(|_| ordinal < self.fst.len()) {
            Some(ordinal) => Ok(Some(ordinal)),
            None => {
                let expected = format!("an ordinal below {} for page {page}", self.fst.len());
                Err(Error::corrupt(object, BASE, expected, ordinal))
            }
        }
    }

    /// The pages, rising, each at the ordinal of its place. Ends after the first error.
    pub fn pages<'a>(&'a self, object: &'a str) -> impl Iterator<Item = Result<PageNo>> + 'a {
        let mut expected = 0..;
        let mut failed = false;
        self.fst.iter().map_while(move |entry| {
            let ordinal = expected.next().filter(|_| !failed)?;
            let entry = entry.map_err(|malformed| malformed.at(object, BASE)).and_then(|(page, found)| {
                let wrong =
                    || Error::corrupt(object, BASE, format!("page {page} at ordinal {ordinal}"), found);
                if found == ordinal { Ok(page) } else { Err(wrong()) }
            });
            failed = entry.is_err();
            Some(entry)
        })
    }

    /// Checks that this is the index of a data object with these pages.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is not.
    pub fn expect_pages(
        &self,
        object: &str,
        pages: impl IntoIterator<Item = PageNo, IntoIter: ExactSizeIterator>,
    ) -> Result<()> {
        let pages = pages.into_iter();
        let count = pages.len() as u64;
        match self.fst.differs_from(count, pages.zip(0..)) {
            Some((offset, expected)) => {
                let expected = format!("{expected}, as the data object says");
                Err(Error::corrupt(object, BASE + offset, expected, "something else"))
            }
            None => Ok(()),
        }
    }
}
