//! The commits of a namespace, newest first.

use std::ops::RangeInclusive;

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use walkeep_core::{Commit, FrameNo, Result, SegmentKey};

use crate::bucket::Bucket;
use crate::stored_segment::{OpenSegment, StoredSegment};
use crate::timeline::Timeline;

/// Indexes fetched ahead.
const OPEN_AHEAD: usize = 8;

/// A commit that can be restored.
#[derive(Clone, Copy, Debug)]
pub struct LoggedCommit {
    /// The commit.
    pub commit: Commit,
    /// How many frames its transaction has; those of all merged transactions, where compaction left one commit.
    pub frames: u64,
    /// The segment it stands in.
    pub segment: SegmentKey,
}

/// The commits of a timeline that can be restored, newest first. Each segment's index is fetched once, when its
/// commits are asked for.
///
/// # Errors
///
/// The stream ends at its first error: `Corrupt`, `NotFound`, `Unavailable`.
pub fn history<'a>(bucket: &'a Bucket, timeline: &'a Timeline) -> BoxStream<'a, Result<LoggedCommit>> {
    let reachable = timeline.restorable();
    let segments = without_repeated(timeline.segments());
    let opened = stream::iter(segments).map(move |stored| async move { timeline.open(bucket, stored).await });
    let commits = opened.buffered(OPEN_AHEAD).map_ok(move |segment| {
        let logged = logged(&segment, &reachable);
        stream::iter(logged.into_iter().map(Ok))
    });
    commits.try_flatten().boxed()
}

/// The segments in which the commits behind a position stand, oldest first.
pub(crate) fn behind(timeline: &Timeline, position: Option<FrameNo>) -> Vec<StoredSegment> {
    let mut segments = without_repeated(timeline.segments());
    segments.retain(|segment| Some(segment.key.end()) > position);
    segments.reverse();
    segments
}

/// Leaves out segments all of whose commits stand in others: of several that hold a commit, the rawest is read. A
/// compacted segment holds the commit at its end alone.
fn without_repeated(segments: &[StoredSegment]) -> Vec<StoredSegment> {
    let mut raw: Vec<StoredSegment> = segments.iter().filter(|s| s.key.level() == 0).copied().collect();
    for segment in segments.iter().filter(|segment| segment.key.level() > 0) {
        let end = segment.key.end();
        let lists = |key: &SegmentKey| key.end() == end || (key.level() == 0 && key.includes(end));
        if !raw.iter().any(|other| lists(&other.key)) {
            raw.push(*segment);
        }
    }
    raw.sort_by_key(|segment| segment.key);
    raw
}

fn logged(segment: &OpenSegment, reachable: &[RangeInclusive<FrameNo>]) -> Vec<LoggedCommit> {
    let mut before = segment.key().start().get() - 1;
    let mut logged = Vec::new();
    for commit in segment.commits() {
        if reachable.iter().any(|range| range.contains(&commit.frame_no)) {
            let frames = commit.frame_no.get() - before;
            logged.push(LoggedCommit { commit: *commit, frames, segment: *segment.key() });
        }
        before = commit.frame_no.get();
    }
    logged.reverse();
    logged
}
