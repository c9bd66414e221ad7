//! One cluster of a bucket, as the engine reads it: listings, and a manifest that stands for the missing one.
//!
//! A segment is there when its index object is: libsql-wal writes it last. Both folders are listed side by side, so
//! that the size of a data object is known, and one without an index is counted as incomplete. One without data is
//! listed with no bytes: opening it says that it is missing.

use std::collections::BTreeMap;

use walkeep_core::libsql::{Cluster, LibsqlLayout, ObjectKey, ObjectKind, PAGE_SIZE};
use walkeep_core::{
    FrameNo, HashSeed, Manifest, Namespace, Nonce, ObjectMeta, ObjectPath, Result, SegmentKey, UnixMillis,
};

use crate::bucket::{Bucket, SegmentListing};
use crate::stored_segment::StoredSegment;

/// Reads one cluster.
#[derive(Clone, Debug)]
pub(crate) struct ClusterReader {
    layout: LibsqlLayout,
    /// Page hashes are made with this seed instead of the namespace's own.
    seed: Option<HashSeed>,
}

impl ClusterReader {
    pub(crate) const fn new(cluster: Cluster) -> Self {
        Self { layout: LibsqlLayout::new(cluster), seed: None }
    }

    /// The same, with page hashes that can be compared with those of a log of Walkeep's own.
    pub(crate) fn with_seed(&self, seed: HashSeed) -> Self {
        Self { layout: self.layout.clone(), seed: Some(seed) }
    }

    pub(crate) const fn layout(&self) -> &LibsqlLayout {
        &self.layout
    }

    pub(crate) fn hash_seed(&self, namespace: &Namespace) -> HashSeed {
        self.seed.unwrap_or_else(|| self.layout.hash_seed(namespace))
    }

    /// What a manifest would say: one epoch, from the first frame on.
    pub(crate) fn manifest(&self, namespace: &Namespace) -> Result<Manifest> {
        let (log_id, seed) = (self.layout.log_id(namespace), self.hash_seed(namespace));
        Manifest::create(log_id, seed, PAGE_SIZE, Nonce(0)).begin(FrameNo::FIRST, UnixMillis(0))
    }

    /// Whether the namespace exists: libsql-wal records that in no other way.
    pub(crate) async fn has_objects(&self, bucket: &Bucket, namespace: &Namespace) -> Result<bool> {
        let folder = self.layout.cluster().namespace(namespace);
        Ok(!bucket.list(&folder, None, 1).await?.is_empty())
    }

    /// The path of the index object of a segment.
    pub(crate) fn index_path(&self, namespace: &Namespace, key: &SegmentKey) -> ObjectPath {
        self.layout.cluster().object(namespace, ObjectKind::Index, &ObjectKey::from(key))
    }

    pub(crate) async fn list_segments(
        &self,
        bucket: &Bucket,
        namespace: &Namespace,
        after: Option<&ObjectPath>,
        limit: usize,
    ) -> Result<SegmentListing> {
        let folder = |kind| self.layout.cluster().objects(namespace, kind);
        let (indexes, data) = (folder(ObjectKind::Index), folder(ObjectKind::Segment));
        let after_name = after.and_then(|path| path.below(&data));
        let after_index = after_name.map(|name| indexes.join(name)).transpose()?;
        let listed = bucket.list(&indexes, after_index.as_ref(), limit).await?;
        let more = listed.len() >= limit;
        let names = listed.iter().filter_map(|object| object.path.below(&indexes)).collect::<Vec<_>>();
        let last = names.last().map(|name| data.join(name)).transpose()?;
        let until = last.as_ref().filter(|_| more);
        let mut sizes = self.list_data(bucket, &data, after, until, limit).await?;

        let mut listing = SegmentListing { more, last: last.clone(), ..SegmentListing::default() };
        for name in names {
            let key = name.parse::<ObjectKey>().ok().and_then(|key| key.to_segment_key(0));
            if let Some(key) = key {
                let size = sizes.remove(name).unwrap_or_default();
                listing.listed.push(Some(StoredSegment::new(key, size)));
            } else {
                listing.listed.push(None);
            }
        }
        for name in sizes.into_keys() {
            match name.parse::<ObjectKey>().ok().and_then(|key| key.to_segment_key(0)) {
                Some(_) => listing.incomplete += 1,
                None => listing.listed.push(None),
            }
        }
        Ok(listing)
    }

    /// The data objects behind `after`, up to `until` if there is one: name and size.
    async fn list_data(
        &self,
        bucket: &Bucket,
        folder: &ObjectPath,
        after: Option<&ObjectPath>,
        until: Option<&ObjectPath>,
        limit: usize,
    ) -> Result<BTreeMap<String, u64>> {
        let mut sizes = BTreeMap::new();
        let mut after = after.cloned();
        loop {
            let page = bucket.list(folder, after.as_ref(), limit).await?;
            let more = page.len() >= limit;
            after = page.last().map(|object| object.path.clone());
            for ObjectMeta { path, size, .. } in page {
                if until.is_some_and(|until| path > *until) {
                    return Ok(sizes);
                }
                if let Some(name) = path.below(folder) {
                    sizes.insert(name.to_string(), size);
                }
            }
            if !more {
                return Ok(sizes);
            }
        }
    }
}
