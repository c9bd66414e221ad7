//! One opening of a namespace: captures, hands over, and hears what became stored, until it is told to stop or fails.
//!
//! Invariants:
//!
//! - nothing wakes it while nothing happens, beyond the slow safety poll;
//! - while a segment is being stored, the next one is not cut before its time: transactions gather in the log, which
//!   holds them; only when the log is due for a checkpoint they go to the spool;
//! - after a failure that leaves in doubt what was captured, it ends: the next session finds out from what is on disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};
use walkeep::core::{Error, FrameNo, Result, SealedSegment, Storage, UnixMillis};

use super::capturer::{Captured, Capturer};
use super::checkpointing::Checkpointed;
use super::fall_back::FallBack;
use super::flushes::Flushes;
use super::handle::Command;
use super::opening::{Opened, OpeningRequest};
use super::reporter::Reporter;
use super::status::{CommitSeen, Phase};
use super::task::blocking;
use super::watcher::Watcher;

/// How long to wait after an event before the first look: a commit is visible a moment after its frames are written.
const SETTLE: Duration = Duration::from_millis(2);
/// Segments that wait in the queue of the store at most; others wait in the spool.
const HANDED_OVER_MAX: usize = 256;
/// How long to wait for a writer that is at work, or a checkpoint that waits for us.
const WRITER_PAUSE: Duration = Duration::from_millis(20);
/// How long nothing must have happened before nothing is done any more.
const QUIET: Duration = Duration::from_secs(2);
/// How long to wait after a failure on local disk.
const LOCAL_BACK_OFF: Duration = Duration::from_secs(1);
/// How long to leave a log alone that could not begin anew: because of writers, and because of a reader.
const CHECKPOINT_BACK_OFF: Duration = Duration::from_millis(100);
const READER_BACK_OFF: Duration = Duration::from_secs(2);
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

