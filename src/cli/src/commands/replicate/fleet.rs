//! The replications of a process: started and stopped as the configuration says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use walkeep::backends::StoreUrl;
use walkeep::storage::StorageOptions;
use walkeep::{Error, Fencing, Handles};
use walkeep_sqlite::replication::{DatabaseSpec, Phase, Replication, ReplicationStore, Replicator};
use walkeep_sqlite::{Probe, probe};

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
    /// Tells this run from others of the database.
    number: u64,
}

/// A replication that ended by itself.
struct Failed {
    wanted: Wanted,
    /// Another writer has the namespace: it is not taken back by a look at the configuration.
    fenced: bool,
    /// What the file was then.
    found: Option<Probe>,
}

impl Failed {
    fn new(wanted: Wanted, error: Option<&Error>) -> Self {
        let found = probe(&wanted.path).ok();
        Self { wanted, fenced: matches!(error, Some(Error::Fenced { .. })), found }
    }

    /// Whether the file was not yet what can be replicated: it may come.
    fn may_come(&self) -> bool {
        matches!(self.found, Some(Probe::Missing | Probe::Empty | Probe::Database { wal_mode: false }))
    }

    fn has_come(&self) -> bool {
        self.may_come() && probe(&self.wanted.path).ok() != self.found
    }
}

/// The replications of a process.
pub(super) struct Fleet {
    replicator: Replicator,
    handles: Handles,
    registry: Registry,
    stores: Vec<((StoreUrl, bool), ReplicationStore)>,
    running: BTreeMap<PathBuf, Running>,
    /// Those that ended by themselves. They are started again when the configuration is read again, or wants them
    /// differently, or when a file has come.
    failed: BTreeMap<PathBuf, Failed>,
    tasks: JoinSet<(u64, PathBuf, Outcome)>,
    /// Those that ended while others were waited for.
    aside: VecDeque<(u64, PathBuf, Outcome)>,
    runs: u64,
    /// What all databases together may take of a store.
    total_bytes_max: Option<NonZeroU64>,
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
            aside: VecDeque::new(),
            runs: 0,
            total_bytes_max: None,
        }
    }

    /// Sets how many bytes of segments all databases together may have in each store.
    pub(super) fn set_total(&mut self, bytes_max: Option<NonZeroU64>) {
        self.total_bytes_max = bytes_max;
        self.stores.iter().for_each(|(_, store)| store.set_total(bytes_max));
    }

    /// Where what runs can be seen.
    pub(super) const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The databases that are replicated.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.running.keys().cloned().collect()
    }

    /// Starts what is wanted and does not run, and stops what runs and is not wanted, or not like this. What has failed is
    /// tried again only if `again`, or if it is wanted differently now. Returns what could not be started.
    pub(super) async fn replicate(&mut self, wanted: Vec<Wanted>, again: bool) -> Vec<(PathBuf, Error)> {
        let wanted = wanted.into_iter().map(|one| (one.path.clone(), one)).collect::<BTreeMap<_, _>>();
        let (registry, stays) = (&self.registry, |path: &PathBuf, failed: &Failed| {
            wanted.get(path) == Some(&failed.wanted) && (!again || failed.fenced) && !failed.has_come()
        });
        self.failed.retain(|path, failed| {
            let stays = stays(path, failed);
            if !stays {
                registry.remove(path);
            }
            stays
        });
        let unwanted = |(path, running): (&PathBuf, &Running)| {
            (wanted.get(path) != Some(&running.wanted)).then(|| path.clone())
        };
        let stopped = self.running.iter().filter_map(unwanted).collect::<Vec<_>>();
        for (path, outcome) in self.stop(stopped).await {
            let how = match outcome {
                Ok(true) => "no longer replicated; everything is stored".to_string(),
                Ok(false) => "no longer replicated; not everything is stored".to_string(),
                Err(error) => format!("no longer replicated; not everything is stored: {error}"),
            };
            output::note(format!("{}: {how}", path.display()));
        }
        let mut refused = Vec::new();
        for (path, one) in wanted {
            if self.running.contains_key(&path) || self.failed.contains_key(&path) {
                continue;
            }
            if let Err(error) = self.start(one.clone()) {
                self.failed.insert(path.clone(), Failed::new(one, Some(&error)));
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
        self.registry.add(path.clone(), replication.watch(), wanted.tended());
        let (stop, stopped) = oneshot::channel();
        self.runs += 1;
        let (number, of) = (self.runs, path.clone());
        self.tasks.spawn(async move {
            // A panic is a failure of this one.
            let ended = tokio::spawn(run(replication, stopped)).await;
            let outcome = ended.unwrap_or_else(|error| Err(Error::Unknown { what: error.to_string() }));
            (number, of, outcome)
        });
        self.running.insert(path, Running { wanted, stop, number });
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
        let options = StorageOptions { total_bytes_max: self.total_bytes_max, ..StorageOptions::default() };
        let store = ReplicationStore::new(backend, name, fencing, options, self.handles.clone())?;
        self.registry.add_store(name.to_string(), opened, Some(store.clone()));
        self.stores.push((key, store.clone()));
        Ok(store)
    }

    /// Waits until a replication ends by itself.
    pub(super) async fn ended(&mut self) -> (PathBuf, Outcome) {
        loop {
            let next = match self.aside.pop_front() {
                Some(ended) => Some(Ok(ended)),
                None => self.tasks.join_next().await,
            };
            let Some(ended) = next else { return std::future::pending().await };
            let Ok((number, path, outcome)) = ended else { continue };
            let is_this = self.running.get(&path).is_some_and(|running| running.number == number);
            if let Some(running) = is_this.then(|| self.running.remove(&path)).flatten() {
                self.failed.insert(path.clone(), Failed::new(running.wanted, outcome.as_ref().err()));
                return (path, outcome);
            }
        }
    }

    /// Whether nothing runs any more, although something should, and no file is waited for.
    pub(super) fn has_failed_altogether(&self) -> bool {
        self.running.is_empty() && !self.failed.is_empty() && !self.failed.values().any(Failed::may_come)
    }

    /// How many have ended by themselves.
    pub(super) fn failures(&self) -> usize {
        self.failed.len()
    }

    /// Stops these, and waits for them.
    async fn stop(&mut self, paths: Vec<PathBuf>) -> Vec<(PathBuf, Outcome)> {
        let mut waiting = BTreeSet::new();
        for path in paths {
            if let Some(running) = self.running.remove(&path) {
                waiting.insert(running.number);
                // An error is that it ends by itself just now.
                let _ = running.stop.send(());
            }
            self.registry.remove(&path);
        }
        let mut stopped = Vec::new();
        while !waiting.is_empty() {
            match self.tasks.join_next().await {
                None => break,
                Some(Err(_)) => {}
                Some(Ok((number, path, outcome))) if waiting.remove(&number) => stopped.push((path, outcome)),
                Some(Ok(other)) => self.aside.push_back(other),
            }
        }
        stopped
    }

    /// Stops everything. Returns what was not stored, or failed.
    pub(super) async fn stop_all(&mut self) -> Vec<(PathBuf, Outcome)> {
        let mut stopped = self.stop(self.paths()).await;
        stopped.retain(|(_, outcome)| !matches!(outcome, Ok(true)));
        stopped
    }
}

/// Lets a replication run until it ends or is told to stop.
async fn run(mut replication: Replication, stopped: oneshot::Receiver<()>) -> Outcome {
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
    match outcome {
        Some(ended) => ended,
        None => replication.stop(STOP_WITHIN).await,
    }
}
