//! Copies of a catalog in a store: made of what changed, and removed once newer ones are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use walkeep_core::catalog::{CatalogIdentity, CatalogPart, Claim, CopyHeader, CopyName, CopyWriter};
use walkeep_core::{Body, ByteRange, Catalog, Error, ObjectPath, Result};

use super::{blocking, claims};
use crate::bucket::Bucket;
use crate::writer::Handles;

/// How many names one request asks for.
const PAGE: usize = 1000;

/// How many copies of one part of one shard stay: the newest, and the one before in case it is damaged.
const KEPT: usize = 2;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// Copies that were made: one for each part of each shard that had changed.
    pub copies: u64,
    /// Parts of shards whose newest copy was still right.
    pub unchanged: u64,
    /// The bytes of the copies that were made.
    pub bytes: u64,
    /// Older copies that were removed.
    pub removed: u64,
}

/// Copies of a catalog what has changed since it was copied last.
///
/// When it returns, what the catalog held when it was called can be restored from the store. A catalog that has another
/// number of shards by now claims anew, and is copied wholly.
///
/// # Errors
///
/// `Invalid` when the catalog is bound to no store, or to another one, or is an older state of itself (its files were
/// put back from a backup): restore it; `Fenced` when it was restored elsewhere; those of the store and the catalog. What
/// was copied by then stays and counts.
///
/// # Cancel safety
///
/// A cancelled call may have made some of the copies.
pub async fn copy(bucket: &Bucket, catalog: &Arc<dyn Catalog>, handles: &Handles) -> Result<Copied> {
    let (mut identity, shards) =
        blocking::on(catalog, |catalog| Ok((catalog.identity()?, catalog.shards()))).await?;
    let mut claim = claims::ours(bucket, &identity).await?;
    if claim.shards != shards {
        claims::claim(bucket, catalog, Some(claim), handles).await?;
        identity = blocking::on(catalog, |catalog| catalog.identity()).await?;
        claim = claims::ours(bucket, &identity).await?;
    }
    let mut copied = Copied::default();
    let mut old = Vec::new();
    for part in CatalogPart::ALL {
        let there = by_shard(list(bucket, part, claim.claim).await?);
        for shard in 0..shards {
            let there = there.get(&shard).map(Vec::as_slice).unwrap_or_default();
            let one = Part { bucket, catalog, identity, claim: claim.claim, part, shard };
            old.extend(one.copy(there, &mut copied).await?);
        }
    }
    // Whoever claimed meanwhile need not have seen what was just written.
    claims::ours(bucket, &identity).await?;
    old.extend(of_older_claims(bucket, claim.claim).await?);
    copied.removed = old.len() as u64;
    if !old.is_empty() {
        bucket.delete(&old).await?;
    }
    Ok(copied)
}

/// The copies of a part under a claim, newest first for each shard.
pub(super) async fn list(bucket: &Bucket, part: CatalogPart, claim: Claim) -> Result<Vec<CopyName>> {
    let layout = claims::layout(bucket);
    let folder = layout.copies_under(part, claim.no);
    let paths = list_all(bucket, &folder).await?;
    Ok(paths.iter().filter_map(|path| layout.parse_copy(part, path)).collect())
}

async fn list_all(bucket: &Bucket, folder: &ObjectPath) -> Result<Vec<ObjectPath>> {
    let mut paths = Vec::new();
    loop {
        let page = bucket.list(folder, paths.last(), PAGE).await?;
        let more = page.len() >= PAGE;
        paths.extend(page.into_iter().map(|object| object.path));
        if !more {
            return Ok(paths);
        }
    }
}

pub(super) fn by_shard(names: Vec<CopyName>) -> BTreeMap<u16, Vec<CopyName>> {
    let mut by_shard = BTreeMap::<_, Vec<_>>::new();
    for name in names {
        by_shard.entry(name.shard).or_default().push(name);
    }
    by_shard
}

