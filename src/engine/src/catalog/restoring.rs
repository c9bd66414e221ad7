//! A catalog that was lost, made whole again from its copies in the store.

use std::sync::Arc;

use serde::Serialize;
use walkeep_core::catalog::{
    CatalogIdentity, CatalogPart, CatalogRecord, Claim, ClaimNo, CopyName, Inserted, NamespaceChange,
    NamespaceState, StoredClaim, read_copy, read_copy_header,
};
use walkeep_core::{ByteRange, Catalog, Error, Namespace, Result};

use super::copies::{self, by_shard};
use super::registry::{Look, sync_segments};
use super::{blocking, claims};
use crate::bucket::Bucket;
use crate::manifests;
use crate::writer::Handles;

/// How many records are put in at once.
const BATCH: usize = 1000;

/// How many namespaces are looked at at once.
const PAGE: usize = 1000;

/// What was restored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RestoredCatalog {
    /// Records that came from the copies.
    pub records: u64,
    /// Namespaces among them.
    pub namespaces: u64,
    /// Segments that were listed in the store.
    pub segments: u64,
    /// Namespaces whose logs are in another store, by their settings: their segments are not listed yet.
    pub elsewhere: u64,
    /// Namespaces that the store does not have, has deleted, or has with another log: what is wrong with each.
    pub differing: Vec<String>,
}

/// Puts into an empty catalog what the copies in a store hold, claims them for it, and lists the segments of all its
/// namespaces anew. Cut short anywhere, it goes on when it is called again with the same catalog.
///
/// The catalog has then the identity of the one that was copied, which is fenced: its next copy fails. What changed
/// after the last copy is not there: a follower may be given commits again that it has acknowledged.
///
/// # Errors
///
/// `NotFound` when the store has no copies; `Invalid` when the catalog is not empty, or is bound already; `Corrupt` when
/// a copy is damaged: the message names it (the one before it is still there: delete the damaged one to use it);
/// `Fenced` when another one was restored at the same time; those of the store and the catalog.
pub async fn restore(
    bucket: &Bucket,
    catalog: &Arc<dyn Catalog>,
    handles: &Handles,
) -> Result<RestoredCatalog> {
    let newest = claims::newest(bucket).await?;
    let newest =
        newest.ok_or_else(|| Error::not_found(format!("a copy of a catalog in {}", bucket.name())))?;
    let mut restored = RestoredCatalog::default();
    if !begin(catalog, &newest).await? {
        let (claim, names) = newest_complete(bucket, &newest).await?;
        for (part, names) in CatalogPart::ALL.into_iter().zip(names) {
            for name in names {
                restored.records += put_back(bucket, catalog, &claim, part, name).await?;
            }
        }
        // From here on the catalog counts, and has everything.
        claims::claim(bucket, catalog, Some(newest), handles).await?;
    }
    copies::copy(bucket, catalog, handles).await?;
    look_at_all(bucket, catalog, &mut restored).await?;
    Ok(restored)
}

/// The newest claim under which all shards are copied, and the newest copies under it.
async fn newest_complete(bucket: &Bucket, newest: &StoredClaim) -> Result<(StoredClaim, [Vec<CopyName>; 2])> {
    let mut claim = newest.clone();
    loop {
        let mut found = [Vec::new(), Vec::new()];
        for (part, found) in CatalogPart::ALL.into_iter().zip(&mut found) {
            let by_shard = by_shard(copies::list(bucket, part, claim.claim).await?);
            found.extend(by_shard.into_values().filter_map(|names| names.first().copied()));
        }
        if found.iter().all(|found| found.len() == usize::from(claim.shards)) {
            return Ok((claim, found));
        }
        // A claim without all of its copies is that of a restoring that did not end.
        claim = before(bucket, claim.claim.no).await?.ok_or_else(|| {
            Error::not_found(format!(
                "a whole set of copies of catalog {} in {}",
                newest.catalog,
                bucket.name()
            ))
        })?;
    }
}

