//! The one merge: which image of each page counts at a commit.
//!
//! Segments are read newest first over their page columns, with a bitmap of pages seen. The rules are those of
//! `docs/format.md`, section 4 (each simpler variant gave wrong databases):
//!
//! - the newest image at or before the commit decides, visible or not: an older one never shows through;
//! - it is visible only if no commit from its own up to the point made the database too small for the page;
//! - of the segment that holds the point, only commits at or before it count.

use std::sync::Arc;

use walkeep_core::segment::SizeFloor;
use walkeep_core::{Commit, FrameNo, PageCount, PageNo, Result};

use crate::stored_segment::OpenSegment;

/// A segment in a view, and what the newer ones and the point demand of it.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) segment: Arc<OpenSegment>,
    /// The restore point, or where a fork lies in the segment: later frames do not count.
    until: FrameNo,
    /// Whether all frames of the segment count.
    whole: bool,
    /// The smallest size after any commit in newer segments, and at the point.
    floor_above: PageCount,
    /// The smallest sizes since each of its own commits, up to the point.
    floor: SizeFloor,
    /// The smallest size after any of its commits that count, thinned ones included.
    pub(crate) smallest: PageCount,
}

impl Layer {
    /// Stacks segments, newest first, for the database at `commit`.
    pub(crate) fn stack(segments: Vec<Arc<OpenSegment>>, commit: &Commit) -> Vec<Self> {
        let mut floor_above = commit.size_after;
        let mut layers = Vec::with_capacity(segments.len());
        for segment in segments {
            let until = commit.frame_no.min(segment.key().end());
            let counted = segment.commits().partition_point(|c| c.frame_no <= until);
            let floor = SizeFloor::new(segment.commits().get(..counted).unwrap_or_default());
            let whole = segment.key().end() <= until && !segment.is_cut();
            // What compaction thinned out is in the footer alone.
            let smallest = if whole { segment.index().footer().min_size_after } else { floor.overall() };
            layers.push(Self { segment: Arc::clone(&segment), until, whole, floor_above, floor, smallest });
            floor_above = floor_above.min(smallest);
        }
        layers
    }

    fn shows(&self, page: PageNo, frame: FrameNo) -> bool {
        self.floor_above.contains(page) && self.floor.since(frame).contains(page)
    }

    /// What this segment says about a page: nothing, that it is hidden (`Some(None)`), or where its image is.
    pub(crate) fn find(&self, page: PageNo) -> Result<Option<Option<u32>>> {
        let index = self.segment.index();
        if self.whole {
            // The whole segment counts: its own index knows what is visible at its end.
            if let Some(position) = index.find(self.segment.path().as_str(), page)? {
                return Ok(Some(self.floor_above.contains(page).then_some(position)));
            }
        }
        let Some(position) = index.newest_until(page, self.until) else {
            return Ok(None);
        };
        let frame = index.frames().get(position as usize);
        Ok(Some(frame.is_some_and(|frame| self.shows(page, *frame)).then_some(position)))
    }
}

/// A set of page numbers, one bit each.
struct PageSet(Vec<u64>);

impl PageSet {
    fn new(size: PageCount) -> Self {
        Self(vec![0; size.as_usize().div_ceil(64)])
    }

    /// Adds a page; whether it was new.
    fn insert(&mut self, page: PageNo) -> bool {
        let bit = 1_u64 << (page.index() % 64);
        self.0.get_mut(page.index() / 64).is_some_and(|word| {
            let new = *word & bit == 0;
            *word |= bit;
            new
        })
    }
}

/// For each layer, the positions whose images count, in order of page.
pub(crate) fn merge(layers: &[Layer], size: PageCount) -> Vec<Vec<u32>> {
    let mut seen = PageSet::new(size);
    layers.iter().map(|layer| winners(layer, size, &mut seen)).collect()
}

fn winners(layer: &Layer, size: PageCount, seen: &mut PageSet) -> Vec<u32> {
    let index = layer.segment.index();
    let mut found = Vec::new();
    let mut rows = (0_u32..).zip(index.pages().iter().zip(index.frames())).peekable();
    while let Some((mut position, (page, frame))) = rows.next() {
        if !size.contains(*page) {
            // Pages rise: all that follow are cut off too.
            break;
        }
        let mut newest = (*frame <= layer.until).then_some(*frame);
        while let Some((next, (_, frame))) = rows.next_if(|(_, (next, _))| *next == page) {
            if *frame <= layer.until {
                (position, newest) = (next, Some(*frame));
            }
        }
        if let Some(frame) = newest
            && seen.insert(*page)
            && layer.shows(*page, frame)
        {
            found.push(position);
        }
    }
    found
}
