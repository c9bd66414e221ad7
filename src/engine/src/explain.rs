//! Why a restore point cannot be had, and what stands near it.
//!
//! Invariant: what is named as near is a commit that can be restored, and is promised. The complete listing that this takes
//! is made only for an error.

use std::ops::RangeInclusive;

use walkeep_core::{
    Error, FrameNo, Manifest, Namespace, Neighbour, RestorePoint, SegmentKey, UnixMillis, Unreachable,
};

use crate::bucket::Bucket;
use crate::timeline::Timeline;

pub(crate) fn unreachable(point: RestorePoint, why: &str) -> Unreachable {
    Unreachable { wanted: point.to_string(), why: why.into(), ..Unreachable::default() }
}

/// Why a commit that was there is no restore point.
pub(crate) fn dropped(manifest: &Manifest, point: RestorePoint) -> Unreachable {
    let why =
        format!("retention no longer keeps it; every commit from frame {} on is kept", manifest.frontier());
    unreachable(point, &why)
}

/// Adds the restorable ranges, and the neighbours: those that were found, if they can be restored, and else the nearest
/// that can.
pub(crate) async fn explain(
    bucket: &Bucket,
    namespace: &Namespace,
    point: RestorePoint,
    mut unreachable: Unreachable,
) -> Error {
    let Ok(timeline) = Timeline::load(bucket, namespace).await else { return unreachable.into() };
    unreachable.restorable = timeline.restorable();
    let points = points(&timeline, &unreachable.restorable);
    let at = match point {
        RestorePoint::Latest => return unreachable.into(),
        RestorePoint::Frame(frame) => points.partition_point(|near| near.frame_no < frame),
        RestorePoint::Time(time) => points.partition_point(|near| near.time <= time),
    };
    let before = at.checked_sub(1).and_then(|at| points.get(at)).copied();
    let mut behind = points.get(at..).into_iter().flatten().copied();
    let after = behind.find(|near| point != RestorePoint::Frame(near.frame_no));
    let can_be_had = |near: &Neighbour| holds(&unreachable.restorable, near.frame_no);
    unreachable.before = unreachable.before.filter(can_be_had).or(before);
    unreachable.after = unreachable.after.filter(can_be_had).or(after);
    unreachable.into()
}

/// The restore points whose times are known without opening a segment, oldest first.
fn points(timeline: &Timeline, restorable: &[RangeInclusive<FrameNo>]) -> Vec<Neighbour> {
    let manifest = timeline.manifest();
    let ends = timeline.segments().iter().map(|segment| neighbour(&segment.key));
    let at = |frame_no: FrameNo, time: UnixMillis| Neighbour { frame_no, time };
    let kept = manifest.kept().iter().map(|kept| at(kept.frame, kept.time));
    let pins = manifest.pins().values().map(|pin| at(pin.frame, pin.time));
    let points = ends.chain(kept).chain(pins).filter(|near| holds(restorable, near.frame_no));
    let mut points = points.collect::<Vec<_>>();
    points.sort_by_key(|near| near.frame_no);
    points.dedup_by_key(|near| near.frame_no);
    points
}

fn holds(ranges: &[RangeInclusive<FrameNo>], frame: FrameNo) -> bool {
    ranges.iter().any(|range| range.contains(&frame))
}

pub(crate) fn neighbour(key: &SegmentKey) -> Neighbour {
    Neighbour { frame_no: key.end(), time: key.time() }
}