async fn before(bucket: &Bucket, no: ClaimNo) -> Result<Option<StoredClaim>> {
    let layout = claims::layout(bucket);
    let Some(no) = no.0.checked_sub(1).filter(|no| *no > 0).map(ClaimNo) else { return Ok(None) };
    let path = layout.claim(no);
    match bucket.get(&path, ByteRange::Bounded(0..StoredClaim::LEN_MAX)).await {
        Ok(bytes) => StoredClaim::decode(path.as_str(), no, &bytes).map(Some),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives an empty catalog the identity of the one that was copied. Says whether it has all records already, and the newest
/// claim: then a restoring was cut short behind that.
async fn begin(catalog: &Arc<dyn Catalog>, newest: &StoredClaim) -> Result<bool> {
    let (id, claim) = (newest.catalog, newest.claim);
    blocking::on(catalog, move |catalog| {
        let identity = catalog.identity()?;
        let refused = |why: &str| Err(Error::invalid(format!("restoring into catalog {}", identity.id), why));
        if identity == (CatalogIdentity { id, claim: Some(claim) }) {
            return Ok(true);
        }
        if identity.claim.is_some() {
            return refused("it is bound to a store already: name a new directory");
        }
        if identity.id == id {
            return Ok(false);
        }
        if !catalog.namespaces("", None, 1)?.is_empty() || !catalog.nodes(None, 1)?.is_empty() {
            return refused("it is not empty: name a new directory");
        }
        catalog.set_identity(&CatalogIdentity { id, claim: None })?;
        Ok(false)
    })
    .await
}

/// Puts the records of a copy back, and says how many there are.
async fn put_back(
    bucket: &Bucket,
    catalog: &Arc<dyn Catalog>,
    under: &StoredClaim,
    part: CatalogPart,
    name: CopyName,
) -> Result<u64> {
    let path = claims::layout(bucket).copy(part, name);
    let bytes = bucket.get(&path, ByteRange::Full).await?;
    let (wanted, shards, id) = (under.claim, under.shards, under.catalog);
    blocking::on(catalog, move |catalog| {
        let header = read_copy_header(path.as_str(), &bytes)?;
        let found = (header.catalog, header.claim, header.part, header.shard, header.shards, header.changes);
        check_place(path.as_str(), found == (id, wanted, part, name.shard, shards, name.changes), wanted)?;
        let mut batch = Vec::with_capacity(BATCH);
        let put = |batch: &mut Vec<CatalogRecord>| {
            let Inserted { conflicts, .. } = catalog.insert(batch)?;
            batch.clear();
            match conflicts.first() {
                None => Ok(()),
                Some(conflict) => {
                    let why = "the catalog has another one by now: begin again in a new directory";
                    Err(Error::invalid(format!("restoring {conflict} from {path}"), why))
                }
            }
        };
        read_copy(path.as_str(), &bytes, &mut |record| {
            batch.push(match record {
                CatalogRecord::Assignment(one) => CatalogRecord::Assignment(one.restored()),
                other => other,
            });
            if batch.len() < BATCH { Ok(()) } else { put(&mut batch) }
        })?;
        put(&mut batch)?;
        Ok(header.records)
    })
    .await
}

fn check_place(path: &str, fits: bool, claim: Claim) -> Result<()> {
    let expected = || format!("the copy of claim {} that its name says", claim.no);
    if fits { Ok(()) } else { Err(Error::corrupt(path, 0, expected(), "another one")) }
}

/// Lists the segments of all namespaces, and compares their logs.
async fn look_at_all(
    bucket: &Bucket,
    catalog: &Arc<dyn Catalog>,
    restored: &mut RestoredCatalog,
) -> Result<()> {
    let mut after: Option<Namespace> = None;
    loop {
        let from = after.take();
        let page = blocking::on(catalog, move |catalog| catalog.namespaces("", from.as_ref(), PAGE)).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.namespace.clone());
        for record in page {
            restored.namespaces += 1;
            if record.settings.store.is_some() {
                restored.elsewhere += 1;
                continue;
            }
            let namespace = record.namespace.clone();
            match sync_segments(bucket, catalog, &namespace, Look::Whole).await {
                Ok(changes) => restored.segments += changes.added + changes.changed + changes.unchanged,
                Err(error @ (Error::NotFound { .. } | Error::Invalid { .. })) => {
                    if is_deleted(bucket, &namespace).await? && record.state != NamespaceState::Tombstone {
                        let change =
                            NamespaceChange { state: Some(NamespaceState::Tombstone), ..Default::default() };
                        let namespace = namespace.clone();
                        blocking::on(catalog, move |catalog| catalog.update_namespace(&namespace, &change))
                            .await?;
                    }
                    // One that was never written has no log yet.
                    if record.log_id.is_some() {
                        restored.differing.push(error.to_string());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

async fn is_deleted(bucket: &Bucket, namespace: &Namespace) -> Result<bool> {
    let newest = manifests::newest(bucket, namespace).await?;
    Ok(newest.is_some_and(|newest| !newest.life().is_there()))
}
