//! Repeating what may pass, within a bound: the only place that repeats and the only one that looks at the clock.
//!
//! Invariants:
//!
//! - `object_store` repeats nothing itself, and its client bounds nothing but connecting;
//! - a call ends within its bound, plus the time that its bytes may take;
//! - the caller learns whether an attempt before the last one may have been carried out.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use walkeep_core::Random;

use super::answer::heard;
use super::failure::{Failure, Kind};

/// How fast bytes must move at least, in bytes a second.
const BYTES_PER_SECOND_MIN: u64 = 64 << 10;

/// How long to wait before the first repetition and at most; doubled each time.
const BACK_OFF: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// How long an attempt may go without an answer before another one is made.
const ATTEMPT: Duration = Duration::from_secs(15);

/// The time that so many bytes may take on top.
fn allowance(bytes: u64) -> Duration {
    Duration::from_secs(bytes / BYTES_PER_SECOND_MIN)
}

/// The time that is left to a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    deadline: Instant,
    bound: Duration,
}

impl Budget {
    pub(super) fn new(bound: Duration) -> Self {
        Self { deadline: Instant::now() + bound, bound }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Waits for one request that moves so many bytes, and sorts its failure.
    pub(super) async fn wait<T>(
        &self,
        bytes: u64,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Failure> {
        let bound = self.left().min(ATTEMPT) + allowance(bytes);
        match timeout(bound, heard(request)).await {
            Ok((Ok(done), _)) => Ok(done),
            Ok((Err(error), heard)) => Err(Failure::sorted(&error, heard.as_ref())),
            Err(_) => Err(Failure::new(Kind::Unknown, format!("time-out: no answer within {bound:.1?}"))),
        }
    }
}

/// What came of the attempts.
#[derive(Debug)]
pub(super) struct Tried<T> {
    pub(super) outcome: Result<T, Failure>,
    /// Whether an attempt before the last one may have been carried out.
    pub(super) maybe_done_before: bool,
}

/// Attempts something until it is done, cannot be done, or the bound is reached.
pub(super) async fn attempts<T, F, A>(bound: Duration, random: &dyn Random, mut attempt: A) -> Tried<T>
where
    A: FnMut(Budget) -> F,
    F: Future<Output = Result<T, Failure>>,
{
    let budget = Budget::new(bound);
    let (mut back_off, mut maybe_done_before) = (BACK_OFF, false);
    loop {
        let failure = match attempt(budget).await {
            Ok(done) => return Tried { outcome: Ok(done), maybe_done_before },
            Err(failure) => failure,
        };
        if !failure.may_pass() {
            return Tried { outcome: Err(failure), maybe_done_before };
        }
        let pause = jittered(back_off, random);
        if budget.left() <= pause {
            let why = format!("{} (given up after {:?})", failure.why, budget.bound);
            return Tried { outcome: Err(Failure { why, ..failure }), maybe_done_before };
        }
        tracing::debug!(
            why = failure.why,
            pause_ms = pause.as_millis(),
            "a request to the store is repeated"
        );
        maybe_done_before |= failure.kind == Kind::Unknown;
        sleep(pause).await;
        back_off = (back_off * 2).min(BACK_OFF_MAX);
    }
}

/// Between half of a pause and all of it, so that many clients do not come back together.
fn jittered(pause: Duration, random: &dyn Random) -> Duration {
    let mut byte = [0];
    // Without randomness the pause is as long as it can be.
    if random.fill(&mut byte).is_err() {
        return pause;
    }
    pause / 2 + pause * u32::from(byte[0]) / 512
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::os::SystemRandom;

    const BOUND: Duration = Duration::from_secs(20);

    async fn tried(kinds: &[Kind]) -> (Tried<()>, usize, Duration) {
        let (count, start) = (Cell::new(0), Instant::now());
        let attempt = |_| {
            let kind = kinds.get(count.get()).copied();
            count.set(count.get() + 1);
            async move { kind.map_or(Ok(()), |kind| Err(Failure::new(kind, "x"))) }
        };
        let tried = attempts(BOUND, &SystemRandom, attempt).await;
        (tried, count.get(), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_repeated_and_the_rest_is_not() {
        let (passed, count, _) = tried(&[Kind::Passing, Kind::Busy]).await;
        assert!(passed.outcome.is_ok() && !passed.maybe_done_before && count == 3);
        let (refused, count, _) = tried(&[Kind::Passing, Kind::Refused]).await;
        assert_eq!((refused.outcome.unwrap_err().kind, count), (Kind::Refused, 2));
        let (unsure, _, _) = tried(&[Kind::Unknown, Kind::AlreadyExists]).await;
        assert!(unsure.maybe_done_before);
    }

    #[tokio::test(start_paused = true)]
    async fn the_bound_holds_and_pauses_grow() {
        let (failed, count, elapsed) = tried(&[Kind::Passing; 1000]).await;
        assert!(elapsed <= BOUND, "{elapsed:?}");
        assert!((6..20).contains(&count), "{count}");
        assert!(failed.outcome.unwrap_err().why.contains("given up after 20s"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hangs_is_given_up_in_time() {
        let start = Instant::now();
        let hang = |budget: Budget| async move { budget.wait::<()>(0, std::future::pending()).await };
        let hung = attempts(BOUND, &SystemRandom, hang).await;
        assert!(start.elapsed() <= BOUND, "{:?}", start.elapsed());
        assert!(hung.maybe_done_before && hung.outcome.unwrap_err().why.contains("time-out"));
    }

    #[tokio::test(start_paused = true)]
    async fn many_bytes_may_take_longer() {
        let start = Instant::now();
        let _ = Budget::new(BOUND).wait::<()>(BYTES_PER_SECOND_MIN * 100, std::future::pending()).await;
        assert_eq!(start.elapsed().as_secs(), 115);
    }
}
