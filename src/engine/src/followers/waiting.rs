//! Waiting for the next commit across processes: looking again and again, with growing pauses.

use std::time::Duration;

use walkeep_core::{FrameNo, Namespace, Result};

use crate::bucket::Bucket;
use crate::locate::Search;
use crate::manifests;

/// How often to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The first pause; it doubles with each look that finds nothing.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(5) }
    }
}

/// Waits until a commit behind `frame` is stored (`None`: any). A look costs three small requests. Returns the end of the
/// newest segment that counts; whether it is durable, a poll tells.
///
/// # Errors
///
/// `NotFound` when the namespace is not there, or is deleted meanwhile; `Corrupt`, `Unavailable`.
///
/// # Cancel safety
///
/// Nothing is lost.
pub async fn wait_beyond(
    bucket: &Bucket,
    namespace: &Namespace,
    frame: Option<FrameNo>,
    patience: Patience,
) -> Result<FrameNo> {
    let mut pause = patience.first.max(Duration::from_millis(1));
    loop {
        let manifest = manifests::present(bucket, namespace).await?;
        let newest = Search { bucket, namespace, manifest: &manifest }.newest_end().await?;
        if let Some(newest) = newest.map(|key| key.end()).filter(|newest| Some(*newest) > frame) {
            return Ok(newest);
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(patience.longest.max(patience.first));
    }
}
