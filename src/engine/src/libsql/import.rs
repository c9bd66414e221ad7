//! Importing: every restore point of a libsql-wal namespace becomes a commit of one of Walkeep's own.
//!
//! The source is replayed oldest first, so that each new commit carries a true state checksum, and a restore from the
//! target is proven. Frame numbers and times stay what they were. An end becomes one segment with the frames behind the
//! end before it: where the source has no such segment, a wider one serves, of which the older frames must be those
//! that were replayed.
//!
//! It can be repeated: what the target has already is compared and kept, and the rest is added.

use std::ops::RangeInclusive;

use walkeep_core::{CommitKind, Error, FrameNo, Namespace, PageNo, Result};

use super::chain::ending_at;
use super::images::for_each_image;
use super::import_target::{ImportOptions, ImportTarget, frame_count};
use super::local_log::LocalLog;
use super::replay::{Replay, Rows};
use crate::bucket::Bucket;
use crate::reached::Reached;
use crate::stored_segment::{OpenSegment, StoredSegment};
use crate::timeline::{Timeline, no_namespace};

/// What an import came to.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// The last frame that was imported, now or before.
    pub frame_no: Option<FrameNo>,
    /// Restore points that were added.
    pub commits_stored: u64,
    /// Restore points that the target had already, and that are the same.
    pub commits_found: u64,
    /// Restore points of the source below the target's newest commit that the target does not have.
    pub commits_lacking: u64,
    /// Restore points whose time was raised to that of the one before.
    pub times_raised: u64,
    /// Bytes that were added.
    pub bytes_stored: u64,
    /// Frames that the source lacks, so that what is behind them cannot be imported.
    pub missing: Vec<RangeInclusive<FrameNo>>,
    /// What the user should know of the source.
    pub notes: Vec<String>,
}

/// What to import.
#[derive(Debug)]
pub struct ImportSource<'a> {
    /// A namespace of a bucket that is read as libsql-wal's.
    pub bucket: Option<(&'a Bucket, &'a Namespace)>,
    /// Local segment files, and perhaps the database that they go on from.
    pub local: Option<LocalLog>,
}

/// Imports into `namespace` of `target`, creating it if it is new.
///
/// # Errors
///
/// `NotFound` when there is nothing to import; `Corrupt` naming the object that is damaged or contradicts others;
/// `Invalid` when the target holds something else, or the source is of a kind that is not read; those of a
/// [`Writer`](crate::Writer). What was stored before an error stays, and importing again goes on behind it.
pub async fn import(
    source: ImportSource<'_>,
    target: &Bucket,
    namespace: &Namespace,
    options: &ImportOptions,
) -> Result<Imported> {
    let timeline = match source.bucket {
        Some((bucket, from)) => Some(load(bucket, from).await?),
        None => None,
    };
    if let Some(local) = &source.local {
        let reached = timeline.as_ref().and_then(|timeline| ends(timeline).last().copied());
        local.check_joins(reached)?;
    }
    let mut target = ImportTarget::open(target, namespace, options).await?;
    let mut replay = Replay::new(target.seed());
    let mut imported = Imported::default();
    if let (Some((bucket, _)), Some(timeline)) = (source.bucket, timeline) {
        let seeded = bucket.libsql().map(|reader| reader.with_seed(target.seed()));
        let bucket = seeded.map_or_else(|| bucket.clone(), |reader| bucket.with_reader(reader));
        for end in ends(&timeline) {
            import_end(&bucket, &timeline, end, &mut replay, &mut target).await?;
        }
        imported.missing = timeline.holes();
    }
    if let Some(local) = source.local {
        local.import(&mut replay, &mut target, &mut imported).await?;
    }
    imported.frame_no = replay.at();
    imported.commits_stored = target.stored;
    imported.commits_found = target.found;
    imported.commits_lacking = target.lacking;
    imported.times_raised = target.clamped;
    imported.bytes_stored = target.bytes_stored;
    Ok(imported)
}

