//! Driving checkpoints, so that the log begins anew when *we* have everything, and stays short.
//!
//! Nobody waits for it: first a checkpoint beside the writers, which does the work; only if they were too fast for it, a
//! second one behind a barrier that keeps them out for the moment that the rest takes. A reader of another process is
//! never fought: the log grows, and that is said. Writers that are faster than the checkpoints are slowed down.

use std::time::Duration;

use walkeep::core::{Error, Result};

use super::capturer::{Captured, Capturer};
use super::throttle::Throttle;

/// A writer gives up its lock a moment before its own read mark, and may be checkpointing by itself.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(1);

/// Checkpoints beside the writers before they are kept out for the rest.
const ROUNDS_BESIDE_WRITERS: u32 = 4;
/// What is left for a barrier at most, in bytes, or so many times the length from which the log is checkpointed.
const BARRIER_BYTES_MAX: u64 = 16 << 20;
const BARRIER_CHECKPOINTS_MAX: u64 = 4;

/// The length of a log that shows that writers are faster than we are, in lengths from which it is checkpointed.
const LONG_CHECKPOINTS: u64 = 16;

/// What came of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checkpointed {
    /// Everything is in the database file: the next writer begins the log anew.
    Complete,
    /// A reader of another process needs part of the log.
    BlockedByReader,
    /// Writers or another checkpoint were in the way; later.
    Later,
}

impl Capturer {
    /// Captures everything, and checkpoints the database.
    ///
    /// # Errors
    ///
    /// Those of [`Capturer::capture`]; `Unknown` when a sync failed.
    pub(super) fn checkpoint(&mut self) -> Result<Checkpointed> {
        let mut throttle = self.is_long()?.then(|| Throttle::start(self.database.clone()));
        if self.capture()? == Captured::SpoolFull {
            return Ok(Checkpointed::Later);
        }
        self.sync_position()?;
        // Each round leaves less for the next one, unless writers are faster than the disk.
        for _ in 0..ROUNDS_BESIDE_WRITERS {
            let beside_writers = self.checkpoint_to_mark()?;
            if beside_writers != Checkpointed::Complete {
                return Ok(beside_writers);
            }
            if self.close_round()? {
                return Ok(Checkpointed::Complete);
            }
            let left = self.left_to_checkpoint()?;
            if left <= self.options.checkpoint_bytes / 4 {
                break;
            }
            if left > self.barrier_bytes_max() {
                throttle.get_or_insert_with(|| Throttle::start(self.database.clone()));
            }
        }
        // What is made durable beside the writers is not waited for behind the barrier.
        self.live()?.sync()?;
        drop(throttle);
        let Some(barrier) = self.live()?.barrier()? else { return Ok(Checkpointed::Later) };
        // Nobody commits now. Whoever waits does so for as long as what came meanwhile takes.
        if self.left_to_checkpoint()? > self.barrier_bytes_max() {
            return Ok(Checkpointed::Later);
        }
        let done = self.finish_behind_barrier();
        drop(barrier);
        done
    }

    /// Lets others begin the log anew, if everything can be brought into the database file: while nothing happens, and
    /// while a checkpoint of theirs waits for our mark. `false` when something is in the way.
    ///
    /// # Errors
    ///
    /// As [`Capturer::checkpoint`].
    pub(super) fn step_aside(&mut self) -> Result<bool> {
        if self.live()?.mark().may_restart {
            return Ok(true);
        }
        self.sync_position()?;
        // Without it nothing is lost but the chance.
        self.checkpoint_to_mark()?;
        self.close_round()
    }

    /// Decides whether only we checkpoint from now on.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(super) fn keep_checkpoints_away(&mut self, away: bool) -> Result<()> {
        match &mut self.live {
            Some(live) if away => live.keep_checkpoints_away()?,
            Some(live) => live.let_others_checkpoint(),
            None => {}
        }
        Ok(())
    }

    /// What may be left for a barrier.
    fn barrier_bytes_max(&self) -> u64 {
        let checkpoints = self.options.checkpoint_bytes.saturating_mul(BARRIER_CHECKPOINTS_MAX);
        BARRIER_BYTES_MAX.max(checkpoints)
    }

    /// Whether writers are faster than we are.
    fn is_long(&self) -> Result<bool> {
        let bytes_max = self.options.checkpoint_bytes.saturating_mul(LONG_CHECKPOINTS);
        Ok(self.live()?.log_bytes()? > bytes_max)
    }

    fn finish_behind_barrier(&mut self) -> Result<Checkpointed> {
        if self.capture()? == Captured::SpoolFull {
            return Ok(Checkpointed::Later);
        }
        self.sync()?;
        let done = self.checkpoint_to_mark()?;
        if done == Checkpointed::Complete && !self.close_round()? {
            return Ok(Checkpointed::Later);
        }
        Ok(done)
    }

    /// Bytes of the log that are not in the database file.
    fn left_to_checkpoint(&self) -> Result<u64> {
        let live = self.live()?;
        let frames = live.look()?.map_or(0, |header| header.frames);
        Ok(frames.saturating_sub(live.in_file()?) * live.page_size().bytes_u64())
    }

    /// Brings everything that the mark sees for sure into the database file.
    fn checkpoint_to_mark(&mut self) -> Result<Checkpointed> {
        let live = self.live_mut()?;
        let sees = live.mark().sees;
        let mut reached = Checkpointed::Later;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(PAUSE);
            }
            reached = match live.checkpoint() {
                Ok((_, done)) if done >= sees => return Ok(Checkpointed::Complete),
                Ok(_) => Checkpointed::BlockedByReader,
                Err(Error::Exhausted { .. }) => Checkpointed::Later,
                Err(error) => return Err(error),
            };
        }
        Ok(reached)
    }

    /// Takes a mark under which the log may begin anew; `false` when something was committed meanwhile.
    fn close_round(&mut self) -> Result<bool> {
        self.live_mut()?.leap()?;
        Ok(self.drain()? == Captured::All && self.live()?.mark().may_restart)
    }
}
