//! Looking, publishing, deleting.

use std::collections::BTreeSet;

use walkeep_core::manifest::KeptPoint;
use walkeep_core::{
    CommitKind, Error, FrameNo, GroupName, Leftovers, Manifest, Namespace, ObjectPath, Result, SegmentKey,
    UnixMillis,
};

use super::GcOptions;
use super::clock_check::{check_created, check_listed};
use super::holds::Holds;
use super::plan::{GcPlan, Judge, Reason, Verdict};
use super::thinning::{End, Thinned, thin};
use crate::bucket::Bucket;
use crate::family::reclaim_all;
use crate::manifests;
use crate::stored_segment::StoredSegment;
use crate::timeline::Timeline;
use crate::writer::{ATTEMPTS, BACK_OFF, Handles, may_have_happened};

/// Objects deleted in one request: what object stores take at most.
const DELETE_BATCH: usize = 1000;

/// Proofs that are kept besides the newest one: for whoever is just reading it.
const PROOFS_KEPT: usize = 2;

/// What a collection did.
#[derive(Debug)]
pub struct Collected {
    /// What it was to do.
    pub plan: GcPlan,
    /// Objects that are gone.
    pub deleted: usize,
    /// Their bytes, and those of the leftovers of the plan, which are gone as well.
    pub bytes: u64,
    /// Objects that the store did not delete, and why: kept by a lock, or by missing rights. A later run tries again.
    pub refused: Vec<(ObjectPath, Error)>,
}

/// What was looked at, and what follows.
struct Look {
    /// The manifest that must be published first, if promises are dropped.
    publish: Option<Manifest>,
    plan: GcPlan,
}

/// What a collection would do now, with every object that stands in the folder of the namespace. Nothing is written.
///
/// # Errors
///
/// `NotFound` for an unknown namespace; `Invalid` when the store's clock and ours are far apart; `Corrupt`, `Unavailable`,
/// also while a writer is just opening the namespace.
pub async fn plan(
    bucket: &Bucket,
    namespace: &Namespace,
    options: &GcOptions,
    handles: &Handles,
) -> Result<GcPlan> {
    let Look { mut plan, .. } = look(bucket, namespace, options, handles).await?;
    let others = others(bucket, namespace, &plan).await?;
    plan.verdicts.extend(others);
    plan.leftovers = leftovers(bucket, namespace, handles.clock.now(), options, false).await?;
    Ok(plan)
}

/// Drops what retention no longer keeps, and deletes what nothing needs then.
///
/// # Errors
///
/// As [`plan`]; those of the store. What was published stays so, and a later run deletes the rest.
///
/// # Cancel safety
///
/// As after an error.
pub async fn collect(
    bucket: &Bucket,
    namespace: &Namespace,
    options: &GcOptions,
    handles: &Handles,
) -> Result<Collected> {
    reclaim_all(bucket, namespace, &*handles.random).await?;
    for attempt in 1..=ATTEMPTS {
        let look = look(bucket, namespace, options, handles).await?;
        if look.publish.is_some() || look.plan.going().next().is_some() {
            check_created(bucket, namespace, handles).await?;
        }
        if let Some(next) = &look.publish {
            match manifests::create(bucket, namespace, next).await {
                Ok(()) => {}
                Err(error) if may_have_happened(&error) => {
                    // Ours if it is the newest; otherwise somebody pinned, forked or opened: look again.
                    let newest = manifests::newest(bucket, namespace).await?;
                    if newest.as_ref() != Some(next) {
                        tokio::time::sleep(BACK_OFF * attempt).await;
                        continue;
                    }
                }
                Err(error) => return Err(error),
            }
            tracing::info!(
                %namespace, frontier = next.frontier().get(), kept = next.kept().len(), manifest = next.version().get(),
                "retention has dropped restore points"
            );
        }
        let mut collected = delete(bucket, namespace, look.plan).await?;
        let gone = leftovers(bucket, namespace, handles.clock.now(), options, true).await?;
        collected.plan.leftovers = gone;
        collected.bytes = collected.bytes.saturating_add(gone.bytes);
        return Ok(collected);
    }
    let what = format!("namespace {namespace} was changed by others during {ATTEMPTS} collections");
    Err(Error::Unavailable { what, source: None })
}

