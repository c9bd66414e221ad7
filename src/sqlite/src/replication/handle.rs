//! The replication of one database, as whoever started it sees it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use walkeep::Handles;
use walkeep::core::{Error, FrameNo, Namespace, Result};

use super::flusher::Flusher;
use super::flushes::{Flush, Flushes};
use super::opening::OpeningRequest;
use super::options::ReplicationOptions;
use super::reporter::Reporter;
use super::status::Status;
use super::store::ReplicationStore;
use super::task::Task;
use super::watcher::Watcher;

/// What is replicated, and where to.
#[derive(Clone, Debug)]
pub struct DatabaseSpec {
    /// The SQLite database.
    pub path: PathBuf,
    /// The namespace it is stored in.
    pub namespace: Namespace,
    /// The store.
    pub store: ReplicationStore,
    /// How.
    pub options: ReplicationOptions,
}

/// What a task is told.
#[derive(Debug)]
pub(super) enum Command {
    Flush(Flush),
    Stop(Duration),
}

/// The replication of one database, which goes on in the background. Dropping it stops the replication without a last
/// capture.
#[derive(Debug)]
pub struct Replication {
    flusher: Flusher,
    task: Option<JoinHandle<Result<bool>>>,
}

impl Replication {
    pub(super) fn start(spec: DatabaseSpec, watcher: Watcher, handles: Handles) -> Self {
        let DatabaseSpec { path, namespace, store, options } = spec;
        let status = Status::new(path.clone(), namespace.clone(), store.name.clone(), handles.clock.now());
        let (sender, status) = watch::channel(status);
        let (commands, received) = mpsc::channel(16);
        let request = OpeningRequest {
            store,
            namespace,
            options,
            handles: handles.clone(),
            sync_failed: Arc::default(),
        };
        let reporter = Reporter::new(sender, handles);
        let flusher = Flusher::new(commands, status);
        let task = Task {
            path,
            request,
            watcher,
            reporter,
            commands: received,
            flushes: Flushes::default(),
            failed: Arc::clone(&flusher.failed),
            opened_before: false,
            damage_met: 0,
            held: None,
        };
        Self { flusher, task: Some(tokio::spawn(task.run())) }
    }

    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.flusher.status()
    }

    /// Follows where it stands.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.flusher.status.clone()
    }

    /// Captures what is committed now, and returns when a restore can reach it: the durable frame; `None` when the
    /// database has no commits. It waits for as long as that takes, also while the namespace is still being opened or
    /// the store is away; set a limit with a timer of your own.
    ///
    /// Any number of callers share captures and uploads: who comes while an upload for others is under way is served by
    /// the next one, together with all who came meanwhile.
    ///
    /// # Errors
    ///
    /// What the replication failed with, such as `Fenced`, if it cannot go on. `Unknown` when it was stopped, or when
    /// nothing can be captured at the moment (the spool or the disk is full, the database is locked). In each case the
    /// commits may or may not be stored.
    ///
    /// # Cancel safety
    ///
    /// A cancelled call has captured, or will; nothing is lost.
    pub async fn flush(&self) -> Result<Option<FrameNo>> {
        self.flusher.flush().await
    }

    pub(crate) fn flusher(&self) -> Flusher {
        self.flusher.clone()
    }

    /// Captures what is left, waits up to `within` until it is stored, and ends. Returns whether everything was stored;
    /// what was not is in the spool.
    ///
    /// # Errors
    ///
    /// What the replication failed with.
    pub async fn stop(mut self, within: Duration) -> Result<bool> {
        // An error is that it has ended already.
        let _ = self.flusher.commands.send(Command::Stop(within)).await;
        self.join().await
    }

    /// Waits until it ends, which it does by itself only when it cannot go on.
    ///
    /// # Errors
    ///
    /// Why: `Fenced` when another writer took over, `Invalid` when the database cannot be replicated like this.
    pub async fn ended(&mut self) -> Result<bool> {
        self.join().await
    }

    async fn join(&mut self) -> Result<bool> {
        let Some(task) = self.task.as_mut() else { return Ok(true) };
        let ended = task.await;
        self.task = None;
        ended.unwrap_or_else(|error| Err(Error::Unknown { what: format!("the replication ended: {error}") }))
    }
}

impl Drop for Replication {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
