//! Hashes of pages, and the checksum of a whole database that is folded from them.
//!
//! - The hash of a page is XXH3-64 of its image, seeded by a secret of the log and the page number.
//! - The all-zero image has hash 0 and no other image has. So a page that was never written, one that was zeroed
//!   and SQLite's lock page agree.
//! - The state checksum is the XOR of the hashes of all pages, with the size of the database mixed in. It can be
//!   kept up to date a page at a time, in any order. It is never a CRC: CRCs are linear, so that two swapped
//!   pages would cancel out.
//!
//! The secret keeps whoever chooses page contents from choosing contents that collide. It is not a key against
//! somebody who can read the store.
//!
//! Source: XXH3 as published with xxHash 0.8; `docs/format.md` has the exact inputs.

use std::fmt;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use crate::error::{Error, Result};
use crate::page::{PageCount, PageNo};
use crate::random::Random;

/// The hash of one page image; 0 exactly for the all-zero image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PageHash(pub u64);

impl PageHash {
    /// The hash of the all-zero image, and of a page that was never written.
    pub const ZERO: Self = Self(0);
}

/// The checksum of a database's whole content: 64 bits, written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StateChecksum(pub u64);

impl fmt::Display for StateChecksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for StateChecksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<StateChecksum> for String {
    fn from(checksum: StateChecksum) -> Self {
        checksum.to_string()
    }
}

impl TryFrom<String> for StateChecksum {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        parse_hex64(&text).map(Self)
    }
}

/// The per-log seed of all page hashes. Stands in the manifest; a fork inherits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HashSeed(pub u64);

impl HashSeed {
    /// A fresh one.
    ///
    /// # Errors
    ///
    /// `Io` when the source of randomness fails.
    pub fn random(random: &dyn Random) -> Result<Self> {
        let mut bytes = [0; 8];
        random.fill(&mut bytes)?;
        Ok(Self(u64::from_le_bytes(bytes)))
    }

    /// The hash of a page image.
    #[must_use]
    pub fn page(self, page: PageNo, image: &[u8]) -> PageHash {
        if is_zero(image) {
            return PageHash::ZERO;
        }
        let seed = XxHash3_64::oneshot_with_seed(self.0, &page.get().to_le_bytes());
        // A non-zero image that hashes to 0 would look like a zero page: it takes the next value.
        PageHash(XxHash3_64::oneshot_with_seed(seed, image).max(1))
    }

    /// What the size of a database adds to its state checksum.
    #[must_use]
    pub fn size(self, size: PageCount) -> u64 {
        XxHash3_64::oneshot_with_seed(self.0, &u64::from(size.get()).to_le_bytes())
    }
}

impl fmt::Display for HashSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<HashSeed> for String {
    fn from(seed: HashSeed) -> Self {
        seed.to_string()
    }
}

impl TryFrom<String> for HashSeed {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        parse_hex64(&text).map(Self)
    }
}

fn parse_hex64(text: &str) -> Result<u64> {
    let canonical = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    canonical.then(|| u64::from_str_radix(text, 16).ok()).flatten().ok_or_else(|| {
        Error::invalid(format!("checksum {text:?}"), "it must be 16 lower-case hexadecimal digits")
    })
}

static ZEROS: [u8; 4096] = [0; 4096];

fn is_zero(image: &[u8]) -> bool {
    // Slices are compared by the platform's memcmp, which is fast in unoptimised builds too.
    image.chunks(ZEROS.len()).all(|chunk| Some(chunk) == ZEROS.get(..chunk.len()))
}

/// The hash of every page of a database and its size: what the state checksum is folded from.
///
/// Invariant: there is one entry for each page of the database and none beyond, so that pages cut off by a shrink
/// cannot come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageHashTable {
    seed: HashSeed,
    hashes: Vec<PageHash>,
    folded: u64,
}

impl PageHashTable {
    /// The table of an empty database.
    #[must_use]
    pub const fn new(seed: HashSeed) -> Self {
        Self { seed, hashes: Vec::new(), folded: 0 }
    }

    /// The size of the database.
    #[must_use]
    pub fn size(&self) -> PageCount {
        PageCount(u32::try_from(self.hashes.len()).unwrap_or(u32::MAX))
    }

    /// The hash of a page; zero for pages beyond the size.
    #[must_use]
    pub fn get(&self, page: PageNo) -> PageHash {
        self.hashes.get(page.index()).copied().unwrap_or_default()
    }

    /// Records the hash of a page. Pages beyond the size are ignored: they are not part of the database.
    pub fn set(&mut self, page: PageNo, hash: PageHash) {
        if let Some(entry) = self.hashes.get_mut(page.index()) {
            self.folded ^= entry.0 ^ hash.0;
            *entry = hash;
        }
    }

    /// Grows the database with zero pages, or cuts pages off.
    pub fn resize(&mut self, size: PageCount) {
        for cut in self.hashes.drain(size.as_usize().min(self.hashes.len())..) {
            self.folded ^= cut.0;
        }
        self.hashes.resize(size.as_usize(), PageHash::ZERO);
    }

