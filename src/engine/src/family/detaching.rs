//! Making a fork stand alone: what it shares is copied as one full image, then it lets go of its parent.
//!
//! In this order, each step can be done again: the image is stored; the fork's manifest names no parent any more; the
//! parent lists it no longer, and goes if it was deleted and this was its last fork.

use std::sync::Arc;

use walkeep_core::manifest::ManifestVersion;
use walkeep_core::{Directory, Error, Manifest, Namespace, Result};

use super::full_image::store_full_image;
use super::publish::publish;
use super::removing::{cascade, last_need};
use crate::bucket::Bucket;
use crate::manifests;
use crate::timeline::Timeline;
use crate::writer::Handles;

/// Makes a fork stand alone. A large image is put together in a file without a name in `spool`. Returns the deleted
/// namespaces that it was the last fork of, and that are gone now.
///
/// # Errors
///
/// `NotFound`; `Invalid` when it is no fork; `Corrupt` when what it shares is damaged; `Unavailable` and others: doing
/// it again goes on.
///
/// # Cancel safety
///
/// As `Unavailable`.
pub async fn detach(
    bucket: &Bucket,
    namespace: &Namespace,
    spool: Arc<dyn Directory>,
    handles: &Handles,
) -> Result<Vec<Namespace>> {
    let newest = manifests::present(bucket, namespace).await?;
    let fork = if newest.parent().is_some() {
        let timeline = Timeline::load_shared(bucket, namespace, newest.clone()).await?;
        store_full_image(bucket, &timeline, spool, &*handles.random).await?;
        let log_id = newest.log_id();
        publish(bucket, namespace, |newest| match newest.parent() {
            Some(_) if newest.log_id() == log_id => newest.detach().map(Some),
            _ => Ok(None),
        })
        .await?;
        newest
    } else {
        was_fork(bucket, namespace, &newest).await?
    };
    cascade(bucket, last_need(bucket, &fork).await?).await
}

/// The newest manifest in which a namespace still had a parent: a detaching that was cut short goes on from there.
async fn was_fork(bucket: &Bucket, namespace: &Namespace, newest: &Manifest) -> Result<Manifest> {
    let mut version = newest.version().get();
    while let Some(before) = version.checked_sub(1).and_then(ManifestVersion::new) {
        let manifest = manifests::read(bucket, namespace, before).await?;
        if manifest.log_id() != newest.log_id() {
            break;
        }
        if manifest.parent().is_some() {
            return Ok(manifest);
        }
        version = before.get();
    }
    Err(Error::invalid(format!("detaching namespace {namespace}"), "it is no fork"))
}
