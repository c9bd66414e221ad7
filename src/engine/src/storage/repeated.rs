//! A segment whose frames were taken before: is it the same?
//!
//! Objects cannot be compared, because waiting segments are merged and epochs differ between openings. Frames and
//! commits can: each frame has a hash of its image.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use walkeep_core::segment::SegmentIndex;
use walkeep_core::{
    Commit, Error, FrameNo, Namespace, PageHash, PageNo, RestorePoint, Result, SealedSegment,
};

use super::sealed_reader::SealedReader;
use crate::bucket::Bucket;
use crate::locate::{Located, locate};

/// What segments say: their frames and their commits.
#[derive(Debug)]
struct Content {
    frames: BTreeMap<FrameNo, (PageNo, PageHash)>,
    commits: BTreeMap<FrameNo, Commit>,
}

impl Content {
    fn of(index: &SegmentIndex) -> Self {
        let frames = index.frames().iter().zip(index.pages().iter().zip(index.hashes()));
        Self {
            frames: frames.map(|(frame, (page, hash))| (*frame, (*page, *hash))).collect(),
            commits: index.commits().iter().map(|commit| (commit.frame_no, *commit)).collect(),
        }
    }

    /// The frame in `range` about which what is stored says something else; of what was compacted, a part is enough.
    fn differs(&self, stored: &SegmentIndex, range: &RangeInclusive<FrameNo>) -> Option<FrameNo> {
        let whole = stored.footer().header.level == 0;
        let stored = Self::of(stored);
        let known = stored.frames.range(range.clone());
        let frame = known
            .into_iter()
            .find(|(frame, row)| self.frames.get(frame) != Some(row))
            .map(|(frame, _)| *frame);
        let known = stored.commits.range(range.clone());
        let commit = known
            .into_iter()
            .find(|(frame, row)| self.commits.get(frame) != Some(row))
            .map(|(frame, _)| *frame);
        let missing = self.frames.range(range.clone()).find(|(frame, _)| !stored.frames.contains_key(frame));
        let lost = self.commits.range(range.clone()).find(|(frame, _)| !stored.commits.contains_key(frame));
        let absent = missing.map(|(frame, _)| *frame).or(lost.map(|(frame, _)| *frame)).filter(|_| whole);
        frame.or(commit).or(absent)
    }
}

/// Checks that what is stored of a segment's frames is this segment, and returns its last frame.
///
/// # Errors
///
/// `Invalid`, with both ranges, when it is not; `Corrupt`, `Unavailable`, `Io`; `Unreachable` when its frames are not
/// stored any more.
pub(super) async fn check(
    bucket: &Bucket,
    namespace: &Namespace,
    segment: &SealedSegment,
) -> Result<FrameNo> {
    let key = segment.summary.key;
    let sealed = segment.clone();
    let read = move || SealedReader::open(&sealed).map(|reader| Content::of(reader.index()));
    let ours = tokio::task::spawn_blocking(read).await.map_err(super::not_finished)??;
    let Located { timeline, .. } = match locate(bucket, namespace, RestorePoint::Frame(key.end())).await {
        // An opening is under way, or has just ended: what is stored shows soon.
        Err(Error::Unreachable(passing)) if passing.missing.is_none() => {
            return Err(Error::Unavailable { what: passing.to_string(), source: None });
        }
        located => located?,
    };
    let cover = timeline.cover(key.end()).map_err(|missing| walkeep_core::Unreachable {
        missing: Some(missing),
        ..timeline.unreachable(format!("frame {}", key.end()), "no stored segment covers it")
    })?;
    for stored in cover {
        if stored.key.end() < key.start() {
            break;
        }
        let theirs = timeline.open(bucket, stored).await?;
        let range = key.start().max(stored.key.start())..=key.end().min(stored.key.end());
        if let Some(frame) = ours.differs(theirs.index(), &range) {
            let what =
                format!("segment {key} (frames {} to {}) of namespace {namespace}", key.start(), key.end());
            let (start, end) = (stored.key.start(), stored.key.end());
            let why =
                format!("frames {start} to {end} are stored already, with other content at frame {frame}");
            return Err(Error::invalid(what, why));
        }
    }
    Ok(key.end())
}
