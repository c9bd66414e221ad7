//! Deleting a namespace: first it becomes a tombstone, then what it stored goes.
//!
//! While forks need what is stored, the tombstone keeps it, and goes with the last of them. A deletion that was cut short
//! is ended by doing it again: it goes on from the tombstone.

use walkeep_core::manifest::Life;
use walkeep_core::{Error, Manifest, Namespace, Result};

use super::publish::unlink;
use super::reclaim::reclaim_all;
use crate::bucket::Bucket;
use crate::claim::claim;
use crate::followers::Acknowledged;
use crate::manifests;
use crate::timeline::{LIST_PAGE, no_namespace};
use crate::writer::{ATTEMPTS, BACK_OFF, Handles, may_have_happened};

/// What a deletion came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Segments that were deleted, those of other tombstones included.
    pub segments: usize,
    /// Forks that still need what is stored, so that it stays until they are deleted or detached.
    pub needed_by: Vec<Namespace>,
    /// Deleted namespaces that this one was the last fork of: what they kept went too.
    pub cascaded: Vec<Namespace>,
}

/// Deletes a namespace, for good. A writer that has it open is fenced first.
///
/// # Errors
///
/// `NotFound` for an unknown namespace; `Invalid` for a frozen one; `Unavailable` and others: it may be deleted in
/// part, and doing it again goes on.
///
/// # Cancel safety
///
/// As `Unavailable`.
pub async fn remove(bucket: &Bucket, namespace: &Namespace, handles: &Handles) -> Result<Removed> {
    let mut tombstone = bury(bucket, namespace, handles).await?;
    let mut namespace = namespace.clone();
    let mut removed = Removed::default();
    loop {
        let left = reclaim_all(bucket, &namespace, &*handles.random).await?;
        if !left.children().is_empty() {
            removed.needed_by = left.children().iter().map(|child| child.namespace.clone()).collect();
            return Ok(removed);
        }
        removed.segments += delete_stored(bucket, &namespace, &tombstone).await?;
        let Some(next) = last_need(bucket, &tombstone).await? else { return Ok(removed) };
        (namespace, tombstone) = next;
        removed.cascaded.push(namespace.clone());
    }
}

/// The tombstone that a namespace is, or becomes. Its last epoch is claimed, so that no writer goes on.
async fn bury(bucket: &Bucket, namespace: &Namespace, handles: &Handles) -> Result<Manifest> {
    for attempt in 1..=ATTEMPTS {
        let newest = manifests::newest(bucket, namespace).await?.ok_or_else(|| no_namespace(namespace))?;
        match newest.life() {
            Life::Tombstone => return Ok(newest),
            Life::Aborted => return Err(no_namespace(namespace)),
            Life::Active | Life::Frozen => {}
        }
        // Whether the store can fence does not matter any more to what is deleted.
        let claimed = claim(bucket, namespace, newest.last().page_size, &*handles.random).await?;
        let tombstone = claimed.manifest.tombstone()?;
        match manifests::create(bucket, namespace, &tombstone).await {
            Ok(()) => return Ok(tombstone),
            Err(error) if may_have_happened(&error) => {
                tracing::debug!(%namespace, %error, "the tombstone is not there; claiming again");
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(BACK_OFF * attempt).await;
    }
    let what = format!("namespace {namespace} is being changed by others again and again");
    Err(Error::Unavailable { what, source: None })
}

/// Deletes all but the manifests: the segments, how many of them there were, the proofs about them, and what followers have
/// acknowledged. (Who joins in a new life of the namespace is of a newer version.)
async fn delete_stored(bucket: &Bucket, namespace: &Namespace, tombstone: &Manifest) -> Result<usize> {
    let deleted = delete_segments(bucket, namespace, tombstone).await?;
    if let Some(folder) = bucket.layout().proofs(namespace) {
        let proofs = bucket.list(&folder, None, usize::MAX).await?;
        let paths = proofs.into_iter().map(|object| object.path).collect::<Vec<_>>();
        if !paths.is_empty() {
            bucket.delete(&paths).await?;
        }
    }
    Acknowledged::list(bucket, namespace).await?.delete_until(bucket, namespace, tombstone.version()).await?;
    Ok(deleted)
}

/// Deletes the segments that were stored before the tombstone. (What somebody stores who creates the namespace anew is of newer epochs.)
async fn delete_segments(bucket: &Bucket, namespace: &Namespace, tombstone: &Manifest) -> Result<usize> {
    let (mut after, mut deleted) = (None, 0);
    loop {
        let page = bucket.list_segments(namespace, after.as_ref(), LIST_PAGE).await?;
        after = page.last;
        let old = page.listed.into_iter().flatten().map(|stored| stored.key);
        let old = old.filter(|key| key.epoch() <= tombstone.last().epoch);
        let paths = old.map(|key| bucket.layout().segment(namespace, &key)).collect::<Vec<_>>();
        if !paths.is_empty() {
            bucket.delete(&paths).await?;
            deleted += paths.len();
        }
        if !page.more {
            return Ok(deleted);
        }
    }
}

/// Takes a fork that is gone, or stands alone, out of its parent's list. The parent, if it was deleted and nothing needs
/// it any more.
pub(super) async fn last_need(bucket: &Bucket, fork: &Manifest) -> Result<Option<(Namespace, Manifest)>> {
    let Some(parent) = fork.parent() else { return Ok(None) };
    let Some(newest) = manifests::newest(bucket, &parent.namespace).await? else { return Ok(None) };
    if newest.log_id() != parent.log_id {
        return Ok(None);
    }
    let left = unlink(bucket, &parent.namespace, fork.log_id()).await?;
    let over = left.log_id() == parent.log_id && left.life() == Life::Tombstone && left.children().is_empty();
    Ok(over.then(|| (parent.namespace.clone(), left)))
}

/// Deletes what a tombstone kept for its last fork, and so on upwards.
pub(super) async fn cascade(
    bucket: &Bucket,
    mut next: Option<(Namespace, Manifest)>,
) -> Result<Vec<Namespace>> {
    let mut gone = Vec::new();
    while let Some((namespace, tombstone)) = next {
        delete_stored(bucket, &namespace, &tombstone).await?;
        next = last_need(bucket, &tombstone).await?;
        gone.push(namespace);
    }
    Ok(gone)
}
