//! Asking a replication to store what is committed, and what came of it the last time.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};
use walkeep::core::{Error, FrameNo, Result};

use super::handle::Command;
use super::status::Status;
use crate::replicated::Log;

/// Asks one replication to store what is committed. Cheap to clone; it does not keep the replication alive.
#[derive(Clone, Debug)]
pub(crate) struct Flusher {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) status: watch::Receiver<Status>,
    /// Why the replication ended, if it could not go on.
    pub(super) failed: Arc<OnceLock<Error>>,
    stored: Arc<Mutex<Option<StoredLog>>>,
}

/// A log of which everything is stored, and the durable frame.
#[derive(Debug)]
struct StoredLog {
    log: Log,
    durable: FrameNo,
}

impl Flusher {
    pub(super) fn new(commands: mpsc::Sender<Command>, status: watch::Receiver<Status>) -> Self {
        Self { commands, status, failed: Arc::default(), stored: Arc::default() }
    }

    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Captures what is committed, and returns when it is stored; see [`Replication::flush`](super::Replication::flush).
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) async fn flush(&self) -> Result<Option<FrameNo>> {
        let (sender, answer) = oneshot::channel();
        self.commands.send(Command::Flush(sender)).await.map_err(|_| self.ended_because())?;
        answer.await.map_err(|_| self.ended_because())?
    }

    /// Why the replication cannot go on, if it has ended with that.
    pub(crate) fn failed(&self) -> Option<Error> {
        self.failed.get().map(Error::again)
    }

    fn ended_because(&self) -> Error {
        self.failed().unwrap_or_else(|| {
            let why =
                self.status.borrow().last_error.clone().map(|why| format!(": {why}")).unwrap_or_default();
            Error::Unknown {
                what: format!("the replication was stopped; the last commits may or may not be stored{why}"),
            }
        })
    }

    /// The durable frame, if everything in this log is known to be stored.
    pub(crate) fn stored(&self, log: &Log) -> Option<FrameNo> {
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        stored.as_ref().filter(|stored| stored.log == *log).map(|stored| stored.durable)
    }

    /// Everything in this log is stored.
    pub(crate) fn note_stored(&self, log: Log, durable: FrameNo) {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        // Of two who were answered at once the later one may have asked first.
        if stored.as_ref().is_none_or(|stored| stored.durable <= durable) {
            *stored = Some(StoredLog { log, durable });
        }
    }
}
