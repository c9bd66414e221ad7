//! Captures, checkpoints, and what keeps them up.

use std::time::Duration;

use tokio::time::Instant;
use walkeep::core::{Error, Result};

use super::super::capturer::{Captured, Capturer};
use super::super::checkpointing::Checkpointed;
use super::super::fall_back::FallBack;
use super::super::status::Phase;
use super::Session;

/// How long to wait after a failure on local disk.
const LOCAL_BACK_OFF: Duration = Duration::from_secs(1);
/// How long to leave a log alone that could not begin anew: because of writers, and because of a reader.
const CHECKPOINT_BACK_OFF: Duration = Duration::from_millis(100);
const READER_BACK_OFF: Duration = Duration::from_secs(2);

impl Session<'_> {
    /// Captures what is committed, hands it over, and checkpoints if the log is long. `false` when it was held up.
    pub(super) async fn capture(&mut self) -> Result<bool> {
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
                self.local_failures = 0;
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
    pub(super) fn held_up(&mut self, error: Error) -> Result<()> {
        if !matches!(error, Error::Exhausted { .. }) {
            return Err(error);
        }
        self.reporter.failed(&error);
        // What was written in vain may have taken the room of others: less and less often.
        let doubled = 2_u32.pow(self.local_failures.min(6));
        self.local_failures += 1;
        self.due = Some(Instant::now() + LOCAL_BACK_OFF * doubled);
        Ok(())
    }

    fn note_checkpoint(&mut self, checkpointed: Checkpointed) {
        let blocked = checkpointed == Checkpointed::BlockedByReader;
        self.blocked_by_reader = blocked;
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

    pub(super) async fn resume(&mut self) -> Result<()> {
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

    /// Captures at once if somebody waits for it, who is answered when that is stored.
    pub(super) async fn flush(&mut self) -> Result<()> {
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
    pub(super) fn answer_flushes(&mut self) {
        let last = self.capturer.as_ref().and_then(|capturer| capturer.last).map(|last| last.frame_no);
        self.flushes.captured(last, self.durable);
    }

    pub(super) fn note_fall_back(&mut self, fall_back: Option<FallBack>) {
        if let Some(fall_back) = fall_back {
            let FallBack { way, why, .. } = &fall_back;
            let (database, namespace) = (self.reporter.database(), &self.request.namespace);
            if self.durable.is_none() {
                tracing::info!(database, %namespace, "the whole database is stored: the namespace is new");
                return;
            }
            tracing::warn!(database, %namespace, %way, why, "commits were not captured as they happened");
            self.reporter.update(|status| {
                status.fall_back = Some(fall_back);
                status.fall_backs += 1;
            });
        }
    }
}
