//! A local store in front of a remote one: what is written is near, what is read again is near.
//!
//! Invariants:
//!
//! - **the remote store decides.** Whatever is not a segment (manifests, the probes of an opening, proofs) is created, read,
//!   listed and deleted there and nowhere else: a create that only the local disk has seen would fence nobody on another
//!   machine. So nothing is acknowledged, and nobody becomes the writer, while the remote store is away;
//! - segments are in either store; they are listed from both. With [`TieredAck::Local`] one counts as stored when the local
//!   store has it, and is shipped in the background, in order;
//! - **a manifest never tells of a segment that the remote store lacks**: before anything but a segment is created, all
//!   segments of its namespace are shipped, and so they are before anything of it is deleted. What was not shipped before
//!   a crash is found by comparing listings. So the remote store alone is at any time a whole log, perhaps an older one;
//! - the local store alone is none: it has no manifests, and is refused when it is opened as a store;
//! - the [cache](TieredOptions::cache) answers with what the remote store has, or not at all.
//!
//! What is lost with `TieredAck::Local`: with the local disk, what was not shipped yet; and the same when another machine
//! opens the namespace meanwhile, since it begins behind what the remote store has. What is shipped afterwards is of an
//! epoch that does not own these frames, and does not count.
//!
//! Segments that another machine deleted from the remote store, and that the local store still has, are taken for unshipped
//! and come back, to be collected again: collect through the tiered store.

mod cache;
mod options;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, StreamExt};
use walkeep_core::{Backend, Body, ByteRange, Error, Leftovers, ObjectMeta, ObjectPath, Result, UnixMillis};

pub use self::cache::CacheStatus;
use self::cache::{Cache, Held, Version};
pub use self::options::{CacheOptions, TieredAck, TieredOptions};
use crate::blocking::blocking;
use crate::copies::{self, Config, Copier, CopyStatus, Part, Side, group_of};

/// Longer reads are those of a restore, which come once: they do not go through the cache.
const CACHED_READ_MAX: u64 = 1 << 20;

/// A local store in front of a remote one.
///
/// Its configuration is that of both. Calls must be made in a tokio runtime: segments are shipped in its background.
#[derive(Debug)]
pub struct Tiered<L: Backend, R: Backend> {
    copier: Arc<Copier<L, R>>,
    ack: TieredAck,
    cache: Option<Arc<Cache>>,
    /// The groups of which everything is known to be shipped that was there at the start.
    shipped: Mutex<BTreeSet<(String, ObjectPath)>>,
}

/// Whether a path is that of a segment: `namespaces/{namespace}/segments/…`.
fn is_segment(path: &ObjectPath) -> bool {
    let mut components = path.as_str().split('/');
    components.next() == Some("namespaces")
        && components.nth(1) == Some("segments")
        && components.next().is_some()
}

/// Whether there may be segments below a folder.
fn may_hold_segments(folder: &ObjectPath) -> bool {
    let mut components = folder.as_str().split('/');
    components.next() == Some("namespaces")
        && components.nth(1).is_none_or(|component| component == "segments")
}

impl<L: Backend, R: Backend> Tiered<L, R> {
    /// The local store in front of the remote one.
    ///
    /// # Errors
    ///
    /// None: the result is fallible because paths are checked where they are made.
    pub fn new(local: Arc<L>, remote: Arc<R>, options: TieredOptions) -> Result<Self> {
        let TieredOptions { ack, cache } = options;
        let local = Side { backend: local, config: None, name: "local" };
        let remote = Side { backend: remote, config: None, name: "remote" };
        let copier = Copier::new(local, remote, vec![ObjectPath::new("namespaces")?], is_segment);
        let cache = cache.map(|options| Arc::new(Cache::new(options)));
        Ok(Self { copier, ack, cache, shipped: Mutex::default() })
    }

    /// The local store.
    #[must_use]
    pub fn local(&self) -> &Arc<L> {
        &self.copier.from().backend
    }

    /// The remote store.
    #[must_use]
    pub fn remote(&self) -> &Arc<R> {
        &self.copier.to().backend
    }

    /// How far shipping is.
    #[must_use]
    pub fn status(&self) -> CopyStatus {
        self.copier.status()
    }

    /// How useful the cache is; `None` when there is none.
    #[must_use]
    pub fn cache_status(&self) -> Option<CacheStatus> {
        self.cache.as_ref().map(|cache| cache.status())
    }

