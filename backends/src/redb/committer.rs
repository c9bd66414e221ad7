//! Commits of one shard: everything that waits is written with one sync.
//!
//! Invariants:
//!
//! - at most one commit at a time; while it runs, what comes waits for the next one;
//! - a caller hears of its own order only after the commit that it is in;
//! - an order is carried out whether or not its caller still waits.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use walkeep_core::shards::ShardNo;
use walkeep_core::{Body, Clock, Error, ObjectPath, Result};

use super::failure::Step;
use super::readers::Readers;
use super::shard::Shard;
use super::shards::Shards;
use super::writing::Writing;

/// How many bytes of bodies one commit takes, at least one body.
const COMMIT_BYTES_MAX: u64 = 16 << 20;

/// How many orders one commit takes.
const COMMIT_ORDERS_MAX: usize = 4096;

/// What is to be done.
#[derive(Debug)]
pub(super) enum Order {
    PutNew(ObjectPath, Body),
    Delete(Vec<ObjectPath>),
}

impl Order {
    fn bytes(&self) -> u64 {
        match self {
            Self::PutNew(_, body) => body.len(),
            Self::Delete(_) => 0,
        }
    }

    /// Carries it out; what concerns this order alone is the inner result.
    fn carry_out(&self, writing: &mut Writing<'_>, clock: &dyn Clock) -> Step<Result<()>> {
        match self {
            Self::PutNew(path, body) => writing.put_new(path, body, clock.now()),
            Self::Delete(paths) => {
                for path in paths {
                    writing.delete(path)?;
                }
                Ok(Ok(()))
            }
        }
    }
}

#[derive(Debug)]
struct Waiting {
    order: Order,
    reply: oneshot::Sender<Result<()>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    running: bool,
}

/// What waits for the next commit of a shard.
#[derive(Debug, Default)]
struct Committer {
    queue: Mutex<Queue>,
}

/// A shard of a store, what waits for its next commit, and what waits to be read.
#[derive(Debug)]
pub(super) struct Lane {
    shards: Arc<Shards>,
    no: ShardNo,
    clock: Arc<dyn Clock>,
    committer: Committer,
    readers: Arc<Readers>,
}

impl Lane {
    pub(super) fn new(shards: Arc<Shards>, no: ShardNo, clock: Arc<dyn Clock>) -> Self {
        Self { shards, no, clock, committer: Committer::default(), readers: Arc::default() }
    }

    pub(super) fn no(&self) -> ShardNo {
        self.no
    }

    /// Where small reads wait.
    pub(super) fn readers(&self) -> &Arc<Readers> {
        &self.readers
    }

    pub(super) fn shard(&self) -> Result<&Shard> {
        self.shards.shard(self.no)
    }
}

impl Committer {
    /// Lets an order wait for the next commit; `true` when nobody commits yet.
    fn queue(&self, order: Order) -> (oneshot::Receiver<Result<()>>, bool) {
        let (reply, heard) = oneshot::channel();
        let mut queue = self.lock();
        queue.waiting.push_back(Waiting { order, reply });
        (heard, !std::mem::replace(&mut queue.running, true))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Each change of the queue is one step.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the next commit takes; nothing ends the turn.
    fn next(&self) -> Vec<Waiting> {
        let mut queue = self.lock();
        let (mut taken, mut bytes) = (Vec::new(), 0_u64);
        while let Some(next) = queue.waiting.front() {
            bytes = bytes.saturating_add(next.order.bytes());
            if !taken.is_empty() && (bytes > COMMIT_BYTES_MAX || taken.len() == COMMIT_ORDERS_MAX) {
                break;
            }
            taken.extend(queue.waiting.pop_front());
        }
        if taken.is_empty() {
            queue.running = false;
        }
        taken
    }
}

/// Carries out an order with the next commit of a shard.
///
/// # Cancel safety
///
/// After a cancelled call the order is carried out all the same.
pub(super) async fn commit(lane: Arc<Lane>, order: Order) -> Result<()> {
    let (heard, must_run) = lane.committer.queue(order);
    if must_run {
        let turn = Turn { lane, over: false };
        tokio::task::spawn_blocking(move || turn.run());
    }
    heard.await.unwrap_or_else(|_| {
        Err(Error::Unknown {
            what: "a commit did not finish: what it was of may or may not be stored".into(),
        })
    })
}

/// Whose turn it is to commit. When it is cut short, also by a runtime that shuts down before it began, what waits is told.
struct Turn {
    lane: Arc<Lane>,
    over: bool,
}

impl Turn {
    fn run(mut self) {
        loop {
            let waiting = self.lane.committer.next();
            if waiting.is_empty() {
                // From here on it may be somebody else's turn.
                self.over = true;
                return;
            }
            commit_all(&self.lane, waiting);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.over {
            let mut queue = self.lane.committer.lock();
            queue.waiting.clear();
            queue.running = false;
        }
    }
}

/// Puts next to one another what is neighbours. None passes a deletion, nor another put of the same path: who gave up a call and made the
/// next one has them carried out in this order.
fn sort_puts(waiting: &mut [Waiting]) {
    for puts in waiting.split_mut(|waiting| matches!(waiting.order, Order::Delete(_))) {
        puts.sort_by(|a, b| match (&a.order, &b.order) {
            (Order::PutNew(a, _), Order::PutNew(b, _)) => a.cmp(b),
            _ => Ordering::Equal,
        });
    }
}

fn commit_all(lane: &Lane, mut waiting: Vec<Waiting>) {
    sort_puts(&mut waiting);
    let version = lane.shards.layout().version;
    let done = lane.shard().and_then(|shard| {
        shard.write_rows(|transaction, rows| {
            let mut writing = Writing::begin(transaction, version, rows, shard.rows_waiting_max())?;
            let orders = waiting.iter().map(|waiting| waiting.order.carry_out(&mut writing, &*lane.clock));
            let outcomes = orders.collect::<Step<Vec<_>>>()?;
            Ok((outcomes, writing.finish()?))
        })
    });
    let outcomes = match done {
        Ok(outcomes) => outcomes,
        Err(error) => waiting.iter().map(|_| Err(error.again())).collect(),
    };
    for (waiting, outcome) in waiting.into_iter().zip(outcomes) {
        // Who does not listen any more has been told what that means.
        let _ = waiting.reply.send(outcome);
    }
}
