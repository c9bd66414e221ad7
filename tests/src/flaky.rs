//! A backend whose creates fail when told to, with or without being carried out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use walkeep::core::{Backend, Body, ByteRange, Error, ObjectMeta, ObjectPath, Result};

/// What happens to a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not carried out, and the caller cannot know.
    Unavailable,
    /// It is not carried out, and the caller is told so.
    Refuse,
    /// It is carried out; the reply is lost.
    ApplyThenUnavailable,
    /// The same, said in the other way.
    ApplyThenUnknown,
    /// It is carried out, repeated on the way, and the second attempt meets the first.
    ApplyThenExists,
}

#[derive(Debug, Default)]
struct Plan {
    next: VecDeque<Option<Fault>>,
    always: Option<Fault>,
}

/// A backend whose creates can fail.
#[derive(Debug)]
pub struct Flaky<B> {
    inner: Arc<B>,
    plan: Mutex<Plan>,
}

impl<B> Flaky<B> {
    /// Passes everything on to `inner`, until told otherwise.
    pub fn new(inner: B) -> Self {
        Self::over(Arc::new(inner))
    }

    /// The same over a backend that others use too.
    pub fn over(inner: Arc<B>) -> Self {
        Self { inner, plan: Mutex::default() }
    }

    /// Lets one create fail, after so many others.
    ///
    /// # Panics
    ///
    /// Never, unless another thread did.
    pub fn after(&self, creates: usize, fault: Fault) {
        let mut next: VecDeque<_> = std::iter::repeat_n(None, creates).collect();
        next.push_back(Some(fault));
        self.plan.lock().unwrap().next = next;
    }

    /// Lets all creates fail, or none.
    ///
    /// # Panics
    ///
    /// Never, unless another thread did.
    pub fn always(&self, fault: Option<Fault>) {
        self.plan.lock().unwrap().always = fault;
    }

    /// Whether a fault is still to come.
    ///
    /// # Panics
    ///
    /// Never, unless another thread did.
    pub fn is_armed(&self) -> bool {
        !self.plan.lock().unwrap().next.is_empty()
    }

    fn fault(&self) -> Option<Fault> {
        let mut plan = self.plan.lock().unwrap();
        plan.next.pop_front().flatten().or(plan.always)
    }
}

#[async_trait]
impl<B: Backend> Backend for Flaky<B> {
    type Config = B::Config;

    fn default_config(&self) -> B::Config {
        self.inner.default_config()
    }

    async fn put_new(&self, config: Option<&B::Config>, path: &ObjectPath, body: Body) -> Result<()> {
        let unavailable = || Error::Unavailable { what: format!("create {path}"), source: None };
        let fault = self.fault();
        match fault {
            Some(Fault::Unavailable) => return Err(unavailable()),
            Some(Fault::Refuse) => return Err(Error::Exhausted { what: "the quota".into() }),
            _ => self.inner.put_new(config, path, body).await?,
        }
        match fault {
            Some(Fault::ApplyThenUnavailable) => Err(unavailable()),
            Some(Fault::ApplyThenUnknown) => Err(Error::Unknown { what: format!("create {path}") }),
            Some(Fault::ApplyThenExists) => Err(Error::AlreadyExists { what: path.to_string() }),
            _ => Ok(()),
        }
    }

    async fn get(&self, config: Option<&B::Config>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
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
