//! Where the replication of a database stands.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use walkeep::core::{FrameNo, Namespace, Quota, UnixMillis};

use super::fall_back::FallBack;
use super::quota_status::QuotaStatus;

/// What the replication of a database is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It opens the namespace, or waits for the store or the database to do so.
    Opening,
    /// It captures.
    Capturing,
    /// The spool is full: commits are not recorded until everything in it is stored.
    SpoolFull,
    /// It was told to stop.
    Stopped,
    /// It cannot go on: see the last error.
    Failed,
}

/// Where the replication of a database stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The database.
    pub database: PathBuf,
    /// The namespace it is stored in.
    pub namespace: Namespace,
    /// The store, without secrets.
    pub store: String,
    /// What it is doing.
    pub phase: Phase,
    /// The epoch that it writes in; `None` before the namespace is open.
    pub epoch: Option<u32>,
    /// The last commit that was captured.
    pub seen: Option<CommitSeen>,
    /// The last commit that a restore can reach.
    pub durable: Option<CommitSeen>,
    /// Since when something is committed that a restore cannot reach; `None` when everything is stored.
    pub waiting_since: Option<UnixMillis>,
    /// Transactions captured since the start.
    pub transactions: u64,
    /// Frames captured since the start.
    pub frames: u64,
    /// Bytes of segments stored since the start.
    pub bytes_stored: u64,
    /// Segments stored since the start.
    pub segments_stored: u64,
    /// Segments that wait on local disk.
    pub spool_segments: u64,
    /// Their bytes.
    pub spool_bytes: u64,
    /// The length of the database's log in bytes, up to its last commit.
    pub wal_bytes: u64,
    /// Checkpoints driven since the start.
    pub checkpoints: u64,
    /// Whether a reader of another process keeps the log from beginning anew although it is long.
    pub blocked_by_reader: bool,
    /// The last time that commits were not captured one by one.
    pub fall_back: Option<FallBack>,
    /// How often that was since the start.
    #[serde(default)]
    pub fall_backs: u64,
    /// What it may take of the store, and takes.
    #[serde(default)]
    pub quota: QuotaStatus,
    /// How often it gives a sign of life while it captures, in milliseconds; `None` before it does.
    #[serde(default)]
    pub poll_interval_ms: Option<u64>,
    /// What failed last; `None` after a success.
    pub last_error: Option<String>,
    /// When this was written.
    pub time: UnixMillis,
}

/// A commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitSeen {
    /// Its last frame.
    pub frame_no: FrameNo,
    /// When it was recorded.
    pub time: UnixMillis,
}

impl Status {
    pub(super) const fn new(
        database: PathBuf,
        namespace: Namespace,
        store: String,
        time: UnixMillis,
    ) -> Self {
        Self {
            database,
            namespace,
            store,
            phase: Phase::Opening,
            epoch: None,
            seen: None,
            durable: None,
            waiting_since: None,
            transactions: 0,
            frames: 0,
            bytes_stored: 0,
            segments_stored: 0,
            spool_segments: 0,
            spool_bytes: 0,
            wal_bytes: 0,
            checkpoints: 0,
            blocked_by_reader: false,
            fall_back: None,
            fall_backs: 0,
            quota: QuotaStatus { limit: Quota::UNLIMITED, used: None, over: false, refusals: 0, total: None },
            poll_interval_ms: None,
            last_error: None,
            time,
        }
    }

    /// How long the oldest commit that is not stored has been waiting, in milliseconds.
    #[must_use]
    pub fn lag_ms(&self, now: UnixMillis) -> u64 {
        self.waiting_since.map_or(0, |since| now.get().saturating_sub(since.get()))
    }
}
