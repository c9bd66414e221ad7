//! When to look at the log, and what to do when nothing is to be seen.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use walkeep::core::{Error, Result};

use super::super::capturer::Capturer;
use super::{BLIND_POLL, SETTLE, Session};

/// How long to wait for a writer that is at work, or a checkpoint that waits for us.
const WRITER_PAUSE: Duration = Duration::from_millis(20);
/// How long to wait after a reader was in the way.
const ASIDE_BACK_OFF: Duration = Duration::from_secs(1);
/// The log is written fast when this part of a checkpoint's bytes comes from one look to the next.
const FAST_PART: u64 = 4;
/// For how long it counts as written fast: a writer that we have just kept out has nothing to show for a moment.
const FAST_FOR: Duration = Duration::from_millis(500);
/// How long not to look at a log that has just begun to grow, or grows fast.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// So many checkpoints' bytes from one look to the next are too many: it looks again sooner.
const FAST_CHECKPOINTS: u64 = 4;
/// How long nothing must have happened before nothing is done any more.
const QUIET: Duration = Duration::from_secs(2);

impl Session<'_> {
    /// Looks for commits, captures them when it is time, and decides when to look next.
    pub(super) async fn look(&mut self) -> Result<()> {
        self.due = None;
        if self.paused {
            return Ok(());
        }
        let interval = self.request.options.sync_interval;
        let written_fast = Instant::now() < self.written_fast_until;
        let look = move |capturer: &mut Capturer| {
            let unseen = capturer.unseen()?;
            if unseen.is_none() && !written_fast {
                capturer.keep_checkpoints_away(false)?;
            }
            Ok::<_, Error>((unseen, capturer.live()?.is_written()?))
        };
        let (unseen, written) = self.with(look).await??;
        // A checkpoint of others may be waiting for our mark, and all writers for it.
        let waited_for = written && self.last_look_found_writer;
        self.last_look_found_writer = written;
        let now = Instant::now();
        match unseen {
            Some(bytes) => {
                self.behind_since.get_or_insert(self.request.handles.clock.now());
                let request = self.request;
                let options = &request.options;
                let time = now >= self.last_capture + interval;
                let storing = !self.handed_over.is_empty() && bytes < options.checkpoint_bytes;
                let long = bytes >= options.seal_bytes.min(2 * options.checkpoint_bytes);
                if (time && (!storing || waited_for)) || long {
                    self.capture().await?;
                }
                self.last_activity = Instant::now();
                let grown = bytes.saturating_sub(self.unseen_before);
                if grown >= options.checkpoint_bytes / FAST_PART {
                    self.written_fast_until = Instant::now() + FAST_FOR;
                }
                let fast = Instant::now() < self.written_fast_until;
                self.unseen_before = if self.last_capture >= now { 0 } else { bytes };
                // While the log is written fast, the writers' own checkpoints would only cost them time. What may keep us
                // from checkpointing for long leaves it to them.
                let away = fast && self.local_failures == 0 && !self.blocked_by_reader;
                self.with(move |capturer| capturer.keep_checkpoints_away(away)).await??;
                // While it is written to, it is looked at by time.
                self.pause = next_pause(self.pause, grown / options.checkpoint_bytes.max(1));
                let pause = (interval / 4).clamp(SETTLE, BLIND_POLL).min(self.pause);
                self.due.get_or_insert(Instant::now() + pause);
            }
            None if now < self.last_activity + QUIET => {
                if waited_for {
                    self.step_aside().await?;
                }
                let pause_max = if written { WRITER_PAUSE } else { BLIND_POLL };
                self.due = Some(Instant::now() + (interval / 4).clamp(SETTLE, pause_max));
            }
            None => self.rest().await?,
        }
        Ok(())
    }

    /// Lets others begin the log anew, unless that was tried a moment ago in vain.
    async fn step_aside(&mut self) -> Result<()> {
        if Instant::now() < self.aside_not_before {
            return Ok(());
        }
        let aside = self.with(Capturer::step_aside).await?;
        self.hand_over()?;
        match aside {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => self.held_up(error)?,
        }
        self.aside_not_before = Instant::now() + ASIDE_BACK_OFF;
        Ok(())
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
}

/// When to look again, of a log that grew by so many checkpoints since the last look.
fn next_pause(last: Duration, checkpoints: u64) -> Duration {
    let next = if checkpoints > FAST_CHECKPOINTS {
        last.mul_f64(FAST_CHECKPOINTS as f64 / checkpoints as f64)
    } else {
        last * 2
    };
    next.clamp(PAUSE_MIN, BLIND_POLL)
}
