//! Forks that a parent lists and that need it no longer, or never came about: whoever made them was cut short.
//!
//! That a fork does not come about later is made sure by taking the version of its first manifest: no clock is needed.

use walkeep_core::manifest::Child;
use walkeep_core::{HashSeed, LogId, Manifest, Namespace, Nonce, PageSize, Random, Result};

use super::publish::unlink;
use crate::bucket::Bucket;
use crate::manifests;
use crate::timeline::no_namespace;
use crate::writer::{ATTEMPTS, BACK_OFF, may_have_happened};

/// Takes the forks that need it no longer out of a namespace's list. Its manifest, in which the others are left.
///
/// # Errors
///
/// `NotFound`, `Corrupt`, `Unavailable`.
pub(crate) async fn reclaim_all(
    bucket: &Bucket,
    parent: &Namespace,
    random: &dyn Random,
) -> Result<Manifest> {
    let newest = manifests::newest(bucket, parent).await?.ok_or_else(|| no_namespace(parent))?;
    let mut left = newest.clone();
    for child in newest.children() {
        if !is_needed(bucket, child, random).await? {
            left = unlink(bucket, parent, child.log_id).await?;
        }
    }
    Ok(left)
}

/// Whether a fork needs the parent that lists it. One that is not there yet is kept from coming about.
pub(super) async fn is_needed(bucket: &Bucket, child: &Child, random: &dyn Random) -> Result<bool> {
    for attempt in 1..=ATTEMPTS {
        let newest = manifests::newest(bucket, &child.namespace).await?;
        if let Some(newest) = &newest {
            if newest.log_id() == child.log_id {
                let deleted = !newest.life().is_there() && newest.children().is_empty();
                return Ok(newest.parent().is_some() && !deleted);
            }
            // Of another log: whoever made the fork saw an older manifest, whose next version is this one or before it.
            if newest.life().is_there() || !newest.children().is_empty() {
                return Ok(false);
            }
        }
        let (log_id, seed, nonce) =
            (LogId::random(random)?, HashSeed::random(random)?, Nonce::random(random)?);
        let aborted = Manifest::aborted(log_id, seed, PageSize::DEFAULT, nonce, newest.as_ref())?;
        match manifests::create(bucket, &child.namespace, &aborted).await {
            Ok(()) => return Ok(false),
            Err(error) if may_have_happened(&error) && attempt < ATTEMPTS => {
                tracing::debug!(fork = %child.namespace, %error, "a fork that did not come about is not aborted yet");
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(BACK_OFF * attempt).await;
    }
    Ok(true)
}
