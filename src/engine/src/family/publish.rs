//! Publishing a change to the newest manifest of a namespace, on top of whatever others publish meanwhile.

use walkeep_core::{Error, LogId, Manifest, Namespace, Result};

use crate::bucket::Bucket;
use crate::manifests;
use crate::timeline::no_namespace;
use crate::writer::{ATTEMPTS, BACK_OFF, may_have_happened};

/// How often a change is tried, which loses against each other change that is published meanwhile.
const PUBLISH_ATTEMPTS: u32 = 2 * ATTEMPTS;

/// Publishes what `next` makes of the newest manifest; `None` means that it is as it should be already. Returns the
/// manifest that is so.
///
/// # Errors
///
/// Those of `next`; `Unavailable` when an opening that is under way did not end, or others published again and again.
pub(crate) async fn publish(
    bucket: &Bucket,
    namespace: &Namespace,
    next: impl Fn(&Manifest) -> Result<Option<Manifest>>,
) -> Result<Manifest> {
    let mut last = None;
    for attempt in 1..=PUBLISH_ATTEMPTS {
        let newest = manifests::newest(bucket, namespace).await?.ok_or_else(|| no_namespace(namespace))?;
        match next(&newest) {
            Ok(None) => return Ok(newest),
            Ok(Some(changed)) => match manifests::create(bucket, namespace, &changed).await {
                Ok(()) => return Ok(changed),
                Err(error) if may_have_happened(&error) => last = Some(error),
                Err(error) => return Err(error),
            },
            Err(error @ Error::Unavailable { .. }) => last = Some(error),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(BACK_OFF * attempt).await;
    }
    match last {
        Some(error @ Error::Unavailable { .. }) => Err(error),
        _ => {
            let what = format!("namespace {namespace} is being changed by others again and again");
            Err(Error::Unavailable { what, source: None })
        }
    }
}

/// Takes a fork out of its parent's list. The parent's manifest without it.
///
/// # Errors
///
/// As [`publish`].
pub(super) async fn unlink(bucket: &Bucket, parent: &Namespace, fork: LogId) -> Result<Manifest> {
    publish(bucket, parent, |newest| match newest.children().iter().any(|child| child.log_id == fork) {
        true => newest.without_child(fork).map(Some),
        false => Ok(None),
    })
    .await
}
