//! How the daemon looks after the histories of its databases: how often, and how much a compaction may take.

use std::time::Duration;

use walkeep::compact::Budget;

use super::overrides::some_time;
use super::section::Section;
use crate::quantity::parse_size;

/// How the histories of all databases are looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Upkeep {
    /// How often.
    pub(crate) interval: Duration,
    /// What compactions may take, all together: one runs at a time.
    pub(crate) budget: Budget,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            budget: Budget { cpu_percent: Some(25), ..Budget::default() },
        }
    }
}

impl Upkeep {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let interval = section.parsed_quantity("upkeep_interval", some_time);
        let cpu_percent = section.parsed_quantity("compact_cpu_percent", |text| rate(text.parse().ok()));
        let bytes_per_second = section.parsed_quantity("compact_bytes_per_second", |text| {
            parse_size(text).and_then(|bytes| rate(Some(bytes)))
        });
        let requests_per_second =
            section.parsed_quantity("compact_requests_per_second", |text| rate(text.parse().ok()));
        Self {
            interval: interval.unwrap_or(default.interval),
            budget: Budget {
                cpu_percent: cpu_percent.or(default.budget.cpu_percent),
                bytes_per_second,
                requests_per_second,
            },
        }
    }
}

fn rate<T: PartialEq + Default>(number: Option<T>) -> Result<T, String> {
    let refused = "it is a whole number of at least 1";
    number.filter(|number| *number != T::default()).ok_or_else(|| refused.to_string())
}
