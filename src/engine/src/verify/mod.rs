//! Proving what is stored.
//!
//! Without `deep`: every manifest and the sequence of their versions, the index of every segment with all its
//! checksums, and that segments cover the log without a hole. With `deep` also every block and every page hash,
//! the checksum of every object, the state checksum of every commit, folded anew from the oldest on, and that of
//! every end of a compacted segment, as a restore would read it.
//!
//! [`verify_since_last`] is as deep, and reads only what was not proven before; [`restore_drill`] tries a restore.
//!
//! [`compare_copies`] compares the two stores of a mirror, or of a tiered store.
//!
//! Damage does not end a verification: it is written down, and the rest is looked at as far as that makes sense.

mod copies;
mod drill;
mod libsql;
mod object;
mod proofs;
mod since;
mod states;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};
use walkeep_core::{Error, FrameNo, Namespace, Result, VerifiedObject};

use crate::bucket::Bucket;
use crate::libsql::Replay;
use crate::manifests;
use crate::stored_segment::OpenSegment;
use crate::timeline::{Ignored, Timeline};
use crate::view::{DATABASE_BYTES_MAX, View};
pub use copies::{CopiesReport, compare_copies};
pub use drill::{last_drill, restore_drill};
use since::Proven;
pub use since::verify_since_last;
use states::StateFold;

/// Indexes fetched at the same time.
const OPEN_CONCURRENCY: usize = 8;

/// What a verification looked at, and found.
#[derive(Debug, Default)]
pub struct Report {
    /// Manifests read.
    pub manifests: usize,
    /// Segments whose index was read.
    pub segments: usize,
    /// Bytes of all segments.
    pub segment_bytes: u64,
    /// Commits whose state checksum was folded anew (`deep` only).
    pub states_proven: u64,
    /// Page images whose hash was computed anew (`deep` only).
    pub images_proven: u64,
    /// What was listed besides.
    pub ignored: Ignored,
    /// Foreign objects among the manifests.
    pub foreign_manifests: usize,
    /// Segments that an opening under way may yet cut off; they are not looked at.
    pub unconfirmed: usize,
    /// Segments that were not read, because they were proven before ([`verify_since_last`] only).
    pub proven_before: usize,
    /// What is damaged or missing.
    pub problems: Vec<Error>,
    /// The objects that are proven now.
    objects: Vec<VerifiedObject>,
    /// The commit up to which states are proven now.
    until: Option<FrameNo>,
}

/// How much to read.
#[derive(Clone, Copy, Debug)]
enum Depth<'a> {
    /// Indexes alone.
    Indexes,
    /// Everything but what was proven before.
    Everything(Option<&'a Proven>),
}

impl<'a> Depth<'a> {
    const fn is_deep(self) -> bool {
        matches!(self, Self::Everything(_))
    }

    const fn proven(self) -> Option<&'a Proven> {
        match self {
            Self::Everything(proven) => proven,
            Self::Indexes => None,
        }
    }
}

/// Verifies a namespace.
///
/// # Errors
///
/// `NotFound` for an unknown namespace, `Unavailable`. Damage is not an error of this call but stands in the
/// report.
pub async fn verify(bucket: &Bucket, namespace: &Namespace, deep: bool) -> Result<Report> {
    let depth = if deep { Depth::Everything(None) } else { Depth::Indexes };
    run(bucket, namespace, depth).await
}

async fn run(bucket: &Bucket, namespace: &Namespace, depth: Depth<'_>) -> Result<Report> {
    let deep = depth.is_deep();
    let mut report = Report::default();
    if !bucket.is_libsql() {
        check_manifests(bucket, namespace, &mut report).await?;
    }
    let timeline = match Timeline::load(bucket, namespace).await {
        Ok(timeline) => timeline,
        // All manifests are gone; that is noted already.
        Err(Error::NotFound { .. }) if !report.problems.is_empty() => return Ok(report),
        Err(error) => {
            report.note(error)?;
            return Ok(report);
        }
    };
    report.ignored = timeline.ignored();
    report.unconfirmed = timeline.unconfirmed().len();
    check_cover(&timeline, &mut report);
    libsql::check_contradictions(&timeline, &mut report);

    let mut segments = timeline.segments().to_vec();
    if let Some(proven) = depth.proven() {
        let is_proven = |key| proven.objects.get(key);
        let known = segments.iter().filter_map(|segment| {
            is_proven(&segment.key).filter(|object| object.size == segment.size).copied()
        });
        report.objects = known.collect();
        report.proven_before = report.objects.len();
        let known = report.objects.iter().map(|object| object.key).collect::<BTreeSet<_>>();
        segments.retain(|segment| !known.contains(&segment.key));
    }
    // Oldest first, and the raw one of several with one end: the order in which states are folded.
    segments.sort_by_key(|segment| (segment.key.end(), segment.key.level(), Reverse(segment.key.start())));
    let opened_from = &timeline;
    let opening =
        segments.into_iter().map(|stored| async move { (stored, opened_from.open(bucket, stored).await) });
    let mut opened = stream::iter(opening).buffered(OPEN_CONCURRENCY);
    let mut states = StateFold::new(timeline.manifest(), depth.proven());
    let mut replay = Replay::new(timeline.manifest().hash_seed());
    while let Some((stored, segment)) = opened.next().await {
        report.segments += 1;
        report.segment_bytes += stored.size;
        match segment {
            Ok(segment) => match bucket.libsql() {
                None => check_segment(bucket, &segment, deep, &mut states, &mut report).await?,
                Some(reader) => {
                    let index = libsql::check_index(bucket, reader, namespace, &segment).await;
                    index.or_else(|error| report.note(error))?;
                    if deep {
                        report.images_proven += u64::from(segment.index().footer().header.frame_count);
                        libsql::replay(&mut replay, &segment).or_else(|error| report.note_found(error))?;
                    }
                }
            },
            Err(Error::NotFound { what }) => {
                report.note(Error::corrupt(what, 0, "an object that is listed", "no object"))?;
                states.interrupt();
            }
            Err(error) => {
                report.note(error)?;
                states.interrupt();
            }
        }
    }
    report.states_proven = states.proven();
    report.until = states.at();
    if deep && !bucket.is_libsql() {
        check_compacted(bucket, &timeline, depth.proven(), &mut report).await?;
    }
    Ok(report)
}

