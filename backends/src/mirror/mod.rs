//! Two stores with the same objects: one of them can be lost.
//!
//! Invariants:
//!
//! - **the first store decides**: an object is created there, or was there before; what is created is then copied to the
//!   second. So of two that create one name, on whatever machines, one wins, as long as all write through mirrors with the
//!   same first store;
//! - that something does *not* exist is never taken from the second store alone by whoever writes: a writer that is told
//!   "there is no newer manifest" by a second store that lags would acknowledge what another one has fenced;
//! - an object of the second store that differs from the first one's is reported ([`CopyStatus::conflicts`]), or fails the
//!   call that met it; it is never replaced. It is used only where the first one cannot be read, as any other;
//! - both are deleted from, the second one first: what stands in the second alone has been lost by the first.
//!
//! Reads go to the first store, and to the second where the first one fails or has no such object. Listings are those of
//! both together. While the first one is away nothing can be stored or deleted; a mirror that was only read from goes
//! on reading, from the second alone, and says so in the log.
//!
//! Another process that copies while this one deletes can leave an object in the second store alone. It is one that
//! nothing needs: it is listed, and collected like any other.
//!
//! It is not a backup of a store that others write to: what they change in the first store is copied when a mirror
//! is next opened for writing, or by [`Mirror::catch_up`]; what they delete there stays in the second.

mod options;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use walkeep_core::{Backend, Body, ByteRange, Error, Leftovers, ObjectMeta, ObjectPath, Result, UnixMillis};

pub use self::options::{MirrorAck, MirrorOptions};
use crate::copies::{self, Config, Copier, CopyStatus, OnError, Part, Side};

/// Two stores with the same objects.
///
/// Its configuration is that of both. Calls must be made in a tokio runtime: what waits is copied in its background.
#[derive(Debug)]
pub struct Mirror<A: Backend, B: Backend> {
    copier: Arc<Copier<A, B>>,
    options: MirrorOptions,
    /// Whether anything was created or deleted through here.
    writing: AtomicBool,
}

impl<A: Backend, B: Backend> Mirror<A, B> {
    /// Mirrors the first store in the second.
    #[must_use]
    pub fn new(first: Arc<A>, second: Arc<B>, options: MirrorOptions) -> Self {
        let first = Side { backend: first, config: None, name: "first" };
        let second = Side { backend: second, config: None, name: "second" };
        let copier = Copier::new(first, second, options.roots.clone(), |_| true);
        Self { copier, options, writing: AtomicBool::new(false) }
    }

    /// The store that decides.
    #[must_use]
    pub fn first(&self) -> &Arc<A> {
        &self.copier.from().backend
    }

    /// The store that follows.
    #[must_use]
    pub fn second(&self) -> &Arc<B> {
        &self.copier.to().backend
    }

    /// How far the second store is.
    #[must_use]
    pub fn status(&self) -> CopyStatus {
        self.copier.status()
    }

    /// Copies everything that the second store lacks, and returns when it is there. Interrupted, it goes on where it was.
    ///
    /// # Errors
    ///
    /// The first one that a store answers with. Conflicts are no errors of this call: see [`Mirror::status`].
    pub async fn catch_up(&self) -> Result<()> {
        self.copier.catch_up().await
    }

    fn begin_writing(&self) {
        self.writing.store(true, Ordering::SeqCst);
        self.copier.start();
    }

    /// What to do about an error of a listing of the first store.
    fn first_failed(&self) -> OnError<'_> {
        Box::new(|error| {
            if self.writing.load(Ordering::SeqCst) || !may_fall_back(&error) {
                return Err(error);
            }
            self.copier.note_fall_back();
            tracing::warn!(%error, "the first store of a mirror cannot be listed: the second one may be behind");
            Ok(())
        })
    }
}

/// Whether the second store may answer in place of the first: not where the call itself is wrong.
const fn may_fall_back(error: &Error) -> bool {
    !matches!(error, Error::Invalid { .. } | Error::Exhausted { .. })
}