async fn look(
    bucket: &Bucket,
    namespace: &Namespace,
    options: &GcOptions,
    handles: &Handles,
) -> Result<Look> {
    if bucket.is_libsql() {
        return Err(Error::invalid("collecting garbage", "a bucket of libsql-wal is only read"));
    }
    let listing = bucket.list_segments(namespace, None, usize::MAX).await?;
    let listed = listing.listed.into_iter().flatten().collect::<Vec<_>>();
    // Its manifest is read after the listing above.
    let timeline = Timeline::load(bucket, namespace).await?;
    let manifest = timeline.manifest().clone();
    if manifest.is_pending() {
        let what = format!("a writer is just opening namespace {namespace}; try again");
        return Err(Error::Unavailable { what, source: None });
    }
    timeline.lost_manifests().map_or(Ok(()), Err)?;
    let now = handles.clock.now();
    check_listed(listed.iter(), now)?;

    let ends = ends(&timeline);
    let holds = Holds::read(bucket, &timeline, &ends, now).await?;
    let free = thin(&manifest, &ends, FrameNo::MAX, now).frontier;
    let Thinned { frontier, mut kept } = thin(&manifest, &ends, holds.limit(), now);
    for point in &mut kept {
        if manifest.kept().iter().all(|known| known.frame != point.frame) {
            point.until = until(bucket, &timeline, point).await?;
        }
    }
    let expired = manifest.pins().iter().filter(|(_, pin)| pin.is_expired(now));
    let expired = expired.map(|(name, _)| name.clone()).collect();
    let held_by = holds.lowest.clone().filter(|_| frontier < free);
    let (evicted, verdicts, leftovers) = (Vec::new(), Vec::new(), Leftovers::default());
    let mut plan = GcPlan { frontier, kept, expired, held_by, evicted, verdicts, leftovers };
    let publish = match plan.changes(&manifest) {
        true => Some(manifest.collect(plan.frontier, plan.kept.clone(), &holds.slowest, now)?),
        false => None,
    };
    let promised = publish.as_ref().unwrap_or(&manifest);
    plan.evicted = newly_evicted(&manifest, promised);
    let judge = Judge::new(promised, &listed, now, options.grace).held_by(free, plan.held_by.as_ref());
    let verdict = |segment: &StoredSegment| {
        let path = bucket.layout().segment(namespace, &segment.key);
        Verdict::new(path, segment.size, judge.judge(segment))
    };
    plan.verdicts = listed.iter().map(verdict).collect();
    check_left(&timeline, promised, &listed, &plan)?;
    plan.verdicts.extend(old_proofs(bucket, namespace, now, options).await?);
    let is_old = |modified| judge.is_past_grace(modified);
    plan.verdicts.extend(holds.verdicts(bucket, namespace, &manifest, is_old));
    Ok(Look { publish, plan })
}

/// The groups of followers that lose commits by this.
fn newly_evicted(before: &Manifest, after: &Manifest) -> Vec<GroupName> {
    let had = |name: &GroupName| before.followers().get(name).and_then(|group| group.evicted);
    let marked = after.followers().iter().filter(|(name, group)| group.evicted != had(name));
    marked.map(|(name, _)| name.clone()).collect()
}

/// The commits at which segments end, oldest first. One that cannot be restored, because what it needs is lost, is not kept
/// in place of one that can.
fn ends(timeline: &Timeline) -> Vec<End> {
    let restorable = timeline.restorable();
    let can_be_restored = |key: &SegmentKey| {
        let at = restorable.partition_point(|range| *range.end() < key.end());
        restorable.get(at).is_some_and(|range| range.contains(&key.end()))
    };
    let keys = timeline.segments().iter().rev().map(|segment| segment.key).filter(can_be_restored);
    let mut ends = keys.map(|key| End { frame: key.end(), time: key.time() }).collect::<Vec<_>>();
    ends.sort_by_key(|end| end.frame);
    ends.dedup_by_key(|end| end.frame);
    ends
}

/// Until when a point is known to have been the newest commit: the time of the commit behind it, which stands in the
/// segment that goes on there.
async fn until(bucket: &Bucket, timeline: &Timeline, point: &KeptPoint) -> Result<UnixMillis> {
    let Some(next) = point.frame.next() else { return Ok(point.time) };
    let raw = timeline.segments().iter().filter(|segment| segment.key.level() == 0);
    let Some(behind) = raw.filter(|segment| segment.key.includes(next)).copied().next() else {
        return Ok(point.time);
    };
    let opened = match timeline.open(bucket, behind).await {
        // Another collection has deleted it since it was listed. What stands there now is not guessed: it would stay so.
        Err(Error::NotFound { what }) => {
            let what = format!("{what} was deleted meanwhile, by another collection; try again");
            return Err(Error::Unavailable { what, source: None });
        }
        opened => opened?,
    };
    let commit = opened.commits().iter().find(|commit| commit.frame_no > point.frame);
    Ok(match commit {
        // When it was made is not known: it was not there yet at the time of the one before.
        Some(commit) if commit.kind == CommitKind::Discontinuous && commit.time > point.time => {
            UnixMillis(point.time.get().saturating_add(1))
        }
        Some(commit) => commit.time,
        None => point.time,
    })
}

