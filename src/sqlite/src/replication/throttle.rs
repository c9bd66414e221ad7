//! Slows down writers that are faster than we can checkpoint: it keeps them out for a moment, again and again.
//!
//! Without it a log that became long stays long: as much is written to it as is captured and copied meanwhile.
//!
//! It is not needed for safety. Nobody waits longer for it than for the barrier of a checkpoint.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::connection::{WriteBarrier, connect};

/// How long writers are kept out, and how long they are not.
const CLOSED: Duration = Duration::from_millis(20);
const OPEN: Duration = Duration::from_millis(5);

/// Writers are slowed down until it is dropped.
#[derive(Debug)]
pub(super) struct Throttle {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Throttle {
    /// Begins; a thread that cannot be had is done without.
    pub(super) fn start(database: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("throttle".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let barrier =
                    connect(&database, Duration::ZERO).and_then(|it| WriteBarrier::take(&database, it));
                // What is wrong with the database is found by those who capture it.
                let Ok(Some(barrier)) = barrier else { return };
                std::thread::sleep(CLOSED);
                drop(barrier);
                std::thread::sleep(OPEN);
            }
        });
        Self { stop, thread: thread.ok() }
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::warn!("what slows writers down panicked");
        }
    }
}
