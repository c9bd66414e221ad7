//! Who waits until commits are stored.
//!
//! Invariants:
//!
//! - whoever asks is answered for a capture that began after he had asked;
//! - while the capture for some is being stored, others gather, and the next capture is for all of them: however many
//!   ask at once, two uploads serve them;
//! - they outlive a session: the next one captures for them again.

use tokio::sync::oneshot;
use walkeep::core::{Error, FrameNo, Result};

/// Who waits for a flush: he is told the durable frame.
pub(super) type Flush = oneshot::Sender<Result<Option<FrameNo>>>;

/// All who wait, for one database.
#[derive(Debug, Default)]
pub(super) struct Flushes {
    /// Those for whom nothing is captured yet.
    gathering: Vec<Flush>,
    /// Those who wait for the store, and up to which frame.
    captured: Vec<(FrameNo, Flush)>,
}

impl Flushes {
    /// Somebody asks.
    pub(super) fn gather(&mut self, flush: Flush) {
        // Who has gone does not pile up while the store is away. What was asked for is done all the same.
        self.gathering.retain(|waiting| !waiting.is_closed());
        self.gathering.push(flush);
    }

    /// Whether it is time to capture for those who gathered.
    pub(super) fn are_due(&self) -> bool {
        self.captured.is_empty() && !self.gathering.is_empty()
    }

    /// Everything up to `last` was captured after they had asked.
    pub(super) fn captured(&mut self, last: Option<FrameNo>, durable: Option<FrameNo>) {
        for flush in self.gathering.drain(..) {
            match last {
                Some(last) if durable < Some(last) => self.captured.push((last, flush)),
                last => drop(flush.send(Ok(last))),
            }
        }
    }

    /// Everything up to `durable` is stored.
    pub(super) fn stored(&mut self, durable: FrameNo) {
        for (_, flush) in self.captured.extract_if(.., |(last, _)| *last <= durable) {
            // An error is that he has gone.
            let _ = flush.send(Ok(Some(durable)));
        }
    }

    /// Nothing can be captured for those who gathered.
    pub(super) fn refuse(&mut self, error: &Error) {
        for flush in self.gathering.drain(..) {
            let _ = flush.send(Err(error.again()));
        }
    }

    /// What was captured is in doubt: it is captured for all of them again.
    pub(super) fn begin_again(&mut self) {
        self.gathering.extend(self.captured.drain(..).map(|(_, flush)| flush));
    }

    /// Nothing more is captured or stored.
    pub(super) fn fail(&mut self, error: &Error) {
        self.begin_again();
        self.refuse(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u64) -> FrameNo {
        FrameNo::new(number).unwrap()
    }

    #[test]
    fn who_comes_during_an_upload_waits_for_the_next_one() {
        let mut flushes = Flushes::default();
        let ((first, mut at_first), (second, mut at_second)) = (oneshot::channel(), oneshot::channel());
        flushes.gather(first);
        assert!(flushes.are_due());
        flushes.captured(Some(frame(5)), None);
        flushes.gather(second);
        assert!(!flushes.are_due(), "the capture for the first one is being stored");
        flushes.stored(frame(4));
        assert!(at_first.try_recv().is_err());
        flushes.stored(frame(5));
        assert_eq!(at_first.try_recv().unwrap().unwrap(), Some(frame(5)));
        assert!(at_second.try_recv().is_err(), "his commit may not have been in that capture");
        assert!(flushes.are_due());
    }

    #[test]
    fn who_waits_when_a_session_ends_waits_for_the_next_one() {
        let mut flushes = Flushes::default();
        let (sender, mut answer) = oneshot::channel();
        flushes.gather(sender);
        flushes.captured(Some(frame(5)), Some(frame(4)));
        flushes.begin_again();
        flushes.stored(frame(9));
        assert!(answer.try_recv().is_err(), "what the next session stores first may be without his commit");
        assert!(flushes.are_due());
        flushes.captured(Some(frame(9)), Some(frame(9)));
        assert_eq!(answer.try_recv().unwrap().unwrap(), Some(frame(9)));
    }
}
