//! What to merge: the question that strategies answer, and what all of them share.
//!
//! A strategy sees names and sizes, and what the manifest promises; it opens nothing. Whatever it plans is safe, since
//! inputs stay until the collector, by rules of its own, finds that nothing needs them. What a plan decides is how
//! much of them ever becomes superfluous, and how fast a restore is.

use std::fmt::Debug;

use walkeep_core::{Error, FrameNo, Result, SegmentKey, UnixMillis};

use super::plan::{CompactionPlan, Reason};
use crate::stored_segment::StoredSegment;
use crate::timeline::Timeline;

/// Chooses what to merge.
pub trait Strategy: Debug + Send + Sync {
    /// The compactions to do now, of at most `inputs_max` inputs each. They do not overlap; when all are done, what a
    /// restore reads are fewer segments. Asked again afterwards, it may want more; in the end it wants none.
    ///
    /// # Errors
    ///
    /// `Corrupt` when frames are missing.
    fn plan(&self, timeline: &Timeline, now: UnixMillis, inputs_max: usize) -> Result<Vec<CompactionPlan>>;
}

/// What restores of the newest commits read: for each page size that the log has had, the cover of its last stored
/// commit, oldest segment first.
///
/// # Errors
///
/// `Corrupt` naming the segments around a hole.
pub(super) fn chains(timeline: &Timeline) -> Result<Vec<Vec<StoredSegment>>> {
    let mut chains = Vec::new();
    let mut newest = timeline.newest();
    while let Some(segment) = newest {
        let end = segment.key.end();
        let mut chain =
            timeline.cover(end).map_err(|missing| hole(timeline, *missing.start(), *missing.end()))?;
        chain.reverse();
        chains.push(chain);
        let base = timeline.manifest().base(end);
        newest = timeline.segments().iter().find(|older| older.key.end() < base);
    }
    Ok(chains)
}

fn hole(timeline: &Timeline, first: FrameNo, last: FrameNo) -> Error {
    let keys = || timeline.segments().iter().map(|segment| &segment.key);
    let older = keys().find(|key| key.end() < first).map_or("the begin".into(), SegmentKey::to_string);
    let newer = keys().rev().find(|key| key.start() > last).map_or("the end".into(), SegmentKey::to_string);
    let expected = format!("segments of frames {first} to {last}, between {older} and {newer}");
    Error::corrupt(format!("namespace {}", timeline.namespace()), 0, expected, "none")
}

/// Plans the merging of neighbours, oldest first; of more than `inputs_max` in several parts, which a later plan merges.
/// Nothing where there are not two, or a segment of that range is stored already.
pub(super) fn merge_group(
    timeline: &Timeline,
    group: &[StoredSegment],
    inputs_max: usize,
    why: Reason,
) -> Vec<CompactionPlan> {
    let parts = group.len().div_ceil(inputs_max.max(2)).max(1);
    let parts = group.chunks(group.len().div_ceil(parts).max(1)).filter(|part| part.len() > 1);
    parts.filter_map(|part| CompactionPlan::new(timeline, part.to_vec(), why).ok()).collect()
}
