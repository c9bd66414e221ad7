//! What runs, for whoever shows it: where each replication stands, and what has gone to each store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use walkeep::backends::metered::Requests;
use walkeep_sqlite::replication::Status;

use crate::store::Store;

/// What runs. Cheap to clone; clones show the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    replications: BTreeMap<PathBuf, watch::Receiver<Status>>,
    stores: Vec<(String, Store)>,
}

impl Registry {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, path: PathBuf, status: watch::Receiver<Status>) {
        self.inner().replications.insert(path, status);
    }

    pub(super) fn remove(&self, path: &Path) {
        self.inner().replications.remove(path);
    }

    pub(super) fn add_store(&self, name: String, store: Store) {
        self.inner().stores.push((name, store));
    }

    /// Where each replication stands, in order of paths.
    pub(crate) fn statuses(&self) -> Vec<Status> {
        self.inner().replications.values().map(|status| status.borrow().clone()).collect()
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
