//! Who is served next: one task for all namespaces, which costs nothing for those that are idle.
//!
//! Invariants:
//!
//! - of one namespace there is at most one upload under way, in order; of all together at most so many as the options
//!   say, and of those whose last attempt failed at most a quarter of them;
//! - namespaces are served in turn; one that fails pauses, longer each time, and is never given up unless another
//!   writer took it over, or trying again cannot help;
//! - a panic in an upload is a failure of that upload.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use walkeep_core::{Backend, Epoch, Error, FrameNo, Namespace, Result};

use super::options::StorageOptions;
use super::queue::{Phase, Queue};
use super::upload::Upload;
use crate::bucket::Bucket;
use crate::writer::Handles;

/// What the storage and its scheduler share.
pub(super) struct Shared<B: Backend> {
    /// Makes the store to call, from a configuration.
    pub(super) bucket: Box<dyn Fn(Option<B::Config>) -> Result<Bucket> + Send + Sync>,
    pub(super) options: StorageOptions,
    pub(super) handles: Handles,
    state: Mutex<State<B::Config>>,
    wake: Notify,
}

/// The queues, and who is to be served.
pub(super) struct State<C> {
    pub(super) queues: BTreeMap<Namespace, Queue<C>>,
    /// Those that are ready, in turn: whose last attempt did not fail, and whose did.
    ready: VecDeque<Namespace>,
    ready_again: VecDeque<Namespace>,
    /// Bytes of waiting segments that are held in memory.
    pub(super) memory_bytes: u64,
    /// No more segments are taken; what waits is stored.
    pub(super) closing: bool,
    /// Nobody pauses.
    hurry: bool,
}

impl<C: Clone> State<C> {
    /// Lets a queue be served in its turn, if there is something to do.
    pub(super) fn make_ready(&mut self, namespace: &Namespace) {
        let Some(queue) = self.queues.get_mut(namespace) else { return };
        if matches!(queue.phase, Phase::Idle | Phase::Paused) {
            queue.phase = if queue.has_work() { Phase::Ready } else { Phase::Idle };
            if queue.phase == Phase::Ready {
                let ready = if queue.failures == 0 { &mut self.ready } else { &mut self.ready_again };
                ready.push_back(namespace.clone());
            }
        }
    }

    /// Puts a queue in place, and closes the one that was there: it is of an opening before.
    pub(super) fn replace(&mut self, namespace: &Namespace, queue: Queue<C>, why: &Error) {
        if let Some(mut old) = self.queues.insert(namespace.clone(), queue) {
            self.memory_bytes -= old.memory_bytes();
            let in_turn = Error::Unknown { what: format!("storing a segment of {namespace}: {why}") };
            old.close(&in_turn, why.again());
        }
    }

    fn has_work(&self) -> bool {
        self.queues.values().any(|queue| queue.phase != Phase::Closed && queue.has_work())
    }
}

/// An upload under way.
struct Running {
    namespace: Namespace,
    epoch: Epoch,
    failing: bool,
}

/// The end of a pause. Of two that end together, the first one asked for comes first.
type Pause = Reverse<(Instant, u64, Namespace, Epoch)>;

