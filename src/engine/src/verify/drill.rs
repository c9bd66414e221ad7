//! Trying a restore: the database at a random restore point is put together as a restore does it, to nowhere, and its
//! state is compared with the one that the writer recorded.

use walkeep_core::{Drill, Error, FrameNo, Namespace, NullTarget, Random, RestorePoint, Restored, Result};

use super::proofs;
use crate::bucket::Bucket;
use crate::restore::{RestoreOptions, RestorePlan};
use crate::timeline::{RELIST_MAX, Timeline};
use crate::view::{DATABASE_BYTES_MAX, View};
use crate::writer::Handles;

/// Restores a random restore point to nowhere, and writes down that it could be done.
///
/// Every stored segment has the same chance, and in it every commit.
///
/// # Errors
///
/// `Unreachable` when there is no restore point; `Corrupt` naming the object when the restore does not succeed; those
/// of the store, also for writing the proof down.
pub async fn restore_drill(
    bucket: &Bucket,
    namespace: &Namespace,
    handles: &Handles,
) -> Result<(Drill, Restored)> {
    for _ in 0..RELIST_MAX {
        let timeline = Timeline::load(bucket, namespace).await?;
        let Some(frame) = random_point(bucket, &timeline, &*handles.random).await? else {
            return Err(timeline.unreachable("any restore point", "there is none").into());
        };
        let restored = match restore(bucket, namespace, frame).await {
            // Something replaced what was listed: take another point.
            Err(Error::NotFound { what }) => {
                tracing::debug!(object = what, "an object is gone; choosing another restore point");
                continue;
            }
            restored => restored?,
        };
        let log_id = timeline.manifest().log_id();
        let last = proofs::newest(bucket, namespace, log_id).await?;
        let mut proof = proofs::next(last, log_id, &*handles.clock);
        let drill = Drill { at: proof.at, frame, time: restored.commit.time, state: restored.state };
        proof.drill = Some(drill);
        proofs::record(bucket, namespace, &proof, &*handles.random).await?;
        return Ok((drill, restored));
    }
    let what = format!("namespace {namespace} changed during {RELIST_MAX} restores");
    Err(Error::Unavailable { what, source: None })
}

/// The last drill of a namespace, if there was one.
///
/// # Errors
///
/// `NotFound` for an unknown namespace; `Corrupt`, `Invalid`, `Unavailable`.
pub async fn last_drill(bucket: &Bucket, timeline: &Timeline) -> Result<Option<Drill>> {
    let proof = proofs::newest(bucket, timeline.namespace(), timeline.manifest().log_id()).await?;
    Ok(proof.and_then(|proof| proof.drill))
}

async fn restore(bucket: &Bucket, namespace: &Namespace, frame: FrameNo) -> Result<Restored> {
    let view = View::open(bucket, namespace, RestorePoint::Frame(frame), DATABASE_BYTES_MAX).await?;
    let plan = RestorePlan::new(&view);
    view.write_to(&plan, &mut NullTarget, &RestoreOptions::default()).await
}

/// A random commit of a random segment, among those that can be restored.
async fn random_point(bucket: &Bucket, timeline: &Timeline, random: &dyn Random) -> Result<Option<FrameNo>> {
    let restorable = timeline.restorable();
    let is_point = |frame: FrameNo| {
        timeline.manifest().promises(frame) && restorable.iter().any(|range| range.contains(&frame))
    };
    let segments = timeline.segments().iter().filter(|segment| is_point(segment.key.end()));
    let segments = segments.collect::<Vec<_>>();
    let Some(segment) = choose(&segments, random)? else { return Ok(None) };
    let end = segment.key.end();
    if segment.key.level() > 0 {
        return Ok(Some(end));
    }
    let opened = match timeline.open(bucket, **segment).await {
        Err(Error::NotFound { .. }) => return Ok(Some(end)),
        opened => opened?,
    };
    let commits = opened.commits().iter().map(|commit| commit.frame_no).filter(|frame| is_point(*frame));
    Ok(Some(choose(&commits.collect::<Vec<_>>(), random)?.copied().unwrap_or(end)))
}

fn choose<'a, T>(from: &'a [T], random: &dyn Random) -> Result<Option<&'a T>> {
    let mut bytes = [0; 8];
    random.fill(&mut bytes)?;
    let at = u64::from_le_bytes(bytes).checked_rem(from.len() as u64);
    Ok(at.and_then(|at| from.get(usize::try_from(at).unwrap_or_default())))
}
