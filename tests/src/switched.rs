//! A backend that can be away: every call fails, and nothing is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use walkeep::core::{Backend, Body, ByteRange, Error, ObjectMeta, ObjectPath, Result};

/// A backend that can be away.
#[derive(Debug)]
pub struct Switched<B> {
    inner: Arc<B>,
    away: AtomicBool,
    gets: AtomicU64,
}

impl<B> Switched<B> {
    /// There at first.
    pub fn over(inner: Arc<B>) -> Self {
        Self { inner, away: AtomicBool::new(false), gets: AtomicU64::new(0) }
    }

    /// The backend behind.
    pub const fn inner(&self) -> &Arc<B> {
        &self.inner
    }

    /// Lets it be away, or there again.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// How many gets came through.
    pub fn gets(&self) -> u64 {
        self.gets.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<()> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Error::Unavailable { what: "it is away".into(), source: None });
        }
        Ok(())
    }
}

#[async_trait]
impl<B: Backend> Backend for Switched<B> {
    type Config = B::Config;

    fn default_config(&self) -> B::Config {
        self.inner.default_config()
    }

    async fn put_new(&self, config: Option<&B::Config>, path: &ObjectPath, body: Body) -> Result<()> {
        self.check()?;
        self.inner.put_new(config, path, body).await
    }

    async fn get(&self, config: Option<&B::Config>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        self.check()?;
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.inner.get(config, path, range).await
    }

    fn list<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        match self.check() {
            Ok(()) => self.inner.list(config, prefix, after, limit),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    fn list_directories<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        match self.check() {
            Ok(()) => self.inner.list_directories(config, prefix, after, limit),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn delete(&self, config: Option<&B::Config>, paths: &[ObjectPath]) -> Result<()> {
        self.check()?;
        self.inner.delete(config, paths).await
    }
}
