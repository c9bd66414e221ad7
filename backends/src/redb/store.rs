//! Sharded redb as a store: the objects of many small databases in a few files.
//!
//! Invariants:
//!
//! - everything of a namespace is in one shard: that of the first two components of its objects' paths;
//! - an object is there, whole and durable, when a put returns: one sync for all that waited;
//! - what is read was checked, chunk by chunk.
//!
//! A failed sync makes the outcome `Unknown`; its shard then refuses everything until the store is opened anew. See `docs/redb.md`.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::try_join_all;
use futures::stream::BoxStream;
use walkeep_core::shards::{ShardCount, ShardNo, ShardPurpose};
use walkeep_core::{
    Backend, Body, ByteRange, Clock, Directory, Error, ObjectMeta, ObjectPath, Random, Result,
};

use super::committer::{Lane, Order, commit};
use super::listing::{Directories, Objects, merged};
use super::misplaced::Misplaced;
use super::objects;
use super::opening::check_wanted;
use super::options::ShardsOptions;
use super::shard_listing;
use super::shards::Shards;
use super::shrunk::Shrunk;
use crate::blocking::blocking;
use crate::os::{OsDirectory, SystemClock, SystemRandom};

/// A set of shards that holds objects, open. Clones share it.
#[derive(Clone)]
pub struct RedbConfig {
    open: Arc<OpenStore>,
}

struct OpenStore {
    shards: Arc<Shards>,
    lanes: Vec<Arc<Lane>>,
    /// The groups that are in another shard than they belong to.
    misplaced: BTreeMap<String, Misplaced>,
}

impl fmt::Debug for RedbConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedbConfig({:?})", self.open.shards)
    }
}

/// The stores that are open in this process, by the device and the inode of their directories: whoever names one again gets the same
/// one, because a process cannot have it open twice.
static SHARED: Mutex<BTreeMap<(u64, u64), Weak<OpenStore>>> = Mutex::new(BTreeMap::new());

impl RedbConfig {
    /// Opens a store in a directory of the machine. This blocks.
    ///
    /// # Errors
    ///
    /// As [`Shards::open`].
    pub fn open(path: &Path, options: &ShardsOptions) -> Result<Self> {
        Self::on(path, Arc::new(directory(path, options)?), Arc::new(SystemClock), &SystemRandom, options)
    }

    /// As [`RedbConfig::open`]; a store that this process has open already is shared. (All that open it must do so by this
    /// call.)
    ///
    /// # Errors
    ///
    /// As [`Shards::open`].
    pub fn shared(path: &Path, options: &ShardsOptions) -> Result<Self> {
        let directory = directory(path, options)?;
        let place = directory.identity();
        let place = place.map_err(|error| Error::io(format!("look at {}", path.display()), error))?;
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = shared.get(&place).and_then(Weak::upgrade) {
            check_wanted(path, open.shards.layout(), options)?;
            return Ok(Self { open });
        }
        let store = Self::on(path, Arc::new(directory), Arc::new(SystemClock), &SystemRandom, options)?;
        shared.retain(|_, open| open.strong_count() > 0);
        shared.insert(place, Arc::downgrade(&store.open));
        Ok(store)
    }

    /// Opens a store on any [`Directory`]; `name` is for messages. This blocks.
    ///
    /// # Errors
    ///
    /// As [`Shards::open`].
    pub fn on(
        name: impl Into<PathBuf>,
        directory: Arc<dyn Directory>,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
        options: &ShardsOptions,
    ) -> Result<Self> {
        let options = ShardsOptions { purpose: ShardPurpose::Segments, ..options.clone() };
        Self::of(Shards::open(&directory, &name.into(), random, &options)?, &clock)
    }

    /// A store in memory, gone with the process.
    ///
    /// # Errors
    ///
    /// `Io` when the source of randomness fails.
    pub fn in_memory(shards: ShardCount, clock: &Arc<dyn Clock>, random: &dyn Random) -> Result<Self> {
        Self::of(Shards::in_memory(ShardPurpose::Segments, shards, random)?, clock)
    }

    fn of(shards: Shards, clock: &Arc<dyn Clock>) -> Result<Self> {
        let shards = Arc::new(shards);
        let misplaced = shards.audit_shards(shard_listing::each_group)?;
        let misplaced = misplaced.into_iter().map(|misplaced| (misplaced.name.clone(), misplaced)).collect();
        let lane = |no| Arc::new(Lane::new(Arc::clone(&shards), no, Arc::clone(clock)));
        let lanes = shards.count().all().map(lane).collect();
        Ok(Self { open: Arc::new(OpenStore { shards, lanes, misplaced }) })
    }