impl<B: Backend> Shared<B> {
    pub(super) fn new(
        bucket: Box<dyn Fn(Option<B::Config>) -> Result<Bucket> + Send + Sync>,
        options: StorageOptions,
        handles: Handles,
    ) -> Self {
        let state = State {
            queues: BTreeMap::new(),
            ready: VecDeque::new(),
            ready_again: VecDeque::new(),
            memory_bytes: 0,
            closing: false,
            hurry: false,
        };
        Self { bucket, options, handles, state: Mutex::new(state), wake: Notify::new() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State<B::Config>> {
        // Nothing that can panic is called while the state is half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the scheduler look again.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Takes no more segments, and ends all pauses. The scheduler ends when nothing waits any more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closing = true;
        state.hurry = true;
        drop(state);
        self.wake();
    }

    /// The next upload to make, if one may be made.
    fn next(self: &Arc<Self>, running: usize, failing: usize) -> Option<(Running, Upload<B>)> {
        if running >= self.options.uploads_max {
            return None;
        }
        let mut state = self.state();
        let again = failing < self.options.failing_max();
        loop {
            let next = again.then(|| state.ready_again.pop_front()).flatten();
            let (namespace, failing) = match next {
                Some(namespace) => (namespace, true),
                None => (state.ready.pop_front()?, false),
            };
            // A namespace that was opened anew stands here for its old queue as well.
            let Some(queue) = state.queues.get_mut(&namespace).filter(|queue| queue.phase == Phase::Ready)
            else {
                continue;
            };
            let epoch = queue.head.epoch;
            let Some(upload) = Upload::next(self, &namespace, queue) else { continue };
            queue.phase = Phase::Running;
            return Some((Running { namespace, epoch, failing }, upload));
        }
    }

    /// Notes what came of an upload, and returns how long the namespace pauses.
    fn finish(&self, running: &Running, outcome: Result<FrameNo>) -> Option<Duration> {
        let mut state = self.state();
        let found = state.queues.get_mut(&running.namespace);
        let queue = found.filter(|queue| queue.head.epoch == running.epoch)?;
        let held = queue.memory_bytes();
        let mut pause = None;
        match outcome {
            Ok(_) => queue.stored(),
            Err(error) if queue.turn.as_ref().is_some_and(|turn| turn.repeated) && is_verdict(&error) => {
                queue.refused(&error);
            }
            Err(error @ (Error::Fenced { .. } | Error::Invalid { .. })) => {
                tracing::warn!(namespace = %running.namespace, %error, "no more of this namespace is stored");
                queue.close(&error, error.again());
            }
            Err(error) => {
                queue.failures = queue.failures.saturating_add(1);
                let length = self.pause(queue.failures);
                let (failures, pause_ms) = (queue.failures, length.as_millis());
                tracing::warn!(namespace = %running.namespace, %error, failures, pause_ms, "a segment is not stored yet");
                queue.last_error = Some(error);
                pause = Some(length);
            }
        }
        if queue.phase == Phase::Running {
            queue.phase = Phase::Paused;
        }
        let freed = held - queue.memory_bytes();
        state.memory_bytes -= freed;
        if pause.is_none() {
            state.make_ready(&running.namespace);
        }
        pause
    }

    fn pause(&self, failures: u32) -> Duration {
        let mut chance = [0];
        // Without randomness the pause is as long as it can be.
        let drawn = self.handles.random.fill(&mut chance);
        self.options.pause(failures, drawn.map_or(0, |()| chance[0]))
    }
}

/// Whether a repeated segment is refused by this: it will not become another one.
const fn is_verdict(error: &Error) -> bool {
    matches!(error, Error::Invalid { .. } | Error::Unreachable(_))
}

/// Serves all namespaces until the storage is closed and nothing waits any more.
pub(super) async fn run<B: Backend>(shared: Arc<Shared<B>>) {
    let mut uploads: JoinSet<Result<FrameNo>> = JoinSet::new();
    let mut running: BTreeMap<tokio::task::Id, Running> = BTreeMap::new();
    let mut pauses: BinaryHeap<Pause> = BinaryHeap::new();
    let mut asked = 0;
    loop {
        end_pauses(&shared, &mut pauses);
        let failing =
            |running: &BTreeMap<_, Running>| running.values().filter(|running| running.failing).count();
        while let Some((next, upload)) = shared.next(running.len(), failing(&running)) {
            let id = uploads.spawn(upload.run()).id();
            running.insert(id, next);
        }
        if running.is_empty() {
            let state = shared.state();
            if state.closing && !state.has_work() {
                return;
            }
        }
        let pause_end = pauses.peek().map(|Reverse((end, ..))| *end);
        let pause_end = async {
            match pause_end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            biased;
            Some(ended) = uploads.join_next_with_id(), if !running.is_empty() => ended,
            () = shared.wake.notified() => continue,
            () = pause_end => continue,
        };
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => (error.id(), Err(super::not_finished(error))),
        };
        let Some(done) = running.remove(&id) else { continue };
        if let Some(pause) = shared.finish(&done, outcome) {
            asked += 1;
            pauses.push(Reverse((Instant::now() + pause, asked, done.namespace, done.epoch)));
        }
    }
}

/// Lets those be served whose pause is over: all, if there is a hurry.
fn end_pauses<B: Backend>(shared: &Shared<B>, pauses: &mut BinaryHeap<Pause>) {
    let now = Instant::now();
    let mut state = shared.state();
    let hurry = std::mem::take(&mut state.hurry);
    while let Some(Reverse((end, ..))) = pauses.peek()
        && (hurry || *end <= now)
    {
        let Some(Reverse((_, _, namespace, epoch))) = pauses.pop() else { return };
        if state.queues.get(&namespace).is_some_and(|queue| queue.head.epoch == epoch) {
            state.make_ready(&namespace);
        }
    }
}
