//! The settings that `[defaults]` and each entry may have, and how they lie over one another.

use std::num::NonZeroU64;
use std::time::Duration;

use walkeep::backends::StoreUrl;
use walkeep::core::Quota;

use super::care::CareOverrides;
use super::reader::Reader;
use super::section::{Section, Text};
use super::settings::ReplicationSettings;
use crate::quantity::{parse_duration, parse_size};

/// Settings, of which each may be missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) store: Option<StoreUrl>,
    /// Whether a store was named, be it good or not.
    pub(crate) names_store: bool,
    pub(crate) unfenced: Option<bool>,
    sync_interval: Option<Duration>,
    checkpoint_bytes: Option<u64>,
    seal_bytes: Option<u64>,
    spool_bytes_max: Option<u64>,
    busy_timeout: Option<Duration>,
    poll_interval: Option<Duration>,
    quota: Quota,
    care: CareOverrides,
}

impl Overrides {
    /// Reads the keys of a section that are settings.
    pub(crate) fn read(section: &mut Section<'_>) -> Self {
        let reader = section.reader;
        Self {
            store: section.text("store").and_then(|text| store(reader, &text)),
            names_store: section.has("store"),
            unfenced: section.boolean("unfenced"),
            sync_interval: section.parsed_quantity("sync_interval", parse_duration),
            checkpoint_bytes: section.parsed_quantity("checkpoint", some_bytes),
            seal_bytes: section.parsed_quantity("seal", some_bytes),
            spool_bytes_max: section.parsed_quantity("spool_max", some_bytes),
            busy_timeout: section.parsed_quantity("busy_timeout", parse_duration),
            poll_interval: section.parsed_quantity("poll_interval", some_time),
            quota: quota(section),
            care: CareOverrides::read(section),
        }
    }

    /// These, and where one is missing that of `defaults`.
    pub(crate) fn over(self, defaults: &Self) -> Self {
        Self {
            store: self.store.or_else(|| defaults.store.clone()),
            names_store: self.names_store || defaults.names_store,
            unfenced: self.unfenced.or(defaults.unfenced),
            sync_interval: self.sync_interval.or(defaults.sync_interval),
            checkpoint_bytes: self.checkpoint_bytes.or(defaults.checkpoint_bytes),
            seal_bytes: self.seal_bytes.or(defaults.seal_bytes),
            spool_bytes_max: self.spool_bytes_max.or(defaults.spool_bytes_max),
            busy_timeout: self.busy_timeout.or(defaults.busy_timeout),
            poll_interval: self.poll_interval.or(defaults.poll_interval),
            quota: Quota {
                bytes: self.quota.bytes.or(defaults.quota.bytes),
                segments: self.quota.segments.or(defaults.quota.segments),
                stores_per_second: self.quota.stores_per_second.or(defaults.quota.stores_per_second),
            },
            care: self.care.over(&defaults.care),
        }
    }

    /// Notes it if neither the entry nor the defaults name a store.
    pub(crate) fn require_store(&self, section: &Section<'_>) {
        if !self.names_store {
            section.missing("store", "add `store = …` here or in [defaults]");
        }
    }

    /// The settings of a database, where one is missing the built-in default.
    pub(crate) fn settings(&self) -> ReplicationSettings {
        let built_in = ReplicationSettings::default();
        ReplicationSettings {
            sync_interval: self.sync_interval.unwrap_or(built_in.sync_interval),
            checkpoint_bytes: self.checkpoint_bytes.unwrap_or(built_in.checkpoint_bytes),
            seal_bytes: self.seal_bytes.unwrap_or(built_in.seal_bytes),
            spool_bytes_max: self.spool_bytes_max.unwrap_or(built_in.spool_bytes_max),
            busy_timeout: self.busy_timeout.unwrap_or(built_in.busy_timeout),
            poll_interval: self.poll_interval.unwrap_or(built_in.poll_interval),
            quota: self.quota,
            care: self.care.care(),
        }
    }
}

/// What a quota looks like.
const NO_QUOTA: &str = "it is a whole number of at least 1; without it there is no limit";

/// What a namespace may take: each absent one is unlimited.
fn quota(section: &mut Section<'_>) -> Quota {
    let number = |_| NO_QUOTA.to_string();
    Quota {
        bytes: section.parsed_quantity("quota_bytes", quota_bytes),
        segments: section.parsed_quantity("quota_segments", |text| text.parse().map_err(number)),
        stores_per_second: section.parsed_quantity("stores_per_second", |text| text.parse().map_err(number)),
    }
}

/// A quota in bytes.
pub(super) fn quota_bytes(text: &str) -> Result<NonZeroU64, String> {
    NonZeroU64::new(parse_size(text)?).ok_or_else(|| NO_QUOTA.to_string())
}

/// A store. Neither what is written nor what it stands for is repeated: somebody may have put a password into it.
fn store(reader: &Reader<'_>, text: &Text) -> Option<StoreUrl> {
    let parsed = text.value.parse::<StoreUrl>().map_err(|error| {
        // The parser may repeat parts that are no secret in an address, but may be one in a variable.
        let plain = text.value == text.written;
        let why = if plain { error.to_string() } else { format!("a store is {}", StoreUrl::forms()) };
        reader.refuse(&text.place, "this `store` is refused", why);
    });
    Some(parsed.ok()?.with_paths(&|path| reader.absolute(path)))
}

fn some_bytes(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        0 => Err("it must be more than 0".into()),
        size => Ok(size),
    }
}

pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("it must be more than 0".into()),
        duration => Ok(duration),
    }
}
