//! Time and randomness that a test can choose and replay.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use walkeep::Handles;
use walkeep::core::{Clock, Random, Result, UnixMillis};

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct TestClock(AtomicU64);

impl TestClock {
    /// A clock that stands at this time.
    #[must_use]
    pub const fn at(millis: u64) -> Self {
        Self(AtomicU64::new(millis))
    }

    /// Sets the clock, also backwards.
    pub fn set(&self, millis: u64) {
        self.0.store(millis, Ordering::SeqCst);
    }

    /// Moves the clock on.
    pub fn advance(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

/// Numbers that look random and are the same in each run.
#[derive(Debug)]
pub struct SeededRandom(AtomicU64);

impl SeededRandom {
    /// The sequence of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next number (SplitMix64).
    pub fn next_u64(&self) -> u64 {
        let state =
            self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        for chunk in bytes.chunks_mut(8) {
            let number = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
        Ok(())
    }
}

/// Handles of a test: a clock that stands at `millis`, and seeded randomness.
#[must_use]
pub fn handles(millis: u64, seed: u64) -> (Handles, Arc<TestClock>) {
    let clock = Arc::new(TestClock::at(millis));
    (
        Handles { clock: Arc::clone(&clock) as Arc<dyn Clock>, random: Arc::new(SeededRandom::new(seed)) },
        clock,
    )
}
