//! From the spool to the queue of the store, and what became stored.

use walkeep::core::{FrameNo, Result, SealedSegment, Storage, UnixMillis};

use super::super::status::CommitSeen;
use super::Session;

/// Segments that wait in the queue of the store at most; others wait in the spool.
const HANDED_OVER_MAX: usize = 256;

/// A segment that was handed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct HandedOver {
    pub(super) end: FrameNo,
    pub(super) first_time: UnixMillis,
    pub(super) last_time: UnixMillis,
    pub(super) bytes: u64,
}

impl Session<'_> {
    /// Hands over what is in the spool, as much as may wait at once.
    pub(super) fn hand_over(&mut self) -> Result<()> {
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
    pub(super) async fn note_stored(&mut self, end: FrameNo) -> Result<()> {
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
        if self.handed_over.is_empty() && self.local_failures == 0 {
            // What failed before has come to something.
            self.reporter.update(|status| status.last_error = None);
        }
        if self.paused && self.handed_over.is_empty() {
            self.resume().await?;
        }
        self.report();
        self.flush().await
    }
}
