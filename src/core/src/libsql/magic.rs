//! What all formats of libsql-wal begin with, and the one page size that it knows.
//!
//! Not here: where in a header these stand; each header knows that itself.

use crate::error::{Error, Result};
use crate::page::PageSize;

/// The size of every page: libsql-wal knows no other.
pub const PAGE_SIZE: PageSize = PageSize::DEFAULT;

pub(super) const PAGE_LEN: usize = PAGE_SIZE.bytes();
/// [`PAGE_SIZE`] as headers store it.
pub(super) const PAGE_SIZE_STORED: u16 = 4096;
pub(super) const MAGIC: u64 = 0x4C49_4253_514C_0000;
pub(super) const VERSION: u16 = 1;

const _: () = assert!(PAGE_LEN == PAGE_SIZE_STORED as usize);

/// The error for an object that ends before `what` does.
pub(super) fn too_short(object: &str, what: &str, len_min: u64, len: u64) -> Error {
    Error::corrupt(object, len, format!("{what}, at least {len_min} bytes in all"), format!("{len} bytes"))
}

pub(super) fn expect_magic(object: &str, offset: u64, found: u64) -> Result<()> {
    if found == MAGIC {
        return Ok(());
    }
    let expected = format!("the magic of libsql-wal, {MAGIC:016x}");
    Err(Error::corrupt(object, offset, expected, format!("{found:016x}")))
}

pub(super) fn expect_version(object: &str, offset: u64, found: u16) -> Result<()> {
    if found == VERSION {
        return Ok(());
    }
    Err(Error::invalid(
        format!("{object} of libsql-wal format {found} (offset {offset})"),
        format!("this version of Walkeep reads format {VERSION}"),
    ))
}

pub(super) fn expect_page_size(object: &str, offset: u64, found: u16) -> Result<()> {
    if found == PAGE_SIZE_STORED {
        return Ok(());
    }
    Err(Error::invalid(
        format!("{object} with pages of {found} bytes (offset {offset})"),
        format!("libsql-wal has pages of {PAGE_SIZE_STORED} bytes only"),
    ))
}
