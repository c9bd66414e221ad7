//! What restore points to keep: every commit near, thinner far.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A rule that keeps the last restore point of each period, for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Of each such span of time, in UTC, the last stored point is kept.
    pub each: Period,
    /// So long, in milliseconds since the commit.
    pub for_ms: u64,
}

/// A span of the calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A month.
    Month,
}

/// Tiered retention. Invariants: it keeps everything for some time; tiers are in order of periods, each once, and each
/// lasts longer than what is before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    keep_all_ms: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tiers: Vec<Tier>,
}

impl Retention {
    /// Keeps every commit for `keep_all`, and then as the tiers say.
    ///
    /// # Errors
    ///
    /// `Invalid` when it would keep nothing, or tiers are not in order or last shorter than what is before them.
    pub fn new(keep_all: Duration, tiers: Vec<Tier>) -> Result<Self> {
        let retention = Self { keep_all_ms: u64::try_from(keep_all.as_millis()).unwrap_or(u64::MAX), tiers };
        retention.check().map_err(|why| Error::invalid("this retention", why))?;
        Ok(retention)
    }

    /// How long every commit is kept, in milliseconds.
    #[must_use]
    pub const fn keep_all_ms(&self) -> u64 {
        self.keep_all_ms
    }

    /// The tiers, finest first.
    #[must_use]
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.keep_all_ms == 0 {
            return Err("it would keep nothing: every commit must be kept for some time".into());
        }
        if !self.tiers.iter().map(|tier| tier.each).is_sorted_by(|a, b| a < b) {
            return Err("its tiers are not in order: hourly, daily, monthly".into());
        }
        let mut before = self.keep_all_ms;
        for tier in &self.tiers {
            if tier.for_ms <= before {
                return Err("each tier must last longer than the finer one before it".into());
            }
            before = tier.for_ms;
        }
        Ok(())
    }
}
