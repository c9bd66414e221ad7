//! What replicates one database: it opens, captures, and opens again after failures that may pass.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use walkeep::core::{Error, Result};

use super::flushes::Flushes;
use super::handle::Command;
use super::live_database::LiveDatabase;
use super::opening::OpeningRequest;
use super::reporter::Reporter;
use super::session::{Ended, Session};
use super::state::{StateDirectory, state_directory};
use super::status::Phase;
use super::watcher::Watcher;

/// While the store is away at the start, the log is held up to so many times the length from which it is checkpointed.
const HELD_CHECKPOINTS_MAX: u64 = 16;
/// The pause after the first failure; each further one doubles it.
const BACK_OFF_FIRST: Duration = Duration::from_millis(250);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// The longest pause after failures of local files, or damage.
const BACK_OFF_LONG_MAX: Duration = Duration::from_secs(30 * 60);

/// Threads that work on local files at the same time, for all databases of the process.
static WORKERS: Semaphore = Semaphore::const_new(16);

/// How often damage is met before it is believed: an answer may have been cut short on its way.
const DAMAGE_ATTEMPTS: u32 = 3;

/// Runs work that blocks where it may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    // It is never closed.
    let permit = WORKERS.acquire().await;
    let done = tokio::task::spawn_blocking(work).await;
    drop(permit);
    match done {
        Ok(done) => done,
        Err(error) => Err(Error::Unknown { what: format!("work on local files did not finish: {error}") }),
    }
}

/// Replicates one database.
pub(super) struct Task {
    pub(super) path: PathBuf,
    pub(super) request: OpeningRequest,
    pub(super) watcher: Watcher,
    pub(super) reporter: Reporter,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) flushes: Flushes,
    /// Why it ended, for those who come later.
    pub(super) failed: Arc<OnceLock<Error>>,
    pub(super) opened_before: bool,
    /// How often damage was met.
    pub(super) damage_met: u32,
    /// The database, while the namespace could not be opened.
    pub(super) held: Option<LiveDatabase>,
}

impl Task {
    /// Returns whether everything was stored when it was told to stop.
    pub(super) async fn run(mut self) -> Result<bool> {
        let (path, asked) = (self.path.clone(), self.request.options.state_directory.clone());
        let handles = self.request.handles.clone();
        let state = move || {
            let path = std::fs::canonicalize(&path).unwrap_or(path);
            let directory = asked.unwrap_or_else(|| state_directory(&path));
            StateDirectory::open(&directory, &handles)
        };
        let mut back_off = BACK_OFF_FIRST;
        let state = loop {
            match blocking(state.clone()).await {
                Ok(state) => break Arc::new(state),
                Err(error @ Error::Invalid { .. }) => return self.fail(None, error).await,
                Err(error) => self.reporter.failed(&error),
            }
            if self.told_to_stop_within(back_off).await {
                return Ok(false);
            }
            back_off = (back_off * 2).min(BACK_OFF_MAX);
        };
        back_off = BACK_OFF_FIRST;
        loop {
            let begun = tokio::time::Instant::now();
            let error = match self.session(&state).await {
                Ok(Some(ended)) => return Ok(ended == Ended::Stopped),
                Ok(None) => {
                    self.reporter.update(|status| status.phase = Phase::Stopped);
                    self.write_status(&state).await;
                    return Ok(false);
                }
                Err(error) => error,
            };
            if self.is_final(&error) {
                return self.fail(Some(&state), error).await;
            }
            self.reporter.failed(&error);
            self.reporter.update(|status| status.phase = Phase::Opening);
            self.write_status(&state).await;
            if begun.elapsed() > BACK_OFF_MAX {
                back_off = BACK_OFF_FIRST;
            }
            if self.told_to_stop_within(back_off).await {
                return Ok(false);
            }
            // Each opening of a namespace leaves something in the store: what does not pass by itself is tried rarely.
            let passes =
                matches!(error, Error::Unavailable { .. } | Error::Unknown { .. } | Error::NotFound { .. });
            back_off = (back_off * 2).min(if passes { BACK_OFF_MAX } else { BACK_OFF_LONG_MAX });
        }
    }

    /// Whether trying again cannot help.
    fn is_final(&mut self, error: &Error) -> bool {
        match error {
            Error::Fenced { .. } | Error::Invalid { .. } => true,
            Error::NotFound { .. } => !self.opened_before,
            Error::Corrupt(_) => {
                self.damage_met += 1;
                !self.opened_before && self.damage_met >= DAMAGE_ATTEMPTS
            }
            _ => false,
        }
    }

    async fn fail(&mut self, state: Option<&Arc<StateDirectory>>, error: Error) -> Result<bool> {
        let (text, now) = (error.to_string(), self.request.handles.clock.now());
        let _ = self.failed.set(error.again());
        self.reporter.update(|status| {
            status.phase = Phase::Failed;
            status.last_error = Some(text);
            status.waiting_since.get_or_insert(now);
        });
        // Whoever is told finds it in the status as well.
        self.flushes.fail(&error);
        if let Some(state) = state {
            self.write_status(state).await;
        }
        Err(error)
    }

    async fn write_status(&mut self, state: &Arc<StateDirectory>) {
        let (state, status) = (Arc::clone(state), self.reporter.written());
        if let Err(error) = blocking(move || state.set_status(&status)).await {
            tracing::debug!(%error, "the status could not be written");
        }
    }

    /// Opens and captures until that ends; `None` when it was told to stop before it was open.
    async fn session(&mut self, state: &Arc<StateDirectory>) -> Result<Option<Ended>> {
        let (path, timeout) = (self.path.clone(), self.request.options.busy_timeout);
        // What was written while the store was away is in the log, if that was held all the time and is not too long.
        let held = self.held.take();
        let log_bytes_max = self.request.options.checkpoint_bytes.saturating_mul(HELD_CHECKPOINTS_MAX);
        let live = blocking(move || match held {
            Some(held) if held.log_bytes()? <= log_bytes_max && !held.is_replaced()? => Ok(held),
            Some(held) => {
                // Without the mark the log can begin anew: if everything is brought into the database file.
                drop(held);
                LiveDatabase::checkpoint_unattended(&path);
                LiveDatabase::open(&path, timeout)
            }
            None => LiveDatabase::open(&path, timeout),
        });
        let opening = self.request.clone().open(Arc::clone(state), live.await?);
        let (opened, held) = tokio::select! {
            opened = opening => opened,
            () = stopped(&mut self.commands, &mut self.flushes) => return Ok(None),
        };
        self.held = held;
        let opened = opened?;
        self.opened_before = true;
        let (reporter, commands) = (&mut self.reporter, &mut self.commands);
        let session =
            Session::new(&self.request, &self.watcher, reporter, commands, &mut self.flushes, opened)?;
        session.run().await.map(Some)
    }

    async fn told_to_stop_within(&mut self, pause: Duration) -> bool {
        tokio::time::timeout(pause, stopped(&mut self.commands, &mut self.flushes)).await.is_ok()
    }
}

/// Waits until it is told to stop. Who wants to flush meanwhile waits for the next session.
async fn stopped(commands: &mut mpsc::Receiver<Command>, flushes: &mut Flushes) {
    while let Some(Command::Flush(flush)) = commands.recv().await {
        flushes.gather(flush);
    }
}
