//! Copies what waits: in the background, or while somebody waits for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio::task::AbortHandle;
use walkeep_core::{Backend, Error, ObjectPath, Result};

use super::group::group_of;
use super::missing;
use super::object::{Copied, copy};
use super::pending::{Group, GroupKey, Job, Pending};
use super::side::Side;
use super::status::CopyStatus;

/// Groups that are served at the same time.
const GROUPS_AT_ONCE: usize = 4;
/// Objects of a group in one round, so that a group with many does not keep others waiting.
const JOBS_A_ROUND: usize = 32;
/// How often an object is tried at once before its round fails.
const ATTEMPTS: u32 = 4;
/// How long to pause after rounds that failed: from, to.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Copies objects from one store to another.
#[derive(Debug)]
pub(crate) struct Copier<A: Backend, B: Backend> {
    from: Side<A>,
    to: Side<B>,
    /// The folders whose folders are the groups, compared at the start.
    roots: Vec<ObjectPath>,
    wanted: fn(&ObjectPath) -> bool,
    pending: Mutex<Pending<A, B>>,
    turns: Mutex<BTreeMap<GroupKey, Arc<tokio::sync::Mutex<()>>>>,
    wake: Arc<Notify>,
    started: AtomicBool,
    task: Mutex<Option<AbortHandle>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one step: a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<A: Backend, B: Backend> Drop for Copier<A, B> {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

impl<A: Backend, B: Backend> Copier<A, B> {
    pub(crate) fn new(
        from: Side<A>,
        to: Side<B>,
        roots: Vec<ObjectPath>,
        wanted: fn(&ObjectPath) -> bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            from,
            to,
            roots,
            wanted,
            pending: Mutex::default(),
            turns: Mutex::default(),
            wake: Arc::default(),
            started: AtomicBool::new(false),
            task: Mutex::default(),
        })
    }

    /// The two stores of a call, and which group of them a path belongs to.
    fn key(from: &Side<A>, to: &Side<B>, group: ObjectPath) -> GroupKey {
        let place = match (&from.config, &to.config) {
            (None, None) => String::new(),
            configs => format!("{configs:?}"),
        };
        (place, group)
    }

    /// The store that objects are copied from, as it is called by default.
    pub(crate) const fn from(&self) -> &Side<A> {
        &self.from
    }

    /// The store that they are copied to.
    pub(crate) const fn to(&self) -> &Side<B> {
        &self.to
    }

    /// How a conflict of sizes is told.
    pub(super) fn sizes(&self, here: u64, there: u64) -> String {
        let (from, to) = (self.from.name, self.to.name);
        format!("{here} bytes in the {from} store, {there} in the {to}")
    }

    pub(crate) fn status(&self) -> CopyStatus {
        lock(&self.pending).status()
    }

    pub(crate) fn note_fall_back(&self) {
        lock(&self.pending).status.fallen_back += 1;
    }

    pub(crate) fn note_conflict(&self, path: &ObjectPath, why: String) {
        lock(&self.pending).conflict(path, why);
    }

    /// Lets an object be copied in its turn. The background goes on with it once it was [started](Self::start).
    pub(crate) fn push(&self, from: &Side<A>, to: &Side<B>, path: &ObjectPath, size: u64) {
        let key = Self::key(from, to, group_of(path));
        let mut pending = lock(&self.pending);
        pending.number += 1;
        let number = pending.number;
        let group = pending.groups.entry(key).or_insert_with(|| Group::new(from.clone(), to.clone()));
        group.push(Job { path: path.clone(), size }, number);
        drop(pending);
        self.wake.notify_one();
    }

    /// An object need not be copied any more.
    pub(super) fn remove(&self, from: &Side<A>, to: &Side<B>, path: &ObjectPath) {
        let key = Self::key(from, to, group_of(path));
        let mut pending = lock(&self.pending);
        if let Some(group) = pending.groups.get_mut(&key) {
            group.remove(path);
            if group.is_empty() {
                pending.groups.remove(&key);
            }
        }
    }

