//! The newest view over a version of the replica, from what was stored behind that: however long the log is.
//!
//! Invariant: such a view is used only if the pages of the version and the images behind it fold to the state checksum
//! that the writer recorded. In any other case there is none, and the whole log decides: a hole, damage, or a log that
//! was rewound are found out, and named, there.

use std::sync::Arc;

use walkeep_core::{Error, Namespace, PageHashTable, ReplicaVersion, RestorePoint, Result};

use crate::bucket::Bucket;
use crate::manifests;
use crate::timeline::Timeline;
use crate::view::View;

/// The newest view: over what is known of the file, where what stands behind that is enough.
///
/// # Errors
///
/// As [`View::open`].
pub(super) async fn newest_view(
    bucket: &Bucket,
    namespace: &Namespace,
    known: Option<(&ReplicaVersion, &Arc<PageHashTable>)>,
    database_bytes_max: u64,
) -> Result<View> {
    if let Some((version, table)) = known {
        match behind(bucket, namespace, version, table, database_bytes_max).await {
            Ok(Some(view)) => return Ok(view),
            Ok(None) => {}
            Err(error @ (Error::Unavailable { .. } | Error::Exhausted { .. })) => return Err(error),
            Err(error) => tracing::debug!(%error, "the last commit does not lead to the newest one"),
        }
    }
    View::open(bucket, namespace, RestorePoint::Latest, database_bytes_max).await
}

async fn behind(
    bucket: &Bucket,
    namespace: &Namespace,
    version: &ReplicaVersion,
    table: &Arc<PageHashTable>,
    database_bytes_max: u64,
) -> Result<Option<View>> {
    // Segments of libsql-wal have no state checksum that would prove it.
    let manifest = match manifests::newest(bucket, namespace).await? {
        Some(manifest) if !bucket.is_libsql() && manifest.life().is_there() => manifest,
        _ => return Ok(None),
    };
    let epoch = manifest.owner(version.frame_no).map(|entry| entry.epoch);
    let same_log = (manifest.log_id(), manifest.hash_seed()) == (version.log_id, version.hash_seed);
    if !same_log || epoch != Some(version.epoch) {
        return Ok(None);
    }
    let timeline = Timeline::load_behind(bucket, namespace, manifest, version.frame_no).await?;
    if !timeline.still_current(bucket).await?
        || timeline.lost_manifests().is_some()
        || timeline.missing_newest().is_some()
    {
        return Ok(None);
    }
    let newest = timeline.newest().map(|segment| segment.key.end());
    let Some(newest) = newest.filter(|newest| *newest > version.frame_no) else { return Ok(None) };
    if timeline.manifest().base(newest) > version.frame_no {
        // Another page size: nothing of the version is in it.
        return Ok(None);
    }
    let view = View::over(bucket, &timeline, newest, database_bytes_max, Some(Arc::clone(table))).await?;
    if view.commit().state.is_none() || view.page_size() != version.page_size {
        return Ok(None);
    }
    view.page_hashes()?;
    Ok(Some(view))
}