    /// Ships every segment that the remote store lacks, and returns when it is there. Interrupted, it goes on where it was.
    ///
    /// # Errors
    ///
    /// The first one that a store answers with. Conflicts are no errors of this call: see [`Tiered::status`].
    pub async fn ship(&self) -> Result<()> {
        self.copier.catch_up().await
    }

    /// Ships what is not shipped yet of the group of a path.
    async fn ship_group(&self, local: &Side<L>, remote: &Side<R>, path: &ObjectPath) -> Result<()> {
        let group = group_of(path);
        let place = local.config.as_ref().map(|config| format!("{config:?}")).unwrap_or_default();
        let key = (place, group.clone());
        let known = || self.shipped.lock().unwrap_or_else(PoisonError::into_inner);
        // Without shipping in the background, only what an earlier run has left can be there.
        if self.ack == TieredAck::Both && known().contains(&key) {
            return Ok(());
        }
        self.copier.flush(local, remote, group).await?;
        known().insert(key);
        Ok(())
    }

    async fn put_local(
        &self,
        local: &Side<L>,
        remote: &Side<R>,
        path: &ObjectPath,
        body: Body,
    ) -> Result<()> {
        let size = body.len();
        let stored = local.backend.put_new(local.config.as_ref(), path, body).await;
        // Whatever the outcome: what is not there is not shipped.
        self.copier.push(local, remote, path, size);
        stored
    }

    /// Reads from the remote store, through the cache.
    async fn get_remote(&self, remote: &Side<R>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        // An object that no listing told of, and those of another place, are not cached.
        let cached = self.cache.as_ref().filter(|_| remote.config.is_none() && is_segment(path));
        let found = cached.and_then(|cache| Some((cache, cache.version(path)?)));
        if let Some((cache, version)) = found {
            let wanted = range.resolve(version.size);
            let len = wanted.end - wanted.start;
            if (1..=CACHED_READ_MAX).contains(&len)
                && let Some(bytes) = self.get_parts(cache, remote, path, version, wanted).await?
            {
                return Ok(bytes);
            }
        }
        remote.backend.get(remote.config.as_ref(), path, range).await
    }

    /// Reads parts from the cache, and what is not there from the remote store; `None` when that has something else than a
    /// listing said.
    async fn get_parts(
        &self,
        cache: &Arc<Cache>,
        remote: &Side<R>,
        path: &ObjectPath,
        version: Version,
        wanted: Range<u64>,
    ) -> Result<Option<Bytes>> {
        let first = wanted.start / cache::PART;
        let numbers = first..wanted.end.div_ceil(cache::PART);
        let (held_in, name) = (Arc::clone(cache), path.clone());
        let look =
            move || Ok(numbers.map(|part| (part, held_in.get(&name, version, part))).collect::<Vec<_>>());
        let mut held = blocking(look).await?;
        while let Some(at) = held.iter().position(|(_, held)| *held == Held::Nothing) {
            let run = held.iter().skip(at).take_while(|(_, held)| *held == Held::Nothing).count();
            let numbers = first + at as u64..first + (at + run) as u64;
            let range = numbers.start * cache::PART..(numbers.end * cache::PART).min(version.size);
            let len = range.end - range.start;
            let range = ByteRange::Bounded(range);
            let fetched = remote.backend.get(remote.config.as_ref(), path, range).await?;
            if fetched.len() as u64 != len {
                return Ok(None);
            }
            let mut rest = fetched;
            let mut parts = Vec::new();
            for (number, place) in held.iter_mut().skip(at).take(run) {
                let part = rest.split_to(rest.len().min(PART_BYTES));
                parts.push((*number, part.clone()));
                *place = Held::Part(part);
            }
            let (kept_in, name) = (Arc::clone(cache), path.clone());
            let keep = move || {
                parts.iter().for_each(|(part, bytes)| kept_in.put(&name, version, *part, bytes));
                Ok(())
            };
            blocking(keep).await?;
        }
        let mut bytes = BytesMut::new();
        for (_, held) in held {
            if let Held::Part(part) = held {
                bytes.extend_from_slice(&part);
            }
        }
        let from = usize::try_from(wanted.start - first * cache::PART).unwrap_or(usize::MAX);
        let len = usize::try_from(wanted.end - wanted.start).unwrap_or(usize::MAX);
        let bytes = bytes.freeze();
        Ok((bytes.len() >= from.saturating_add(len)).then(|| bytes.slice(from..from + len)))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it is 65,536")]
const PART_BYTES: usize = cache::PART as usize;

fn part<'a, T>(listing: BoxStream<'a, Result<T>>) -> Part<'a, T> {
    Part { listing, on_error: Box::new(Err) }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<L: Backend, R: Backend> Backend for Tiered<L, R> {
    type Config = Config<L, R>;

    fn default_config(&self) -> Self::Config {
        (self.local().default_config(), self.remote().default_config())
    }

    async fn put_new(&self, config: Option<&Self::Config>, path: &ObjectPath, body: Body) -> Result<()> {
        self.copier.start();
        let (local, remote) = self.copier.sides(config);
        if !is_segment(path) {
            self.ship_group(&local, &remote, path).await?;
            return remote.backend.put_new(remote.config.as_ref(), path, body).await;
        }
        match self.ack {
            TieredAck::Both => self.copier.put_both(&remote, &local, path, body).await,
            TieredAck::Local => self.put_local(&local, &remote, path, body).await,
        }
    }

    async fn get(&self, config: Option<&Self::Config>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        let (local, remote) = self.copier.sides(config);
        if !is_segment(path) {
            return remote.backend.get(remote.config.as_ref(), path, range).await;
        }
        let error = match local.backend.get(local.config.as_ref(), path, range.clone()).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => error,
        };
        match self.get_remote(&remote, path, range).await {
            // It is not there, and perhaps here: what is said is why it cannot be read here.
            Err(Error::NotFound { .. }) => Err(error),
            read => {
                if !matches!(error, Error::NotFound { .. }) {
                    self.copier.note_fall_back();
                    tracing::warn!(%path, %error, "a segment cannot be read from the local store");
                }
                read
            }
        }
    }