fn second_failed<'a>() -> OnError<'a> {
    Box::new(|error| {
        // The first one has everything.
        tracing::debug!(%error, "the second store of a mirror cannot be listed");
        if may_fall_back(&error) { Ok(()) } else { Err(error) }
    })
}

/// Lets an object be copied in the background unless it was copied here: also after a call that was cancelled.
struct Unfinished<'a, A: Backend, B: Backend> {
    copier: &'a Copier<A, B>,
    sides: (&'a Side<A>, &'a Side<B>),
    path: &'a ObjectPath,
    size: u64,
    finished: bool,
}

impl<A: Backend, B: Backend> Drop for Unfinished<'_, A, B> {
    fn drop(&mut self) {
        if !self.finished {
            self.copier.push(self.sides.0, self.sides.1, self.path, self.size);
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<A: Backend, B: Backend> Backend for Mirror<A, B> {
    type Config = Config<A, B>;

    fn default_config(&self) -> Self::Config {
        (self.first().default_config(), self.second().default_config())
    }

    async fn put_new(&self, config: Option<&Self::Config>, path: &ObjectPath, body: Body) -> Result<()> {
        self.begin_writing();
        let (first, second) = self.copier.sides(config);
        let sides = (&first, &second);
        let mut unfinished =
            Unfinished { copier: &self.copier, sides, path, size: body.len(), finished: false };
        match self.options.ack {
            MirrorAck::Both => {
                let stored = self.copier.put_both(&first, &second, path, body).await;
                unfinished.finished = matches!(stored, Ok(()) | Err(Error::AlreadyExists { .. }));
                stored
            }
            // What is not there after all is not copied.
            MirrorAck::First => first.backend.put_new(first.config.as_ref(), path, body).await,
        }
    }

    async fn get(&self, config: Option<&Self::Config>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        let (first, second) = self.copier.sides(config);
        let error = match first.backend.get(first.config.as_ref(), path, range.clone()).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) if !may_fall_back(&error) => return Err(error),
            Err(error) => error,
        };
        match second.backend.get(second.config.as_ref(), path, range).await {
            Ok(bytes) => {
                self.copier.note_fall_back();
                tracing::debug!(%path, %error, "read from the second store of a mirror");
                Ok(bytes)
            }
            // That it does not exist is for the first store to say.
            Err(Error::NotFound { .. }) => Err(error),
            Err(other) if matches!(error, Error::NotFound { .. }) && self.options.ack == MirrorAck::Both => {
                Err(other)
            }
            Err(_) => Err(error),
        }
    }

    fn list<'a>(
        &'a self,
        config: Option<&'a Self::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        let (one, other) = (config.map(|config| &config.0), config.map(|config| &config.1));
        let listing = self.first().list(one, prefix, after, limit);
        let first = Part { listing, on_error: self.first_failed() };
        let listing = self.second().list(other, prefix, after, limit);
        let second = Part { listing, on_error: second_failed() };
        copies::objects(first, second, limit, |one, other| self.copier.compare_sizes(one, other))
    }

    fn list_directories<'a>(
        &'a self,
        config: Option<&'a Self::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        let (one, other) = (config.map(|config| &config.0), config.map(|config| &config.1));
        let listing = self.first().list_directories(one, prefix, after, limit);
        let first = Part { listing, on_error: self.first_failed() };
        let listing = self.second().list_directories(other, prefix, after, limit);
        let second = Part { listing, on_error: second_failed() };
        copies::directories(first, second, limit)
    }

    async fn delete(&self, config: Option<&Self::Config>, paths: &[ObjectPath]) -> Result<()> {
        self.begin_writing();
        let (first, second) = self.copier.sides(config);
        let _excluded = self.copier.forget(&first, &second, paths).await;
        second.backend.delete(second.config.as_ref(), paths).await?;
        first.backend.delete(first.config.as_ref(), paths).await
    }

    /// Those of both.
    async fn leftovers(
        &self,
        config: Option<&Self::Config>,
        prefix: &ObjectPath,
        before: UnixMillis,
        delete: bool,
    ) -> Result<Leftovers> {
        self.copier.leftovers(config, prefix, before, delete).await
    }
}
