//! How much of a machine and of a store a compaction may take, so that it can run beside the database.
//!
//! Each limit is an account that fills with time: what is taken beyond it is waited for before more is taken. So over
//! any longer time the rate holds, while a single piece of work (a block, a request, the upload of the output) is never
//! cut.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

/// What a compaction may take. The default is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// How much of one core, in percent: 50 is half of it, 200 two of them. At least 1.
    pub cpu_percent: Option<u32>,
    /// Bytes read and written a second. At least 1.
    pub bytes_per_second: Option<u64>,
    /// Requests a second. At least 1.
    pub requests_per_second: Option<u32>,
}

/// One limit: what is taken is paid for with time.
#[derive(Debug)]
struct Account {
    /// The time that one unit takes, in nanoseconds.
    unit_nanos: f64,
    paid_until: Mutex<Instant>,
}

impl Account {
    fn new(units_per_second: f64) -> Self {
        Self { unit_nanos: 1e9 / units_per_second, paid_until: Mutex::new(Instant::now()) }
    }

    /// Takes `units`, and returns the time to wait until what was taken before is paid for.
    fn take(&self, units: f64) -> Duration {
        let now = Instant::now();
        let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = paid_until.saturating_duration_since(now);
        let cost = Duration::try_from_secs_f64(units * self.unit_nanos / 1e9).unwrap_or(Duration::MAX);
        *paid_until = (*paid_until).max(now).checked_add(cost).unwrap_or(*paid_until);
        wait
    }
}

/// Keeps a budget.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    cpu: Option<Account>,
    bytes: Option<Account>,
    requests: Option<Account>,
}

impl Throttle {
    pub(super) fn new(budget: &Budget) -> Self {
        let account = |rate: Option<f64>| rate.map(|rate| Account::new(rate.max(1.0)));
        Self {
            // In nanoseconds of work.
            cpu: budget.cpu_percent.map(|percent| Account::new(f64::from(percent.max(1)) * 1e7)),
            bytes: account(budget.bytes_per_second.map(|bytes| bytes as f64)),
            requests: account(budget.requests_per_second.map(f64::from)),
        }
    }

    /// Waits until a request that moves so many bytes is within the budget.
    pub(super) async fn before_request(&self, bytes: u64) {
        let by_requests = self.requests.as_ref().map_or(Duration::ZERO, |account| account.take(1.0));
        let by_bytes = self.bytes.as_ref().map_or(Duration::ZERO, |account| account.take(bytes as f64));
        let wait = by_requests.max(by_bytes);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Stops the calling thread until this much work is within the budget. Not on a thread of the runtime.
    pub(super) fn after_work(&self, worked: Duration) {
        let Some(cpu) = &self.cpu else { return };
        let before = cpu.take(worked.as_secs_f64() * 1e9);
        if !before.is_zero() {
            std::thread::sleep(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_and_bytes_are_waited_for() {
        let budget = Budget { requests_per_second: Some(2), bytes_per_second: Some(100), cpu_percent: None };
        let throttle = Throttle::new(&budget);
        let began = Instant::now();
        throttle.before_request(1000).await;
        assert_eq!(began.elapsed(), Duration::ZERO, "the first one is free");
        throttle.before_request(0).await;
        assert!(began.elapsed() >= Duration::from_secs(10), "1000 bytes at 100 a second");
        throttle.before_request(0).await;
        throttle.before_request(0).await;
        assert!(began.elapsed() >= Duration::from_millis(10_400), "{:?}", began.elapsed());
        assert!(began.elapsed() <= Duration::from_millis(11_600), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_budget_nothing_is_waited_for() {
        let (throttle, began) = (Throttle::new(&Budget::default()), Instant::now());
        for _ in 0..1000 {
            throttle.before_request(1 << 30).await;
            throttle.after_work(Duration::from_secs(1));
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[test]
    fn work_takes_its_share_of_a_core_and_no_more() {
        let throttle = Throttle::new(&Budget { cpu_percent: Some(50), ..Budget::default() });
        let account = throttle.cpu.as_ref().unwrap();
        let ms = Duration::from_millis;
        assert_eq!(account.take(1e9), Duration::ZERO, "one second of work");
        let wait = account.take(0.0);
        assert!(wait > ms(1900) && wait <= ms(2000), "takes two: {wait:?}");
    }
}
