//! The segments of one namespace that wait, and where they stand: no I/O, no clock.
//!
//! Invariants:
//!
//! - segments are taken without gap or overlap, and leave in the same order;
//! - a turn (what is being stored) is fixed until its outcome is known: it is never cut anew;
//! - each callback is called exactly once.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{Mutex, OnceCell, watch};
use walkeep_core::segment::SegmentSummary;
use walkeep_core::storage::OnStored;
use walkeep_core::{Error, FrameNo, LogHead, Namespace, Result, SealedSegment, UnixMillis};

use super::callbacks::Callbacks;
use crate::bucket::Bucket;
use crate::writer::Writer;

/// Segments that are merged into one at most.
const BATCH_SEGMENTS_MAX: usize = 256;

/// What a queue waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A segment.
    Idle,
    /// An upload that is free.
    Ready,
    /// The outcome of its turn.
    Running,
    /// The end of a pause.
    Paused,
    /// Nothing: no more is stored. See [`Queue::closed`].
    Closed,
}

/// A segment that waits.
struct Waiting<C> {
    segment: SealedSegment,
    config: Option<C>,
    on_stored: OnStored,
    /// Its frames were taken before: it is compared, not stored.
    repeated: bool,
}

/// What is stored with one request, or compared.
pub(super) struct Turn<C> {
    pub(super) segments: Vec<SealedSegment>,
    pub(super) config: Option<C>,
    pub(super) repeated: bool,
    /// The object, once it is fixed.
    pub(super) object: Arc<OnceCell<SealedSegment>>,
    on_stored: Vec<(FrameNo, OnStored)>,
}

/// One namespace, open for writing.
pub(super) struct Queue<C> {
    /// Tells this opening from others of the namespace here, also where epochs are equal: in another store.
    pub(super) opening: u64,
    pub(super) head: LogHead,
    pub(super) writer: Arc<Mutex<Writer>>,
    /// The store that it was opened in.
    pub(super) home: Bucket,
    pub(super) phase: Phase,
    /// Attempts that failed since the last one that did not.
    pub(super) failures: u32,
    /// What the last attempt failed with.
    pub(super) last_error: Option<Error>,
    pub(super) durable: Option<FrameNo>,
    /// Who subscribed to it; gone when the queue is closed, which ends their streams.
    subscribers: Option<watch::Sender<Option<FrameNo>>>,
    pub(super) turn: Option<Turn<C>>,
    pub(super) callbacks: Callbacks,
    waiting: VecDeque<Waiting<C>>,
    /// The last frame that was taken, and its time.
    taken: Option<FrameNo>,
    time_floor: UnixMillis,
}

impl<C: Clone> Queue<C> {
    pub(super) fn new(head: LogHead, writer: Writer) -> Self {
        let durable = head.durable.map(|commit| commit.frame_no);
        let home = writer.bucket().clone();
        Self {
            opening: 0,
            head,
            home,
            writer: Arc::new(Mutex::new(writer)),
            phase: Phase::Idle,
            failures: 0,
            last_error: None,
            durable,
            subscribers: Some(watch::Sender::new(durable)),
            turn: None,
            callbacks: Callbacks::default(),
            waiting: VecDeque::new(),
            taken: durable,
            time_floor: head.time_floor,
        }
    }

    /// Takes a segment.
    ///
    /// # Errors
    ///
    /// As [`Storage::store`](walkeep_core::Storage::store).
    pub(super) fn take(
        &mut self,
        namespace: &Namespace,
        segment: SealedSegment,
        config: Option<C>,
        on_stored: OnStored,
    ) -> Result<()> {
        if let (Phase::Closed, Some(error)) = (self.phase, &self.last_error) {
            return Err(error.again());
        }
        let repeated = self.check(namespace, &segment.summary)?;
        if !repeated {
            self.taken = Some(segment.summary.key.end());
            self.time_floor = segment.summary.key.time();
        }
        self.waiting.push_back(Waiting { segment, config, on_stored, repeated });
        Ok(())
    }

