//! What is looked at in a bucket of libsql-wal: opening a segment has read its data object and proven it.
//!
//! The index object must say what the data object says. With `deep` the segments are replayed, and those that overlap
//! (a compacted one and its inputs) must tell the same.

use walkeep_core::libsql::PageIndex;
use walkeep_core::{ByteRange, Error, Namespace, Result};

use super::Report;
use crate::bucket::Bucket;
use crate::libsql::{ClusterReader, Replay, Rows};
use crate::stored_segment::OpenSegment;
use crate::timeline::Timeline;

/// An index of this many bytes more than its pages can need is not read: a map takes at most 16 bytes a page.
const INDEX_LEN_EXTRA: u64 = 4096;

/// Notes segments that cannot be of one log.
pub(super) fn check_contradictions(timeline: &Timeline, report: &mut Report) {
    let mut ends = timeline.segments().iter().map(|segment| segment.key.end()).collect::<Vec<_>>();
    ends.dedup();
    report.problems.extend(ends.into_iter().filter_map(|end| timeline.contradiction(end)));
}

/// Compares the index object of a segment with its data object.
pub(super) async fn check_index(
    bucket: &Bucket,
    reader: &ClusterReader,
    namespace: &Namespace,
    segment: &OpenSegment,
) -> Result<()> {
    let path = reader.index_path(namespace, segment.key());
    let pages = segment.index().pages();
    let len_max = pages.len() as u64 * 16 + INDEX_LEN_EXTRA;
    let bytes = match bucket.get(&path, ByteRange::Bounded(0..len_max + 1)).await {
        Err(Error::NotFound { what }) => {
            return Err(Error::corrupt(what, 0, "an object that is listed", "no object"));
        }
        fetched => fetched?,
    };
    if bytes.len() as u64 > len_max {
        let expected = format!("an index of {} pages, at most {len_max} bytes", pages.len());
        return Err(Error::corrupt(&path, len_max, expected, "a longer one"));
    }
    PageIndex::parse(path.as_str(), &bytes)?.expect_pages(path.as_str(), pages.iter().copied())
}

/// Replays a segment, if it joins. Segments come in order of ends, the narrowest of several first.
pub(super) fn replay(replay: &mut Replay, segment: &OpenSegment) -> Result<()> {
    if !replay.reaches(segment.key().start()) {
        // The hole is noted elsewhere; what stands behind it cannot be replayed.
        return Ok(());
    }
    replay.apply(&Rows::of(segment))
}
