//! A store in memory, for tests and caches: ordered maps, gone with the process.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use walkeep_core::{Backend, Body, ByteRange, Clock, Error, ObjectMeta, ObjectPath, Result, UnixMillis};

/// Which of the store's maps to use.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryConfig {
    /// The name of the map; the default one has the empty name.
    pub bucket: String,
}

/// An object, and when it was stored.
type Stored = (Bytes, Option<UnixMillis>);
type Bucket = BTreeMap<ObjectPath, Stored>;

/// A store in memory.
#[derive(Debug)]
pub struct Memory {
    buckets: Mutex<BTreeMap<MemoryConfig, Bucket>>,
    clock: Option<Arc<dyn Clock>>,
}

impl Default for Memory {
    fn default() -> Self {
        #[cfg(feature = "os")]
        let clock: Option<Arc<dyn Clock>> = Some(Arc::new(crate::os::SystemClock));
        #[cfg(not(feature = "os"))]
        let clock = None;
        Self { buckets: Mutex::default(), clock }
    }
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store whose objects are as old as this clock says.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { buckets: Mutex::default(), clock: Some(clock) }
    }

    fn now(&self) -> Option<UnixMillis> {
        self.clock.as_ref().map(|clock| clock.now())
    }

    /// Replaces the bytes of an object, or creates it: for tests that damage what is stored.
    pub fn replace(&self, path: &ObjectPath, bytes: Bytes) {
        self.buckets().entry(MemoryConfig::default()).or_default().insert(path.clone(), (bytes, self.now()));
    }

    /// The content of the default bucket.
    #[must_use]
    pub fn objects(&self) -> BTreeMap<ObjectPath, Bytes> {
        let buckets = self.buckets();
        let objects = buckets.get(&MemoryConfig::default()).into_iter().flatten();
        objects.map(|(path, (bytes, _))| (path.clone(), bytes.clone())).collect()
    }

    fn buckets(&self) -> MutexGuard<'_, BTreeMap<MemoryConfig, Bucket>> {
        // Each call changes one map in one step: a panic elsewhere leaves nothing half done.
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, config: Option<&MemoryConfig>, work: impl FnOnce(&mut Bucket) -> T) -> T {
        work(self.buckets().entry(config.cloned().unwrap_or_default()).or_default())
    }
}

fn content(body: &Body) -> Result<Bytes> {
    match body {
        Body::Bytes(bytes) => Ok(bytes.clone()),
        Body::Source(source) => {
            let len = usize::try_from(source.len())
                .map_err(|_| Error::Exhausted { what: "the body is larger than memory".into() })?;
            let mut bytes = vec![0; len];
            source
                .read_exact_at(0, &mut bytes)
                .map_err(|error| Error::io("read the body of an object", error))?;
            Ok(bytes.into())
        }
    }
}

#[async_trait]
impl Backend for Memory {
    type Config = MemoryConfig;

    fn default_config(&self) -> MemoryConfig {
        MemoryConfig::default()
    }

    async fn put_new(&self, config: Option<&MemoryConfig>, path: &ObjectPath, body: Body) -> Result<()> {
        let content = content(&body)?;
        self.with(config, |bucket| match bucket.entry(path.clone()) {
            std::collections::btree_map::Entry::Occupied(_) => {
                Err(Error::AlreadyExists { what: path.to_string() })
            }
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert((content, self.now()));
                Ok(())
            }
        })
    }

    async fn get(&self, config: Option<&MemoryConfig>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        let bytes = self.with(config, |bucket| bucket.get(path).map(|(bytes, _)| bytes.clone()));
        let bytes = bytes.ok_or_else(|| Error::not_found(path.as_str()))?;
        let range = range.resolve(bytes.len() as u64);
        let offset = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        Ok(bytes.slice(offset(range.start)..offset(range.end)))
    }

    fn list<'a>(
        &'a self,
        config: Option<&'a MemoryConfig>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        let start = after.filter(|after| *after > prefix).unwrap_or(prefix);
        let found = self.with(config, |bucket| {
            bucket
                .range::<ObjectPath, _>((Bound::Excluded(start), Bound::Unbounded))
                .take_while(|(path, _)| path.as_str().starts_with(prefix.as_str()))
                .filter(|(path, _)| path.below(prefix).is_some())
                .take(limit)
                .map(|(path, (bytes, stored))| ObjectMeta {
                    path: path.clone(),
                    size: bytes.len() as u64,
                    modified: *stored,
                })
                .collect::<Vec<_>>()
        });
        stream::iter(found.into_iter().map(Ok)).boxed()
    }

    fn list_directories<'a>(
        &'a self,
        config: Option<&'a MemoryConfig>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        let names = self.with(config, |bucket| {
            let below = bucket.keys().filter_map(|path| path.below(prefix)?.split_once('/'));
            below.map(|(name, _)| format!("{name}/")).collect::<BTreeSet<_>>()
        });
        let after = after.map(|name| format!("{name}/"));
        let behind = names.into_iter().filter(move |name| after.as_ref().is_none_or(|after| name > after));
        stream::iter(behind.take(limit).map(|name| Ok(name.trim_end_matches('/').to_string()))).boxed()
    }

    async fn delete(&self, config: Option<&MemoryConfig>, paths: &[ObjectPath]) -> Result<()> {
        self.with(config, |bucket| {
            for path in paths {
                bucket.remove(path);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_conforms() {
        let memory = Memory::new();
        walkeep_core::conformance::everything(&memory, None).await;
        let other = MemoryConfig { bucket: "other".into() };
        walkeep_core::conformance::everything(&memory, Some(&other)).await;
    }
}
