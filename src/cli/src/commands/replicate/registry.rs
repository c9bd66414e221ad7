//! What runs, for whoever shows it: where each replication stands, and what is measured of each store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use walkeep_sqlite::replication::{Phase, ReplicationStore, Status};

use super::caretaker::{Done, Tended};
use crate::metrics::StoreFigures;
use crate::store::Store;

/// What runs. Cheap to clone; clones show the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    replications: BTreeMap<PathBuf, Replicated>,
    stores: Vec<(String, Store, Option<ReplicationStore>)>,
}

/// A replication that runs.
#[derive(Debug)]
struct Replicated {
    status: watch::Receiver<Status>,
    tended: Tended,
    done: Done,
}

impl Registry {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, path: PathBuf, status: watch::Receiver<Status>, tended: Tended) {
        self.inner().replications.insert(path, Replicated { status, tended, done: Done::default() });
    }

    /// The databases whose histories can be looked after now, and how many segments of each were stored since its start.
    pub(super) fn tended(&self) -> Vec<(PathBuf, Tended, u64)> {
        let inner = self.inner();
        let open = inner.replications.iter().filter_map(|(path, one)| {
            let status = one.status.borrow();
            let is_open = matches!(status.phase, Phase::Capturing | Phase::SpoolFull);
            is_open.then(|| (path.clone(), one.tended.clone(), status.segments_stored))
        });
        open.collect()
    }

    /// What was done for a history so far.
    pub(super) fn note_done(&self, path: &Path, done: Done) {
        if let Some(one) = self.inner().replications.get_mut(path) {
            one.done = done;
        }
    }

    /// What was done for each history, beside where its replication stands.
    pub(crate) fn cares(&self) -> Vec<(Status, Done)> {
        let inner = self.inner();
        inner.replications.values().map(|one| (one.status.borrow().clone(), one.done.clone())).collect()
    }

    pub(super) fn remove(&self, path: &Path) {
        self.inner().replications.remove(path);
    }

    /// A store that is written to; and as what, if databases are replicated to it.
    pub(super) fn add_store(&self, name: String, opened: Store, replicated: Option<ReplicationStore>) {
        self.inner().stores.push((name, opened, replicated));
    }

    /// Where each replication stands, in order of paths.
    pub(crate) fn statuses(&self) -> Vec<Status> {
        self.inner().replications.values().map(|one| one.status.borrow().clone()).collect()
    }

    /// What is measured of each store, by its name without secrets.
    pub(crate) fn stores(&self) -> Vec<(String, StoreFigures)> {
        let mut stores = BTreeMap::<String, StoreFigures>::new();
        for (name, opened, replicated) in &self.inner().stores {
            // The same place is opened once more to look after histories: what waits there is counted once.
            let figures = StoreFigures {
                requests: opened.requests(),
                quota: replicated.as_ref().map(ReplicationStore::total).unwrap_or_default(),
                copying: replicated.as_ref().and_then(|_| opened.copying()),
            };
            let sum = stores.remove(name).unwrap_or_default();
            stores.insert(name.clone(), sum.plus(figures));
        }
        stores.into_iter().collect()
    }
}
