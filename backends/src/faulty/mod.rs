//! A store that fails and lies on purpose: for tests of whatever must survive that.
//!
//! Invariants:
//!
//! - what happens follows from the seed and the calls (see [`Faults`] for what can): a run replays;
//! - with all faults at 0 it is the backend behind it;
//! - what it stores is never damaged: only answers are, and the time at which things are done.
//!
//! It does not simulate crashes: nothing that the backend behind calls durable is lost again.

mod dice;
mod faults;
mod listing;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use walkeep_core::{Backend, Body, ByteRange, Error, Leftovers, ObjectMeta, ObjectPath, Result, UnixMillis};

use self::dice::Dice;
pub use self::faults::{Fault, Faults};
use self::listing::{Change, Undone};
use self::write::{Late, Write};

/// How many changes are remembered for stale listings, and how many of them one listing may lag behind.
const CHANGES_REMEMBERED: usize = 1024;
const STALE_CHANGES_MAX: usize = 8;

/// After how many other calls a late write is done at most.
const LATE_CALLS_MAX: usize = 8;

/// A backend that fails and lies, over one that does not.
pub struct Faulty<B: Backend> {
    inner: B,
    seed: u64,
    state: Mutex<State<B::Config>>,
}

struct State<C> {
    faults: Faults,
    /// All calls so far, and those of one kind about one name.
    calls: u64,
    calls_by_name: BTreeMap<(&'static str, String), u64>,
    late: Vec<Late<C>>,
    /// Newest first.
    changes: VecDeque<Change>,
    happened: BTreeMap<Fault, u64>,
}

impl<B: Backend> Faulty<B> {
    /// Lets these faults happen over `inner`, as the seed has it.
    ///
    /// # Errors
    ///
    /// As [`Faults::check`].
    pub fn new(inner: B, faults: Faults, seed: u64) -> Result<Self> {
        faults.check()?;
        let state = State {
            faults,
            calls: 0,
            calls_by_name: BTreeMap::new(),
            late: Vec::new(),
            changes: VecDeque::new(),
            happened: BTreeMap::new(),
        };
        Ok(Self { inner, seed, state: Mutex::new(state) })
    }

    /// The backend behind, which tells the truth.
    pub const fn inner(&self) -> &B {
        &self.inner
    }

    /// Other faults from now on: a store that breaks, or recovers.
    ///
    /// # Errors
    ///
    /// As [`Faults::check`]; the faults then stay as they are.
    pub fn set_faults(&self, faults: Faults) -> Result<()> {
        faults.check()?;
        self.state().faults = faults;
        Ok(())
    }

    /// How often each fault has happened so far: a test that wants faults can see that it got them.
    #[must_use]
    pub fn happened(&self) -> BTreeMap<Fault, u64> {
        self.state().happened.clone()
    }

    /// Does all late writes now, in the order in which they were asked for, and returns how many there were.
    pub async fn apply_late(&self) -> usize {
        let late = std::mem::take(&mut self.state().late);
        let count = late.len();
        self.apply_all(late).await;
        count
    }

    fn state(&self) -> MutexGuard<'_, State<B::Config>> {
        // Each change of the state is one step: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call: does the late writes that are due, and lets the call fail, or gives it its dice.
    async fn begin(&self, call: &'static str, name: &str) -> Result<Dice> {
        let (dice, due) = {
            let mut state = self.state();
            state.calls += 1;
            let now = state.calls;
            let nth = state.calls_by_name.entry((call, name.to_string())).or_default();
            *nth += 1;
            let dice = Dice::new(self.seed, call, name, *nth);
            (dice, state.late.extract_if(.., |late| late.due < now).collect::<Vec<_>>())
        };
        self.apply_all(due).await;
        for (fault, what) in
            [(Fault::FailBefore, "the connection was refused"), (Fault::Throttled, "slow down")]
        {
            if self.happens(dice, fault) {
                return Err(unavailable(call, name, what));
            }
        }
        Ok(dice)
    }

    fn happens(&self, dice: Dice, fault: Fault) -> bool {
        let mut state = self.state();
        let probability = state.faults.by_kind().get(&fault).copied().unwrap_or_default();
        let happens = dice.happens(&format!("{fault:?}"), probability);
        if happens {
            *state.happened.entry(fault).or_default() += 1;
        }
        happens
    }

