//! From a restore point to a frame and the segments that are needed for it, with few listings.
//!
//! Finding a time among *n* frames takes at most log2(n / 1000) + 2 listings, whatever the number of segments;
//! finding a frame about as many. The method is that of `docs/protocol.md`, "Finding by time": a listing gives the
//! 1,000 segments that end at or before a frame, so frames are bisected.
//!
//! Invariants: a commit is the answer to a time only if the commit behind it is known to be later (or there is
//! none); equal times are answered with the last. Anything else is unreachable, never a neighbour.

use std::ops::RangeInclusive;
use std::time::Duration;

use walkeep_core::manifest::Validity;
use walkeep_core::{
    CommitKind, Error, FrameNo, Manifest, Namespace, Neighbour, ObjectPath, RestorePoint, Result, SegmentKey,
    UnixMillis, Unreachable,
};

use crate::bucket::Bucket;
use crate::explain::{dropped, explain, neighbour, unreachable};
use crate::libsql;
use crate::manifests::{self, NEWEST_PAGE};
use crate::stored_segment::{OpenSegment, StoredSegment};
use crate::timeline::{LIST_PAGE, RELIST_MAX, Timeline};

/// How long to wait for an opening that is under way, each time.
const PENDING_PAUSE: Duration = Duration::from_millis(200);

/// A restore point, found.
#[derive(Debug)]
pub struct Located {
    /// The segments that are needed, and perhaps more.
    pub timeline: Timeline,
    /// The last frame of the commit to restore.
    pub frame_no: FrameNo,
}

/// Finds a restore point. A frame is not yet known to be a commit: opening a [`crate::View`] tells.
///
/// # Errors
///
/// `NotFound` for an unknown namespace; `Unreachable` with neighbours and the restorable ranges; `Corrupt`,
/// `Invalid`, `Unavailable`.
pub async fn locate(bucket: &Bucket, namespace: &Namespace, point: RestorePoint) -> Result<Located> {
    let mut hole: Option<RangeInclusive<FrameNo>> = None;
    for attempt in 1..=RELIST_MAX {
        let manifest = manifests::present(bucket, namespace).await?;
        let search = Search { bucket, namespace, manifest: &manifest };
        if let Some(before) = search.before_fork(point) {
            return Err(explain(bucket, namespace, point, before).await);
        }
        let found = match point {
            RestorePoint::Latest => Found::Newest(None),
            RestorePoint::Frame(frame) if !manifest.promises(frame) => {
                Found::No(Box::new(dropped(&manifest, point)))
            }
            RestorePoint::Frame(frame) => Found::Commit { frame, after: search.upper_bound(frame).await? },
            RestorePoint::Time(time) => match search.commit_at(time).await {
                // A compaction may have taken a segment away that was listed just now.
                Err(Error::NotFound { .. }) if attempt < RELIST_MAX => continue,
                found => match found? {
                    Found::Commit { frame, .. } if !manifest.promises(frame) => {
                        Found::No(Box::new(dropped(&manifest, point)))
                    }
                    found => found,
                },
            },
        };
        let (frame, after, known) = match found {
            Found::Commit { frame, after } => (Some(frame), after, None),
            Found::Newest(known) => (None, None, known),
            Found::No(lost) => return Err(explain(bucket, namespace, point, *lost).await),
        };
        let timeline = Timeline::load_cover(bucket, namespace, manifest, frame, after).await?;
        if !timeline.still_current(bucket).await? {
            continue;
        }
        if let Some(lost) = timeline.lost_manifests() {
            if attempt < RELIST_MAX {
                continue;
            }
            return Err(lost);
        }
        let newest = timeline.newest().map(|segment| segment.key.end());
        if frame.is_none_or(|frame| newest.is_none_or(|newest| newest < frame))
            && let Some(unsettled) = unsettled(&timeline, point)
        {
            if attempt < RELIST_MAX {
                tokio::time::sleep(PENDING_PAUSE).await;
                continue;
            }
            return Err(explain(bucket, namespace, point, unsettled).await);
        }
        if known.is_some() && known != newest {
            // Stored while this was looked for: perhaps later than the time that was asked for.
            continue;
        }
        let Some(frame_no) = frame.or(newest) else {
            return Err(unreachable(point, "the namespace has no commits yet").into());
        };
        if newest.is_none_or(|newest| newest < frame_no) {
            let behind = unreachable(point, "it is behind the newest commit");
            return Err(explain(bucket, namespace, point, behind).await);
        }
        return match timeline.cover(frame_no) {
            Ok(_) => Ok(Located { timeline, frame_no }),
            // A listing may miss what a compaction is just replacing: the same hole in a fresh one is real.
            Err(missing) if hole.as_ref() != Some(&missing) && attempt < RELIST_MAX => {
                hole = Some(missing);
                continue;
            }
            Err(missing) => Err(explain(bucket, namespace, point, lost(point, missing)).await),
        };
    }
    let what = format!("namespace {namespace} changed during {RELIST_MAX} listings");
    Err(Error::Unavailable { what, source: None })
}