    /// Keeps copies away from the groups of these paths for as long as the guards live.
    pub(super) async fn exclude(
        &self,
        from: &Side<A>,
        to: &Side<B>,
        paths: &[ObjectPath],
    ) -> Vec<OwnedMutexGuard<()>> {
        let mut keys = paths.iter().map(|path| Self::key(from, to, group_of(path))).collect::<Vec<_>>();
        keys.sort();
        keys.dedup();
        let mut guards = Vec::new();
        // In order, so that two callers never wait for each other.
        for key in keys {
            guards.push(self.turn(&key).await);
        }
        guards
    }

    async fn turn(&self, key: &GroupKey) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = lock(&self.turns);
            turns.retain(|held, turn| held == key || Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(key.clone()).or_default())
        };
        turn.lock_owned().await
    }

    /// Starts copying in the background, once: everything that is missing, and then what comes.
    pub(crate) fn start(self: &Arc<Self>) {
        if self.started.swap(true, Ordering::SeqCst) {
            return;
        }
        let task = tokio::spawn(run(Arc::downgrade(self), Arc::clone(&self.wake)));
        *lock(&self.task) = Some(task.abort_handle());
    }

    /// Has the whole of both stores compared.
    async fn compare_all(&self) -> Result<()> {
        for root in &self.roots {
            let config = self.from.config.as_ref();
            let mut names = self.from.backend.list_directories(config, root, None, usize::MAX);
            while let Some(name) = names.try_next().await? {
                // A name that makes no path is nobody's.
                let Ok(group) = root.join(name) else { continue };
                self.compare_later(&self.from, &self.to, group);
            }
        }
        Ok(())
    }

    fn compare_later(&self, from: &Side<A>, to: &Side<B>, group: ObjectPath) -> GroupKey {
        let key = Self::key(from, to, group);
        let mut pending = lock(&self.pending);
        let group = pending.groups.entry(key.clone());
        group.or_insert_with(|| Group::new(from.clone(), to.clone())).compare = true;
        key
    }

    /// Copies everything that is missing, and returns when it is there.
    ///
    /// # Errors
    ///
    /// The first one; what is left is copied by the next call.
    pub(crate) async fn catch_up(&self) -> Result<()> {
        self.compare_all().await?;
        let keys = lock(&self.pending).groups.keys().cloned().collect::<Vec<_>>();
        let served = futures::stream::iter(keys).map(|key| async move { self.serve(&key, usize::MAX).await });
        served.buffer_unordered(GROUPS_AT_ONCE).try_collect::<Vec<()>>().await?;
        Ok(())
    }

    /// Copies everything that is missing in the group of a path, and returns when it is there.
    ///
    /// # Errors
    ///
    /// `Corrupt` when some of it cannot be, since the other store has other bytes; as [`Backend::list`] and
    /// [`Backend::put_new`].
    pub(crate) async fn flush(&self, from: &Side<A>, to: &Side<B>, group: ObjectPath) -> Result<()> {
        let key = self.compare_later(from, to, group);
        self.serve(&key, usize::MAX).await?;
        let below = |path: &ObjectPath| path.below(&key.1).is_some();
        match lock(&self.pending).status.conflicts.iter().find(|conflict| below(&conflict.path)) {
            Some(conflict) => {
                Err(Error::corrupt(&conflict.path, 0, "one object in both stores", &conflict.why))
            }
            None => Ok(()),
        }
    }

    /// Serves a group: compares it if that is wanted, and copies what waits, at most so many objects.
    async fn serve(&self, key: &GroupKey, jobs_max: usize) -> Result<()> {
        self.compare_group(key).await?;
        for _ in 0..jobs_max {
            let turn = self.turn(key).await;
            let next = {
                let mut pending = lock(&self.pending);
                let Some(group) = pending.groups.get(key) else { return Ok(()) };
                match group.first() {
                    Some(job) => (group.from.clone(), group.to.clone(), job),
                    None if group.compare => return Ok(()),
                    None => {
                        pending.groups.remove(key);
                        return Ok(());
                    }
                }
            };
            self.copy(key, next).await?;
            drop(turn);
        }
        Ok(())
    }

    async fn compare_group(&self, key: &GroupKey) -> Result<()> {
        let _turn = self.turn(key).await;
        let sides = {
            let pending = lock(&self.pending);
            let group = pending.groups.get(key).filter(|group| group.compare);
            group.map(|group| (group.from.clone(), group.to.clone()))
        };
        let Some((from, to)) = sides else { return Ok(()) };
        let found = missing::compare(&from, &to, &key.1, self.wanted).await?;
        let mut pending = lock(&self.pending);
        for (object, there) in found.differing {
            pending.conflict(&object.path, self.sizes(object.size, there));
        }
        let number = pending.number;
        let jobs = found.missing.into_iter().map(|object| Job { path: object.path, size: object.size });
        if let Some(group) = pending.groups.get_mut(key) {
            pending.number = group.replace(jobs.collect(), number);
        }
        Ok(())
    }

    async fn copy(&self, key: &GroupKey, (from, to, job): (Side<A>, Side<B>, Job)) -> Result<()> {
        let mut copied = copy(&from, &to, &job.path, job.size).await;
        // One call in many that fails does not end a round.
        for _ in 1..ATTEMPTS {
            if !copied.as_ref().is_err_and(Error::is_retryable) {
                break;
            }
            // Its size may be that of a create that came too late, of other bytes.
            copied = match from.size_of(&job.path).await {
                Ok(Some(size)) => copy(&from, &to, &job.path, size).await,
                Ok(None) => Ok(Copied::Gone),
                Err(error) => Err(error),
            };
        }
        let mut pending = lock(&self.pending);
        match copied {
            Ok(copied) => {
                if copied == Copied::New {
                    pending.status.copied += 1;
                    pending.status.copied_bytes += job.size;
                }
            }
            // Nothing will change that: others need not wait.
            Err(error @ Error::Corrupt(_)) => pending.conflict(&job.path, error.to_string()),
            Err(error) => return Err(error),
        }
        pending.done += 1;
        if let Some(group) = pending.groups.get_mut(key) {
            group.remove(&job.path);
        }
        Ok(())
    }

    /// One round over all groups. Whether there is more to do.
    async fn round(&self) -> Result<bool> {
        let keys = lock(&self.pending).groups.keys().cloned().collect::<Vec<_>>();
        let served =
            futures::stream::iter(keys).map(|key| async move { self.serve(&key, JOBS_A_ROUND).await });
        let outcomes = served.buffer_unordered(GROUPS_AT_ONCE).collect::<Vec<_>>().await;
        outcomes.into_iter().collect::<Result<()>>()?;
        Ok(!lock(&self.pending).groups.is_empty())
    }

    /// Notes what came of a round that began when so many were done; how long to pause if it failed.
    fn note(&self, outcome: &Result<bool>, before: u64) -> Option<Duration> {
        let mut pending = lock(&self.pending);
        let progress = pending.done > before;
        let status = &mut pending.status;
        if progress {
            status.failures = 0;
        }
        match outcome {
            Ok(_) => {
                status.failures = 0;
                status.last_error = None;
                None
            }
            Err(error) => {
                let pause = PAUSE_MIN.saturating_mul(1 << status.failures.min(6)).min(PAUSE_MAX);
                status.failures = status.failures.saturating_add(1);
                let (failures, to) = (status.failures, self.to.name);
                tracing::warn!(%error, failures, "copying to the {to} store failed; it goes on in {pause:?}");
                status.last_error = Some(error.to_string());
                Some(pause)
            }
        }
    }
}

/// Copies for as long as the copier lives.
async fn run<A: Backend, B: Backend>(copier: Weak<Copier<A, B>>, wake: Arc<Notify>) {
    let mut compared = false;
    loop {
        let Some(copier) = copier.upgrade() else { return };
        let before = lock(&copier.pending).done;
        let outcome = async {
            if !compared {
                copier.compare_all().await?;
                compared = true;
            }
            copier.round().await
        };
        let outcome = outcome.await;
        let pause = copier.note(&outcome, before);
        drop(copier);
        match (pause, outcome) {
            (Some(pause), _) => tokio::time::sleep(pause).await,
            (None, Ok(true)) => tokio::task::yield_now().await,
            _ => wake.notified().await,
        }
    }
}
