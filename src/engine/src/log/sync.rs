//! When commits are made durable on the local disk.

use walkeep_core::{Result, UnixMillis};

use super::{Log, SyncPolicy};

impl Log {
    /// After a commit at this time.
    pub(super) fn sync_by_policy(&mut self, now: UnixMillis) -> Result<()> {
        self.unsynced_since.get_or_insert(now);
        match self.options.sync {
            SyncPolicy::EveryCommit => self.sync(),
            SyncPolicy::IntervalMs(_) => self.sync_if_due().map(drop),
            SyncPolicy::Never => Ok(()),
        }
    }

    /// Makes every commit so far durable on the local disk.
    ///
    /// # Errors
    ///
    /// `Unknown` when it failed, now or before: commits that were not synced before may be lost in a power loss. Open
    /// the log again.
    pub fn sync(&mut self) -> Result<()> {
        self.check_writable()?;
        if self.unsynced_since.is_some() {
            self.current.sync().map_err(|error| self.poison(error))?;
            self.unsynced_since = None;
        }
        Ok(())
    }

    /// Syncs if [`SyncPolicy::IntervalMs`] says so; whether it did. For a timer of the embedder; commits do it themselves.
    ///
    /// # Errors
    ///
    /// As [`Log::sync`].
    pub fn sync_if_due(&mut self) -> Result<bool> {
        let now = self.handles.clock.now();
        // A clock that was set back must not put it off.
        self.unsynced_since = self.unsynced_since.map(|since| since.min(now));
        let due = self.sync_due_at().is_some_and(|due| due <= now);
        if due {
            self.sync()?;
        }
        Ok(due)
    }

    /// When [`Log::sync_if_due`] is to be called; `None` when everything is synced, or nothing ever is by time.
    #[must_use]
    pub fn sync_due_at(&self) -> Option<UnixMillis> {
        let SyncPolicy::IntervalMs(interval_ms) = self.options.sync else { return None };
        self.unsynced_since.map(|since| UnixMillis(since.get().saturating_add(interval_ms)))
    }
}
