//! How a database is replicated.

use std::time::Duration;

use serde::{Serialize, Serializer};
use walkeep::core::Quota;
use walkeep_sqlite::replication::ReplicationOptions;

use super::care::Care;

/// How a database is replicated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ReplicationSettings {
    /// How long commits are gathered for one segment; 0: each commit as it is seen.
    #[serde(rename = "sync_interval_ms", serialize_with = "millis")]
    pub(crate) sync_interval: Duration,
    /// The length of the log from which it is checkpointed.
    pub(crate) checkpoint_bytes: u64,
    /// Bytes of page images that a segment holds at most, if it has several transactions.
    pub(crate) seal_bytes: u64,
    /// Bytes that wait on local disk for the store at most.
    pub(crate) spool_bytes_max: u64,
    /// How long to wait for a lock of another process.
    #[serde(rename = "busy_timeout_ms", serialize_with = "millis")]
    pub(crate) busy_timeout: Duration,
    /// How often to look although nothing was heard.
    #[serde(rename = "poll_interval_ms", serialize_with = "millis")]
    pub(crate) poll_interval: Duration,
    /// What it may take of the store.
    pub(crate) quota: Quota,
    /// What is done for its history besides adding to it.
    pub(crate) care: Care,
}

impl From<&ReplicationSettings> for ReplicationOptions {
    fn from(settings: &ReplicationSettings) -> Self {
        Self {
            sync_interval: settings.sync_interval,
            checkpoint_bytes: settings.checkpoint_bytes,
            seal_bytes: settings.seal_bytes,
            spool_bytes_max: settings.spool_bytes_max,
            busy_timeout: settings.busy_timeout,
            poll_interval: settings.poll_interval,
            quota: settings.quota,
            ..Self::default()
        }
    }
}

impl Default for ReplicationSettings {
    fn default() -> Self {
        let options = ReplicationOptions::default();
        Self {
            sync_interval: options.sync_interval,
            checkpoint_bytes: options.checkpoint_bytes,
            seal_bytes: options.seal_bytes,
            spool_bytes_max: options.spool_bytes_max,
            busy_timeout: options.busy_timeout,
            poll_interval: options.poll_interval,
            quota: options.quota,
            care: Care::default(),
        }
    }
}

fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
