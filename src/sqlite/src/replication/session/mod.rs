//! One opening of a namespace: captures, hands over, and hears what became stored, until it is told to stop or fails.
//!
//! Invariants:
//!
//! - nothing wakes it while nothing happens, beyond the slow safety poll;
//! - while a segment is being stored, the next one is not cut before its time: transactions gather in the log, which
//!   holds them; only when the log is due for a checkpoint they go to the spool;
//! - after a failure that leaves in doubt what was captured, it ends: the next session finds out from what is on disk.

mod capturing;
mod handing_over;
mod looking;
mod stopping;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};
use walkeep::core::{Error, FrameNo, Result, UnixMillis};

use self::handing_over::HandedOver;
use super::capturer::Capturer;
use super::flushes::Flushes;
use super::handle::Command;
use super::live_database::LiveDatabase;
use super::opening::{Opened, OpeningRequest};
use super::quota_status::QuotaStatus;
use super::reporter::Reporter;
use super::status::{CommitSeen, Phase};
use super::task::blocking;
use super::watcher::Watcher;

/// How long to wait after an event before the first look: a commit is visible a moment after its frames are written.
const SETTLE: Duration = Duration::from_millis(2);
/// How often to look where files cannot be watched.
const BLIND_POLL: Duration = Duration::from_millis(250);

/// How a session ended without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was told to stop; everything is stored.
    Stopped,
    /// It was told to stop; segments are left in the spool.
    Left,
}

