//! What a server knows of a namespace besides its log.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ids::LogId;
use crate::namespace::Namespace;
use crate::page::PageSize;
use crate::quota::Quota;
use crate::retention::Retention;
use crate::seal_policy::SealPolicy;
use crate::unix_millis::UnixMillis;

/// Whether a namespace is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceState {
    /// It is served.
    #[default]
    Active,
    /// It is not served now, and may be again.
    Closed,
    /// It was deleted in the store; the record stays until it is deleted here as well. It is never served again.
    Tombstone,
}

impl fmt::Display for NamespaceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Active => "active",
            Self::Closed => "closed",
            Self::Tombstone => "tombstone",
        })
    }
}

/// The settings of a namespace. What is not set is the server's to choose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceSettings {
    /// The size of its database's pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<PageSize>,
    /// When its current segment is sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<SealPolicy>,
    /// Which restore points are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// How much it may use.
    #[serde(default, skip_serializing_if = "Quota::is_unlimited")]
    pub quota: Quota,
    /// The address of its store, where that is another than the server's. It never holds a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

impl NamespaceSettings {
    /// The most bytes of a store's address.
    pub const STORE_LEN_MAX: usize = 2048;

    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(seal) = &self.seal {
            seal.check().map_err(|error| error.to_string())?;
        }
        if let Some(retention) = &self.retention {
            retention.check()?;
        }
        let Some(store) = &self.store else { return Ok(()) };
        if !(1..=Self::STORE_LEN_MAX).contains(&store.len()) || store.chars().any(char::is_control) {
            return Err(format!(
                "the address of a store has 1 to {} bytes and no control characters",
                Self::STORE_LEN_MAX
            ));
        }
        // `scheme://user:password@host`: the catalog is exported and copied, a password must not go with it.
        let authority = store.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
        if authority.is_some_and(|authority| authority.contains('@')) {
            return Err("the address of a store must not name a user or a password".into());
        }
        Ok(())
    }
}

/// What is to become of a namespace's record. What is not set stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceChange {
    /// Its new settings, all of them.
    pub settings: Option<NamespaceSettings>,
    /// Its new state.
    pub state: Option<NamespaceState>,
    /// Its log, once that is known. It can be said once, and then only be repeated.
    pub log_id: Option<LogId>,
}

/// What a server knows of a namespace besides its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceRecord {
    /// Its name.
    pub namespace: Namespace,
    /// Whether it is served.
    pub state: NamespaceState,
    /// Its settings.
    #[serde(default)]
    pub settings: NamespaceSettings,
    /// Its log in the store, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_id: Option<LogId>,
    /// When it was created here.
    pub created: UnixMillis,
    /// When this record last changed.
    pub updated: UnixMillis,
}

impl NamespaceRecord {
    /// The record of a new namespace.
    ///
    /// # Errors
    ///
    /// `Invalid` for settings that contradict themselves.
    pub fn new(namespace: &Namespace, settings: &NamespaceSettings, now: UnixMillis) -> Result<Self> {
        let record = Self {
            namespace: namespace.clone(),
            state: NamespaceState::Active,
            settings: settings.clone(),
            log_id: None,
            created: now,
            updated: now,
        };
        record.check().map_err(|why| record.refused(why))?;
        Ok(record)
    }

    /// The record after a change. One that changes nothing leaves its time as well.
    ///
    /// # Errors
    ///
    /// `Invalid` for settings that contradict themselves, a state that does not follow, and another log.
    pub fn apply(&self, change: &NamespaceChange, now: UnixMillis) -> Result<Self> {
        let mut next = self.clone();
        if let Some(state) = change.state.filter(|state| *state != self.state) {
            if self.state == NamespaceState::Tombstone {
                return Err(self.refused("it was deleted; delete the record, and create it anew".into()));
            }
            next.state = state;
        }
        if let Some(log_id) = change.log_id.filter(|log_id| Some(*log_id) != self.log_id) {
            if let Some(known) = self.log_id {
                return Err(self.other_log(known, log_id));
            }
            next.log_id = Some(log_id);
        }
        if let Some(settings) = &change.settings {
            next.settings.clone_from(settings);
        }
        next.check().map_err(|why| next.refused(why))?;
        if next != *self {
            next.updated = now.max(self.updated);
        }
        Ok(next)
    }

