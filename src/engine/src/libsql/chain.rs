//! Chains of segments that join exactly: nothing in a bucket of libsql-wal says that two that overlap are of one log.
//!
//! Segments are given in order of their names: falling ends, and of those that end alike the widest first.

use walkeep_core::{Error, FrameNo, Namespace, SegmentKey};

use crate::reached::Reached;
use crate::stored_segment::StoredSegment;

/// The segments to read for `frame`, newest first, each joining the next exactly, down to the base: of several that end
/// where the next one is to, the widest from which others lead down.
///
/// # Errors
///
/// Where the chain breaks: the start of the segment that nothing joins; `None` when no segment holds the frame.
pub(crate) fn chain(
    segments: &[StoredSegment],
    frame: FrameNo,
    base: FrameNo,
) -> Result<Vec<StoredSegment>, Option<FrameNo>> {
    let mut reached = Reached::new(true);
    for segment in segments.iter().rev() {
        reached.extend(&segment.key, base);
    }
    let best = |ending: &[StoredSegment]| {
        ending.iter().find(|segment| reached.joins(&segment.key, base)).or(ending.first()).copied()
    };
    let holding = || {
        let holding = segments.iter().filter(|segment| segment.key.includes(frame));
        holding.min_by_key(|segment| (!reached.joins(&segment.key, base), segment.key.end())).copied()
    };
    let first = best(ending_at(segments, frame)).or_else(holding).ok_or(None)?;
    let (mut chain, mut start) = (vec![first], first.key.start());
    while start > base {
        let next = start.previous().and_then(|end| best(ending_at(segments, end)));
        let next = next.ok_or(Some(start))?;
        chain.push(next);
        start = next.key.start();
    }
    Ok(chain)
}

/// The segments that end with `frame`, the widest first.
pub(crate) fn ending_at(segments: &[StoredSegment], frame: FrameNo) -> &[StoredSegment] {
    let from = segments.partition_point(|segment| segment.key.end() > frame);
    let rest = segments.get(from..).unwrap_or_default();
    rest.get(..rest.partition_point(|segment| segment.key.end() == frame)).unwrap_or_default()
}

/// The contradiction, if segments that end alike were sealed at different times: libsql-wal gives a compacted segment
/// the time of its last input, so these are of two logs, or of two writers.
pub(crate) fn contradiction(
    namespace: &Namespace,
    segments: &[StoredSegment],
    end: FrameNo,
) -> Option<Error> {
    let (first, rest) = ending_at(segments, end).split_first()?;
    let other = rest.iter().find(|other| other.key.time() != first.key.time())?;
    let say = |key: &SegmentKey| format!("frames {} to {} sealed at {}", key.start(), key.end(), key.time());
    let expected = format!("one log: beside {} no other segment with this end", say(&first.key));
    Some(Error::corrupt(format!("namespace {namespace}"), 0, expected, say(&other.key)))
}
