//! Where a restored database goes, and what was restored.

use std::sync::Arc;

use crate::commit::Commit;
use crate::error::Result;
use crate::page::{PageCount, PageSize};
use crate::page_hash::StateChecksum;

/// What is about to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseShape {
    /// The size of a page.
    pub page_size: PageSize,
    /// The size of the database.
    pub size: PageCount,
    /// Pages that will be written; all others are zeros.
    pub pages_written: u64,
}

impl DatabaseShape {
    /// The length of the database file in bytes.
    #[must_use]
    pub const fn file_bytes(&self) -> u64 {
        self.size.file_bytes(self.page_size)
    }
}

/// Takes the pages of a database, in any order and from several threads.
pub trait PageSink: std::fmt::Debug + Send + Sync {
    /// Writes neighbouring pages at their offset in the database file. May block.
    ///
    /// # Errors
    ///
    /// `Io`, `Exhausted`.
    fn write(&self, offset: u64, pages: &[u8]) -> Result<()>;
}

/// Where a restored database goes.
///
/// A target is not the database until its owner says so: after [`RestoreTarget::finish`] everything is durable but
/// not yet in place.
pub trait RestoreTarget: Send {
    /// Prepares for a database of this shape whose unwritten pages are zeros.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when something is in the way; `Exhausted` when there is not enough space, saying how much is
    /// needed; `Io`.
    fn begin(&mut self, shape: DatabaseShape) -> Result<Arc<dyn PageSink>>;

    /// Makes everything written durable.
    ///
    /// # Errors
    ///
    /// `Io`: the target must not be used.
    fn finish(&mut self) -> Result<()>;
}

/// A restore to nowhere: everything is fetched and checked, nothing is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullTarget;

impl PageSink for NullTarget {
    fn write(&self, _offset: u64, _pages: &[u8]) -> Result<()> {
        Ok(())
    }
}

impl RestoreTarget for NullTarget {
    fn begin(&mut self, _shape: DatabaseShape) -> Result<Arc<dyn PageSink>> {
        Ok(Arc::new(Self))
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What was restored.
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    /// The commit.
    pub commit: Commit,
    /// The size of a page.
    pub page_size: PageSize,
    /// The state checksum that was computed from the pages written.
    pub state: StateChecksum,
    /// Whether the writer had recorded a state checksum for this commit, and it was this one.
    pub verified: bool,
    /// Requests for page images.
    pub requests: u64,
    /// Bytes that they brought.
    pub bytes: u64,
}
