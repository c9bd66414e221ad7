//! Which commits the segments of a timeline lead to, and which of them are restore points.
//!
//! Invariant: a restore point is a commit that can be reached *and* is promised. What retention dropped is none, whether or
//! not its segments are still there; and of a compacted segment only its end is one.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use walkeep_core::{FrameNo, Manifest, SegmentKey};

use super::Timeline;
use crate::reached::Reached;
use crate::stored_segment::StoredSegment;

impl Timeline {
    /// The ranges of frames whose commits can be restored, oldest first. Of a compacted segment that is its end.
    ///
    /// Commits that retention dropped are not among them. Of a fork this begins with the commit where it forked off: those
    /// before are its parent's.
    #[must_use]
    pub fn restorable(&self) -> Vec<RangeInclusive<FrameNo>> {
        let points = self.manifest.points();
        needed(&self.reachable(|_| true), self.manifest.frontier(), &points)
    }

    /// The newest commit that can be restored.
    #[must_use]
    pub fn durable_frame_no(&self) -> Option<FrameNo> {
        self.restorable().last().map(|range| *range.end())
    }

    /// The commits that these promises need and that can be reached: before some segments go, and after.
    pub(crate) fn needed_before_and_after(
        &self,
        promised: &Manifest,
        going: &BTreeSet<SegmentKey>,
    ) -> (Vec<RangeInclusive<FrameNo>>, Vec<RangeInclusive<FrameNo>>) {
        let held = promised.held();
        let stays = |segment: &StoredSegment| segment.is_inherited() || !going.contains(&segment.key);
        let of = |ranges: &[RangeInclusive<FrameNo>]| needed(ranges, promised.frontier(), &held);
        (of(&self.reachable(|_| true)), of(&self.reachable(stays)))
    }

    /// The ranges of frames whose commits these segments lead to, oldest first.
    fn reachable(&self, stays: impl Fn(&StoredSegment) -> bool) -> Vec<RangeInclusive<FrameNo>> {
        let mut ranges: Vec<RangeInclusive<FrameNo>> = Vec::new();
        let mut reached = Reached::new(self.exact);
        for segment in self.segments.iter().rev().filter(|segment| stays(segment)) {
            let key = &segment.key;
            if !reached.extend(key, self.manifest.base(key.end())) {
                continue;
            }
            let first = if key.level() == 0 { key.start() } else { key.end() };
            match ranges.last_mut() {
                Some(last) if last.end().next() >= Some(first) => {
                    *last = *last.start().min(&first)..=*last.end().max(&key.end());
                }
                _ => ranges.push(first..=key.end()),
            }
        }
        ranges
    }

    /// The frames whose loss makes the end of a stored segment unreachable, oldest first.
    pub(crate) fn holes(&self) -> Vec<RangeInclusive<FrameNo>> {
        let mut holes = Vec::new();
        let mut reached = Reached::new(self.exact);
        // The ends of segments that cannot be reached: what joins them is lost for the same reason.
        let mut lost = Reached::new(self.exact);
        let oldest_first = self.segments.iter().rev().map(|segment| segment.key).collect::<Vec<_>>();
        for ending in oldest_first.chunk_by(|a, b| a.end() == b.end()) {
            let Some(end) = ending.first().map(SegmentKey::end) else { continue };
            let base = self.manifest.base(end);
            if ending.iter().any(|key| reached.joins(key, base)) {
                reached.add(end);
            } else if !self.manifest.promises(end) {
                // What is left of a collection that was cut short: nobody asks for it.
            } else {
                if !ending.iter().any(|key| lost.joins(key, base)) {
                    holes.extend(self.cover(end).err());
                }
                lost.add(end);
            }
        }
        holes.extend(self.missing_newest());
        holes
    }
}

/// What of these ranges is needed: everything from the frontier on, and the points before it.
fn needed(
    ranges: &[RangeInclusive<FrameNo>],
    frontier: FrameNo,
    points: &[FrameNo],
) -> Vec<RangeInclusive<FrameNo>> {
    let mut needed = Vec::with_capacity(ranges.len());
    for range in ranges {
        let before = points.iter().filter(|point| **point < frontier && range.contains(point));
        needed.extend(before.map(|point| *point..=*point));
        if *range.end() >= frontier {
            needed.push((*range.start()).max(frontier)..=*range.end());
        }
    }
    needed
}