/// One opening of a namespace.
pub(super) struct Session<'a> {
    request: &'a OpeningRequest,
    watcher: &'a Watcher,
    reporter: &'a mut Reporter,
    commands: &'a mut mpsc::Receiver<Command>,
    flushes: &'a mut Flushes,
    capturer: Option<Box<Capturer>>,
    wake: Arc<Notify>,
    stored: (mpsc::UnboundedSender<Result<FrameNo>>, mpsc::UnboundedReceiver<Result<FrameNo>>),
    handed_over: VecDeque<HandedOver>,
    durable: Option<FrameNo>,
    /// When to look next; `None` while nothing is known to have happened.
    due: Option<Instant>,
    last_capture: Instant,
    last_activity: Instant,
    last_look_found_writer: bool,
    /// Bytes of the log that were committed and not captured after the last look.
    unseen_before: u64,
    /// Until when the log counts as written fast.
    written_fast_until: Instant,
    /// How long to wait for the next look while commits come.
    pause: Duration,
    /// Captures in a row that local files held up.
    local_failures: u32,
    /// Since when commits are known that are not captured.
    behind_since: Option<UnixMillis>,
    checkpoint_not_before: Instant,
    /// Whether a reader was in the way of the last checkpoint.
    blocked_by_reader: bool,
    aside_not_before: Instant,
    /// Whether the spool is full.
    paused: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        request: &'a OpeningRequest,
        watcher: &'a Watcher,
        reporter: &'a mut Reporter,
        commands: &'a mut mpsc::Receiver<Command>,
        flushes: &'a mut Flushes,
        opened: Opened,
    ) -> Result<Self> {
        let Opened { capturer, head, fall_back } = opened;
        let now = Instant::now();
        let mut session = Self {
            request,
            watcher,
            reporter,
            commands,
            flushes,
            capturer: Some(Box::new(capturer)),
            wake: Arc::new(Notify::new()),
            stored: mpsc::unbounded_channel(),
            handed_over: VecDeque::new(),
            durable: head.durable.map(|commit| commit.frame_no),
            due: Some(now),
            last_capture: now,
            last_activity: now,
            last_look_found_writer: false,
            unseen_before: 0,
            written_fast_until: now,
            pause: BLIND_POLL,
            local_failures: 0,
            behind_since: None,
            checkpoint_not_before: now,
            blocked_by_reader: false,
            aside_not_before: now,
            paused: false,
        };
        session.reporter.opened(&head);
        session.note_fall_back(fall_back);
        session.hand_over()?;
        Ok(session)
    }

    /// Runs until it is told to stop.
    ///
    /// # Errors
    ///
    /// `Fenced` and others from the store; what leaves in doubt what was captured.
    pub(super) async fn run(mut self) -> Result<Ended> {
        let poll = self.request.options.poll_interval;
        let mut poll_at = Instant::now() + poll;
        let poll_interval_ms = u64::try_from(poll.as_millis()).ok();
        self.reporter.update(|status| {
            status.phase = Phase::Capturing;
            status.poll_interval_ms = poll_interval_ms;
        });
        self.with(|capturer| capturer.state.give_sign_of_life()).await?;
        self.flushes.begin_again();
        self.flush().await?;
        loop {
            let due = self.due.unwrap_or(poll_at).min(poll_at);
            let write_at = self.reporter.write_at();
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(Command::Flush(flush)) => {
                        self.flushes.gather(flush);
                        self.flush().await?;
                    }
                    Some(Command::Stop(within)) => return self.stop(within).await,
                    None => return self.stop(Duration::ZERO).await,
                },
                Some(stored) = self.stored.1.recv() => self.note_stored(stored?).await?,
                () = self.wake.notified() => self.woken(),
                () = sleep_until(due) => {
                    if poll_at <= Instant::now() {
                        poll_at = Instant::now() + poll;
                        self.poll().await?;
                    }
                    if self.due.is_some_and(|due| due <= Instant::now()) {
                        self.look().await?;
                    }
                }
                () = sleep_until(write_at.unwrap_or(poll_at)), if write_at.is_some() => self.write_status().await,
            }
        }
    }

    /// Something was written.
    fn woken(&mut self) {
        self.pause = SETTLE;
        let interval = self.request.options.sync_interval;
        let at = (Instant::now() + SETTLE).max(self.last_capture + interval);
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
        self.last_activity = Instant::now();
    }

    /// Does work that blocks with the capturer.
    async fn with<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Capturer) -> T + Send + 'static,
    ) -> Result<T> {
        let Some(mut capturer) = self.capturer.take() else {
            return Err(Error::Unknown { what: "a capture did not finish".into() });
        };
        let (capturer, done) = blocking(move || {
            let done = work(&mut capturer);
            Ok((capturer, done))
        })
        .await?;
        self.capturer = Some(capturer);
        Ok(done)
    }

    /// The safety poll.
    async fn poll(&mut self) -> Result<()> {
        let replaced = self.with(|capturer| {
            capturer.state.give_sign_of_life();
            let Some(live) = &mut capturer.live else { return Ok(false) };
            live.rest();
            live.is_replaced()
        });
        if replaced.await?? {
            let what = format!("{} was replaced by another file", self.reporter.database());
            return Err(Error::Unknown { what });
        }
        if self.paused {
            // Nobody captures: the log is kept short all the same.
            self.with(|capturer| LiveDatabase::checkpoint_unattended(&capturer.database)).await?;
        }
        self.due.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn report(&mut self) {
        let Some(capturer) = &self.capturer else { return };
        let storage = self.request.store.storage.status(&self.request.namespace);
        let quota = storage.as_ref().map(|status| QuotaStatus {
            limit: status.quota,
            used: status.used,
            over: status.over_quota,
            refusals: status.refusals,
            total: status.total,
        });
        let store_error = storage.and_then(|status| status.last_error);
        let waiting_since = self.handed_over.front().map(|handed| handed.first_time).or(self.behind_since);
        self.reporter.update(|status| {
            status.seen = capturer.last.map(|last| CommitSeen { frame_no: last.frame_no, time: last.time });
            status.transactions = capturer.transactions;
            status.frames = capturer.frames;
            status.spool_segments = capturer.spool.len() as u64;
            status.spool_bytes = capturer.spool_bytes();
            status.wal_bytes = capturer.wal_bytes();
            status.waiting_since = waiting_since;
            status.quota = quota.unwrap_or(status.quota);
            if store_error.is_some() {
                status.last_error = store_error;
            }
        });
    }

    async fn write_status(&mut self) {
        self.report();
        let status = self.reporter.written();
        let written = self.with(move |capturer| capturer.state.set_status(&status)).await;
        if let Err(error) = written.and_then(|written| written) {
            tracing::debug!(%error, "the status could not be written");
        }
    }
}
