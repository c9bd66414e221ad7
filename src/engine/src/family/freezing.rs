//! Making a namespace read only, and writable again.

use walkeep_core::manifest::Life;
use walkeep_core::{Error, Manifest, Namespace, Result};

use super::publish::publish;
use crate::bucket::Bucket;
use crate::manifests;
use crate::writer::{ATTEMPTS, Handles, Writer};

/// What freezing or thawing came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freeze {
    /// It is so now.
    Changed,
    /// It was so before.
    Unchanged,
}

/// Makes a namespace read only. A writer that has it open is fenced: whatever was acknowledged stays, and nothing comes
/// behind it.
///
/// # Errors
///
/// `NotFound`; `Corrupt` and others of [`Writer::open`]; `Unavailable` when others open it again and again.
pub async fn freeze(bucket: &Bucket, namespace: &Namespace, handles: &Handles) -> Result<Freeze> {
    for _ in 0..ATTEMPTS {
        let newest = manifests::present(bucket, namespace).await?;
        if newest.life() == Life::Frozen {
            return Ok(Freeze::Unchanged);
        }
        let opened = Writer::open(bucket, namespace, newest.last().page_size, handles).await?;
        let (_, nonce) = opened.opening();
        let frozen = publish(bucket, namespace, |newest| match newest.life() {
            Life::Frozen => Ok(None),
            _ if newest.is_last(nonce) => newest.with_frozen(true).map(Some),
            // Somebody has opened it since.
            _ => Ok(None),
        })
        .await?;
        if frozen.life() == Life::Frozen {
            return Ok(Freeze::Changed);
        }
    }
    let what = format!("namespace {namespace} is being opened by others again and again");
    Err(Error::Unavailable { what, source: None })
}

/// Makes a frozen namespace writable again.
///
/// # Errors
///
/// `NotFound`, `Unavailable`.
pub async fn thaw(bucket: &Bucket, namespace: &Namespace) -> Result<Freeze> {
    let newest = manifests::present(bucket, namespace).await?;
    if newest.life() == Life::Active {
        return Ok(Freeze::Unchanged);
    }
    let thaw = |newest: &Manifest| match newest.life() {
        Life::Frozen => newest.with_frozen(false).map(Some),
        _ => Ok(None),
    };
    publish(bucket, namespace, thaw).await.map(|_| Freeze::Changed)
}
