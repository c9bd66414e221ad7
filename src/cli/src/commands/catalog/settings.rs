//! The settings of a namespace on the command line: what is given is set, what is not stays as it is.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use clap::{Args, ValueEnum};
use walkeep::core::catalog::NamespaceSettings;
use walkeep::core::{PageSize, SealPolicy};

use crate::commands::retain::KeepArgs;
use crate::failure::Usage;
use crate::quantity::{parse_duration, parse_size};

/// Settings of a namespace.
#[derive(Debug, Args)]
pub(crate) struct SettingsArgs {
    /// The size of its database's pages: a power of two, 512 to 65536
    #[arg(long, value_name = "BYTES", value_parser = parse_page_size)]
    page_size: Option<PageSize>,
    /// How many bytes of stored segments it may have: bytes, or with K, M, G or T
    #[arg(long, value_name = "SIZE", value_parser = parse_quota)]
    quota_bytes: Option<NonZeroU64>,
    /// How many stored segments it may have
    #[arg(long, value_name = "N")]
    quota_segments: Option<NonZeroU64>,
    /// How many segments it may store in a second
    #[arg(long, value_name = "N")]
    stores_per_second: Option<NonZeroU32>,
    #[command(flatten)]
    keep: KeepArgs,
    /// Seal its current segment when it holds so much
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    seal_bytes: Option<u64>,
    /// Seal its current segment when its first transaction is so old; with --seal-bytes, whichever comes first
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    seal_age: Option<Duration>,
    /// The address of its store, where that is another than the server's; it must not name a password
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
}

/// A setting that can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Setting {
    PageSize,
    QuotaBytes,
    QuotaSegments,
    StoresPerSecond,
    Keep,
    Seal,
    Store,
}

impl SettingsArgs {
    /// Puts what was given into settings.
    pub(super) fn apply(&self, settings: &mut NamespaceSettings) -> Result<(), Usage> {
        let Self { page_size, quota_bytes, quota_segments, stores_per_second, store, .. } = self;
        settings.page_size = page_size.or(settings.page_size);
        settings.quota.bytes = quota_bytes.or(settings.quota.bytes);
        settings.quota.segments = quota_segments.or(settings.quota.segments);
        settings.quota.stores_per_second = stores_per_second.or(settings.quota.stores_per_second);
        settings.retention = self.keep.retention()?.or_else(|| settings.retention.take());
        settings.seal = self.seal().or_else(|| settings.seal.take());
        settings.store = store.clone().or_else(|| settings.store.take());
        Ok(())
    }

    fn seal(&self) -> Option<SealPolicy> {
        let age = |age: Duration| SealPolicy::AgeMs(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        match (self.seal_bytes.map(SealPolicy::Bytes), self.seal_age.map(age)) {
            (Some(bytes), Some(age)) => Some(SealPolicy::Any(vec![bytes, age])),
            (bytes, age) => bytes.or(age),
        }
    }
}

impl Setting {
    /// Takes the setting away: it is the server's to choose again.
    pub(super) fn unset(self, settings: &mut NamespaceSettings) {
        match self {
            Self::PageSize => settings.page_size = None,
            Self::QuotaBytes => settings.quota.bytes = None,
            Self::QuotaSegments => settings.quota.segments = None,
            Self::StoresPerSecond => settings.quota.stores_per_second = None,
            Self::Keep => settings.retention = None,
            Self::Seal => settings.seal = None,
            Self::Store => settings.store = None,
        }
    }
}

fn parse_page_size(text: &str) -> Result<PageSize, String> {
    let bytes = text.parse().map_err(|_| "a size of pages is a number of bytes".to_string())?;
    PageSize::new(bytes).map_err(|error| error.to_string())
}

fn parse_quota(text: &str) -> Result<NonZeroU64, String> {
    let rule = "a quota is at least 1; to forbid writing, freeze the namespace";
    NonZeroU64::new(parse_size(text)?).ok_or_else(|| rule.to_string())
}
