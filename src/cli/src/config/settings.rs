//! How a database is replicated.

use std::time::Duration;

use serde::{Serialize, Serializer};

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
}

impl Default for ReplicationSettings {
    fn default() -> Self {
        Self {
            sync_interval: Duration::from_secs(1),
            checkpoint_bytes: 4 << 20,
            seal_bytes: 64 << 20,
            spool_bytes_max: 1 << 30,
            busy_timeout: Duration::from_secs(5),
            poll_interval: Duration::from_secs(10),
        }
    }
}

fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
