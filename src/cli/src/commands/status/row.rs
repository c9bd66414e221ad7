//! The status of one database, as it is judged here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};
use walkeep::backends::StoreUrl;
use walkeep::core::{Namespace, UnixMillis};
use walkeep_sqlite::replication::{LocalStatus, Phase, Status};

use super::stored::Stored;

/// The status of one database.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) database: PathBuf,
    pub(super) namespace: Option<Namespace>,
    pub(super) store: Option<String>,
    /// What its daemon wrote last; `None` if there never was one.
    pub(super) status: Option<Status>,
    /// Whether a daemon has it now.
    pub(super) runs: bool,
    /// How long that has given no sign of life, if it is too long.
    pub(super) silent: Option<Duration>,
    /// What the store has, if that was asked for.
    pub(super) stored: Option<Stored>,
}

impl Row {
    pub(super) fn new(
        database: &Path,
        namespace: Option<&Namespace>,
        found: Option<LocalStatus>,
        now: UnixMillis,
    ) -> Self {
        let silent = found.as_ref().and_then(|found| found.silent_for(now));
        let (status, runs) = found.map_or((None, false), |found| (Some(found.status), found.runs));
        let of_status = status.as_ref().map(|status| (status.namespace.clone(), status.store.clone()));
        let (there, store) = of_status.unzip();
        Self {
            database: database.to_path_buf(),
            namespace: there.or_else(|| namespace.cloned()),
            store,
            status,
            runs,
            silent,
            stored: None,
        }
    }

    /// The same, replicated to this store if nobody has said otherwise.
    pub(super) fn of_store(self, store: &StoreUrl) -> Self {
        Self { store: self.store.or_else(|| Some(store.to_string())), ..self }
    }

    /// In a word or two.
    pub(super) fn state(&self) -> &'static str {
        let Some(status) = &self.status else { return "never replicated" };
        match (status.phase, self.runs) {
            (Phase::Failed, _) => "failed",
            (_, true) if self.silent.is_some() => "no sign of life",
            (Phase::Opening, true) => "opening",
            (Phase::Capturing, true) => "capturing",
            (Phase::SpoolFull, true) => "spool full",
            (Phase::Stopped, _) => "stopped",
            (_, false) => "not running",
        }
    }

    /// How long the oldest commit that is not stored has been waiting, or may have been because nobody has looked; `None`
    /// if nobody will, so that nobody knows.
    pub(super) fn lag(&self, now: UnixMillis) -> Option<Duration> {
        let status = self.status.as_ref().filter(|_| self.runs && self.state() != "failed")?;
        let lag = Duration::from_millis(status.lag_ms(now));
        Some(self.silent.map_or(lag, |silent| silent.max(lag)))
    }

    /// Whether an alarm has to ring. A lag that nobody knows is one.
    pub(super) fn is_over(&self, max: Duration, now: UnixMillis) -> bool {
        self.lag(now).is_none_or(|lag| lag > max)
    }

    /// For machines: what the daemon wrote, and what is made of it.
    pub(super) fn document(&self, now: UnixMillis, over: Option<bool>) -> Value {
        let status = self.status.as_ref().and_then(|status| serde_json::to_value(status).ok());
        let mut document = match status {
            Some(Value::Object(status)) => status,
            _ => Map::new(),
        };
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let lag = self.lag(now).map(millis);
        let mut set = |key: &str, value: Value| drop(document.insert(key.to_string(), value));
        set("database", json!(self.database));
        set("namespace", json!(self.namespace));
        set("store", json!(self.store));
        set("state", json!(self.state()));
        set("running", json!(self.runs));
        set("lag_ms", json!(lag));
        set("silent_ms", json!(self.silent.map(millis)));
        if let Some(over) = over {
            set("over_max_lag", json!(over));
        }
        if let Some(stored) = &self.stored {
            set("stored", json!(stored));
        }
        Value::Object(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(phase: Phase, runs: bool, waiting_since: Option<u64>) -> Row {
        let status = serde_json::from_value(json!({
            "database": "/a.db", "namespace": "app", "store": "s", "phase": phase, "epoch": 1, "seen": null,
            "durable": null, "waiting_since": waiting_since, "transactions": 0, "frames": 0, "bytes_stored": 0,
            "segments_stored": 0, "spool_segments": 0, "spool_bytes": 0, "wal_bytes": 0, "checkpoints": 0,
            "blocked_by_reader": false, "fall_back": null, "last_error": null, "time": 0
        }));
        let found = LocalStatus { status: status.unwrap(), runs, sign_of_life: Some(UnixMillis(4_000)) };
        Row::new(Path::new("/a.db"), None, Some(found), UnixMillis(10_000))
    }

    #[test]
    fn a_lag_is_known_only_while_somebody_looks() {
        let now = UnixMillis(10_000);
        let lag = |phase, runs, since| row(phase, runs, since).lag(now).map(|lag| lag.as_millis());
        assert_eq!(lag(Phase::Capturing, true, Some(7500)), Some(2500));
        assert_eq!(lag(Phase::Capturing, true, None), Some(0));
        assert_eq!(lag(Phase::Opening, true, Some(9000)), Some(1000));
        for (phase, runs) in [(Phase::Capturing, false), (Phase::Stopped, false), (Phase::Failed, true)] {
            assert_eq!(lag(phase, runs, None), None, "{phase:?}");
            assert!(row(phase, runs, None).is_over(Duration::from_secs(3600), now), "{phase:?}");
        }
        assert!(
            Row::new(Path::new("/a.db"), None, None, UnixMillis(10_000))
                .is_over(Duration::from_secs(3600), now)
        );
        let late = row(Phase::Capturing, true, Some(7500));
        assert!(
            late.is_over(Duration::from_millis(2499), now) && !late.is_over(Duration::from_millis(2500), now)
        );
    }

    #[test]
    fn a_daemon_that_died_is_not_one_that_captures() {
        for (phase, runs, state) in [
            (Phase::Capturing, true, "capturing"),
            (Phase::Capturing, false, "not running"),
            (Phase::Opening, false, "not running"),
            (Phase::SpoolFull, true, "spool full"),
            (Phase::Stopped, false, "stopped"),
            (Phase::Failed, false, "failed"),
        ] {
            assert_eq!(row(phase, runs, None).state(), state);
        }
        assert_eq!(Row::new(Path::new("/a.db"), None, None, UnixMillis(10_000)).state(), "never replicated");
    }
}
