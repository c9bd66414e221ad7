//! How an [`AsyncStorage`](super::AsyncStorage) works: plain data.

use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use walkeep_core::{Error, Quota, Result};

use crate::view::DATABASE_BYTES_MAX;

/// How an [`AsyncStorage`](super::AsyncStorage) works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageOptions {
    /// Uploads under way at the same time, of different namespaces; default 8, at least 2. Namespaces that fail share a
    /// quarter of them.
    pub uploads_max: usize,
    /// Segments of one namespace that wait are merged into one object of up to so many bytes of page images; default
    /// 8 MiB. An upload with a merge takes about twice that much memory. 0 stores each segment on its own.
    pub batch_bytes_max: u64,
    /// Segments of one namespace that wait at most; default 1024. More are refused as `Exhausted`.
    pub queue_segments_max: usize,
    /// Bytes of waiting segments that are held in memory at most, of all namespaces; default 256 MiB. Segments in
    /// files do not count, and one of each namespace is always taken.
    pub queue_memory_bytes_max: u64,
    /// How long one attempt may take; default 60,000. It is given up then and made again. Large segments get a second
    /// more for each 64 KiB.
    pub attempt_timeout_ms: u64,
    /// How long a namespace pauses after a failed attempt; default 200, doubled each time, less up to a half by chance.
    pub back_off_first_ms: u64,
    /// How long it pauses at most; default 30,000.
    pub back_off_max_ms: u64,
    /// The largest database that is restored, in bytes; default 2^40.
    pub database_bytes_max: u64,
    /// What each namespace may take that has no quota of its own
    /// ([`AsyncStorage::set_quota`](super::AsyncStorage::set_quota)); default unlimited.
    pub quota: Quota,
    /// Bytes of stored segments of all namespaces together that are open here; default unlimited.
    pub total_bytes_max: Option<NonZeroU64>,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            uploads_max: 8,
            batch_bytes_max: 8 << 20,
            queue_segments_max: 1024,
            queue_memory_bytes_max: 256 << 20,
            attempt_timeout_ms: 60_000,
            back_off_first_ms: 200,
            back_off_max_ms: 30_000,
            database_bytes_max: DATABASE_BYTES_MAX,
            quota: Quota::UNLIMITED,
            total_bytes_max: None,
        }
    }
}

impl StorageOptions {
    /// Checks that a storage can work like this.
    ///
    /// # Errors
    ///
    /// `Invalid`, naming the option.
    pub fn check(&self) -> Result<()> {
        if self.uploads_max < 2 {
            let why = "it must be at least 2: one that fails may take one";
            return Err(Error::invalid(format!("uploads_max = {}", self.uploads_max), why));
        }
        let positive = [
            ("queue_segments_max", self.queue_segments_max as u64),
            ("attempt_timeout_ms", self.attempt_timeout_ms),
            ("back_off_first_ms", self.back_off_first_ms),
        ];
        for (name, value) in positive {
            if value == 0 {
                return Err(Error::invalid(format!("{name} = 0"), "it must be at least 1"));
            }
        }
        if self.back_off_max_ms < self.back_off_first_ms {
            let what = format!("back_off_max_ms = {}", self.back_off_max_ms);
            return Err(Error::invalid(what, "it must not be less than back_off_first_ms"));
        }
        Ok(())
    }

    /// How many of the uploads may be of namespaces whose last attempt failed.
    pub(super) fn failing_max(&self) -> usize {
        (self.uploads_max / 4).max(1)
    }

    /// The bound of an attempt that moves so many bytes.
    pub(super) const fn attempt_timeout(&self, bytes: u64) -> Duration {
        Duration::from_millis(self.attempt_timeout_ms.saturating_add((bytes >> 16).saturating_mul(1000)))
    }

    /// The pause after so many failures in a row, where `chance` (of 256) shortens it by up to a half.
    pub(super) fn pause(&self, failures: u32, chance: u8) -> Duration {
        let doubled = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
        let whole = self.back_off_first_ms.saturating_mul(doubled).min(self.back_off_max_ms);
        Duration::from_millis(whole - whole.saturating_mul(u64::from(chance)) / 512)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_their_bound() {
        let options = StorageOptions::default();
        let whole = |failures| options.pause(failures, 0).as_millis();
        assert_eq!(
            (whole(1), whole(2), whole(8), whole(64), whole(u32::MAX)),
            (200, 400, 25_600, 30_000, 30_000)
        );
        assert!(options.pause(1, 255) < Duration::from_millis(105), "short ones differ as well");
        assert!(options.pause(64, 255) >= Duration::from_secs(15));
        assert!(options.pause(64, 255) < Duration::from_secs(16));
    }

    #[test]
    fn what_could_not_work_is_refused_by_name() {
        let wrong = StorageOptions { uploads_max: 1, ..StorageOptions::default() };
        assert!(wrong.check().unwrap_err().to_string().contains("uploads_max"));
        let wrong = StorageOptions { back_off_max_ms: 1, ..StorageOptions::default() };
        assert!(wrong.check().unwrap_err().to_string().contains("back_off_max_ms"));
        assert!(StorageOptions::default().check().is_ok());
    }
}
