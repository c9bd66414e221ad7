//! A backend that takes time, and is sick where it is told to be: per path, so that one tenant suffers and not all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use walkeep::core::{Backend, Body, ByteRange, Error, ObjectMeta, ObjectPath, Result};

/// What ails the puts and gets of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// They fail at once: refused credentials.
    Refused,
    /// They never return.
    Hangs,
    /// They panic.
    Panics,
}

/// A backend that takes time.
#[derive(Debug)]
pub struct Sick<B> {
    inner: Arc<B>,
    /// How long a put or get takes.
    delay: Duration,
    ailments: Mutex<BTreeMap<String, Ailment>>,
    requests: Mutex<BTreeMap<String, u64>>,
}

impl<B> Sick<B> {
    /// A healthy one, whose puts and gets take `delay`.
    pub fn over(inner: Arc<B>, delay: Duration) -> Self {
        Self { inner, delay, ailments: Mutex::default(), requests: Mutex::default() }
    }

    /// What is to ail the namespace from now on.
    ///
    /// # Panics
    ///
    /// Never, unless another thread did.
    pub fn ail(&self, namespace: &str, ailment: Option<Ailment>) {
        let mut ailments = self.ailments.lock().unwrap();
        match ailment {
            Some(ailment) => ailments.insert(namespace.to_string(), ailment),
            None => ailments.remove(namespace),
        };
    }

    /// How many puts and gets of a namespace there were.
    ///
    /// # Panics
    ///
    /// Never, unless another thread did.
    #[must_use]
    pub fn requests(&self, namespace: &str) -> u64 {
        self.requests.lock().unwrap().get(namespace).copied().unwrap_or(0)
    }

    async fn suffer(&self, path: &ObjectPath) -> Result<()> {
        let namespace = path.as_str().split('/').nth(1).unwrap_or_default().to_string();
        *self.requests.lock().unwrap().entry(namespace.clone()).or_default() += 1;
        let ailment = self.ailments.lock().unwrap().get(&namespace).copied();
        match ailment {
            None => tokio::time::sleep(self.delay).await,
            Some(Ailment::Refused) => {
                return Err(Error::Unavailable {
                    what: format!("{path}: credentials refused"),
                    source: None,
                });
            }
            Some(Ailment::Hangs) => std::future::pending().await,
            Some(Ailment::Panics) => panic!("a defect of the backend, on purpose"),
        }
        Ok(())
    }
}

#[async_trait]
impl<B: Backend> Backend for Sick<B> {
    type Config = B::Config;

    fn default_config(&self) -> B::Config {
        self.inner.default_config()
    }

    async fn put_new(&self, config: Option<&B::Config>, path: &ObjectPath, body: Body) -> Result<()> {
        self.suffer(path).await?;
        self.inner.put_new(config, path, body).await
    }

    async fn get(&self, config: Option<&B::Config>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        self.suffer(path).await?;
        self.inner.get(config, path, range).await
    }

    fn list<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        self.inner.list(config, prefix, after, limit)
    }

    fn list_directories<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        self.inner.list_directories(config, prefix, after, limit)
    }

    async fn delete(&self, config: Option<&B::Config>, paths: &[ObjectPath]) -> Result<()> {
        self.inner.delete(config, paths).await
    }
}