    /// The set of shards.
    #[must_use]
    pub fn shards(&self) -> &Shards {
        &self.open.shards
    }

    /// The groups (namespaces) that are in another shard than they belong to. They are used where they are.
    pub fn misplaced(&self) -> impl Iterator<Item = &Misplaced> {
        self.open.misplaced.values()
    }

    fn lane(&self, no: ShardNo) -> Result<Arc<Lane>> {
        let lane = self.open.lanes.get(usize::from(no.0)).cloned();
        lane.ok_or_else(|| Error::invalid(format!("shard {no}"), "there is no such shard"))
    }

    /// The shard of an object.
    fn lane_of(&self, path: &ObjectPath) -> Result<Arc<Lane>> {
        let group = objects::group_of(path.as_str());
        let elsewhere = self.open.misplaced.get(group).map(|misplaced| misplaced.shard);
        self.lane(elsewhere.unwrap_or_else(|| self.open.shards.home_of(group)))
    }

    /// The shards in which something may be below a prefix.
    fn lanes_below(&self, prefix: &ObjectPath) -> Result<Vec<Arc<Lane>>> {
        if prefix.as_str().contains('/') {
            return Ok(vec![self.lane_of(prefix)?]);
        }
        Ok(self.open.lanes.clone())
    }
}

fn directory(path: &Path, options: &ShardsOptions) -> Result<OsDirectory> {
    let opened = if options.create { OsDirectory::create(path) } else { OsDirectory::open(path) };
    opened.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::not_found(format!("the store directory {}", path.display())),
        _ => Error::unavailable(format!("open the store directory {}: {error}", path.display()), error),
    })
}

/// Sharded redb as a [`Backend`].
///
/// Calls must be made in a tokio runtime: the databases are used on its blocking threads.
#[derive(Clone, Debug)]
pub struct Redb {
    config: RedbConfig,
}

impl Redb {
    /// A store in this set of shards by default.
    #[must_use]
    pub const fn new(config: RedbConfig) -> Self {
        Self { config }
    }

    fn config<'a>(&'a self, config: Option<&'a RedbConfig>) -> &'a RedbConfig {
        config.unwrap_or(&self.config)
    }

    /// Gives the space of deleted objects back to the file system: see [`Shards::compact`].
    ///
    /// # Errors
    ///
    /// As [`Shard::compact`](super::Shard::compact).
    pub async fn compact(&self) -> Result<Shrunk> {
        let shards = Arc::clone(&self.config.open.shards);
        blocking(move || shards.compact()).await
    }
}

/// What a failure of the disk is to the caller of a store: it may pass, as that of any other store.
fn as_of_a_store(error: Error) -> Error {
    match error {
        Error::Io { what, source } => Error::unavailable(format!("{what}: {source}"), source),
        error => error,
    }
}

#[async_trait]
impl Backend for Redb {
    type Config = RedbConfig;

    fn default_config(&self) -> RedbConfig {
        self.config.clone()
    }

    async fn put_new(&self, config: Option<&RedbConfig>, path: &ObjectPath, body: Body) -> Result<()> {
        let lane = self.config(config).lane_of(path)?;
        commit(lane, Order::PutNew(path.clone(), body)).await.map_err(as_of_a_store)
    }

    async fn get(&self, config: Option<&RedbConfig>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        let lane = self.config(config).lane_of(path)?;
        if lane.shard().is_ok_and(|shard| shard.leads(path.as_str())) {
            return Err(Error::not_found(path.as_str()));
        }
        let path = path.clone();
        let got = blocking(move || objects::get(lane.shard()?, &path, &range));
        got.await.map_err(as_of_a_store)
    }

    fn list<'a>(
        &'a self,
        config: Option<&'a RedbConfig>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        let listed = Objects { prefix: prefix.clone(), after: after.cloned() };
        merged(listed, self.config(config).lanes_below(prefix), limit)
    }

    fn list_directories<'a>(
        &'a self,
        config: Option<&'a RedbConfig>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        let listed = Directories { prefix: prefix.clone(), after: after.map(str::to_string) };
        merged(listed, self.config(config).lanes_below(prefix), limit)
    }

    async fn delete(&self, config: Option<&RedbConfig>, paths: &[ObjectPath]) -> Result<()> {
        let config = self.config(config);
        let mut orders = BTreeMap::<ShardNo, (Arc<Lane>, Vec<ObjectPath>)>::new();
        for path in paths {
            let lane = config.lane_of(path)?;
            orders.entry(lane.no()).or_insert_with(|| (lane, Vec::new())).1.push(path.clone());
        }
        let orders = orders.into_values().map(|(lane, paths)| commit(lane, Order::Delete(paths)));
        try_join_all(orders).await.map(drop).map_err(as_of_a_store)
    }
}
