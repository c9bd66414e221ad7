//! Finding one segment, and how far a namespace reaches, with few listings.

use walkeep_core::storage::{Durable, FindSegment};
use walkeep_core::{Error, HashSeed, Namespace, RestorePoint, Result, SegmentKey};

use crate::bucket::Bucket;
use crate::locate::{Located, Search, explain, locate, unreachable};
use crate::manifests::{self, NEWEST_PAGE};
use crate::stored_segment::{OpenSegment, StoredSegment};
use crate::timeline::no_namespace;

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
            Ok(unreachable.restorable.last().map_or(Durable::Nothing, |range| Durable::Until(*range.end())))
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
        FindSegment::EndingAtOrBefore(frame) => {
            let manifest =
                manifests::newest(bucket, namespace).await?.ok_or_else(|| no_namespace(namespace))?;
            let search = Search { bucket, namespace, manifest: &manifest };
            match search.newest_until(frame).await? {
                Some(found) => Ok(found.key),
                None => {
                    let point = RestorePoint::Frame(frame);
                    let none = unreachable(point, "no stored segment ends at or before it");
                    Err(explain(bucket, namespace, point, none).await)
                }
            }
        }
        FindSegment::Containing(frame) => holding(bucket, namespace, RestorePoint::Frame(frame)).await,
        FindSegment::Time(time) => holding(bucket, namespace, RestorePoint::Time(time)).await,
    }
}

async fn holding(bucket: &Bucket, namespace: &Namespace, point: RestorePoint) -> Result<SegmentKey> {
    let Located { timeline, frame_no } = locate(bucket, namespace, point).await?;
    timeline
        .holding(frame_no)
        .map(|stored| stored.key)
        .ok_or_else(|| Error::not_found(format!("frame {frame_no}")))
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
    let manifest = manifests::newest(bucket, namespace).await?.ok_or_else(|| no_namespace(namespace))?;
    // Names that sort before it and behind no other segment's that ends earlier.
    let bound = layout.segment_named(namespace, &SegmentKey::listing_bound(key.epoch(), key.end()))?;
    let mut after = Some(bound);
    loop {
        let page = bucket.list(&layout.segments(namespace), after.as_ref(), NEWEST_PAGE).await?;
        let last_page = page.len() < NEWEST_PAGE;
        after = page.last().map(|object| object.path.clone());
        for object in page {
            match layout.parse_segment(namespace, &object.path) {
                Some(found) if found == *key => {
                    let stored = StoredSegment { key: *key, size: object.size };
                    let open = OpenSegment::open(bucket, namespace, stored, manifest.log_id()).await?;
                    return Ok((open, manifest.hash_seed()));
                }
                Some(found) if found > *key => return Err(no_segment(namespace, key)),
                _ => {}
            }
        }
        if last_page {
            return Err(no_segment(namespace, key));
        }
    }
}

fn no_segment(namespace: &Namespace, key: &SegmentKey) -> Error {
    Error::not_found(format!("segment {key} of namespace {namespace}"))
}