/// Compacted segments say the same about the database at their ends as the writer did. The fold does not show that
/// where their inputs are still there: it reads those.
async fn check_compacted(
    bucket: &Bucket,
    timeline: &Timeline,
    proven: Option<&Proven>,
    report: &mut Report,
) -> Result<()> {
    let is_proven = |key| proven.is_some_and(|proven| proven.objects.contains_key(key));
    let compacted = timeline.segments().iter().filter(|segment| segment.key.level() > 0);
    let compacted = compacted.filter(|segment| !is_proven(&segment.key));
    let mut ends = compacted.map(|segment| segment.key.end()).collect::<Vec<_>>();
    ends.dedup();
    for end in ends {
        let view = View::at(bucket, timeline, end, DATABASE_BYTES_MAX).await;
        match view.and_then(|view| view.page_hashes()) {
            Ok(_) => {}
            // A compaction that was slow, or cut short, stored it behind the collection that deleted what it joins to: nobody
            // asks for it, and the next collection deletes it.
            Err(Error::Unreachable(_)) if !timeline.manifest().promises(end) => {}
            Err(error) => report.note_once(error)?,
        }
    }
    Ok(())
}

impl Report {
    /// Writes damage down; passes on what has nothing to do with what is stored.
    fn note(&mut self, error: Error) -> Result<()> {
        if matches!(error, Error::Corrupt(_) | Error::Unreachable(_) | Error::Invalid { .. }) {
            self.problems.push(error);
            return Ok(());
        }
        Err(error)
    }

    /// The same, and a database too large to look at: not damage for sure, but not proven either.
    fn note_found(&mut self, error: Error) -> Result<()> {
        if matches!(error, Error::Exhausted { .. }) {
            self.problems.push(error);
            return Ok(());
        }
        self.note(error)
    }

    /// The same for damage that another check may have met before.
    fn note_once(&mut self, error: Error) -> Result<()> {
        let error = match error {
            Error::NotFound { what } => Error::corrupt(what, 0, "an object that is listed", "no object"),
            error => error,
        };
        let known = self.problems.iter().any(|problem| match (problem, &error) {
            (Error::Corrupt(problem), Error::Corrupt(error)) => problem == error,
            (Error::Unreachable(problem), Error::Unreachable(error)) => problem.missing == error.missing,
            // Too large for this machine: the fold has said so of the segment that it begins with.
            (Error::Exhausted { .. }, Error::Exhausted { .. }) => true,
            _ => false,
        });
        if known { Ok(()) } else { self.note(error) }
    }
}

async fn check_manifests(bucket: &Bucket, namespace: &Namespace, report: &mut Report) -> Result<()> {
    let (versions, foreign, missing) = manifests::versions(bucket, namespace).await?;
    report.foreign_manifests = foreign;
    if versions.is_empty() {
        let segments = manifests::newest_segment_epoch(bucket, namespace).await?;
        manifests::refuse_lost(bucket, namespace, segments, None).or_else(|error| report.note(error))?;
    }
    if let Some(missing) = missing {
        report.note(missing)?;
    }
    for version in versions {
        report.manifests += 1;
        if let Err(error) = manifests::read(bucket, namespace, version).await {
            report.note(error)?;
        }
    }
    Ok(())
}

/// Notes the frames that no segment covers, and segments that say that newer manifests existed.
fn check_cover(timeline: &Timeline, report: &mut Report) {
    for missing in timeline.holes() {
        let wanted = format!("frame {}", missing.end());
        let lost = timeline.unreachable(wanted, "no stored segment covers some of its frames");
        report.problems.push(walkeep_core::Unreachable { missing: Some(missing), ..lost }.into());
    }
    report.problems.extend(timeline.lost_manifests());
    let raw = timeline.segments().iter().filter(|segment| segment.key.level() == 0);
    for (newer, older) in raw.clone().zip(raw.skip(1)) {
        if older.key.end() >= newer.key.start() {
            let object = format!("namespace {}", timeline.namespace());
            let expected = format!("segment {} to begin behind segment {}", newer.key, older.key);
            report.problems.push(Error::corrupt(object, 0, expected, "two that hold the same frames"));
        }
    }
}

async fn check_segment(
    bucket: &Bucket,
    segment: &OpenSegment,
    deep: bool,
    states: &mut StateFold,
    report: &mut Report,
) -> Result<()> {
    if let Err(error) = segment.index().check_map(segment.path().as_str()) {
        report.note(error)?;
    }
    if !deep {
        return Ok(());
    }
    match object::check(bucket, segment, states.seed()).await {
        Ok(images) => {
            report.images_proven += images;
            let checksum = segment.index().footer().object_checksum;
            report.objects.push(VerifiedObject { key: *segment.key(), size: segment.size(), checksum });
        }
        Err(error) => report.note(error)?,
    }
    states.fold(segment).or_else(|error| report.note_found(error))
}
