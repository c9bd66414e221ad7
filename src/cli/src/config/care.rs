//! What the daemon does for the history of a database besides adding to it.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use walkeep::core::{Period, Retention, Tier};

use super::section::Section;
use crate::quantity::{parse_duration, parse_span};

/// What the daemon does for the history of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Care {
    /// What restore points are kept; `None`: as the namespace says already.
    pub(crate) retention: Option<Retention>,
    /// Whether segments are compacted.
    pub(crate) compact: bool,
    /// Whether objects that nothing needs are deleted.
    pub(crate) gc: bool,
    /// How often a restore is tried; `None`: never.
    #[serde(rename = "restore_drill_ms", serialize_with = "millis")]
    pub(crate) restore_drill: Option<Duration>,
}

impl Default for Care {
    fn default() -> Self {
        Self { retention: None, compact: true, gc: false, restore_drill: None }
    }
}

impl fmt::Display for Care {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.retention {
            Some(retention) => write!(f, "keep {retention}")?,
            None => f.write_str("keep as the namespace says")?,
        }
        f.write_str(if self.compact { ", compact" } else { ", do not compact" })?;
        f.write_str(if self.gc { ", delete what is not needed" } else { ", delete nothing" })?;
        match self.restore_drill {
            Some(each) => write!(f, ", try a restore each {each:?}"),
            None => Ok(()),
        }
    }
}

fn millis<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
}

/// The same as it is written, of which each may be missing.
#[derive(Clone, Debug, Default)]
pub(super) struct CareOverrides {
    retention: Option<Retention>,
    compact: Option<bool>,
    gc: Option<bool>,
    restore_drill: Option<Duration>,
}

impl CareOverrides {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            retention: retention(section),
            compact: section.boolean("compact"),
            gc: section.boolean("gc"),
            restore_drill: section.parsed_quantity("restore_drill", |text| {
                parse_span(text).or_else(|why| parse_duration(text).ok().filter(|d| !d.is_zero()).ok_or(why))
            }),
        }
    }

    /// These, and where one is missing that of `defaults`. Retention is one setting: its keys are not mixed.
    pub(super) fn over(self, defaults: &Self) -> Self {
        Self {
            retention: self.retention.or_else(|| defaults.retention.clone()),
            compact: self.compact.or(defaults.compact),
            gc: self.gc.or(defaults.gc),
            restore_drill: self.restore_drill.or(defaults.restore_drill),
        }
    }

    /// What is done, where nothing is said: compaction, and deleting if retention is written down.
    pub(super) fn care(&self) -> Care {
        Care {
            compact: self.compact.unwrap_or(true),
            gc: self.gc.unwrap_or(self.retention.is_some()),
            retention: self.retention.clone(),
            restore_drill: self.restore_drill,
        }
    }
}

fn retention(section: &mut Section<'_>) -> Option<Retention> {
    let place = section.place.clone();
    let keep_all = section.parsed_quantity("keep_all", parse_span);
    let tiers = [
        (Period::Hour, section.parsed_quantity("keep_hourly", parse_span)),
        (Period::Day, section.parsed_quantity("keep_daily", parse_span)),
        (Period::Month, section.parsed_quantity("keep_monthly", parse_span)),
    ];
    let tiers = tiers.into_iter().filter_map(|(each, span)| {
        let for_ms = u64::try_from(span?.as_millis()).unwrap_or(u64::MAX);
        Some(Tier { each, for_ms })
    });
    let tiers = tiers.collect::<Vec<_>>();
    let Some(keep_all) = keep_all else {
        if !tiers.is_empty() && !section.has("keep_all") {
            let remedy = "add `keep_all = \"24h\"`: how long every commit is kept";
            section.reader.refuse(
                &place,
                "points are to be kept hourly, daily or monthly, but all of them never",
                remedy,
            );
        }
        return None;
    };
    match Retention::new(keep_all, tiers) {
        Ok(retention) => Some(retention),
        Err(error) => {
            section.reader.refuse(&place, "these keep_… settings are refused", error.to_string());
            None
        }
    }
}