    /// Refuses a namespace that is not to be served again.
    ///
    /// # Errors
    ///
    /// `Invalid` for a tombstone.
    pub fn refuse_tombstone(&self, what: &str) -> Result<()> {
        if self.state == NamespaceState::Tombstone {
            let why = "it was deleted in the store".to_string();
            return Err(Error::invalid(format!("{what} namespace {}", self.namespace), why));
        }
        Ok(())
    }

    /// Refuses a store in which the namespace has another log than here.
    ///
    /// # Errors
    ///
    /// `Invalid` with both logs.
    pub fn refuse_other_log(&self, stored: LogId) -> Result<()> {
        match self.log_id.filter(|known| *known != stored) {
            Some(known) => Err(self.other_log(known, stored)),
            None => Ok(()),
        }
    }

    fn other_log(&self, known: LogId, other: LogId) -> Error {
        self.refused(format!(
            "the catalog knows it with log {known}, the store has log {other}: it is the catalog of another store, or \
             the namespace was deleted and created anew (then delete its record here)"
        ))
    }

    fn refused(&self, why: String) -> Error {
        Error::invalid(format!("namespace {}", self.namespace), why)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        self.settings.check()
    }
}

/// What went with a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Deleted {
    /// Whether there was a record of it.
    pub existed: bool,
    /// Segments of its registry.
    pub segments: u64,
    /// Groups of followers.
    pub groups: u64,
    /// Positions of their members.
    pub positions: u64,
    /// Whether a node had it.
    pub assigned: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> NamespaceRecord {
        let namespace = Namespace::new("shop").unwrap();
        NamespaceRecord::new(&namespace, &NamespaceSettings::default(), UnixMillis(5)).unwrap()
    }

    fn state(state: NamespaceState) -> NamespaceChange {
        NamespaceChange { state: Some(state), ..NamespaceChange::default() }
    }

    #[test]
    fn a_tombstone_stays_one() {
        let closed = record().apply(&state(NamespaceState::Closed), UnixMillis(6)).unwrap();
        let active = closed.apply(&state(NamespaceState::Active), UnixMillis(7)).unwrap();
        let gone = active.apply(&state(NamespaceState::Tombstone), UnixMillis(8)).unwrap();
        assert!(gone.apply(&state(NamespaceState::Active), UnixMillis(9)).is_err());
        assert!(gone.refuse_tombstone("assigning").is_err());
        assert!(closed.refuse_tombstone("assigning").is_ok());
    }

    #[test]
    fn a_change_that_changes_nothing_leaves_the_time() {
        let record = record();
        assert_eq!(record.apply(&state(NamespaceState::Active), UnixMillis(9)).unwrap(), record);
        let closed = record.apply(&state(NamespaceState::Closed), UnixMillis(1)).unwrap();
        assert_eq!(closed.updated, UnixMillis(5), "a clock that went back");
    }

    #[test]
    fn a_log_is_said_once() {
        let log = |id| NamespaceChange { log_id: Some(LogId(id)), ..NamespaceChange::default() };
        let known = record().apply(&log(1), UnixMillis(6)).unwrap();
        assert_eq!(known.apply(&log(1), UnixMillis(7)).unwrap(), known);
        let error = known.apply(&log(2), UnixMillis(7)).unwrap_err().to_string();
        assert!(error.contains(&LogId(1).to_string()) && error.contains(&LogId(2).to_string()), "{error}");
        assert!(known.refuse_other_log(LogId(2)).is_err());
        assert!(record().refuse_other_log(LogId(2)).is_ok());
    }

    #[test]
    fn settings_that_contradict_themselves_or_hold_a_password_are_refused() {
        let refused = |settings: NamespaceSettings| {
            let change = NamespaceChange { settings: Some(settings), ..NamespaceChange::default() };
            record().apply(&change, UnixMillis(6)).is_err()
        };
        let store =
            |store: &str| NamespaceSettings { store: Some(store.into()), ..NamespaceSettings::default() };
        assert!(refused(store("")));
        assert!(refused(store("s3://user:secret@host/x")));
        assert!(!refused(store("s3://bucket/a@b")));
        let seal = Some(SealPolicy::Any(Vec::new()));
        assert!(refused(NamespaceSettings { seal, ..NamespaceSettings::default() }));
        let none: Retention = serde_json::from_str(r#"{"keep_all_ms":0}"#).unwrap();
        assert!(refused(NamespaceSettings { retention: Some(none), ..NamespaceSettings::default() }));
    }
}
