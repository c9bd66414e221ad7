//! Which images a shrink has hidden.
//!
//! An image (page *p*, frame *f*) is visible at *F* only if no commit *c* with `f ≤ c ≤ F` made the database
//! smaller than *p* pages. This module answers "what was the smallest size from frame *f* on?" for the commits of
//! one segment.

use crate::commit::Commit;
use crate::frame_no::FrameNo;
use crate::page::PageCount;

/// For a run of commits: the smallest size of the database from each of them on.
#[derive(Clone, Debug)]
pub struct SizeFloor {
    /// Each commit with the smallest `size_after` of it and those behind it, in order of frames.
    floors: Vec<(FrameNo, PageCount)>,
}

impl SizeFloor {
    /// The floors of these commits, which must be in order of frames.
    #[must_use]
    pub fn new(commits: &[Commit]) -> Self {
        let mut smallest = PageCount(u32::MAX);
        let mut floors = Vec::with_capacity(commits.len());
        for commit in commits.iter().rev() {
            smallest = smallest.min(commit.size_after);
            floors.push((commit.frame_no, smallest));
        }
        floors.reverse();
        Self { floors }
    }

    /// The smallest size after any of the commits at or behind `frame`, its own included; the largest possible
    /// size when there is none.
    #[must_use]
    pub fn since(&self, frame: FrameNo) -> PageCount {
        let at = self.floors.partition_point(|(commit, _)| *commit < frame);
        self.floors.get(at).map_or(PageCount(u32::MAX), |(_, floor)| *floor)
    }

    /// The smallest size after any of the commits.
    #[must_use]
    pub fn overall(&self) -> PageCount {
        self.since(FrameNo::FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CommitKind, UnixMillis};

    #[test]
    fn an_image_written_after_the_shrink_is_not_hidden_by_it() {
        let commit = |frame, size| Commit {
            frame_no: FrameNo::new(frame).unwrap(),
            size_after: PageCount(size),
            time: UnixMillis(0),
            state: None,
            kind: CommitKind::Transaction,
        };
        let floor = SizeFloor::new(&[commit(3, 10), commit(5, 5), commit(9, 10)]);
        let since = |frame| floor.since(FrameNo::new(frame).unwrap()).get();
        assert_eq!([since(1), since(3), since(4), since(5)], [5, 5, 5, 5]);
        assert_eq!([since(6), since(9), since(10)], [10, 10, u32::MAX]);
        assert_eq!(floor.overall(), PageCount(5));
    }
}
