//! A store as the engine uses it: a backend, the configuration to call it with, and the layout of its objects.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use walkeep_core::catalog::CatalogPart;
use walkeep_core::libsql::{Cluster, clusters_folder};
use walkeep_core::{
    Backend, Body, ByteRange, Error, Layout, Leftovers, Namespace, NativeLayout, ObjectMeta, ObjectPath,
    Result, SegmentKey, UnixMillis,
};

use crate::fencing::Fencing;
use crate::libsql::ClusterReader;
use crate::stored_segment::StoredSegment;

/// A backend with its configuration bound, so that the engine need not be generic over either.
#[async_trait]
trait Objects: std::fmt::Debug + Send + Sync {
    async fn put_new(&self, path: &ObjectPath, body: Body) -> Result<()>;
    async fn get(&self, path: &ObjectPath, range: ByteRange) -> Result<Bytes>;
    fn list<'a>(
        &'a self,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>>;
    fn list_directories<'a>(
        &'a self,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>>;
    async fn delete(&self, paths: &[ObjectPath]) -> Result<()>;
    async fn leftovers(&self, prefix: &ObjectPath, before: UnixMillis, delete: bool) -> Result<Leftovers>;
}

#[derive(Debug)]
struct Bound<B: Backend> {
    backend: Arc<B>,
    config: Option<B::Config>,
}

#[async_trait]
impl<B: Backend> Objects for Bound<B> {
    async fn put_new(&self, path: &ObjectPath, body: Body) -> Result<()> {
        self.backend.put_new(self.config.as_ref(), path, body).await
    }

    async fn get(&self, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        self.backend.get(self.config.as_ref(), path, range).await
    }

    fn list<'a>(
        &'a self,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        self.backend.list(self.config.as_ref(), prefix, after, limit)
    }

    fn list_directories<'a>(
        &'a self,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        self.backend.list_directories(self.config.as_ref(), prefix, after, limit)
    }

    async fn delete(&self, paths: &[ObjectPath]) -> Result<()> {
        self.backend.delete(self.config.as_ref(), paths).await
    }

    async fn leftovers(&self, prefix: &ObjectPath, before: UnixMillis, delete: bool) -> Result<Leftovers> {
        self.backend.leftovers(self.config.as_ref(), prefix, before, delete).await
    }
}

/// A store of namespaces. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bucket {
    objects: Arc<dyn Objects>,
    layout: Arc<dyn Layout>,
    fencing: Fencing,
    name: Arc<str>,
    /// Set where the store is a bucket of libsql-wal, which is only read.
    libsql: Option<Arc<ClusterReader>>,
}

/// Some of a namespace's segments, in order of names.
#[derive(Debug, Default)]
pub(crate) struct SegmentListing {
    /// What was listed; `None` for an object that is no segment.
    pub(crate) listed: Vec<Option<StoredSegment>>,
    /// Objects that an upload that did not end left behind.
    pub(crate) incomplete: usize,
    /// Where to go on.
    pub(crate) last: Option<ObjectPath>,
    /// Whether there may be more.
    pub(crate) more: bool,
}

/// How many namespaces one request for their names asks for.
const NAMESPACES_PAGE: usize = 1000;

/// Whether a directory among the namespaces is one of Walkeep's own.
fn is_reserved(name: &str) -> bool {
    CatalogPart::ALL.iter().any(|part| part.system_namespace() == name)
}

impl Bucket {
    /// The store that `backend` gives under `config` (`None`: its default), in Walkeep's own layout.
    ///
    /// # Errors
    ///
    /// As [`NativeLayout::new`].
    pub fn new<B: Backend>(backend: Arc<B>, config: Option<B::Config>) -> Result<Self> {
        Ok(Self::with_layout(backend, config, Arc::new(NativeLayout::new()?)))
    }

    /// The same in another layout.
    pub fn with_layout<B: Backend>(
        backend: Arc<B>,
        config: Option<B::Config>,
        layout: Arc<dyn Layout>,
    ) -> Self {
        let objects = Arc::new(Bound { backend, config });
        Self { objects, layout, fencing: Fencing::default(), name: "the store".into(), libsql: None }
    }

    /// The same store, read as a bucket of libsql-wal: one cluster of it. Nothing is ever written to it.
    ///
    /// Whatever reads a store of Walkeep's own reads this too. Restore points are the ends of its segments; see
    /// [`crate::libsql`].
    #[must_use]
    pub fn as_libsql(&self, cluster: Cluster) -> Self {
        self.with_reader(ClusterReader::new(cluster))
    }

    pub(crate) fn with_reader(&self, reader: ClusterReader) -> Self {
        let layout = Arc::new(reader.layout().clone());
        Self { layout, libsql: Some(Arc::new(reader)), ..self.clone() }
    }

