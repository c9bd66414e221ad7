//! What restore points to keep: every commit near, thinner far.

use std::fmt;
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

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "every commit for {}", Span(self.keep_all_ms))?;
        for tier in &self.tiers {
            let each = match tier.each {
                Period::Hour => "hour",
                Period::Day => "day",
                Period::Month => "month",
            };
            write!(f, ", one each {each} for {}", Span(tier.for_ms))?;
        }
        Ok(())
    }
}

/// Milliseconds, in the largest unit that fits.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
        match units.iter().find(|(_, ms)| self.0.is_multiple_of(*ms)) {
            Some((unit, ms)) => write!(f, "{}{unit}", self.0 / ms),
            None => write!(f, "{}ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3600)
    }

    fn tier(each: Period, days: u64) -> Tier {
        Tier { each, for_ms: days * 86_400_000 }
    }

    #[test]
    fn a_retention_says_what_it_keeps() {
        let tiers = vec![tier(Period::Hour, 7), tier(Period::Day, 30)];
        let retention = Retention::new(hours(36), tiers).unwrap();
        let said = "every commit for 36h, one each hour for 7d, one each day for 30d";
        assert_eq!(retention.to_string(), said);
    }

    #[test]
    fn what_keeps_nothing_or_less_from_tier_to_tier_is_refused() {
        let refused = |keep_all, tiers| Retention::new(keep_all, tiers).unwrap_err().to_string();
        assert!(refused(Duration::ZERO, Vec::new()).contains("keep nothing"));
        assert!(refused(hours(24), vec![tier(Period::Hour, 1)]).contains("longer"));
        let unordered = vec![tier(Period::Day, 7), tier(Period::Hour, 30)];
        assert!(refused(hours(24), unordered).contains("not in order"));
        let twice = vec![tier(Period::Day, 7), tier(Period::Day, 30)];
        assert!(refused(hours(24), twice).contains("not in order"));
        assert!(Retention::new(hours(1), vec![tier(Period::Month, 365)]).is_ok());
    }
}
