//! Who is served next: one task for all namespaces, which costs nothing for those that are idle.
//!
//! Invariants:
//!
//! - of one opening of a namespace there is at most one upload under way, in order; of all together at most so many as the options
//!   say, and of those whose last attempt failed at most a quarter of them;
//! - namespaces are served in turn; one that fails pauses, longer each time, and is never given up unless another
//!   writer took it over, or trying again cannot help, as when a segment is damaged before it was stored;
//! - a panic in an upload is a failure of that upload.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use walkeep_core::{Backend, Error, Namespace};

use super::queue::Phase;
use super::shared::Shared;
use super::upload::{Attempt, Upload};

/// An upload under way.
struct Running {
    namespace: Namespace,
    opening: u64,
    failing: bool,
}

/// The end of a pause. Of two that end together, the first one asked for comes first.
type Pause = Reverse<(Instant, u64, Namespace, u64)>;

/// The next upload to make, if one may be made.
fn next<B: Backend>(shared: &Arc<Shared<B>>, running: usize, failing: usize) -> Option<(Running, Upload<B>)> {
    if running >= shared.options.uploads_max {
        return None;
    }
    let mut state = shared.state();
    let again = failing < shared.options.failing_max();
    loop {
        let next = again.then(|| state.ready_again.pop_front()).flatten();
        let (namespace, failing) = match next {
            Some(namespace) => (namespace, true),
            None => (state.ready.pop_front()?, false),
        };
        // A namespace that was opened anew stands here for its old queue as well.
        let Some(queue) = state.queues.get_mut(&namespace).filter(|queue| queue.phase == Phase::Ready) else {
            continue;
        };
        let opening = queue.opening;
        let Some(upload) = Upload::next(shared, &namespace, queue) else { continue };
        queue.phase = Phase::Running;
        return Some((Running { namespace, opening, failing }, upload));
    }
}

/// Notes what came of an upload, and returns how long the namespace pauses.
fn finish<B: Backend>(shared: &Shared<B>, running: &Running, attempt: Attempt) -> Option<Duration> {
    let mut state = shared.state();
    let closing = state.closing;
    let found = state.queues.get_mut(&running.namespace);
    let queue = found.filter(|queue| queue.opening == running.opening)?;
    let held = queue.memory_bytes();
    let mut pause = None;
    match attempt {
        Attempt::Later(wait) => pause = Some(wait),
        Attempt::Made(Ok(_)) => queue.stored(),
        Attempt::Made(Err(error))
            if queue.turn.as_ref().is_some_and(|turn| turn.repeated) && is_verdict(&error) =>
        {
            queue.refused(&error);
        }
        Attempt::Made(Err(error @ (Error::Fenced { .. } | Error::Invalid { .. }))) => {
            tracing::warn!(namespace = %running.namespace, %error, "no more of this namespace is stored");
            queue.close(&error, error.again());
        }
        Attempt::Spoiled(error) => {
            tracing::warn!(namespace = %running.namespace, %error, "a segment is damaged before it was stored; the \
                           namespace has to be opened again");
            // What was tried before may be stored all the same.
            let in_turn = match queue.failures {
                0 => error.again(),
                _ => Error::Unknown { what: format!("storing a segment of {}: {error}", running.namespace) },
            };
            queue.close(&in_turn, error);
        }
        Attempt::Made(Err(error)) => {
            queue.failures = queue.failures.saturating_add(1);
            // Who waits for a shutdown does not wait for a long pause.
            let length = shared.pause(if closing { 1 } else { queue.failures });
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

/// Whether a repeated segment is refused by this: it will not become another one.
const fn is_verdict(error: &Error) -> bool {
    matches!(error, Error::Invalid { .. } | Error::Unreachable(_))
}

/// Serves all namespaces until the storage is closed and nothing waits any more.
pub(super) async fn run<B: Backend>(shared: Arc<Shared<B>>) {
    let mut uploads: JoinSet<Attempt> = JoinSet::new();
    let mut running: BTreeMap<tokio::task::Id, Running> = BTreeMap::new();
    let mut pauses: BinaryHeap<Pause> = BinaryHeap::new();
    let mut asked = 0;
    loop {
        end_pauses(&shared, &mut pauses);
        let failing =
            |running: &BTreeMap<_, Running>| running.values().filter(|running| running.failing).count();
        while let Some((next, upload)) = next(&shared, running.len(), failing(&running)) {
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
            () = shared.woken() => continue,
            () = pause_end => continue,
        };
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => (error.id(), Attempt::Made(Err(super::not_finished(error)))),
        };
        let Some(done) = running.remove(&id) else { continue };
        if let Some(pause) = finish(&shared, &done, outcome) {
            asked += 1;
            pauses.push(Reverse((Instant::now() + pause, asked, done.namespace, done.opening)));
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
        let Some(Reverse((_, _, namespace, opening))) = pauses.pop() else { return };
        if state.queues.get(&namespace).is_some_and(|queue| queue.opening == opening) {
            state.make_ready(&namespace);
        }
    }
}