    /// The clusters that libsql-wal keeps in this store: none unless it is a bucket of libsql-wal. Folders whose
    /// names are none of clusters are left out.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn libsql_clusters(&self) -> Result<Vec<Cluster>> {
        let folder = clusters_folder()?;
        let names: Vec<String> =
            self.objects.list_directories(&folder, None, usize::MAX).try_collect().await?;
        Ok(names.into_iter().filter_map(|name| Cluster::new(name).ok()).collect())
    }

    /// Whether this store is read as a bucket of libsql-wal.
    #[must_use]
    pub const fn is_libsql(&self) -> bool {
        self.libsql.is_some()
    }

    pub(crate) fn libsql(&self) -> Option<&ClusterReader> {
        self.libsql.as_deref()
    }

    /// The name under which this store keeps a segment.
    #[must_use]
    pub fn segment_name(&self, namespace: &Namespace, key: &SegmentKey) -> String {
        self.layout.segment(namespace, key).name().to_string()
    }

    /// The same store, which must be able to fence, or need not.
    #[must_use]
    pub fn with_fencing(self, fencing: Fencing) -> Self {
        Self { fencing, ..self }
    }

    /// The same store with a name for messages, such as its address.
    #[must_use]
    pub fn named(self, name: impl std::fmt::Display) -> Self {
        Self { name: format!("the store {name}").into(), ..self }
    }

    /// What writers demand of it.
    #[must_use]
    pub const fn fencing(&self) -> Fencing {
        self.fencing
    }

    /// What it is called in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The names of all namespaces, and how many directories are not namespaces.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn namespaces(&self) -> Result<(Vec<Namespace>, usize)> {
        let (mut found, mut foreign) = (Vec::new(), 0);
        let mut after: Option<String> = None;
        loop {
            let prefix = self.layout.namespaces();
            let page = self.objects.list_directories(prefix, after.as_deref(), NAMESPACES_PAGE);
            let page: Vec<String> = page.try_collect().await?;
            let last_page = page.len() < NAMESPACES_PAGE;
            after = page.last().cloned();
            for name in page {
                match Namespace::new(name.as_str()) {
                    Ok(namespace) => found.push(namespace),
                    Err(_) if is_reserved(&name) => {}
                    Err(_) => foreign += 1,
                }
            }
            if last_page {
                found.sort();
                return Ok((found, foreign));
            }
        }
    }

    pub(crate) fn layout(&self) -> &dyn Layout {
        &*self.layout
    }

    pub(crate) async fn put_new(&self, path: &ObjectPath, body: Body) -> Result<()> {
        if self.libsql.is_some() {
            let why = "a bucket of libsql-wal is only read; `walkeep import libsql` copies it into a store";
            return Err(Error::invalid(format!("writing {path}"), why));
        }
        self.objects.put_new(path, body).await
    }

    /// Deletes objects, for good.
    pub(crate) async fn delete(&self, paths: &[ObjectPath]) -> Result<()> {
        if self.libsql.is_some() {
            return Err(Error::invalid("deleting objects", "a bucket of libsql-wal is only read"));
        }
        self.objects.delete(paths).await
    }

    /// What unfinished uploads have left behind: see [`Backend::leftovers`].
    pub(crate) async fn leftovers(
        &self,
        prefix: &ObjectPath,
        before: UnixMillis,
        delete: bool,
    ) -> Result<Leftovers> {
        self.objects.leftovers(prefix, before, delete).await
    }

    pub(crate) async fn get(&self, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        self.objects.get(path, range).await
    }

    pub(crate) async fn list(
        &self,
        prefix: &ObjectPath,
        after: Option<&ObjectPath>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>> {
        self.objects.list(prefix, after, limit).try_collect().await
    }

    /// The segments of a namespace whose names follow `after`, at most `limit`.
    pub(crate) async fn list_segments(
        &self,
        namespace: &Namespace,
        after: Option<&ObjectPath>,
        limit: usize,
    ) -> Result<SegmentListing> {
        if let Some(libsql) = self.libsql() {
            return libsql.list_segments(self, namespace, after, limit).await;
        }
        let objects = self.list(&self.layout.segments(namespace), after, limit).await?;
        let parse = |object: &ObjectMeta| {
            let key = self.layout.parse_segment(namespace, &object.path)?;
            Some(StoredSegment { modified: object.modified, ..StoredSegment::new(key, object.size) })
        };
        let listed = objects.iter().map(parse).collect();
        let more = objects.len() >= limit;
        Ok(SegmentListing { listed, incomplete: 0, last: objects.into_iter().last().map(|o| o.path), more })
    }
}
