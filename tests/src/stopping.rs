//! A backend that its user loses at a chosen request: what a process that is killed there leaves behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use walkeep::core::{Backend, Body, ByteRange, Error, ObjectMeta, ObjectPath, Result};

/// Passes requests on up to one, which never returns, and is done or not. Later ones are not done.
#[derive(Debug)]
pub struct Stopping<B> {
    inner: Arc<B>,
    requests: AtomicU64,
    stop_at: u64,
    /// Whether the last request is done although nobody hears of it.
    done: bool,
}

/// What befalls a request.
enum Fate {
    Passes,
    DoneAndStopped,
    Stopped,
}

impl<B> Stopping<B> {
    /// Stops at this request, counted from 1.
    pub const fn at(inner: Arc<B>, stop_at: u64, done: bool) -> Self {
        Self { inner, requests: AtomicU64::new(0), stop_at, done }
    }

    /// How many requests there were.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    fn next(&self) -> Fate {
        match self.requests.fetch_add(1, Ordering::SeqCst) + 1 {
            number if number < self.stop_at => Fate::Passes,
            number if number == self.stop_at && self.done => Fate::DoneAndStopped,
            _ => Fate::Stopped,
        }
    }
}

fn stopped<T>() -> Result<T> {
    // Not one that is tried again.
    Err(Error::Unknown { what: "the process was killed".into() })
}

#[async_trait]
impl<B: Backend> Backend for Stopping<B> {
    type Config = B::Config;

    fn default_config(&self) -> B::Config {
        self.inner.default_config()
    }

    async fn put_new(&self, config: Option<&B::Config>, path: &ObjectPath, body: Body) -> Result<()> {
        match self.next() {
            Fate::Passes => self.inner.put_new(config, path, body).await,
            Fate::DoneAndStopped => {
                self.inner.put_new(config, path, body).await?;
                stopped()
            }
            Fate::Stopped => stopped(),
        }
    }

    async fn get(&self, config: Option<&B::Config>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        match self.next() {
            Fate::Passes => self.inner.get(config, path, range).await,
            Fate::DoneAndStopped | Fate::Stopped => stopped(),
        }
    }

    fn list<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        match self.next() {
            Fate::Passes => self.inner.list(config, prefix, after, limit),
            Fate::DoneAndStopped | Fate::Stopped => stream::once(async { stopped() }).boxed(),
        }
    }

    fn list_directories<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        match self.next() {
            Fate::Passes => self.inner.list_directories(config, prefix, after, limit),
            Fate::DoneAndStopped | Fate::Stopped => stream::once(async { stopped() }).boxed(),
        }
    }

    async fn delete(&self, config: Option<&B::Config>, paths: &[ObjectPath]) -> Result<()> {
        match self.next() {
            Fate::Passes => self.inner.delete(config, paths).await,
            Fate::DoneAndStopped | Fate::Stopped => stopped(),
        }
    }
}
