//! A store as the engine uses it: a backend, the configuration to call it with, and the layout of its objects.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use walkeep_core::{
    Backend, Body, ByteRange, Layout, Namespace, NativeLayout, ObjectMeta, ObjectPath, Result,
};

use crate::fencing::Fencing;

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
}

/// A store of namespaces. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bucket {
    objects: Arc<dyn Objects>,
    layout: Arc<dyn Layout>,
    fencing: Fencing,
    name: Arc<str>,
}

/// How many namespaces one request for their names asks for.
const NAMESPACES_PAGE: usize = 1000;

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
        Self { objects, layout, fencing: Fencing::default(), name: "the store".into() }
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
                match Namespace::new(name) {
                    Ok(namespace) => found.push(namespace),
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
        self.objects.put_new(path, body).await
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
}