/// Makes sure that what is left leads to every point that is promised and can be restored now.
fn check_left(
    timeline: &Timeline,
    promised: &Manifest,
    listed: &[StoredSegment],
    plan: &GcPlan,
) -> Result<()> {
    let going = listed.iter().zip(&plan.verdicts).filter(|(_, verdict)| verdict.goes);
    let going = going.map(|(segment, _)| segment.key).collect::<BTreeSet<_>>();
    let (before, after) = timeline.needed_before_and_after(promised, &going);
    if before == after {
        return Ok(());
    }
    let what = format!("a collection of namespace {}", timeline.namespace());
    let why = format!(
        "it would lose restore points: of {before:?} only {after:?} would be left. This is a mistake in Walkeep; nothing was \
         deleted"
    );
    Err(Error::invalid(what, why))
}

/// The objects of a namespace that a collection does not judge: they stay.
async fn others(bucket: &Bucket, namespace: &Namespace, plan: &GcPlan) -> Result<Vec<Verdict>> {
    let layout = bucket.layout();
    let folder = layout.namespaces().join(namespace)?;
    let (proofs, probes) = (layout.proofs(namespace), layout.probes(namespace));
    let is_in = |folder: &Option<ObjectPath>, path: &ObjectPath| {
        folder.as_ref().is_some_and(|folder| path.below(folder).is_some())
    };
    let judged = plan.verdicts.iter().map(|verdict| &verdict.path).collect::<BTreeSet<_>>();
    let listed = bucket.list(&folder, None, usize::MAX).await?.into_iter();
    let others = listed.filter(|object| !judged.contains(&object.path)).map(|object| {
        let path = &object.path;
        let why = match () {
            () if layout.parse_manifest(namespace, path).is_some() => Reason::Manifest,
            () if layout.parse_segment(namespace, path).is_some() => Reason::New,
            () if layout.parse_acknowledgement(namespace, path).is_some() => Reason::New,
            () if is_in(&proofs, path) => Reason::Proof,
            () if is_in(&probes, path) => Reason::Probe,
            () => Reason::Foreign,
        };
        Verdict::new(object.path, object.size, why)
    });
    Ok(others.collect())
}

/// Proofs that newer ones stand in the place of.
async fn old_proofs(
    bucket: &Bucket,
    namespace: &Namespace,
    now: UnixMillis,
    options: &GcOptions,
) -> Result<Vec<Verdict>> {
    let Some(folder) = bucket.layout().proofs(namespace) else { return Ok(Vec::new()) };
    let grace = u64::try_from(options.grace.as_millis()).unwrap_or(u64::MAX);
    let proofs = bucket.list(&folder, None, usize::MAX).await?.into_iter().skip(PROOFS_KEPT);
    let old = proofs.filter(|object| {
        object.modified.is_some_and(|modified| modified.get().saturating_add(grace) <= now.get())
    });
    Ok(old.map(|object| Verdict::new(object.path, object.size, Reason::OldProof)).collect())
}

/// What uploads to the folder of the namespace have left behind and nothing has written to for the grace time.
async fn leftovers(
    bucket: &Bucket,
    namespace: &Namespace,
    now: UnixMillis,
    options: &GcOptions,
    delete: bool,
) -> Result<Leftovers> {
    let folder = bucket.layout().namespaces().join(namespace)?;
    let grace = u64::try_from(options.grace.as_millis()).unwrap_or(u64::MAX);
    bucket.leftovers(&folder, UnixMillis(now.get().saturating_sub(grace)), delete).await
}

/// Deletes what goes. What the store refuses one by one is noted, and the rest goes.
async fn delete(bucket: &Bucket, namespace: &Namespace, plan: GcPlan) -> Result<Collected> {
    let going = plan.going().cloned().collect::<Vec<_>>();
    let mut collected = Collected { plan, deleted: 0, bytes: 0, refused: Vec::new() };
    for batch in going.chunks(DELETE_BATCH) {
        let paths = batch.iter().map(|verdict| verdict.path.clone()).collect::<Vec<_>>();
        if bucket.delete(&paths).await.is_ok() {
            collected.deleted += batch.len();
            collected.bytes += batch.iter().map(|verdict| verdict.size).sum::<u64>();
            continue;
        }
        for verdict in batch {
            match bucket.delete(std::slice::from_ref(&verdict.path)).await {
                Ok(()) => {
                    collected.deleted += 1;
                    collected.bytes += verdict.size;
                }
                Err(error) => {
                    // Stores do not tell apart that they will not and that they cannot now: one that still answers will not.
                    if manifests::newest_version(bucket, namespace).await.is_err() {
                        return Err(error);
                    }
                    collected.refused.push((verdict.path.clone(), error));
                }
            }
        }
    }
    Ok(collected)
}