/// Why it cannot be told yet what stands behind the newest segment that counts, if it cannot: an opening takes a
/// moment, and a listing may have been made before one ended.
fn unsettled(timeline: &Timeline, point: RestorePoint) -> Option<Unreachable> {
    if let Some(missing) = timeline.missing_newest() {
        return Some(lost(point, missing));
    }
    let why = "a writer is opening the namespace and has not confirmed its newest commits yet; if none is, an \
               opening was cut short, and the next `walkeep replicate` settles it";
    timeline.is_pending().then(|| unreachable(point, why))
}

fn lost(point: RestorePoint, missing: RangeInclusive<FrameNo>) -> Unreachable {
    let why = "no stored segment covers some of the frames before it";
    Unreachable { missing: Some(missing), ..unreachable(point, why) }
}

/// What a search came to.
enum Found {
    /// A commit, and the path behind which a listing gives the segments for it.
    Commit {
        frame: FrameNo,
        after: Option<ObjectPath>,
    },
    /// The newest commit, whatever it is, or this one if it still is the newest.
    Newest(Option<FrameNo>),
    No(Box<Unreachable>),
}

/// The segments around a time: the newest that ends at or before it, and the one behind.
#[derive(Default)]
struct Around {
    before: Option<StoredSegment>,
    behind: Option<StoredSegment>,
}

/// A search in the segments that a manifest lets count.
pub(crate) struct Search<'a> {
    pub(crate) bucket: &'a Bucket,
    pub(crate) namespace: &'a Namespace,
    pub(crate) manifest: &'a Manifest,
}

