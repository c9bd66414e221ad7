//! Reads of one shard that many ask for: a few blocking threads serve all that wait, one after the other, so that a small read does not cost a
//! thread's waking.
//!
//! Invariants:
//!
//! - at most [`TURNS_MAX`] threads read for a shard; what comes meanwhile waits for the next that is free;
//! - whoever waits is served, or told that it was not. What it reads is as new as its call.
//!
//! It is not for reads of much: those would hold up the others.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use walkeep_core::{Error, Result};

/// How many threads read for one shard at once.
const TURNS_MAX: usize = 2;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Job>,
    turns: usize,
}

/// What waits to be read.
#[derive(Default)]
pub(super) struct Readers {
    queue: Mutex<Queue>,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Readers({} wait)", self.lock().waiting.len())
    }
}

impl Readers {
    /// Does what blocks, and takes little time, on the next thread that is free.
    ///
    /// # Errors
    ///
    /// Those of `work`; `Unknown` when it was not done.
    ///
    /// # Cancel safety
    ///
    /// After a cancelled call the work is done all the same.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, heard) = oneshot::channel();
        let job = Box::new(move || {
            // Nobody may be listening any more.
            let _ = reply.send(work());
        });
        if self.queue(job) {
            let turn = Turn { readers: Arc::clone(self), over: false };
            tokio::task::spawn_blocking(move || turn.run());
        }
        heard
            .await
            .unwrap_or_else(|_| Err(Error::Unknown { what: "a read of a shard did not finish".into() }))
    }

    /// Lets a job wait; `true` when one more thread is to be used.
    fn queue(&self, job: Job) -> bool {
        let mut queue = self.lock();
        queue.waiting.push_back(job);
        let more = queue.turns < TURNS_MAX;
        queue.turns += usize::from(more);
        more
    }

    /// The next job; none ends a turn.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        let next = queue.waiting.pop_front();
        if next.is_none() {
            queue.turns -= 1;
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Each change of the queue is one step.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that reads. When the last one is cut short, also by a runtime that shuts down before it began, who waits is told.
struct Turn {
    readers: Arc<Readers>,
    over: bool,
}

impl Turn {
    fn run(mut self) {
        while let Some(job) = self.readers.next() {
            job();
        }
        self.over = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut queue = self.readers.lock();
        queue.turns -= 1;
        let untold = if queue.turns == 0 { std::mem::take(&mut queue.waiting) } else { VecDeque::new() };
        drop(queue);
        // Whoever is told may read again at once.
        drop(untold);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures::future;

    use super::*;

    #[tokio::test]
    async fn all_are_served_by_few_threads() {
        let readers = Arc::new(Readers::default());
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let reads = (0..100_u64).map(|n| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            readers.read(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_micros(100));
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(n)
            })
        });
        let served = future::try_join_all(reads).await.unwrap();
        assert_eq!(served, (0..100).collect::<Vec<_>>());
        let most = most.load(Ordering::SeqCst);
        assert!((1..=TURNS_MAX).contains(&most), "{most}");
    }

    #[tokio::test]
    async fn a_panic_or_the_end_of_a_runtime_is_told_and_others_read_on() {
        let readers = Arc::new(Readers::default());
        let reads = (0..20).map(|n| {
            readers.read(move || {
                assert!(n > 2, "on purpose");
                Ok(n)
            })
        });
        let told = future::join_all(reads).await;
        assert!(told.iter().any(|read| matches!(read, Err(Error::Unknown { .. }))));
        assert_eq!(readers.read(|| Ok(7)).await.unwrap(), 7);
        let elsewhere = Arc::clone(&readers);
        let other = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let _ = future::poll_immediate(Box::pin(elsewhere.read(|| Ok(0)))).await;
            });
        });
        other.join().unwrap();
        assert_eq!(readers.read(|| Ok(8)).await.unwrap(), 8);
    }
}
