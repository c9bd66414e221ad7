//! What a storage and its scheduler share: the queues of all namespaces, and who is to be served.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use walkeep_core::storage::LeftSegment;
use walkeep_core::{Backend, Error, Namespace, Result};

use super::options::StorageOptions;
use super::queue::{Phase, Queue};
use super::quota::Ledger;
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
    /// Quotas, and what is used of them.
    pub(super) ledger: Ledger,
    /// Those that are ready, in turn: whose last attempt did not fail, and whose did.
    pub(super) ready: VecDeque<Namespace>,
    pub(super) ready_again: VecDeque<Namespace>,
    /// How often a namespace was opened.
    openings: u64,
    /// Bytes of waiting segments that are held in memory.
    pub(super) memory_bytes: u64,
    /// What a shutdown has left.
    pub(super) left: Vec<LeftSegment>,
    /// No more segments are taken; what waits is stored.
    pub(super) closing: bool,
    /// Nobody pauses.
    pub(super) hurry: bool,
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

    /// Puts a queue in place, and closes the one that was there: it is of an opening before. Its callbacks come first.
    pub(super) fn replace(&mut self, namespace: &Namespace, mut queue: Queue<C>, why: &Error) {
        self.openings += 1;
        queue.opening = self.openings;
        if let Some(mut old) = self.queues.remove(namespace) {
            self.memory_bytes -= old.memory_bytes();
            let in_turn = Error::Unknown { what: format!("storing a segment of {namespace}: {why}") };
            old.close(&in_turn, why.again());
            queue.callbacks = old.callbacks;
        }
        self.queues.insert(namespace.clone(), queue);
    }

    /// Whether anything waits that will be stored.
    pub(super) fn has_work(&self) -> bool {
        self.queues.values().any(|queue| queue.phase != Phase::Closed && queue.has_work())
    }
}

impl<B: Backend> Shared<B> {
    pub(super) fn new(
        bucket: Box<dyn Fn(Option<B::Config>) -> Result<Bucket> + Send + Sync>,
        options: StorageOptions,
        handles: Handles,
    ) -> Self {
        let state = State {
            queues: BTreeMap::new(),
            ledger: Ledger::new(options.quota, options.total_bytes_max),
            ready: VecDeque::new(),
            ready_again: VecDeque::new(),
            openings: 0,
            memory_bytes: 0,
            left: Vec::new(),
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

    /// Waits until the scheduler is to look again.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Lets everybody be served whose pause has not ended.
    pub(super) fn hurry(&self) {
        self.state().hurry = true;
        self.wake();
    }

    /// Takes no more segments, and ends all pauses. The scheduler ends when nothing waits any more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closing = true;
        state.hurry = true;
        drop(state);
        self.wake();
    }

    /// How long a namespace pauses after so many failures in a row.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let mut chance = [0];
        // Without randomness the pause is as long as it can be.
        let drawn = self.handles.random.fill(&mut chance);
        self.options.pause(failures, drawn.map_or(0, |()| chance[0]))
    }
}