/// A segment that was handed over.
#[derive(Clone, Copy, Debug)]
struct HandedOver {
    end: FrameNo,
    first_time: UnixMillis,
    last_time: UnixMillis,
    bytes: u64,
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
    /// Since when commits are known that are not captured.
    behind_since: Option<UnixMillis>,
    checkpoint_not_before: Instant,
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
            behind_since: None,
            checkpoint_not_before: now,
            paused: false,
        };
        session.reporter.opened(&head);
        session.note_fall_back(fall_back);
        session.hand_over()?;
        Ok(session)
    }

    fn note_fall_back(&mut self, fall_back: Option<FallBack>) {
        if let Some(fall_back) = fall_back {
            let FallBack { way, why, .. } = &fall_back;
            let (database, namespace) = (self.reporter.database(), &self.request.namespace);
            if self.durable.is_none() {
                tracing::info!(database, %namespace, "the whole database is stored: the namespace is new");
                return;
            }
            tracing::warn!(database, %namespace, %way, why, "commits were not captured as they happened");
            self.reporter.update(|status| status.fall_back = Some(fall_back));
        }
    }

    /// Runs until it is told to stop.
    ///
    /// # Errors
    ///
    /// `Fenced` and others from the store; what leaves in doubt what was captured.
    pub(super) async fn run(mut self) -> Result<Ended> {
        let poll = self.request.options.poll_interval;
        let mut poll_at = Instant::now() + poll;
        self.reporter.update(|status| status.phase = Phase::Capturing);
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
            let Some(live) = &mut capturer.live else { return Ok(false) };
            live.rest();
            live.is_replaced()
        });
        if replaced.await?? {
            let what = format!("{} was replaced by another file", self.reporter.database());
            return Err(Error::Unknown { what });
        }
        if self.paused {
            self.checkpoint_unattended().await;
        }
        self.due.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Looks for commits, captures them when it is time, and decides when to look next.
    async fn look(&mut self) -> Result<()> {
        self.due = None;
        if self.paused {
            return Ok(());
        }
        let interval = self.request.options.sync_interval;
        let unseen = self.with(|capturer| capturer.unseen()).await??;
        let now = Instant::now();
        match unseen {
            Some(bytes) => {
                self.behind_since.get_or_insert(self.request.handles.clock.now());
                let options = &self.request.options;
                let time = now >= self.last_capture + interval;
                let storing = !self.handed_over.is_empty() && bytes < options.checkpoint_bytes;
                let long = bytes >= options.seal_bytes.min(2 * options.checkpoint_bytes);
                if (time && !storing) || long {
                    self.capture().await?;
                }
                self.last_activity = Instant::now();
                // While it is written to, it is looked at by time.
                let pause = (interval / 4).clamp(SETTLE, BLIND_POLL);
                self.due.get_or_insert(Instant::now() + pause);
            }
            None if now < self.last_activity + QUIET => self.look_for_writers(interval).await?,
            None => self.rest().await?,
        }
        Ok(())
    }

    /// Nothing is visible: is somebody at work?
    async fn look_for_writers(&mut self, interval: Duration) -> Result<()> {
        let written = self.with(|capturer| capturer.live()?.is_written()).await??;
        if written && self.last_look_found_writer {
            // Its checkpoint may be waiting for our mark.
            self.step_aside().await?;
        }
        self.last_look_found_writer = written;
        let pause = (interval / 4).clamp(SETTLE, if written { WRITER_PAUSE } else { BLIND_POLL });
        self.due = Some(Instant::now() + pause);
        Ok(())
    }

    async fn step_aside(&mut self) -> Result<()> {
        let aside = self.with(Capturer::step_aside).await?;
        self.hand_over()?;
        aside.or_else(|error| self.held_up(error))
    }

    /// Nothing happens: wakes when something does.
    async fn rest(&mut self) -> Result<()> {
        self.step_aside().await?;
        let (watcher, wake) = (self.watcher.clone(), Arc::clone(&self.wake));
        let armed = self.with(move |capturer| {
            let Some(live) = &mut capturer.live else { return Ok::<_, Error>((true, false)) };
            live.rest();
            let armed = watcher.arm(&live.log_path(), &wake);
            // What came before the watch was set. Of a commit there is an event before it is visible, and none after.
            let written = live.is_written()?;
            Ok((armed, written || capturer.unseen()?.is_some()))
        });
        let (armed, unseen) = armed.await??;
        if unseen {
            self.woken();
        } else if !armed {
            self.due = Some(Instant::now() + self.request.options.sync_interval.max(BLIND_POLL));
        }
        Ok(())
    }

    /// Captures what is committed, hands it over, and checkpoints if the log is long. `false` when it was held up.
    async fn capture(&mut self) -> Result<bool> {
        let checkpoint = Instant::now() >= self.checkpoint_not_before;
        let threshold = self.request.options.checkpoint_bytes;
        let done = self.with(move |capturer| {
            let captured = capturer.capture();
            let long = checkpoint && capturer.wal_bytes() >= threshold;
            let checkpointed = match &captured {
                Ok(Captured::All) if long => Some(capturer.checkpoint()),
                _ => None,
            };
            (captured, checkpointed)
        });
        let (captured, checkpointed) = done.await?;
        self.last_capture = Instant::now();
        self.hand_over()?;
        let whole = match captured {
            Ok(Captured::All) => {
                self.behind_since = None;
                self.reporter.update(|status| status.last_error = None);
                true
            }
            Ok(Captured::SpoolFull) => {
                self.pause().await?;
                false
            }
            Err(error) => {
                self.held_up(error)?;
                false
            }
        };
        match checkpointed {
            Some(Ok(checkpointed)) => self.note_checkpoint(checkpointed),
            Some(Err(error)) => self.held_up(error)?,
            None => {}
        }
        self.report();
        Ok(whole)
    }

    /// The disk is full, or a lock is held: the log keeps everything meanwhile. Anything else ends the session.
    fn held_up(&mut self, error: Error) -> Result<()> {
        if !matches!(error, Error::Exhausted { .. }) {
            return Err(error);
        }
        self.reporter.failed(&error);
        self.due = Some(Instant::now() + LOCAL_BACK_OFF);
        Ok(())
    }

    fn note_checkpoint(&mut self, checkpointed: Checkpointed) {
        let blocked = checkpointed == Checkpointed::BlockedByReader;
        let database = self.reporter.database().to_string();
        self.reporter.update(|status| {
            if blocked && !status.blocked_by_reader {
                tracing::warn!(
                    database,
                    "a reader keeps the log from beginning anew: it grows until that reader ends"
                );
            }
            status.blocked_by_reader = blocked;
            status.checkpoints += u64::from(checkpointed == Checkpointed::Complete);
        });
        self.checkpoint_not_before = Instant::now()
            + match checkpointed {
                Checkpointed::Complete => Duration::ZERO,
                Checkpointed::Later => CHECKPOINT_BACK_OFF,
                Checkpointed::BlockedByReader => READER_BACK_OFF,
            };
    }

    /// Hands over what is in the spool, as much as may wait at once.
    fn hand_over(&mut self) -> Result<()> {
        let handed = self.handed_over.len();
        let handed_max = HANDED_OVER_MAX.min(self.request.store.queue_segments_max);
        let spool = self.capturer.iter().flat_map(|capturer| capturer.spool.iter().skip(handed));
        let segments = spool.map(|file| file.segment.clone()).take(handed_max.saturating_sub(handed));
        let segments = segments.collect::<Vec<_>>();
        segments.into_iter().try_for_each(|segment| self.hand_over_one(segment))
    }

    fn hand_over_one(&mut self, segment: SealedSegment) -> Result<()> {
        let footer = &segment.summary.footer;
        self.handed_over.push_back(HandedOver {
            end: segment.summary.key.end(),
            first_time: footer.first_time,
            last_time: footer.last_time,
            bytes: segment.summary.len,
        });
        let stored = self.stored.0.clone();
        let done = Box::new(move |outcome| -> futures::future::BoxFuture<'static, ()> {
            // Nobody hears it when the session has ended: the spool still has the segment.
            let _ = stored.send(outcome);
            Box::pin(std::future::ready(()))
        });
        self.request.store.storage.store(&self.request.namespace, segment, None, done)
    }

    /// Segments up to this frame are stored.
    async fn note_stored(&mut self, end: FrameNo) -> Result<()> {
        let mut end = end;
        // Several are often stored together.
        while let Ok(more) = self.stored.1.try_recv() {
            end = end.max(more?);
        }
        self.durable = self.durable.max(Some(end));
        while let Some(done) = self.handed_over.pop_front_if(|handed| handed.end <= end) {
            let seen = CommitSeen { frame_no: done.end, time: done.last_time };
            self.reporter.update(|status| {
                status.durable = Some(seen);
                status.bytes_stored += done.bytes;
                status.segments_stored += 1;
            });
        }
        if let Err(error) = self.with(move |capturer| capturer.stored(end)).await? {
            tracing::warn!(%error, "the local state could not be brought up to date");
        }
        self.flushes.stored(end);
        self.hand_over()?;
        if self.paused && self.handed_over.is_empty() {
            self.resume().await?;
        }
        self.report();
        self.flush().await
    }

    /// The spool is full: the log may go on without us until everything is stored.
    async fn pause(&mut self) -> Result<()> {
        self.with(Capturer::let_go).await?;
        self.paused = true;
        self.due = None;
        tracing::warn!(
            database = self.reporter.database(),
            "the spool is full: commits are not recorded one by one until everything in it is stored"
        );
        self.reporter.update(|status| status.phase = Phase::SpoolFull);
        Ok(())
    }

    async fn resume(&mut self) -> Result<()> {
        let fall_back = self.with(Capturer::attach).await??;
        self.note_fall_back(fall_back.map(|fall_back| FallBack {
            why: format!("the spool was full; {}", fall_back.why),
            ..fall_back
        }));
        self.paused = false;
        self.due = Some(Instant::now());
        self.reporter.update(|status| status.phase = Phase::Capturing);
        self.hand_over()
    }

    /// Keeps the log short while nobody captures.
    async fn checkpoint_unattended(&mut self) {
        let done = self.with(Capturer::checkpoint_unattended).await;
        if let Err(error) = done.and_then(|done| done) {
            tracing::debug!(%error, "a checkpoint did not come about");
        }
    }

    /// Captures at once if somebody waits for it, who is answered when that is stored.
    async fn flush(&mut self) -> Result<()> {
        if !self.flushes.are_due() {
            return Ok(());
        }
        if self.paused || !self.capture().await? {
            let why = self.reporter.last_error().unwrap_or_else(|| "the spool is full".into());
            self.flushes.refuse(&Error::Unknown { what: format!("the commits are not stored yet: {why}") });
            return Ok(());
        }
        self.answer_flushes();
        Ok(())
    }

    /// Everything was captured.
    fn answer_flushes(&mut self) {
        let last = self.capturer.as_ref().and_then(|capturer| capturer.last).map(|last| last.frame_no);
        self.flushes.captured(last, self.durable);
    }

    fn report(&mut self) {
        let Some(capturer) = &self.capturer else { return };
        let storage = self.request.store.storage.status(&self.request.namespace);
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

    /// Captures what is left, and waits until it is stored.
    async fn stop(mut self, within: Duration) -> Result<Ended> {
        let deadline = Instant::now() + within;
        let stored = match self.finish(deadline).await {
            Err(error @ Error::Fenced { .. }) => return Err(error),
            Err(error) => {
                self.reporter.failed(&error);
                false
            }
            Ok(()) => self.handed_over.is_empty() && !self.paused,
        };
        self.reporter.update(|status| status.phase = Phase::Stopped);
        self.write_status().await;
        Ok(if stored { Ended::Stopped } else { Ended::Left })
    }

    async fn finish(&mut self, deadline: Instant) -> Result<()> {
        let was_paused = self.paused;
        self.store_all(deadline).await?;
        if was_paused && !self.paused {
            // There is room in the spool now for what was missed.
            self.store_all(deadline).await?;
        }
        if self.paused { Ok(()) } else { self.with(Capturer::sync_position).await? }
    }

    async fn store_all(&mut self, deadline: Instant) -> Result<()> {
        if !self.paused && !self.capture().await? {
            let why = self.reporter.last_error().unwrap_or_default();
            return Err(Error::Exhausted { what: format!("the last commits could not be captured: {why}") });
        }
        if !self.paused {
            self.answer_flushes();
        }
        while !self.handed_over.is_empty() {
            match tokio::time::timeout_at(deadline, self.stored.1.recv()).await {
                Ok(Some(stored)) => self.note_stored(stored?).await?,
                Ok(None) | Err(_) => break,
            }
        }
        Ok(())
    }
}