    /// A listing of objects, bent.
    async fn objects(
        &self,
        config: Option<&B::Config>,
        prefix: &ObjectPath,
        after: Option<&ObjectPath>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>> {
        let dice = self.begin("list", prefix.as_str()).await?;
        let mut items = if self.happens(dice, Fault::StaleListing) {
            self.stale_objects(config, prefix, after, limit, dice).await?
        } else {
            self.inner.list(config, prefix, after, limit).try_collect().await?
        };
        self.bend(&mut items, limit, dice);
        Ok(items)
    }

    async fn stale_objects(
        &self,
        config: Option<&B::Config>,
        prefix: &ObjectPath,
        after: Option<&ObjectPath>,
        limit: usize,
        dice: Dice,
    ) -> Result<Vec<ObjectMeta>> {
        let undone = self.undone(config, dice);
        // What is left out makes room for what stands behind it.
        let enough = limit.saturating_add(undone.created.len());
        let now = self.inner.list(config, prefix, after, enough).try_collect().await?;
        let mut before = undone.objects(now, prefix, after);
        before.truncate(limit);
        Ok(before)
    }

    /// A listing of directories, bent.
    async fn directories(
        &self,
        config: Option<&B::Config>,
        prefix: &ObjectPath,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        let dice = self.begin("list_directories", prefix.as_str()).await?;
        let mut items = if self.happens(dice, Fault::StaleListing) {
            self.stale_directories(config, prefix, after, limit, dice).await?
        } else {
            self.inner.list_directories(config, prefix, after, limit).try_collect().await?
        };
        self.bend(&mut items, limit, dice);
        Ok(items)
    }

    async fn stale_directories(
        &self,
        config: Option<&B::Config>,
        prefix: &ObjectPath,
        after: Option<&str>,
        limit: usize,
        dice: Dice,
    ) -> Result<Vec<String>> {
        // What the directories were follows from what the objects were; this is for tests, and may cost a full listing.
        let now = self.inner.list(config, prefix, None, usize::MAX).try_collect().await?;
        let before = self.undone(config, dice).objects(now, prefix, None);
        let below = before.iter().filter_map(|object| object.path.below(prefix)?.split_once('/'));
        let mut names = below.map(|(name, _)| format!("{name}/")).collect::<Vec<_>>();
        names.sort_unstable();
        names.dedup();
        let after = after.map(|after| format!("{after}/"));
        names.retain(|name| after.as_ref().is_none_or(|after| name > after));
        names.truncate(limit);
        Ok(names.into_iter().map(|name| name.trim_end_matches('/').to_string()).collect())
    }

    /// The last one to eight changes, undone.
    fn undone(&self, config: Option<&B::Config>, dice: Dice) -> Undone {
        let place = self.place(config);
        let count = 1 + dice.below("how stale", STALE_CHANGES_MAX);
        let state = self.state();
        Undone::new(state.changes.iter().filter(|change| change.place == place).take(count))
    }

    fn bend<T: Clone + PartialEq>(&self, items: &mut Vec<T>, limit: usize, dice: Dice) {
        if self.happens(dice, Fault::PartialListing) {
            listing::cut(items, dice);
        }
        if self.happens(dice, Fault::DuplicateInListing) {
            listing::repeat(items, limit, dice);
        }
        if self.happens(dice, Fault::UnsortedListing) {
            listing::shuffle(items, dice);
        }
    }

    /// The bytes of an object, bent.
    fn damaged(&self, bytes: Bytes, dice: Dice) -> Bytes {
        let mut bytes = bytes;
        if self.happens(dice, Fault::ShortBody) {
            bytes.truncate(dice.below("where the body ends", bytes.len()));
        }
        if self.happens(dice, Fault::FlippedBody) {
            let mut flipped = BytesMut::from(bytes);
            let bit = dice.below("which bit", flipped.len() * 8);
            if let Some(byte) = flipped.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            bytes = flipped.freeze();
        }
        bytes
    }
}

fn unavailable(call: &str, name: &str, what: &str) -> Error {
    Error::Unavailable { what: format!("{call} {name}: {what} (a fault on purpose)"), source: None }
}

impl<B: Backend> fmt::Debug for Faulty<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("inner", &self.inner).field("seed", &self.seed).finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: Backend> Backend for Faulty<B> {
    type Config = B::Config;

    fn default_config(&self) -> B::Config {
        self.inner.default_config()
    }

    async fn put_new(&self, config: Option<&B::Config>, path: &ObjectPath, body: Body) -> Result<()> {
        let dice = self.begin("put", path.as_str()).await?;
        if self.happens(dice, Fault::Conflict) {
            return Err(Error::AlreadyExists { what: path.to_string() });
        }
        self.write(config, Write::Put(path.clone(), body), dice).await
    }

    async fn get(&self, config: Option<&B::Config>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        let dice = self.begin("get", path.as_str()).await?;
        let bytes = self.inner.get(config, path, range).await?;
        Ok(self.damaged(bytes, dice))
    }

    fn list<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        let listing = stream::once(self.objects(config, prefix, after, limit));
        listing.map_ok(|items| stream::iter(items.into_iter().map(Ok))).try_flatten().boxed()
    }

    fn list_directories<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        let listing = stream::once(self.directories(config, prefix, after, limit));
        listing.map_ok(|items| stream::iter(items.into_iter().map(Ok))).try_flatten().boxed()
    }

    async fn delete(&self, config: Option<&B::Config>, paths: &[ObjectPath]) -> Result<()> {
        let name = paths.iter().map(ObjectPath::as_str).collect::<Vec<_>>().join(" ");
        let dice = self.begin("delete", &name).await?;
        self.write(config, Write::Delete(paths.to_vec()), dice).await
    }

    async fn leftovers(
        &self,
        config: Option<&B::Config>,
        prefix: &ObjectPath,
        before: UnixMillis,
        delete: bool,
    ) -> Result<Leftovers> {
        self.begin("leftovers", prefix.as_str()).await?;
        self.inner.leftovers(config, prefix, before, delete).await
    }
}