    /// Whether a segment repeats frames that were taken before, or follows them.
    fn check(&self, namespace: &Namespace, summary: &SegmentSummary) -> Result<bool> {
        let SegmentSummary { key, footer, .. } = summary;
        let header = &footer.header;
        let refused =
            |why: String| Err(Error::invalid(format!("segment {key} of namespace {namespace}"), why));
        if header.log_id != self.head.log_id {
            return refused(format!("it is of log {}, the namespace of {}", header.log_id, self.head.log_id));
        }
        if self.taken.is_some_and(|taken| key.end() <= taken) {
            return Ok(true);
        }
        let next = self.taken.map_or(Some(FrameNo::FIRST), FrameNo::next);
        let ranges = |what: &str| {
            let taken =
                self.taken.map_or("no frames were".to_string(), |taken| format!("frames 1 to {taken} were"));
            refused(format!(
                "it has frames {} to {}, and {taken} taken before: it {what}",
                key.start(),
                key.end()
            ))
        };
        match next {
            Some(next) if key.start() > next => return ranges("leaves a gap"),
            Some(next) if key.start() == next => {}
            _ => return ranges("overlaps them"),
        }
        if header.epoch != self.head.epoch || header.level != 0 {
            let ours = self.head.epoch;
            return refused(format!(
                "new segments are of epoch {ours} and of level 0: seal it for this opening"
            ));
        }
        if header.page_size != self.head.page_size {
            return refused(format!("the namespace was opened for pages of {} bytes", self.head.page_size));
        }
        if footer.first_time < self.time_floor {
            return refused(format!(
                "times do not fall, and the commit before it was at {}",
                self.time_floor
            ));
        }
        Ok(false)
    }

    /// Whether there is something to do.
    pub(super) fn has_work(&self) -> bool {
        self.turn.is_some() || !self.waiting.is_empty()
    }

    /// How many segments wait or are being stored.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.turn.as_ref().map_or(0, |turn| turn.segments.len())
    }

    /// Bytes of them that are held in memory.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.segments().map(|segment| segment.body.memory_len()).sum()
    }

    /// The segments that wait or are being stored, oldest first.
    pub(super) fn segments(&self) -> impl Iterator<Item = &SealedSegment> {
        let turn = self.turn.iter().flat_map(|turn| &turn.segments);
        turn.chain(self.waiting.iter().map(|waiting| &waiting.segment))
    }

    /// The turn that is to be made: the one that failed before, or the next one.
    pub(super) fn next_turn(&mut self, batch_bytes_max: u64) -> Option<&Turn<C>> {
        if self.turn.is_none() {
            self.turn = self.cut(batch_bytes_max);
        }
        self.turn.as_ref()
    }

    fn cut(&mut self, batch_bytes_max: u64) -> Option<Turn<C>> {
        let Waiting { segment, config, on_stored, repeated } = self.waiting.pop_front()?;
        let raw = |segment: &SealedSegment| {
            let header = &segment.summary.footer.header;
            u64::from(header.frame_count) * header.page_size.bytes_u64()
        };
        let mut bytes = raw(&segment);
        let alone = repeated || config.is_some();
        let mut turn = Turn {
            on_stored: vec![(segment.summary.key.end(), on_stored)],
            segments: vec![segment],
            config,
            repeated,
            object: Arc::default(),
        };
        while turn.segments.len() < BATCH_SEGMENTS_MAX
            && let Some(next) = self.waiting.pop_front_if(|next| {
                !alone
                    && !next.repeated
                    && next.config.is_none()
                    && bytes.saturating_add(raw(&next.segment)) <= batch_bytes_max
            })
        {
            bytes += raw(&next.segment);
            turn.on_stored.push((next.segment.summary.key.end(), next.on_stored));
            turn.segments.push(next.segment);
        }
        Some(turn)
    }

    /// Follows the durable frame from now on; `None` when the queue is closed.
    pub(super) fn subscribe(&self) -> Option<watch::Receiver<Option<FrameNo>>> {
        self.subscribers.as_ref().map(watch::Sender::subscribe)
    }

    /// The turn is done: its segments are durable.
    pub(super) fn stored(&mut self) {
        self.failures = 0;
        self.last_error = None;
        let Some(turn) = self.turn.take() else { return };
        for (end, on_stored) in turn.on_stored {
            // It only rises: the end of a repeated segment lies before it. Who subscribed is told before who asked.
            if self.durable < Some(end) {
                self.durable = Some(end);
                if let Some(subscribers) = &self.subscribers {
                    subscribers.send_replace(self.durable);
                }
            }
            self.callbacks.call(on_stored, Ok(end));
        }
    }

    /// The turn of a repeated segment came to nothing: it is not what was taken before.
    pub(super) fn refused(&mut self, error: &Error) {
        self.failures = 0;
        self.last_error = None;
        for (_, on_stored) in self.turn.take().into_iter().flat_map(|turn| turn.on_stored) {
            self.callbacks.call(on_stored, Err(error.again()));
        }
    }

    /// Nothing more is stored. Who waits is told why; who is in a turn, whose outcome may be unknown, perhaps
    /// something else.
    pub(super) fn close(&mut self, in_turn: &Error, waiting: Error) {
        self.phase = Phase::Closed;
        self.subscribers = None;
        self.refused(in_turn);
        for Waiting { on_stored, .. } in self.waiting.drain(..) {
            self.callbacks.call(on_stored, Err(waiting.again()));
        }
        self.last_error = Some(waiting);
    }
}
