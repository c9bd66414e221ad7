//! Finding one segment, and how far a namespace reaches, with few listings.

use walkeep_core::storage::{Durable, FindSegment};
use walkeep_core::{
    Error, FrameNo, HashSeed, Manifest, Namespace, RestorePoint, Result, SegmentKey, UnixMillis,
};

use crate::bucket::Bucket;
use crate::explain::{explain, unreachable};
use crate::locate::{Located, Search, locate};
use crate::manifests::{self, NEWEST_PAGE};
use crate::stored_segment::{OpenSegment, StoredSegment};
use crate::timeline::{RELIST_MAX, Timeline};
use crate::view::commit_at;

/// The last frame that a restore can reach.
///
/// # Errors
///
/// `Unreachable` when segments below the newest are missing; `Corrupt`, `Unavailable`.
pub(crate) async fn durable(bucket: &Bucket, namespace: &Namespace) -> Result<Durable> {
    match locate(bucket, namespace, RestorePoint::Latest).await {
        Ok(Located { frame_no, .. }) => Ok(Durable::Until(frame_no)),
        // No commits yet, or an opening is under way that may cut off the newest: the others can be reached.
        Err(Error::Unreachable(unreachable)) if unreachable.missing.is_none() => {
            let reached = Timeline::load(bucket, namespace).await?.durable_frame_no();
            Ok(reached.map_or(Durable::Nothing, Durable::Until))
        }
        Err(Error::NotFound { .. }) => Ok(Durable::Nothing),
        Err(error) => Err(error),
    }
}

/// Finds a segment.
///
/// # Errors
///
/// As [`Storage::find_segment`](walkeep_core::Storage::find_segment).
pub(crate) async fn segment(bucket: &Bucket, namespace: &Namespace, find: FindSegment) -> Result<SegmentKey> {
    match find {
        FindSegment::EndingAtOrBefore(frame) => ending(bucket, namespace, frame).await,
        FindSegment::Containing(frame) => holding(bucket, namespace, RestorePoint::Frame(frame)).await,
        FindSegment::Time(time) => holding(bucket, namespace, RestorePoint::Time(time)).await,
    }
}

async fn ending(bucket: &Bucket, namespace: &Namespace, frame: FrameNo) -> Result<SegmentKey> {
    for _ in 0..RELIST_MAX {
        let manifest = manifests::present(bucket, namespace).await?;
        let search = Search { bucket, namespace, manifest: &manifest };
        let mut found = search.newest_until(frame).await?;
        if found.is_none() && manifest.parent().is_some_and(|parent| parent.frame <= frame) {
            let timeline = Timeline::load_shared(bucket, namespace, manifest.clone()).await?;
            found = timeline.segments().iter().find(|segment| segment.key.end() <= frame).copied();
        }
        // An opening meanwhile may have cut off what was found.
        if manifests::newest_version(bucket, namespace).await? != Some(manifest.version()) {
            continue;
        }
        let point = RestorePoint::Frame(frame);
        return match found {
            Some(found) => Ok(found.key),
            None => {
                let none = unreachable(point, "no stored segment ends at or before it");
                Err(explain(bucket, namespace, point, none).await)
            }
        };
    }
    let what = format!("namespace {namespace} changed during {RELIST_MAX} listings");
    Err(Error::Unavailable { what, source: None })
}

async fn holding(bucket: &Bucket, namespace: &Namespace, point: RestorePoint) -> Result<SegmentKey> {
    let Located { timeline, frame_no } = locate(bucket, namespace, point).await?;
    let holding = timeline.segments().iter().map(|stored| stored.key).filter(|key| key.includes(frame_no));
    let rawest = holding.min_by_key(|key| (key.level(), key.end()));
    rawest.ok_or_else(|| Error::not_found(format!("frame {frame_no}")))
}

/// Opens a segment by name, and the seed of its hashes.
///
/// # Errors
///
/// `NotFound`; `Corrupt`, `Unavailable`.
pub(crate) async fn open(
    bucket: &Bucket,
    namespace: &Namespace,
    key: &SegmentKey,
) -> Result<(OpenSegment, HashSeed)> {
    let layout = bucket.layout();
    let manifest = manifests::present(bucket, namespace).await?;
    if manifest.parent().is_some_and(|parent| key.end() <= parent.frame) {
        return open_inherited(bucket, namespace, manifest, key).await;
    }
    // Names that sort before it and behind no other segment's that ends earlier.
    let mut after = Some(layout.segments_until(namespace, key.epoch(), key.end()));
    let path = layout.segment(namespace, key);
    loop {
        let page = bucket.list_segments(namespace, after.as_ref(), NEWEST_PAGE).await?;
        for StoredSegment { key: found, size, .. } in page.listed.into_iter().flatten() {
            // Names are compared, because those of libsql-wal do not say whether a segment was compacted.
            if layout.segment(namespace, &found) == path {
                let stored = StoredSegment::new(*key, size);
                let open = OpenSegment::open(bucket, namespace, stored, manifest.log_id()).await?;
                return Ok((open, manifest.hash_seed()));
            }
            if found > *key {
                return Err(no_segment(namespace, key));
            }
        }
        if !page.more {
            return Err(no_segment(namespace, key));
        }
        after = page.last;
    }
}

/// The same for a segment that a fork shares.
async fn open_inherited(
    bucket: &Bucket,
    namespace: &Namespace,
    manifest: Manifest,
    key: &SegmentKey,
) -> Result<(OpenSegment, HashSeed)> {
    let seed = manifest.hash_seed();
    let timeline = Timeline::load_shared(bucket, namespace, manifest).await?;
    match timeline.segments().iter().find(|stored| stored.key == *key) {
        Some(stored) => Ok((timeline.open(bucket, *stored).await?, seed)),
        None => Err(no_segment(namespace, key)),
    }
}

fn no_segment(namespace: &Namespace, key: &SegmentKey) -> Error {
    Error::not_found(format!("segment {key} of namespace {namespace}"))
}

/// The commit of a restore point, its time, and the manifest that it was found with. Only indexes are read: that the point
/// can be restored is known from names.
///
/// # Errors
///
/// As [`locate`].
pub(crate) async fn commit(
    bucket: &Bucket,
    namespace: &Namespace,
    point: RestorePoint,
) -> Result<(Manifest, FrameNo, UnixMillis)> {
    let Located { timeline, frame_no } = locate(bucket, namespace, point).await?;
    let ending = timeline.segments().iter().find(|segment| segment.key.end() == frame_no);
    if let Some(segment) = ending {
        return Ok((timeline.manifest().clone(), frame_no, segment.key.time()));
    }
    // A segment ends with a commit; inside of one only its index tells.
    let holding = timeline.segments().iter().filter(|segment| segment.key.includes(frame_no));
    let rawest = holding.min_by_key(|segment| (segment.key.level(), segment.key.end()));
    let rawest = rawest.ok_or_else(|| Error::not_found(format!("frame {frame_no}")))?;
    let opened = timeline.open(bucket, *rawest).await?;
    match commit_at(&timeline, &opened, frame_no) {
        Ok(commit) => Ok((timeline.manifest().clone(), frame_no, commit.time)),
        Err(Error::Unreachable(no)) => Err(explain(bucket, namespace, point, *no).await),
        Err(error) => Err(error),
    }
}
