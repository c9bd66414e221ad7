//! The replication of one database, as whoever started it sees it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use walkeep::Handles;
use walkeep::core::{Error, FrameNo, Namespace, Result};

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

/// Who waits for a flush.
pub(super) type Flush = oneshot::Sender<Result<Option<FrameNo>>>;

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
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
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
        let task = Task {
            path,
            request,
            watcher,
            reporter,
            commands: received,
            opened_before: false,
            damage_met: 0,
            held: None,
        };
        Self { commands, status, task: Some(tokio::spawn(task.run())) }
    }

    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Follows where it stands.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Captures what is committed now, and returns when a restore can reach it: the durable frame; `None` when the
    /// database has no commits.
    ///
    /// # Errors
    ///
    /// `Unknown` when the replication ended or failed first: the commits may or may not be stored.
    ///
    /// # Cancel safety
    ///
    /// A cancelled call has captured, or will; nothing is lost.
    pub async fn flush(&self) -> Result<Option<FrameNo>> {
        let (sender, answer) = oneshot::channel();
        let ended = || Error::Unknown { what: self.ended_because() };
        self.commands.send(Command::Flush(sender)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    fn ended_because(&self) -> String {
        let why = self.status.borrow().last_error.clone();
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        format!("the replication was interrupted; the commits may or may not be stored{why}")
    }

    /// Captures what is left, waits up to `within` until it is stored, and ends. Returns whether everything was stored;
    /// what was not is in the spool.
    ///
    /// # Errors
    ///
    /// What the replication failed with.
    pub async fn stop(mut self, within: Duration) -> Result<bool> {
        // An error is that it has ended already.
        let _ = self.commands.send(Command::Stop(within)).await;
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
