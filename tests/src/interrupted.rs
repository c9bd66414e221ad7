//! A backend at one of whose calls something else happens first: what another process does meanwhile.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use walkeep::core::{Backend, Body, ByteRange, ObjectMeta, ObjectPath, Result};

#[derive(Default)]
struct State {
    calls: u64,
    /// At which call, and what.
    planned: Option<(u64, BoxFuture<'static, ()>)>,
}

/// A backend that can be interrupted.
pub struct Interrupted<B> {
    inner: Arc<B>,
    state: Mutex<State>,
}

impl<B> fmt::Debug for Interrupted<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interrupted")
    }
}

impl<B> Interrupted<B> {
    /// Not interrupted at first.
    pub fn over(inner: Arc<B>) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// Counts calls from here on, and does something before the one with this number, from 0.
    ///
    /// # Panics
    ///
    /// When another thread panicked here.
    pub fn interrupt(&self, at: u64, with: impl Future<Output = ()> + Send + 'static) {
        *self.state.lock().unwrap() = State { calls: 0, planned: Some((at, with.boxed())) };
    }

    /// Whether it was interrupted, as it was planned.
    ///
    /// # Panics
    ///
    /// When another thread panicked here.
    pub fn was_interrupted(&self) -> bool {
        self.state.lock().unwrap().planned.is_none()
    }

    /// How many calls there were since then.
    ///
    /// # Panics
    ///
    /// When another thread panicked here.
    pub fn calls(&self) -> u64 {
        self.state.lock().unwrap().calls
    }

    async fn call(&self) {
        let due = {
            let mut state = self.state.lock().unwrap();
            let call = state.calls;
            state.calls += 1;
            state.planned.take_if(|(at, _)| *at == call)
        };
        if let Some((_, work)) = due {
            work.await;
        }
    }
}

#[async_trait]
impl<B: Backend> Backend for Interrupted<B> {
    type Config = B::Config;

    fn default_config(&self) -> B::Config {
        self.inner.default_config()
    }

    async fn put_new(&self, config: Option<&B::Config>, path: &ObjectPath, body: Body) -> Result<()> {
        self.call().await;
        self.inner.put_new(config, path, body).await
    }

    async fn get(&self, config: Option<&B::Config>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        self.call().await;
        self.inner.get(config, path, range).await
    }

    fn list<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        let listed = self.call().map(move |()| self.inner.list(config, prefix, after, limit));
        listed.flatten_stream().boxed()
    }

    fn list_directories<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        let listed = self.call().map(move |()| self.inner.list_directories(config, prefix, after, limit));
        listed.flatten_stream().boxed()
    }

    async fn delete(&self, config: Option<&B::Config>, paths: &[ObjectPath]) -> Result<()> {
        self.call().await;
        self.inner.delete(config, paths).await
    }
}