/// The source's segments, of which some must be reachable and none may contradict another.
async fn load(bucket: &Bucket, namespace: &Namespace) -> Result<Timeline> {
    if !bucket.is_libsql() {
        let why = "the source of this import is a bucket of libsql-wal";
        return Err(Error::invalid(format!("importing namespace {namespace}"), why));
    }
    let timeline = Timeline::load(bucket, namespace).await?;
    let mut reachable = ends(&timeline).into_iter().peekable();
    if reachable.peek().is_none() {
        return match timeline.newest().map(|newest| newest.key.end()) {
            None => Err(no_namespace(namespace)),
            Some(newest) => {
                let why = "no stored segment covers some of the frames before it";
                let lost = timeline.unreachable(format!("frame {newest}"), why);
                Err(walkeep_core::Unreachable { missing: timeline.cover(newest).err(), ..lost }.into())
            }
        };
    }
    match reachable.find_map(|end| timeline.contradiction(end)) {
        Some(contradiction) => Err(contradiction),
        None => Ok(timeline),
    }
}

/// The ends that can be reached, rising.
fn ends(timeline: &Timeline) -> Vec<FrameNo> {
    let mut reached = Reached::new(true);
    let oldest_first = timeline.segments().iter().rev();
    let mut ends: Vec<_> = oldest_first
        .filter(|segment| reached.extend(&segment.key, FrameNo::FIRST))
        .map(|segment| segment.key.end())
        .collect();
    ends.dedup();
    ends
}

/// Makes one end of the source a commit of the target.
async fn import_end(
    bucket: &Bucket,
    timeline: &Timeline,
    end: FrameNo,
    replay: &mut Replay,
    target: &mut ImportTarget,
) -> Result<()> {
    let start = replay.next()?;
    let Some(stored) = serving(timeline, end, start) else {
        return Err(Error::not_found(format!("a segment of frames {start} to {end}")));
    };
    let segment =
        match OpenSegment::open(bucket, timeline.namespace(), stored, timeline.manifest().log_id()).await {
            Err(Error::NotFound { what }) => {
                return Err(Error::corrupt(what, 0, "an object that is listed", "no object"));
            }
            opened => opened?,
        };
    replay.apply(&Rows::of(&segment))?;
    if target.has(end, replay)? {
        return Ok(());
    }
    let commit = target.commit(end, segment.key().time(), CommitKind::Snapshot, replay);
    let wanted = Wanted::of(&segment, start);
    let mut writer = target.begin(start, end, frame_count(wanted.count)?, true).await?;
    for_each_image(bucket, &segment, target.seed(), |page, frame, image| match wanted.frame(page, frame) {
        Some(frame) => writer.push(page, frame, image).map(drop),
        None => Ok(()),
    })
    .await?;
    target.store(writer, &[commit]).await
}

/// Of the segments with an end that join the frames before `start`: the narrowest.
fn serving(timeline: &Timeline, end: FrameNo, start: FrameNo) -> Option<StoredSegment> {
    let ending = ending_at(timeline.segments(), end).iter();
    ending.filter(|segment| segment.key.start() <= start).max_by_key(|segment| segment.key.start()).copied()
}

/// Which images of a segment are stored, and under which frame number.
struct Wanted {
    start: FrameNo,
    end: FrameNo,
    count: usize,
    /// A segment holds at least one image: where the frames behind `start` left none (a shrink alone), an older one
    /// is repeated as the last frame.
    repeated: Option<PageNo>,
}

impl Wanted {
    fn of(segment: &OpenSegment, start: FrameNo) -> Self {
        let (index, end) = (segment.index(), segment.key().end());
        let count = index.frames().iter().filter(|frame| **frame >= start).count();
        let repeated = index.pages().first().copied().filter(|_| count == 0);
        Self { start, end, count: count.max(1), repeated }
    }

    fn frame(&self, page: PageNo, frame: FrameNo) -> Option<FrameNo> {
        if self.repeated == Some(page) {
            Some(self.end)
        } else {
            Some(frame).filter(|frame| *frame >= self.start)
        }
    }
}
