//! Pages: their numbers, their size, and the size of a database in pages.
//!
//! Invariants: a [`PageNo`] is never zero, a [`PageSize`] is always one that SQLite knows.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The number of a page in the database file: 1-based.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageNo(NonZeroU32);

impl PageNo {
    /// The first page of every database.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The page with this number; `None` for zero, which is not a page.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number, at least 1.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The place of this page in an array with one entry a page.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    /// Where the page begins in the database file, in bytes.
    #[must_use]
    pub const fn file_offset(self, size: PageSize) -> u64 {
        (self.0.get() as u64 - 1) * size.bytes_u64()
    }
}

impl fmt::Display for PageNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The size of a page in bytes: a power of two from 512 to 65536.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PageSize(u32);

impl PageSize {
    /// The smallest page size.
    pub const MIN: Self = Self(512);
    /// What SQLite uses when nobody chose.
    pub const DEFAULT: Self = Self(4096);
    /// The largest page size.
    pub const MAX: Self = Self(65_536);

    /// A page size, checked.
    ///
    /// # Errors
    ///
    /// `Invalid` unless `bytes` is a power of two from 512 to 65536.
    pub fn new(bytes: u32) -> Result<Self> {
        if bytes.is_power_of_two() && (Self::MIN.0..=Self::MAX.0).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(Error::invalid(format!("page size {bytes}"), "it must be a power of two from 512 to 65536"))
        }
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0 as usize
    }

    /// The size in bytes, for arithmetic on file offsets.
    #[must_use]
    pub const fn bytes_u64(self) -> u64 {
        self.0 as u64
    }

    /// The size in bytes, as formats store it.
    #[must_use]
    pub const fn bytes_u32(self) -> u32 {
        self.0
    }

    /// The page that holds SQLite's lock bytes (at 2^30). No page image is ever there: it reads as zeros.
    #[must_use]
    pub const fn lock_page(self) -> PageNo {
        match PageNo::new((1 << 30) / self.0 + 1) {
            Some(page) => page,
            None => PageNo::FIRST,
        }
    }
}

impl TryFrom<u32> for PageSize {
    type Error = Error;

    fn try_from(bytes: u32) -> Result<Self> {
        Self::new(bytes)
    }
}

impl From<PageSize> for u32 {
    fn from(size: PageSize) -> Self {
        size.0
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The size of a database in pages; zero is an empty file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageCount(pub u32);

impl PageCount {
    /// The number of pages.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Whether the database has this page.
    #[must_use]
    pub const fn contains(self, page: PageNo) -> bool {
        page.get() <= self.0
    }

    /// The length of the database file in bytes.
    #[must_use]
    pub const fn file_bytes(self, size: PageSize) -> u64 {
        self.0 as u64 * size.bytes_u64()
    }

    /// The number of pages, for arrays with one entry a page.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for PageCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sqlite_page_sizes_are_accepted() {
        for bytes in [512, 1024, 4096, 65_536] {
            assert_eq!(PageSize::new(bytes).unwrap().bytes_u32(), bytes);
        }
        for bytes in [0, 1, 256, 511, 513, 4095, 131_072, u32::MAX] {
            assert!(PageSize::new(bytes).is_err(), "{bytes}");
        }
    }

    #[test]
    fn the_lock_page_holds_the_byte_at_one_gibibyte() {
        for bytes in [512, 4096, 65_536] {
            let size = PageSize::new(bytes).unwrap();
            assert_eq!(size.lock_page().file_offset(size), 1 << 30);
        }
    }
}
