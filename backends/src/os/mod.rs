//! The machine itself behind the handles of `walkeep-core`.

mod directory;
mod exchange;
mod lock_holder;

#[expect(clippy::disallowed_methods, reason = "this is the handle that the ban points to")]
mod ambient {
    use std::time::{SystemTime, UNIX_EPOCH};

    use walkeep_core::{Clock, Error, Random, Result, UnixMillis};

    /// The machine's clock.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct SystemClock;

    impl Clock for SystemClock {
        fn now(&self) -> UnixMillis {
            // A clock before 1970 reads as 1970: times are clamped to those of earlier commits anyway.
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
        }
    }

    /// The machine's source of randomness.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct SystemRandom;

    impl Random for SystemRandom {
        fn fill(&self, bytes: &mut [u8]) -> Result<()> {
            getrandom::fill(bytes).map_err(|error| Error::io("read random bytes", error.into()))
        }
    }
}

pub use ambient::{SystemClock, SystemRandom};
pub use directory::OsDirectory;
