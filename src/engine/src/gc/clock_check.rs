//! Whether our clock and that of the store agree: what is kept hangs on both.
//!
//! The store's time is that of an object that was just created. A clock that is wrong by days would make everything look old,
//! and what is dropped then does not come back.

use std::time::Duration;

use walkeep_core::{Body, Error, Namespace, Nonce, Result, UnixMillis};

use crate::bucket::Bucket;
use crate::stored_segment::StoredSegment;
use crate::writer::Handles;

/// How far the two may be apart.
const APART_MAX: Duration = Duration::from_secs(5 * 60);

/// Refuses clocks that are far apart, as far as a listing shows that: nothing can be younger than now.
///
/// # Errors
///
/// `Invalid` with both times.
pub(super) fn check_listed<'a>(
    listed: impl Iterator<Item = &'a StoredSegment>,
    now: UnixMillis,
) -> Result<()> {
    match listed.filter_map(|segment| segment.modified).max() {
        Some(newest) if newest.get().saturating_sub(now.get()) > millis(APART_MAX) => Err(apart(newest, now)),
        _ => Ok(()),
    }
}

/// Refuses clocks that are far apart: creates a small object, looks how old it is, and
/// deletes it, if the store lets it.
///
/// # Errors
///
/// `Invalid` with both times; those of the store.
pub(super) async fn check_created(bucket: &Bucket, namespace: &Namespace, handles: &Handles) -> Result<()> {
    let Some(folder) = bucket.layout().probes(namespace) else { return Ok(()) };
    let path = folder.join(Nonce::random(&*handles.random)?)?;
    match bucket.put_new(&path, Body::from(Vec::new())).await {
        Ok(()) | Err(Error::AlreadyExists { .. }) => {}
        Err(error) => return Err(error),
    }
    let now = handles.clock.now();
    let listed = bucket.list(&folder, None, usize::MAX).await?;
    // Those of runs that were cut short go too.
    let paths = listed.iter().map(|object| object.path.clone()).collect::<Vec<_>>();
    if let Err(error) = bucket.delete(&paths).await {
        // A store may keep everything for some time; what else it does not delete is reported one by one.
        tracing::debug!(%namespace, %error, "objects that tell the time of the store stay for now");
    }
    let created = listed.iter().find(|object| object.path == path).and_then(|object| object.modified);
    match created {
        Some(created) if created.get().abs_diff(now.get()) > millis(APART_MAX) => Err(apart(created, now)),
        _ => Ok(()),
    }
}

fn apart(store: UnixMillis, ours: UnixMillis) -> Error {
    let why = format!(
        "the clock of the store says {store}, ours {ours}: what is old cannot be told; set the clock that is wrong"
    );
    Error::invalid("collecting garbage", why)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
