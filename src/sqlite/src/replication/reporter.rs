//! Who is told where a replication stands: whoever watches, and the status file, at most once a second.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use walkeep::Handles;
use walkeep::core::{Error, LogHead};

use super::status::{CommitSeen, Status};

/// How often the status file is written at most.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// Keeps a status, and says who has to know.
#[derive(Debug)]
pub(super) struct Reporter {
    sender: watch::Sender<Status>,
    handles: Handles,
    database: String,
    /// When the file is to be written; `None` when it is up to date.
    write_at: Option<Instant>,
}

impl Reporter {
    pub(super) fn new(sender: watch::Sender<Status>, handles: Handles) -> Self {
        let database = sender.borrow().database.display().to_string();
        Self { sender, handles, database, write_at: None }
    }

    pub(super) fn database(&self) -> &str {
        &self.database
    }

    pub(super) fn update(&mut self, change: impl FnOnce(&mut Status)) {
        let now = self.handles.clock.now();
        let changed = self.sender.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            let changed = *status != before;
            if changed {
                status.time = now;
            }
            changed
        });
        if changed {
            self.write_at.get_or_insert_with(|| Instant::now() + WRITE_INTERVAL);
        }
    }

    pub(super) fn opened(&mut self, head: &LogHead) {
        self.update(|status| {
            status.epoch = Some(head.epoch.get());
            status.durable =
                head.durable.map(|commit| CommitSeen { frame_no: commit.frame_no, time: commit.time });
        });
    }

    pub(super) fn failed(&mut self, error: &Error) {
        tracing::warn!(database = self.database, %error, "replication is held up");
        let (text, now) = (error.to_string(), self.handles.clock.now());
        self.update(|status| {
            status.last_error = Some(text);
            // Whether anything waits is not known now: it counts as if.
            status.waiting_since.get_or_insert(now);
        });
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.sender.borrow().last_error.clone()
    }

    /// When the file is to be written.
    pub(super) const fn write_at(&self) -> Option<Instant> {
        self.write_at
    }

    /// The status to write now.
    pub(super) fn written(&mut self) -> Status {
        self.write_at = None;
        self.sender.borrow().clone()
    }
}
