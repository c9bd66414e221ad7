//! The end of a session.

use std::time::Duration;

use tokio::time::Instant;
use walkeep::core::{Error, Result};

use super::super::capturer::Capturer;
use super::super::status::Phase;
use super::{Ended, Session};

impl Session<'_> {
    /// Captures what is left, and waits until it is stored.
    pub(super) async fn stop(mut self, within: Duration) -> Result<Ended> {
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
