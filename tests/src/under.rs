//! A part of a store as a store: everything lies below a folder.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use walkeep::core::{Backend, Body, ByteRange, Error, ObjectMeta, ObjectPath, Result};

/// What lies below a folder of another backend.
#[derive(Debug)]
pub struct Under<B> {
    inner: B,
    folder: ObjectPath,
}

impl<B> Under<B> {
    /// What lies below `folder`.
    pub const fn new(inner: B, folder: ObjectPath) -> Self {
        Self { inner, folder }
    }

    /// The backend behind.
    pub const fn inner(&self) -> &B {
        &self.inner
    }

    fn at(&self, path: &ObjectPath) -> ObjectPath {
        self.folder.join(path).unwrap()
    }
}

#[async_trait]
impl<B: Backend> Backend for Under<B> {
    type Config = B::Config;

    fn default_config(&self) -> B::Config {
        self.inner.default_config()
    }

    async fn put_new(&self, config: Option<&B::Config>, path: &ObjectPath, body: Body) -> Result<()> {
        self.inner.put_new(config, &self.at(path), body).await
    }

    async fn get(&self, config: Option<&B::Config>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        self.inner.get(config, &self.at(path), range).await
    }

    fn list<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        let listing = async move {
            let after = after.map(|after| self.at(after));
            let prefix = self.at(prefix);
            let listed = self.inner.list(config, &prefix, after.as_ref(), limit);
            let mut listed = listed.try_collect::<Vec<_>>().await?;
            for object in &mut listed {
                object.path = ObjectPath::new(object.path.below(&self.folder).unwrap())?;
            }
            Ok::<_, Error>(stream::iter(listed.into_iter().map(Ok)))
        };
        stream::once(listing).try_flatten().boxed()
    }

    fn list_directories<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        let listing = async move {
            let prefix = self.at(prefix);
            let listed = self.inner.list_directories(config, &prefix, after, limit);
            Ok::<_, Error>(stream::iter(listed.try_collect::<Vec<_>>().await?.into_iter().map(Ok)))
        };
        stream::once(listing).try_flatten().boxed()
    }

    async fn delete(&self, config: Option<&B::Config>, paths: &[ObjectPath]) -> Result<()> {
        let paths = paths.iter().map(|path| self.at(path)).collect::<Vec<_>>();
        self.inner.delete(config, &paths).await
    }
}
