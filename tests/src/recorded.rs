//! What was written to a log: frames, and the whole database after each commit.

use bytes::Bytes;
use walkeep::core::{Commit, FrameNo, PageCount, PageNo, PageSize};

/// A frame number.
///
/// # Panics
///
/// For zero.
#[must_use]
pub fn frame_no(number: u64) -> FrameNo {
    FrameNo::new(number).unwrap()
}

/// A page number.
///
/// # Panics
///
/// For zero.
#[must_use]
pub fn page_no(number: u32) -> PageNo {
    PageNo::new(number).unwrap()
}

/// One page image written by one transaction.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The page.
    pub page: PageNo,
    /// Its number in the log.
    pub frame_no: FrameNo,
    /// What the page is then.
    pub image: Bytes,
}

/// A commit, and the database after it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The commit.
    pub commit: Commit,
    /// The size of its pages.
    pub page_size: PageSize,
    /// The first frame that can matter for it.
    pub base: FrameNo,
    /// The whole database.
    pub file: Bytes,
}

impl Recorded {
    /// A page of the database after this commit.
    #[must_use]
    pub fn page(&self, page: PageNo) -> Bytes {
        let start = page.index() * self.page_size.bytes();
        self.file.slice(start..start + self.page_size.bytes())
    }

    /// The pages that differ from those after another commit; what only one has counts as zeros in the other.
    #[must_use]
    pub fn changed_since(&self, other: &Self) -> Vec<PageNo> {
        let (ours, theirs) = (self.commit.size_after, other.commit.size_after);
        let zeros = Bytes::from(vec![0; self.page_size.bytes()]);
        let of = |recorded: &Self, size: PageCount, page| {
            if size.contains(page) { recorded.page(page) } else { zeros.clone() }
        };
        let pages = (1..=ours.max(theirs).get()).map(page_no);
        pages.filter(|page| of(self, ours, *page) != of(other, theirs, *page)).collect()
    }
}
