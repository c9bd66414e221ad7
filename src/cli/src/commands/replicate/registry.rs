//! What runs, for whoever shows it: where each replication stands, and what has gone to each store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use walkeep::backends::metered::Requests;
use walkeep_sqlite::replication::{Phase, Status};

use super::caretaker::{Done, Tended};
use crate::store::Store;

/// What runs. Cheap to clone; clones show the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    replications: BTreeMap<PathBuf, Replicated>,
    stores: Vec<(String, Store)>,
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

    pub(super) fn add_store(&self, name: String, store: Store) {
        self.inner().stores.push((name, store));
    }

    /// Where each replication stands, in order of paths.
    pub(crate) fn statuses(&self) -> Vec<Status> {
        self.inner().replications.values().map(|one| one.status.borrow().clone()).collect()
    }

    /// What has gone to each store, by its name without secrets.
    pub(crate) fn requests(&self) -> Vec<(String, Requests)> {
        let mut requests = BTreeMap::<String, Requests>::new();
        for (name, store) in &self.inner().stores {
            // Two may differ in settings only, which the name leaves out.
            let (sum, more) = (requests.entry(name.clone()).or_default(), store.requests());
            *sum = sum.plus(&more);
        }
        requests.into_iter().collect()
    }
}
