//! The replications of a process: started and stopped as the configuration says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use walkeep::backends::StoreUrl;
use walkeep::storage::StorageOptions;
use walkeep::{Error, Fencing, Handles};
use walkeep_sqlite::replication::{DatabaseSpec, Phase, Replication, ReplicationStore, Replicator};

use super::registry::Registry;
use super::wanted::Wanted;
use crate::output;
use crate::store::Store;

/// How long a stop waits for the store. What is left then is stored by the next start.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// What became of a replication: whether everything was stored, or why it ended.
pub(super) type Outcome = Result<bool, Error>;

struct Running {
    wanted: Wanted,
    stop: oneshot::Sender<()>,
}

/// The replications of a process.
pub(super) struct Fleet {
    replicator: Replicator,
    handles: Handles,
    registry: Registry,
    stores: Vec<((StoreUrl, bool), ReplicationStore)>,
    running: BTreeMap<PathBuf, Running>,
    /// Those that ended by themselves, and will not be started again before the configuration is read again.
    failed: BTreeMap<PathBuf, Wanted>,
    tasks: JoinSet<(PathBuf, Outcome)>,
}

impl Fleet {
    pub(super) fn new(handles: Handles, registry: Registry) -> Self {
        Self {
            replicator: Replicator::new(handles.clone()),
            handles,
            registry,
            stores: Vec::new(),
            running: BTreeMap::new(),
            failed: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// The databases that are replicated.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.running.keys().cloned().collect()
    }

    /// Starts what is wanted and does not run, and stops what runs and is not wanted, or not like this. What has failed is
    /// tried again only if `again`, or if it is wanted differently now. Returns what could not be started.
    pub(super) async fn replicate(&mut self, wanted: Vec<Wanted>, again: bool) -> Vec<(PathBuf, Error)> {
        let wanted = wanted.into_iter().map(|one| (one.path.clone(), one)).collect::<BTreeMap<_, _>>();
        if again {
            self.failed.clear();
        }
        self.failed.retain(|path, failed| wanted.get(path) == Some(failed));
        let unwanted = |(path, running): (&PathBuf, &Running)| {
            (wanted.get(path) != Some(&running.wanted)).then(|| path.clone())
        };
        let stopped = self.running.iter().filter_map(unwanted).collect::<Vec<_>>();
        self.stop(stopped).await;
        let mut refused = Vec::new();
        for (path, one) in wanted {
            if self.running.contains_key(&path) || self.failed.contains_key(&path) {
                continue;
            }
            if let Err(error) = self.start(one.clone()) {
                self.failed.insert(path.clone(), one);
                refused.push((path, error));
            }
        }
        refused
    }

    fn start(&mut self, wanted: Wanted) -> Result<(), Error> {
        let spec = DatabaseSpec {
            path: wanted.path.clone(),
            namespace: wanted.namespace.clone(),
            store: self.store(&wanted)?,
            options: wanted.options.clone(),
        };
        let replication = self.replicator.start(spec)?;
        let path = wanted.path.clone();
        self.registry.add(path.clone(), replication.watch());
        let (stop, stopped) = oneshot::channel();
        self.tasks.spawn(run(path.clone(), replication, stopped));
        self.running.insert(path, Running { wanted, stop });
        Ok(())
    }

    /// The store of a database: one for all that name the same.
    fn store(&mut self, wanted: &Wanted) -> Result<ReplicationStore, Error> {
        let key = (wanted.store.clone(), wanted.unfenced);
        if let Some((_, store)) = self.stores.iter().find(|(known, _)| *known == key) {
            return Ok(store.clone());
        }
        let opened = Store::create(&wanted.store)?;
        let fencing = if wanted.unfenced { Fencing::Unfenced } else { Fencing::Required };
        let (backend, name) = (opened.backend(), &wanted.store);
        let store =
            ReplicationStore::new(backend, name, fencing, StorageOptions::default(), self.handles.clone())?;
        self.registry.add_store(name.to_string(), opened);
        self.stores.push((key, store.clone()));
        Ok(store)
    }

    /// Waits until a replication ends by itself.
    pub(super) async fn ended(&mut self) -> (PathBuf, Outcome) {
        loop {
            let Some(ended) = self.tasks.join_next().await else { return std::future::pending().await };
            let Ok((path, outcome)) = ended else { continue };
            if let Some(running) = self.running.remove(&path) {
                self.failed.insert(path.clone(), running.wanted);
                return (path, outcome);
            }
        }
    }

    /// Whether nothing runs any more, although something should.
    pub(super) fn has_failed_altogether(&self) -> bool {
        self.running.is_empty() && !self.failed.is_empty()
    }

    /// Stops these, and waits for them. Returns what was not stored, or failed.
    async fn stop(&mut self, paths: Vec<PathBuf>) -> Vec<(PathBuf, Outcome)> {
        let mut waiting = paths.len();
        for path in paths {
            match self.running.remove(&path) {
                // An error is that it ends by itself just now.
                Some(running) => drop(running.stop.send(())),
                None => waiting -= 1,
            }
            self.registry.remove(&path);
        }
        let mut left = Vec::new();
        while waiting > 0 {
            let Some(ended) = self.tasks.join_next().await else { break };
            waiting -= 1;
            match ended {
                Ok((_, Ok(true))) | Err(_) => {}
                Ok(other) => left.push(other),
            }
        }
        left
    }

    /// Stops everything. Returns what was not stored, or failed.
    pub(super) async fn stop_all(&mut self) -> Vec<(PathBuf, Outcome)> {
        self.stop(self.paths()).await
    }
}

/// Lets a replication run until it ends or is told to stop.
async fn run(
    path: PathBuf,
    mut replication: Replication,
    stopped: oneshot::Receiver<()>,
) -> (PathBuf, Outcome) {
    let mut status = replication.watch();
    let announced = async {
        while status.borrow_and_update().phase != Phase::Capturing {
            if status.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
        let now = status.borrow().clone();
        let epoch = now.epoch.unwrap_or_default();
        let (database, store, namespace) = (now.database.display(), &now.store, &now.namespace);
        output::note(format!("replicating {database} to {store}, namespace {namespace}, epoch {epoch}"));
        std::future::pending::<()>().await;
    };
    let outcome = tokio::select! {
        ended = replication.ended() => Some(ended),
        _ = stopped => None,
        () = announced => None,
    };
    let outcome = match outcome {
        Some(ended) => ended,
        None => replication.stop(STOP_WITHIN).await,
    };
    (path, outcome)
}