    /// The state checksum of the database.
    #[must_use]
    pub fn state(&self) -> StateChecksum {
        StateChecksum(self.folded ^ self.seed.size(self.size()))
    }

    /// The state checksum that the database would have after a transaction: these pages, each named once, and then
    /// this size. Pages beyond the size do not count.
    #[must_use]
    pub fn state_after(&self, size: PageCount, pages: &[(PageNo, PageHash)]) -> StateChecksum {
        let cut = self.hashes.get(size.as_usize()..).unwrap_or_default();
        let mut folded = cut.iter().fold(self.folded, |folded, hash| folded ^ hash.0);
        for (page, hash) in pages.iter().filter(|(page, _)| size.contains(*page)) {
            folded ^= self.get(*page).0 ^ hash.0;
        }
        StateChecksum(folded ^ self.seed.size(size))
    }

    /// Applies a transaction: these pages, and then this size.
    pub fn apply(&mut self, size: PageCount, pages: &[(PageNo, PageHash)]) {
        self.resize(size);
        for (page, hash) in pages {
            self.set(*page, *hash);
        }
    }

    /// The pages that are not what they are in `other`, in order. What only one has counts as zeros in the other. Of tables
    /// with other seeds all pages differ that are not zeros in both.
    pub fn changed_since<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = PageNo> + 'a {
        let pages = (1..=self.size().max(other.size()).get()).filter_map(PageNo::new);
        pages.filter(|page| self.get(*page) != other.get(*page))
    }

    /// The seed of the hashes.
    #[must_use]
    pub const fn seed(&self) -> HashSeed {
        self.seed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: HashSeed = HashSeed(7);

    fn page(number: u32) -> PageNo {
        PageNo::new(number).unwrap()
    }

    #[test]
    fn only_the_zero_image_hashes_to_zero() {
        assert_eq!(SEED.page(page(1), &[0; 4096]), PageHash::ZERO);
        let mut image = [0; 4096];
        image[4095] = 1;
        assert_ne!(SEED.page(page(1), &image), PageHash::ZERO);
    }

    #[test]
    fn the_hash_depends_on_page_number_and_seed() {
        assert_ne!(SEED.page(page(1), &[1; 512]), SEED.page(page(2), &[1; 512]));
        assert_ne!(SEED.page(page(1), &[1; 512]), HashSeed(8).page(page(1), &[1; 512]));
    }

    #[test]
    fn swapped_pages_change_the_state() {
        let fold = |first: &[u8], second: &[u8]| {
            let mut table = PageHashTable::new(SEED);
            table.resize(PageCount(2));
            table.set(page(1), SEED.page(page(1), first));
            table.set(page(2), SEED.page(page(2), second));
            table.state()
        };
        assert_ne!(fold(&[1; 512], &[2; 512]), fold(&[2; 512], &[1; 512]));
    }

    #[test]
    fn the_size_is_part_of_the_state() {
        let mut table = PageHashTable::new(SEED);
        let empty = table.state();
        table.resize(PageCount(1));
        assert_ne!(table.state(), empty, "a zero page is not nothing");
    }

    #[test]
    fn a_page_cut_off_by_a_shrink_does_not_come_back() {
        let mut table = PageHashTable::new(SEED);
        table.resize(PageCount(3));
        let zeros = table.state();
        table.set(page(3), PageHash(99));
        table.resize(PageCount(2));
        table.set(page(3), PageHash(99));
        table.resize(PageCount(3));
        assert_eq!(table.get(page(3)), PageHash::ZERO);
        assert_eq!(table.state(), zeros);
    }

    #[test]
    fn the_state_after_a_transaction_is_known_before_it_is_applied() {
        let mut table = PageHashTable::new(SEED);
        let transactions: [(u32, &[(u32, u64)]); 6] = [
            (3, &[(1, 7), (3, 8)]),
            (3, &[(1, 9)]),
            (1, &[(1, 5), (2, 6)]),
            (4, &[]),
            (4, &[(2, 1)]),
            (0, &[]),
        ];
        for (size, pages) in transactions {
            let pages = pages.iter().map(|(n, hash)| (page(*n), PageHash(*hash))).collect::<Vec<_>>();
            let expected = table.state_after(PageCount(size), &pages);
            table.apply(PageCount(size), &pages);
            assert_eq!(table.state(), expected, "{pages:?}, then {size}");
            let again = (1..=size).map(|n| (page(n), table.get(page(n)))).collect::<Vec<_>>();
            let mut fresh = PageHashTable::new(SEED);
            fresh.apply(PageCount(size), &again);
            assert_eq!(fresh, table);
        }
    }

    #[test]
    fn hashes_are_what_they_were() {
        // A changed hash would make every stored state checksum wrong: these values are part of the format.
        assert_eq!(
            SEED.page(page(1), &[1; 512]).0,
            XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot_with_seed(7, &[1, 0, 0, 0]), &[1; 512])
        );
        assert_eq!(XxHash3_64::oneshot(b""), 0x2d06_8005_38d3_94c2);
    }
}
