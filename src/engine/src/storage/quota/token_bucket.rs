//! How often something may happen: so many times a second on average, and so many at once after a pause.

use std::num::NonZeroU32;
use std::time::Duration;

use walkeep_core::UnixMillis;

/// Tokens that come with time, by any clock. One that goes back costs the tokens of that time, and nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TokenBucket {
    /// In thousandths of a token: one comes each millisecond for each token a second.
    thousandths: u64,
    /// When it was looked at last; `None` before.
    at: Option<UnixMillis>,
}

impl TokenBucket {
    /// Takes a token, or says how long to wait for one. It is full at first, and holds the tokens of a second.
    pub(super) fn take(&mut self, rate: NonZeroU32, now: UnixMillis) -> Result<(), Duration> {
        let rate = u64::from(rate.get());
        let full = rate * 1000;
        let elapsed = self.at.map_or(u64::MAX, |at| now.get().saturating_sub(at.get()));
        self.at = Some(now);
        self.thousandths = self.thousandths.saturating_add(elapsed.saturating_mul(rate)).min(full);
        match self.thousandths.checked_sub(1000) {
            Some(rest) => {
                self.thousandths = rest;
                Ok(())
            }
            None => Err(Duration::from_millis((1000 - self.thousandths).div_ceil(rate))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_so_many_a_second_whatever_the_clock_does() {
        let rate = NonZeroU32::new(4).unwrap();
        let mut bucket = TokenBucket::default();
        let mut take = |now| bucket.take(rate, UnixMillis(now));
        assert!((0..4).all(|_| take(10_000).is_ok()), "those of a second at once");
        assert_eq!(take(10_000), Err(Duration::from_millis(250)));
        assert_eq!(take(10_100), Err(Duration::from_millis(150)));
        assert_eq!(take(10_250), Ok(()));
        assert_eq!(take(5_000), Err(Duration::from_millis(250)), "a clock that went back");
        assert_eq!(take(5_250), Ok(()));
        assert!((0..4).all(|_| take(1_000_000).is_ok()) && take(1_000_000).is_err(), "not those of an hour");
    }
}
