//! The ends of segments as restore points: which segments are compacted, and which end answers a time.

use walkeep_core::{FrameNo, Neighbour, RestorePoint, SegmentKey, UnixMillis, Unreachable};

use super::chain::ending_at;
use crate::reached::Reached;
use crate::stored_segment::StoredSegment;
use crate::timeline::Timeline;

/// Gives segments that hold another one level 1: names do not say it. `segments` are in order of their names.
pub(crate) fn mark_compacted(segments: &mut [StoredSegment]) {
    // From the lowest end on, of several the narrowest first: a segment holds one of those before it exactly if that
    // one does not begin before it.
    let mut highest_start = None;
    for segment in segments.iter_mut().rev() {
        let key = &segment.key;
        let level = u8::from(highest_start >= Some(key.start()));
        highest_start = highest_start.max(Some(key.start()));
        if let Ok(key) = SegmentKey::new(key.epoch(), key.start(), key.end(), key.time(), level) {
            segment.key = key;
        }
    }
}

/// The last reachable end at or before which everything was sealed by `time`; `None` when that is the newest segment.
///
/// Times of sealing can fall (they are 0 after a crash), so the search goes upward and ends with the first that was
/// sealed later.
pub(crate) fn end_at(timeline: &Timeline, time: UnixMillis) -> Result<Option<FrameNo>, Box<Unreachable>> {
    let base = FrameNo::FIRST;
    let mut reached = Reached::new(true);
    let mut answer = None;
    let near = |key: &SegmentKey| Neighbour { frame_no: key.end(), time: key.time() };
    let no = |why: &str, before: Option<Neighbour>, after: &SegmentKey| {
        let after = Some(near(after));
        let lost = timeline.unreachable(RestorePoint::Time(time).to_string(), why);
        Err(Box::new(Unreachable { before, after, ..lost }))
    };
    for segment in timeline.segments().iter().rev() {
        let key = &segment.key;
        if key.time() > time {
            return match answer {
                None => no("it is before the first segment was sealed", None, key),
                // What follows must join, or what was sealed between the two is not known.
                Some(before) if !joins(timeline, key.end(), &reached) => {
                    let why = "segments between those around it are missing, so that none is known to be the last one";
                    no(why, Some(near(before)), key)
                }
                Some(before) => Ok(Some(before.end())),
            };
        }
        if reached.extend(key, base) {
            answer = Some(key);
        } else if answer.is_none_or(|answer| answer.end() < key.end())
            && !joins(timeline, key.end(), &reached)
        {
            let before = answer.map(near);
            return no("segments before the last one of that time are missing", before, key);
        }
    }
    Ok(None)
}

/// Whether any of the segments that end with `end` joins what is reached.
fn joins(timeline: &Timeline, end: FrameNo, reached: &Reached) -> bool {
    ending_at(timeline.segments(), end).iter().any(|segment| reached.joins(&segment.key, FrameNo::FIRST))
}
