//! The registry of a namespace's segments, made to say what the store says.

use std::sync::Arc;

use walkeep_core::catalog::{ListedSegments, NamespaceChange, SegmentChanges, SegmentRecord};
use walkeep_core::manifest::Validity;
use walkeep_core::{Catalog, LogId, Manifest, Namespace, Result};

use super::blocking;
use crate::bucket::{Bucket, SegmentListing};
use crate::manifests;
use crate::timeline::LIST_PAGE;

/// How much of a listing to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// All of it: also what was compacted or deleted among old segments is noticed.
    Whole,
    /// From the newest segment on, as far as there are changes: what was stored since is noticed, for one request or two.
    Newest,
}

/// Makes the registry of a namespace's segments say what the store says, and notes the namespace's log.
///
/// Segments that do not count, of writers that were fenced, are not registered; nor are those that a fork shares with
/// the namespace it came from.
///
/// # Errors
///
/// `NotFound` when the catalog or the store has no such namespace; `Invalid` when they know it with different logs;
/// those of the store and the catalog.
pub async fn sync_segments(
    bucket: &Bucket,
    catalog: &Arc<dyn Catalog>,
    namespace: &Namespace,
    look: Look,
) -> Result<SegmentChanges> {
    let mut changes = SegmentChanges::default();
    let (mut from, mut after) = (None, None);
    loop {
        // The listing first: a segment that a writer cut off since is not taken for a valid one.
        let page = bucket.list_segments(namespace, from.as_ref(), LIST_PAGE).await?;
        let manifest = manifests::present(bucket, namespace).await?;
        let last = page.listed.iter().flatten().last().map(|segment| segment.key);
        let until = if page.more { last } else { None };
        if until.is_some() || !page.more {
            let listed = ListedSegments { after, until, segments: valid(&page, &manifest) };
            let of_page = write(catalog, namespace, manifest.log_id(), listed).await?;
            changes.add(of_page);
            after = until;
            if look == Look::Newest && of_page.is_none() {
                return Ok(changes);
            }
        }
        if !page.more {
            return Ok(changes);
        }
        from = page.last;
    }
}

/// The segments of a page that count.
fn valid(page: &SegmentListing, manifest: &Manifest) -> Vec<SegmentRecord> {
    let valid = page.listed.iter().flatten().filter(|one| manifest.validity(&one.key) == Validity::Valid);
    valid.map(|one| SegmentRecord { key: one.key, size: one.size, stored: one.modified }).collect()
}

async fn write(
    catalog: &Arc<dyn Catalog>,
    namespace: &Namespace,
    log_id: LogId,
    listed: ListedSegments,
) -> Result<SegmentChanges> {
    let name = namespace.clone();
    blocking::on(catalog, move |catalog| {
        let record = catalog.namespace(&name)?;
        record.refuse_other_log(log_id)?;
        if record.log_id.is_none() {
            let change = NamespaceChange { log_id: Some(log_id), ..NamespaceChange::default() };
            catalog.update_namespace(&name, &change)?;
        }
        catalog.sync_segments(&name, &listed)
    })
    .await
}
