//! Reading: from a listing and a manifest to a history.
//!
//! Job: choose the usable segments and chain them, newest first, down to frame 1.
//!
//! Invariants: a chain either reaches frame 1 or is a hole; a history says of each frame up to its end what it holds.
//! Where two usable segments speak of the same frame they must agree; a disagreement is reported, not resolved.
//!
//! Not here: when a listing is taken (`reader`, `writer`), and what must be true of the result (`judge`).

use crate::content::{FRAMES_MAX, Frame, Tags};
use crate::guards::Guards;
use crate::manifest::{Manifest, Standing};
use crate::segment::Segment;

/// What a chain gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The frame it ends at.
    pub end: Frame,
    /// What each frame holds.
    pub tags: Tags,
    /// Two segments of the chain contradict each other.
    pub mixed: bool,
    /// The end lies inside a compacted segment, whose older images are gone.
    pub inexact: bool,
}

/// The answer to a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// No usable segment at all.
    Empty,
    /// Usable segments, but no chain: a hole, or no segment in which to stop.
    Unreachable,
    /// A chain down to frame 1.
    Reached(History),
}

/// The segments that a reader uses under a manifest.
pub fn usable(segments: &[Segment], manifest: &Manifest, guards: &Guards) -> Vec<Segment> {
    let counts = |segment: &&Segment| match manifest.standing(segment) {
        Standing::Valid => true,
        Standing::Fenced => !guards.fenced_segments_unused,
        Standing::Unknown => false,
    };
    segments.iter().filter(counts).copied().collect()
}

/// The history up to the newest usable frame.
pub fn latest(usable: &[Segment], guards: &Guards) -> Reading {
    let Some(end) = usable.iter().map(|segment| segment.end).max() else { return Reading::Empty };
    at(usable, end, guards)
}

/// The history up to a point.
pub fn at(usable: &[Segment], point: Frame, guards: &Guards) -> Reading {
    if usable.is_empty() {
        return Reading::Empty;
    }
    let mut answer: Option<History> = None;
    for top in tops(usable, point, guards) {
        let found =
            if guards.chain_by_cover { cover(&top, usable, point) } else { exact_joins(&top, usable, point) };
        let Some(found) = found else { continue };
        match &mut answer {
            None => answer = Some(found),
            Some(first) => first.mixed |= found.mixed || first.tags != found.tags,
        }
    }
    answer.map_or(Reading::Unreachable, Reading::Reached)
}

/// The end of the cover counted upward from frame 1, and what it holds: what an opener would take for the end of the
/// log if it did not mind holes.
pub fn from_base(usable: &[Segment]) -> (Frame, Tags) {
    let (mut end, mut tags) = (0, Tags::default());
    while let Some(next) = usable.iter().find(|segment| segment.start <= end + 1 && segment.end > end) {
        tags.merge(&next.tags);
        end = next.end;
    }
    (end, tags.up_to(end))
}

/// The segments in which a reader may stop at a point.
fn tops(usable: &[Segment], point: Frame, guards: &Guards) -> Vec<Segment> {
    if guards.compacted_interior_refused {
        return usable.iter().filter(|segment| segment.can_stop_at(point)).copied().collect();
    }
    let holding = usable.iter().filter(|segment| segment.start <= point && point <= segment.end);
    holding.min_by_key(|segment| (segment.end, segment.start)).copied().into_iter().collect()
}

fn begin_history(top: &Segment, point: Frame) -> History {
    let mut tags = Tags::default();
    for frame in top.start..=point {
        tags.set(frame, top.tags.get(frame));
    }
    History { end: point, tags, mixed: false, inexact: !top.can_stop_at(point) }
}

/// The next segment's end is at least start − 1, and lower than the one before.
///
/// A frame is taken from the first segment whose range holds it, and from no other: a compaction that left a frame out
/// hides it. Every segment is compared with what the others say, its belief about the frame below it included.
fn cover(top: &Segment, usable: &[Segment], point: Frame) -> Option<History> {
    let mut history = begin_history(top, point);
    let mut said = top.tags.up_to(point);
    let mut reach = top.start;
    let mut below: Vec<&Segment> =
        usable.iter().filter(|segment| segment.end < top.end && segment.end <= point).collect();
    below.sort_by_key(|segment| (FRAMES_MAX.saturating_sub(segment.end), segment.start));
    for segment in below {
        if segment.end + 1 < reach {
            return None;
        }
        history.mixed |= !said.merge(&segment.tags);
        for frame in segment.start..reach {
            history.tags.set(frame, segment.tags.get(frame));
        }
        reach = reach.min(segment.start);
    }
    (reach == 1).then_some(history)
}

/// The next segment's end is exactly start − 1.
fn exact_joins(top: &Segment, usable: &[Segment], point: Frame) -> Option<History> {
    if top.start == 1 {
        return Some(begin_history(top, point));
    }
    let joining = usable.iter().filter(|segment| segment.end + 1 == top.start);
    for segment in joining {
        if let Some(below) = exact_joins(segment, usable, segment.end) {
            let mut history = begin_history(top, point);
            history.mixed = below.mixed || !history.tags.merge(&below.tags);
            return Some(history);
        }
    }
    None
}
