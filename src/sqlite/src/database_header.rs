//! The first 100 bytes of a SQLite database file.
//!
//! Source: the SQLite file format, "The Database Header".

use std::ops::Range;
use std::path::Path;

use walkeep::core::{Error, PageSize, Result};

/// How many bytes [`DatabaseHeader::parse`] looks at.
pub(crate) const HEADER_LEN: usize = 100;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Where a header says how pages are read: their size and what is reserved of each, the format of the schema, and the
/// encoding.
const READ_BY: [Range<usize>; 3] = [16..24, 44..48, 56..60];

/// Whether the same pages are the same tables behind either of two headers.
pub(crate) fn pages_are_read_alike(one: &[u8], other: &[u8]) -> bool {
    READ_BY.into_iter().all(|at| one.get(at.clone()) == other.get(at))
}

/// What the capture needs to know of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DatabaseHeader {
    pub(crate) page_size: PageSize,
    /// Whether the journal mode is WAL.
    pub(crate) wal_mode: bool,
}

impl DatabaseHeader {
    /// Reads the header from the first bytes of a file; `None` for an empty file, which is an empty database.
    ///
    /// # Errors
    ///
    /// `Invalid` when the file is not a SQLite database.
    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Option<Self>> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let not_sqlite = |why: &str| Error::invalid(format!("{} as a SQLite database", path.display()), why);
        if bytes.len() < HEADER_LEN || !bytes.starts_with(MAGIC) {
            return Err(not_sqlite(
                "it does not begin like one (another kind of file, or an encrypted database, which Walkeep cannot read)",
            ));
        }
        let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
        let page_size = match u32::from(u16::from_be_bytes([byte(16), byte(17)])) {
            1 => 65_536,
            bytes => bytes,
        };
        let page_size =
            PageSize::new(page_size).map_err(|_| not_sqlite("its header has no valid page size"))?;
        let wal_mode = match (byte(18), byte(19)) {
            (1, 1) => false,
            (2, 2) => true,
            _ => return Err(not_sqlite("its header is of a file format newer than SQLite 3")),
        };
        Ok(Some(Self { page_size, wal_mode }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(page_size: [u8; 2], version: u8) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[..16].copy_from_slice(MAGIC);
        bytes[16..18].copy_from_slice(&page_size);
        bytes[18..20].copy_from_slice(&[version, version]);
        bytes
    }

    #[test]
    fn pages_are_read_alike_unless_a_header_says_otherwise() {
        let one = header([0x10, 0], 2);
        // The counter of changes, the size, the list of free pages.
        for at in [24, 28, 35] {
            let mut other = one.clone();
            other[at] = 9;
            assert!(pages_are_read_alike(&one, &other), "{at}");
        }
        // The page size, what is reserved, the format of the schema, the encoding.
        for at in [16, 20, 47, 59] {
            let mut other = one.clone();
            other[at] = 9;
            assert!(!pages_are_read_alike(&one, &other), "{at}");
        }
        assert!(!pages_are_read_alike(&[], &one));
    }

    #[test]
    fn page_size_and_journal_mode_are_read() {
        let parse = |bytes: &[u8]| DatabaseHeader::parse(Path::new("x"), bytes);
        let wal = parse(&header([0x10, 0], 2)).unwrap().unwrap();
        assert!(wal.wal_mode && wal.page_size.bytes() == 4096);
        let large = parse(&header([0, 1], 1)).unwrap().unwrap();
        assert!(!large.wal_mode && large.page_size.bytes() == 65_536);
        assert_eq!(parse(&[]).unwrap(), None);
        for wrong in [&header([0, 0], 1)[..], &header([0x10, 0], 3), &[0; 100], b"SQLite format 3\0", b"x"] {
            assert!(parse(wrong).is_err());
        }
    }
}
