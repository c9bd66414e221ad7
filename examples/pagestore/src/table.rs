//! Keys and values in pages: a hash table with one page for each bucket.
//!
//! A page holds entries, each `key length (u16) | value length (u16) | key | value`, in order of keys, then zeros. A page of
//! zeros is an empty bucket. When a bucket is full the number of buckets is doubled.

use std::collections::BTreeMap;

use walkeep::core::{PageCount, PageNo};
use walkeep::{Error, Result};

use crate::PAGE_SIZE;

/// The entries of one page.
pub type Entries = BTreeMap<String, String>;

/// Key and value together have at most so many bytes.
pub const ENTRY_BYTES_MAX: usize = 1000;

/// The page that a key is in, of a table of so many.
#[must_use]
pub fn page_of(key: &str, pages: PageCount) -> PageNo {
    // FNV-1a: the same in every version of this program, since it decides what is where.
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let bucket = u32::try_from(hash % u64::from(pages.get().max(1))).unwrap_or(0);
    PageNo::new(bucket + 1).unwrap_or(PageNo::FIRST)
}

/// The page with these entries; `None` if they do not fit.
#[must_use]
pub fn encode(entries: &Entries) -> Option<Vec<u8>> {
    let mut page = Vec::with_capacity(PAGE_SIZE.bytes());
    for (key, value) in entries {
        page.extend_from_slice(&u16::try_from(key.len()).ok()?.to_le_bytes());
        page.extend_from_slice(&u16::try_from(value.len()).ok()?.to_le_bytes());
        page.extend_from_slice(key.as_bytes());
        page.extend_from_slice(value.as_bytes());
    }
    let fits = page.len() <= PAGE_SIZE.bytes();
    page.resize(PAGE_SIZE.bytes(), 0);
    fits.then_some(page)
}

/// The entries of a page.
///
/// # Errors
///
/// `Corrupt` when it is not one.
pub fn decode(number: PageNo, page: &[u8]) -> Result<Entries> {
    let mut entries = Entries::new();
    let mut rest = page;
    while let Some((lengths, behind)) = rest.split_first_chunk::<4>() {
        let [a, b, c, d] = lengths.map(usize::from);
        let (key, value) = (a | b << 8, c | d << 8);
        if key == 0 {
            break;
        }
        let entry = behind.split_at_checked(key + value).and_then(|(entry, behind)| {
            let (key, value) = std::str::from_utf8(entry).ok()?.split_at_checked(key)?;
            Some((key, value, behind))
        });
        let Some((key, value, behind)) = entry else {
            let offset = (page.len() - rest.len()) as u64;
            return Err(Error::corrupt(format!("page {number}"), offset, "an entry", "other bytes"));
        };
        entries.insert(key.into(), value.into());
        rest = behind;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_back_and_a_full_page_is_refused() {
        let mut entries = Entries::new();
        let mut full = false;
        for number in 0..100 {
            entries.insert(format!("key {number}"), "x".repeat(number * 3));
            let Some(page) = encode(&entries) else {
                full = true;
                break;
            };
            assert_eq!(decode(PageNo::FIRST, &page).unwrap(), entries);
        }
        assert!(full);
        assert_eq!(decode(PageNo::FIRST, &[0; 4096]).unwrap(), Entries::new());
        assert!(decode(PageNo::FIRST, &[255; 4096]).is_err());
    }
}
