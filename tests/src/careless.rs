//! A store in memory that does not keep its word on create-only requests, or whose replies are lost.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use walkeep::backends::Memory;
use walkeep::core::{Backend, Body, ByteRange, Error, ObjectMeta, ObjectPath, Result};

/// What a create does when an object of the name is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creates {
    /// It is refused, as it should be.
    Once,
    /// It overwrites.
    Overwrite,
    /// It looks first and writes then; others may come between.
    LookThenWrite,
}

/// A store in memory whose creates do this.
#[derive(Debug)]
pub struct Careless {
    inner: Memory,
    creates: Creates,
    /// For the creates to come: whether the reply is lost.
    lost: Mutex<VecDeque<bool>>,
}

impl Careless {
    /// An empty store.
    #[must_use]
    pub fn new(creates: Creates) -> Self {
        Self { inner: Memory::new(), creates, lost: Mutex::default() }
    }

    /// Loses replies to the creates to come: each of these in turn, or not.
    ///
    /// # Panics
    ///
    /// Never, unless another thread did.
    pub fn lose(&self, lost: impl IntoIterator<Item = bool>) {
        *self.lost.lock().unwrap() = lost.into_iter().collect();
    }

    async fn create(&self, path: &ObjectPath, body: Body) -> Result<()> {
        let exists = self.inner.get(None, path, ByteRange::Bounded(0..1)).await.is_ok();
        match self.creates {
            Creates::LookThenWrite if exists => {
                return Err(Error::AlreadyExists { what: path.to_string() });
            }
            Creates::LookThenWrite => tokio::task::yield_now().await,
            Creates::Once | Creates::Overwrite => {}
        }
        if self.creates != Creates::Once {
            self.inner.delete(None, std::slice::from_ref(path)).await?;
        }
        self.inner.put_new(None, path, body).await
    }
}

#[async_trait]
impl Backend for Careless {
    type Config = ();

    fn default_config(&self) {}

    async fn put_new(&self, _: Option<&()>, path: &ObjectPath, body: Body) -> Result<()> {
        let lost = self.lost.lock().unwrap().pop_front().unwrap_or(false);
        let outcome = self.create(path, body).await;
        if lost {
            return Err(Error::Unavailable { what: format!("put {path}: no answer"), source: None });
        }
        outcome
    }

    async fn get(&self, _: Option<&()>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        self.inner.get(None, path, range).await
    }

    fn list<'a>(
        &'a self,
        _: Option<&'a ()>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        self.inner.list(None, prefix, after, limit)
    }

    fn list_directories<'a>(
        &'a self,
        _: Option<&'a ()>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        self.inner.list_directories(None, prefix, after, limit)
    }

    async fn delete(&self, _: Option<&()>, paths: &[ObjectPath]) -> Result<()> {
        self.inner.delete(None, paths).await
    }
}