/// What is there under older claims: of a catalog before it was restored or had another number of shards.
async fn of_older_claims(bucket: &Bucket, claim: Claim) -> Result<Vec<ObjectPath>> {
    let layout = claims::layout(bucket);
    let mut old = Vec::new();
    for part in CatalogPart::ALL {
        let paths = list_all(bucket, &layout.copies(part)).await?;
        let is_old =
            |path: &ObjectPath| layout.parse_copy(part, path).is_some_and(|copy| copy.claim < claim.no);
        old.extend(paths.into_iter().filter(is_old));
    }
    let paths = list_all(bucket, &layout.claims()).await?;
    let is_old = |path: &ObjectPath| layout.parse_claim(path).is_some_and(|no| no < claim.no);
    old.extend(paths.into_iter().filter(is_old));
    Ok(old)
}

/// One part of one shard.
struct Part<'a> {
    bucket: &'a Bucket,
    catalog: &'a Arc<dyn Catalog>,
    identity: CatalogIdentity,
    claim: Claim,
    part: CatalogPart,
    shard: u16,
}

impl Part<'_> {
    /// Copies it, unless `there`, newest first, begins with a copy of what it is now. Gives what can go by then.
    async fn copy(&self, there: &[CopyName], copied: &mut Copied) -> Result<Vec<ObjectPath>> {
        let (part, shard) = (self.part, self.shard);
        let changes = blocking::on(self.catalog, move |catalog| catalog.changes(shard, part)).await?;
        let newest = there.first().map(|name| name.changes);
        if newest.is_some_and(|newest| newest > changes) {
            return Err(self.went_back(changes, newest.unwrap_or_default()));
        }
        let layout = claims::layout(self.bucket);
        let path = |name: &CopyName| layout.copy(self.part, *name);
        if newest == Some(changes) {
            copied.unchanged += 1;
            return Ok(there.iter().skip(KEPT).map(path).collect());
        }
        let (changes, bytes) = self.dump().await?;
        copied.copies += 1;
        copied.bytes += bytes.len() as u64;
        self.put(&layout.copy(part, CopyName { claim: self.claim.no, shard, changes }), bytes).await?;
        Ok(there.iter().skip(KEPT - 1).map(path).collect())
    }

    fn went_back(&self, changes: u64, copied: u64) -> Error {
        let Self { part, shard, identity, .. } = self;
        let what =
            format!("copying the {part} of shard {shard} of catalog {} after {changes} changes", identity.id);
        let why = format!(
            "its copy is of {copied} changes: these are older files of the catalog; restore it from its copies \
             (`walkeep catalog restore`)"
        );
        Error::invalid(what, why)
    }

    /// The copy of what it is now.
    async fn dump(&self) -> Result<(u64, Vec<u8>)> {
        let Self { identity, claim, part, shard, .. } = *self;
        blocking::on(self.catalog, move |catalog| {
            let mut writer = CopyWriter::new()?;
            let changes = catalog.dump(shard, part, &mut |record| writer.push(record))?;
            let header = CopyHeader {
                format: CopyHeader::FORMAT,
                catalog: identity.id,
                claim,
                part,
                shard,
                shards: catalog.shards(),
                changes,
                records: 0,
                content_len: 0,
                content_crc64: String::new(),
            };
            Ok((changes, writer.finish(header)?))
        })
        .await
    }

    /// Stores it. One that is there already must be this very one.
    async fn put(&self, path: &ObjectPath, bytes: Vec<u8>) -> Result<()> {
        let body = bytes::Bytes::from(bytes);
        match self.bucket.put_new(path, Body::Bytes(body.clone())).await {
            Err(Error::AlreadyExists { .. }) => {
                let there = self.bucket.get(path, ByteRange::Full).await?;
                if there == body {
                    return Ok(());
                }
                let why = "another one of as many changes is there: these are older files of the catalog; restore it \
                           from its copies (`walkeep catalog restore`)";
                Err(Error::invalid(format!("copy {path}"), why))
            }
            stored => stored,
        }
    }
}