    fn list<'a>(
        &'a self,
        config: Option<&'a Self::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        let (near, far) = (config.map(|config| &config.0), config.map(|config| &config.1));
        let listing = self.remote().list(far, prefix, after, limit);
        let remote = match self.cache.as_deref().filter(|_| far.is_none()) {
            Some(cache) => {
                let seen = listing.inspect(|object| {
                    if let Ok(object) = object
                        && is_segment(&object.path)
                    {
                        cache.saw(object);
                    }
                });
                seen.boxed()
            }
            None => listing,
        };
        if !may_hold_segments(prefix) {
            return remote;
        }
        // What is no segment is not listed, and must not take the place of one.
        let only_segments = prefix.as_str().split('/').nth(2).is_some();
        let local = self.local().list(near, prefix, after, if only_segments { limit } else { usize::MAX });
        let local = local.filter(|object| {
            let counts = object.as_ref().map_or(true, |object| is_segment(&object.path));
            std::future::ready(counts)
        });
        let (local, remote) = (part(local.boxed()), part(remote));
        copies::objects(local, remote, limit, |near, far| self.copier.compare_sizes(near, far))
    }

    fn list_directories<'a>(
        &'a self,
        config: Option<&'a Self::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        let (near, far) = (config.map(|config| &config.0), config.map(|config| &config.1));
        let remote = self.remote().list_directories(far, prefix, after, limit);
        // A namespace has a manifest in the remote store before it has a segment in either.
        if !may_hold_segments(prefix) || prefix.as_str().split('/').nth(1).is_none() {
            return remote;
        }
        let local = self.local().list_directories(near, prefix, after, limit);
        copies::directories(part(local), part(remote), limit)
    }

    async fn delete(&self, config: Option<&Self::Config>, paths: &[ObjectPath]) -> Result<()> {
        self.copier.start();
        let (local, remote) = self.copier.sides(config);
        let groups = paths.iter().map(group_of).collect::<BTreeSet<_>>();
        // What is deleted may be needed no more because of something that is not shipped yet.
        for group in &groups {
            if let Some(path) = paths.iter().find(|path| group_of(path) == *group) {
                self.ship_group(&local, &remote, path).await?;
            }
        }
        let _excluded = self.copier.forget(&local, &remote, paths).await;
        if let Some(cache) = &self.cache {
            cache.forget(paths);
        }
        let segments = paths.iter().filter(|path| is_segment(path)).cloned().collect::<Vec<_>>();
        // First here: what is here alone would be taken for unshipped.
        local.backend.delete(local.config.as_ref(), &segments).await?;
        remote.backend.delete(remote.config.as_ref(), paths).await
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
