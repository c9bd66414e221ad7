//! Verifying only what was not proven yet.
//!
//! Invariants: an object counts as proven only if a proof about this very log names it with its length, and everything
//! up to the proof's commit can still be put together from indexes; otherwise all is read anew. A proof is written down
//! only when nothing was found.
//!
//! What this does not find: damage to objects that were proven before. `walkeep verify --deep` reads those too.

use std::collections::BTreeMap;

use walkeep_core::{Error, FrameNo, Namespace, PageHashTable, Result, SegmentKey, Verified, VerifiedObject};

use super::{Depth, Report, proofs, run};
use crate::bucket::Bucket;
use crate::timeline::Timeline;
use crate::view::{DATABASE_BYTES_MAX, View};
use crate::writer::Handles;

/// What need not be read again.
#[derive(Debug)]
pub(super) struct Proven {
    /// Objects that were read whole, by name.
    pub(super) objects: BTreeMap<SegmentKey, VerifiedObject>,
    /// The last commit up to which states were folded.
    pub(super) until: FrameNo,
    /// The database there.
    pub(super) table: PageHashTable,
}

/// Verifies a namespace as `deep` does, but reads only what no earlier proof names; then writes a new proof down.
///
/// # Errors
///
/// As [`verify`](super::verify); those of writing the proof down.
pub async fn verify_since_last(bucket: &Bucket, namespace: &Namespace, handles: &Handles) -> Result<Report> {
    let timeline = match Timeline::load(bucket, namespace).await {
        Ok(timeline) => timeline,
        // It says what is wrong, and nothing can be proven.
        Err(_) => return super::verify(bucket, namespace, true).await,
    };
    let log_id = timeline.manifest().log_id();
    let last = proofs::newest(bucket, namespace, log_id).await?;
    let proven = match last.as_ref().and_then(|proof| proof.verified.as_ref()) {
        Some(verified) => still_holds(bucket, &timeline, verified).await?,
        None => None,
    };
    let mut report = run(bucket, namespace, Depth::Everything(proven.as_ref())).await?;
    if report.problems.is_empty()
        && let Some(until) = report.until
    {
        let objects = std::mem::take(&mut report.objects);
        let mut next = proofs::next(last, log_id, &*handles.clock);
        next.verified = Some(Verified { at: next.at, until, objects });
        proofs::record(bucket, namespace, &next, &*handles.random).await?;
    }
    Ok(report)
}

/// What of a proof can be built on.
async fn still_holds(bucket: &Bucket, timeline: &Timeline, verified: &Verified) -> Result<Option<Proven>> {
    let until = verified.until;
    let opened = View::at(bucket, timeline, until, DATABASE_BYTES_MAX).await;
    match opened.and_then(|view| view.page_hashes()) {
        Ok(table) => {
            let objects = verified.objects.iter().map(|object| (object.key, *object)).collect();
            Ok(Some(Proven { objects, until, table }))
        }
        Err(error @ Error::Unavailable { .. }) => Err(error),
        Err(error) => {
            tracing::info!(%error, frame = until.get(), "what was proven last is not there any more: reading all");
            Ok(None)
        }
    }
}