impl Search<'_> {
    /// Of a fork: a segment that says where it forked off, in place of the one that is stored with an ancestor.
    fn fork_point(&self) -> Option<StoredSegment> {
        let parent = self.manifest.parent()?;
        let epoch = self.manifest.owner(parent.frame)?.epoch;
        let key = SegmentKey::new(epoch, parent.frame, parent.frame, parent.time, 0).ok()?;
        Some(StoredSegment::new(key, 0))
    }

    /// Why a point is not this namespace's, if it is before the commit where a fork begins.
    fn before_fork(&self, point: RestorePoint) -> Option<Unreachable> {
        let parent = self.manifest.parent()?;
        let is_before = match point {
            RestorePoint::Latest => false,
            RestorePoint::Frame(frame) => frame < parent.frame,
            RestorePoint::Time(time) => time < parent.time,
        };
        let why = format!(
            "it is before namespace {} was forked; look for it in {}",
            self.namespace, parent.namespace
        );
        is_before.then(|| unreachable(point, &why))
    }

    /// The newest commit: the end of the newest valid segment, or where a fork forked off.
    pub(crate) async fn newest_end(&self) -> Result<Option<SegmentKey>> {
        let newest = self.newest_until(FrameNo::MAX).await?.or_else(|| self.fork_point());
        Ok(newest.map(|segment| segment.key))
    }

    /// The newest valid segment that ends at or before `end`; of several with that end, the widest.
    pub(crate) async fn newest_until(&self, end: FrameNo) -> Result<Option<StoredSegment>> {
        let (mut limit, mut end) = (NEWEST_PAGE, end);
        loop {
            let (segments, more) = self.until_few(end, limit).await?;
            match segments.first() {
                Some(found) => return Ok(Some(*found)),
                None if !more => return Ok(None),
                // All of them were fenced, or foreign: look at more.
                None if limit < LIST_PAGE => limit = LIST_PAGE,
                None => {
                    // A thousand that do not count: what counts and ends before them is of an epoch before.
                    let Some(before) = self.manifest.owner(end).and_then(|entry| entry.begin?.previous())
                    else {
                        return Ok(None);
                    };
                    end = before;
                }
            }
        }
    }

    /// The valid segments among the 1,000 that end at or before `end` in its epoch and older ones, newest first,
    /// and whether there are more.
    async fn until(&self, end: FrameNo) -> Result<(Vec<StoredSegment>, bool)> {
        self.until_few(end, LIST_PAGE).await
    }

    /// The same among so many segments.
    async fn until_few(&self, end: FrameNo, limit: usize) -> Result<(Vec<StoredSegment>, bool)> {
        let Some(owner) = self.manifest.owner(end) else {
            return Ok((Vec::new(), false));
        };
        let after = self.bucket.layout().segments_until(self.namespace, owner.epoch, end);
        let listing = self.bucket.list_segments(self.namespace, Some(&after), limit).await?;
        let counts =
            |key: &SegmentKey| matches!(self.manifest.validity(key), Validity::Valid) && key.end() <= end;
        let segments = listing.listed.into_iter().flatten().filter(|segment| counts(&segment.key));
        Ok((segments.collect(), listing.more))
    }

    /// A path behind which a listing gives the segment that holds `frame` first, or nearly so; `None` when no
    /// segment ends at or behind it.
    async fn upper_bound(&self, frame: FrameNo) -> Result<Option<ObjectPath>> {
        if let Some(fork) = self.fork_point().filter(|fork| fork.key.end() == frame) {
            return Ok(self.bound_of(fork));
        }
        let (segments, _) = self.until(frame).await?;
        let ending = segments.first().filter(|segment| segment.key.end() == frame).copied();
        let holding = match ending {
            Some(segment) => Some(segment),
            None => self.behind(frame).await?,
        };
        Ok(holding.and_then(|segment| self.bound_of(segment)))
    }

    /// A path behind which a listing gives the segments that end where this one does.
    fn bound_of(&self, segment: StoredSegment) -> Option<ObjectPath> {
        let end = segment.key.end();
        let owner = self.manifest.owner(end)?;
        Some(self.bucket.layout().segments_until(self.namespace, owner.epoch, end))
    }

    /// The segment with the smallest end behind `frame`, the rawest of several: in growing steps upwards to one
    /// that ends behind, then down to a page that has both sides.
    pub(crate) async fn behind(&self, frame: FrameNo) -> Result<Option<StoredSegment>> {
        let (mut low, mut high, mut step) = (frame.get(), None, PAGE_FRAMES);
        for _ in 0..PROBES_MAX {
            let probe = high.map_or(low.saturating_add(step), |high| probe_between(low, high));
            let (segments, more) = self.until(frame_at(probe)).await?;
            let later = segments.partition_point(|segment| segment.key.end() > frame);
            match segments.get(..later).and_then(nearest) {
                None if probe == u64::MAX => return Ok(None),
                None => {
                    low = probe;
                    step = step.saturating_mul(PAGE_FRAMES);
                }
                Some(nearest) if later < segments.len() || !more => return Ok(Some(nearest)),
                Some(nearest) => high = Some(nearest.key.end().get()),
            }
        }
        Err(self.too_dense())
    }

    /// Bisects the ends of segments for a time.
    async fn around(&self, time: UnixMillis) -> Result<Around> {
        // Commits before an epoch are not later than its floor, those in later epochs not earlier than theirs.
        let begun = self.manifest.epochs().iter().filter(|entry| entry.begin.is_some());
        let Some(entry) = begun.clone().rev().find(|entry| entry.floor <= time).or(begun.clone().next())
        else {
            return Ok(Around::default());
        };
        let mut low = entry.begin.and_then(FrameNo::previous).map_or(0, FrameNo::get);
        let last = self.manifest.last_owned(entry.epoch);
        let mut high = None;
        for _ in 0..PROBES_MAX {
            let probe = high.map_or(last.unwrap_or(FrameNo::MAX), |high| frame_at(probe_between(low, high)));
            let (segments, more) = self.until(probe).await?;
            let later = segments.partition_point(|segment| segment.key.time() > time);
            let before = segments.get(later).copied();
            let behind = segments.get(..later).and_then(nearest);
            match (before, behind) {
                (Some(_), Some(_)) => return Ok(Around { before, behind }),
                (None, Some(nearest)) if more => high = Some(nearest.key.end().get()),
                (None, Some(_)) => return Ok(Around { before, behind }),
                // Nothing later is left below the last frame of the epoch: what is behind stands in the next one.
                (before, None) if high.is_none() => {
                    let behind = match last {
                        Some(last) => self.behind(last).await?,
                        None => None,
                    };
                    return Ok(Around { before, behind });
                }
                (_, None) => low = probe.get(),
            }
        }
        Err(self.too_dense())
    }

    fn too_dense(&self) -> Error {
        let what =
            format!("the search in namespace {} did not end: its listing changes too fast", self.namespace);
        Error::Unavailable { what, source: None }
    }

    /// The commit that was the newest at `time`.
    async fn commit_at(&self, time: UnixMillis) -> Result<Found> {
        if self.bucket.is_libsql() {
            return self.end_at(time).await;
        }
        if let Some(kept) = self.manifest.kept().iter().find(|kept| kept.was_newest_at(time)) {
            return Ok(Found::Commit { frame: kept.frame, after: self.upper_bound(kept.frame).await? });
        }
        let mut around = self.around(time).await?;
        around.before = around.before.or_else(|| self.fork_point());
        let wanted = RestorePoint::Time(time);
        let before = around.before.map(|segment| neighbour(&segment.key));
        let Some(behind) = around.behind else {
            // Nothing later counts: the newest commit is the answer, unless something behind it is lost or unsettled.
            return Ok(Found::Newest(around.before.map(|segment| segment.key.end())));
        };
        let no = |why: &str, before, after| {
            Found::No(Box::new(Unreachable { before, after, ..unreachable(wanted, why) }))
        };
        let reaches_back = behind.key.start().get() <= around.before.map_or(0, |s| s.key.end().get()) + 1;
        if !reaches_back && around.before.is_some() {
            let why = "segments between the commits around it are missing, so that none is known to be the last one";
            return Ok(no(why, before, Some(neighbour(&behind.key))));
        }
        // (What a fork shares is not behind a time that is the fork's own.)
        let open = OpenSegment::open(self.bucket, self.namespace, behind, self.manifest.log_id()).await?;
        let from = around.before.map(|segment| segment.key.end());
        let commits = open.index().commits().iter().filter(|commit| Some(commit.frame_no) > from);
        let commits = commits.collect::<Vec<_>>();
        let later = commits.partition_point(|commit| commit.time <= time);
        let earlier = later.checked_sub(1).and_then(|at| commits.get(at));
        let earlier =
            earlier.map(|commit| Neighbour { frame_no: commit.frame_no, time: commit.time }).or(before);
        let Some(next) = commits.get(later) else {
            return Ok(no("the commits around it are not known", earlier, None));
        };
        let after = Some(Neighbour { frame_no: next.frame_no, time: next.time });
        let Some(answer) = earlier else {
            return Ok(no("it is before the first commit", None, after));
        };
        if behind.key.level() > 0 {
            return Ok(no("the commits around it were merged by compaction", earlier, after));
        }
        if next.kind == CommitKind::Discontinuous && answer.time < time {
            let why =
                "changes of that time were not recorded (the database was changed while nobody watched)";
            return Ok(no(why, earlier, after));
        }
        let ending = around.before.filter(|segment| segment.key.end() == answer.frame_no);
        Ok(Found::Commit { frame: answer.frame_no, after: self.bound_of(ending.unwrap_or(behind)) })
    }

    /// In a bucket of libsql-wal: the last end of a segment that was sealed at or before `time`, all before it too.
    async fn end_at(&self, time: UnixMillis) -> Result<Found> {
        let timeline = Timeline::load(self.bucket, self.namespace).await?;
        Ok(match libsql::end_at(&timeline, time) {
            Ok(Some(frame)) => {
                let epoch = self.manifest.last().epoch;
                let after = self.bucket.layout().segments_until(self.namespace, epoch, frame);
                Found::Commit { frame, after: Some(after) }
            }
            Ok(None) => Found::Newest(None),
            Err(unreachable) => Found::No(unreachable),
        })
    }
}

/// More than a search can take: log2 of the largest frame number twice over.
const PROBES_MAX: usize = 140;

/// So many frames have at most as many ends of raw segments: one page.
const PAGE_FRAMES: u64 = LIST_PAGE as u64;

fn frame_at(number: u64) -> FrameNo {
    FrameNo::new(number).unwrap_or(FrameNo::FIRST)
}

/// Where to look next between a frame that is too low and an end that is not: in the middle, or at the end itself
/// once a page reaches from it down to the frame.
const fn probe_between(low: u64, high: u64) -> u64 {
    if high.saturating_sub(low) <= PAGE_FRAMES { high } else { low + (high - low) / 2 }
}

/// Of segments in order of falling ends: the one with the smallest end, the rawest of several.
fn nearest(segments: &[StoredSegment]) -> Option<StoredSegment> {
    let smallest = segments.last()?.key.end();
    let ending = segments.iter().rev().take_while(|segment| segment.key.end() == smallest);
    ending.min_by_key(|segment| segment.key.level()).copied()
}
