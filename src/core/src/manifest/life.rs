//! Whether a namespace is in use: the `state` of its manifest.

use serde::{Deserialize, Serialize};

use super::Manifest;
use crate::epoch::Epoch;
use crate::error::{Error, Result};
use crate::ids::{LogId, Nonce};
use crate::page::PageSize;
use crate::page_hash::HashSeed;
use crate::unix_millis::UnixMillis;

/// Whether a namespace is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// It is read and written.
    #[default]
    Active,
    /// It is read only, until it is thawed.
    Frozen,
    /// It was never there: a fork that did not come about. Its name may be used.
    Aborted,
    /// It was deleted. Its segments stay while forks need them; its versions and epochs go on if it is created again.
    Tombstone,
}

impl Life {
    /// Whether it is read and written.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        matches!(self, Self::Active)
    }

    /// Whether the namespace is there for users: not deleted, and not aborted.
    #[must_use]
    pub const fn is_there(self) -> bool {
        matches!(self, Self::Active | Self::Frozen)
    }
}

impl std::fmt::Display for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Frozen => "frozen",
            Self::Aborted => "aborted",
            Self::Tombstone => "deleted",
        })
    }
}

impl Manifest {
    /// Whether the namespace is in use.
    #[must_use]
    pub const fn life(&self) -> Life {
        self.state
    }

    /// The next version, frozen or active again. An epoch that was begun before still owns its frames; whoever freezes
    /// has claimed the last one, so that nothing of an earlier writer can land.
    ///
    /// # Errors
    ///
    /// `Invalid` for a namespace that is not there, or while an epoch is pending.
    pub fn with_frozen(&self, frozen: bool) -> Result<Self> {
        self.refuse_change("freezing or thawing")?;
        let mut next = self.successor()?;
        next.state = if frozen { Life::Frozen } else { Life::Active };
        Ok(next)
    }

    /// The next version, deleted: nothing is promised any more but what forks need. Whoever deletes has claimed the last
    /// epoch; that it is begun is not needed, so that a damaged namespace can be deleted too.
    ///
    /// # Errors
    ///
    /// `Invalid` for a namespace that is not there.
    pub fn tombstone(&self) -> Result<Self> {
        self.refuse_absent("deleting")?;
        let mut next = self.successor()?;
        next.state = Life::Tombstone;
        next.pins.clear();
        next.retention = None;
        next.kept.clear();
        next.followers.clear();
        Ok(next)
    }

    /// The first manifest of a new life, on top of a namespace that was deleted or aborted: epochs and versions go on,
    /// nothing that was stored before counts.
    ///
    /// # Errors
    ///
    /// `Invalid` when the namespace is there, or has forks that still need what was stored.
    pub fn recreate(
        &self,
        log_id: LogId,
        hash_seed: HashSeed,
        page_size: PageSize,
        nonce: Nonce,
    ) -> Result<Self> {
        if self.state.is_there() || !self.children.is_empty() {
            let why = "it is there, or was deleted and has forks that need what is stored; use another name, or \
                       delete or detach the forks";
            return Err(Error::invalid("creating the namespace anew", why));
        }
        let mut next = Self::create(log_id, hash_seed, page_size, nonce);
        next.version = self.version.next()?;
        if let Some(last) = next.epochs.last_mut() {
            last.epoch = self.next_epoch()?;
            last.floor = UnixMillis(0);
        }
        Ok(next)
    }

    pub(super) fn next_epoch(&self) -> Result<Epoch> {
        self.last().epoch.next().ok_or_else(|| Error::Exhausted { what: "all epochs are used".to_string() })
    }

    /// Refuses a change to a namespace that is not there, or that somebody is just opening.
    pub(super) fn refuse_change(&self, what: &str) -> Result<()> {
        self.refuse_absent(what)?;
        if self.is_pending() {
            let what = format!("{what}: a writer is just opening the namespace; try again");
            return Err(Error::Unavailable { what, source: None });
        }
        Ok(())
    }

    fn refuse_absent(&self, what: &str) -> Result<()> {
        if self.state.is_there() {
            return Ok(());
        }
        Err(Error::invalid(format!("{what} a namespace"), format!("it is {}", self.state)))
    }

    /// Refuses to open for writing what is not in use.
    pub(super) fn refuse_unwritable(&self) -> Result<()> {
        let why = match self.state {
            Life::Active => return Ok(()),
            Life::Frozen => {
                "it is frozen, that is, read only; `walkeep thaw` makes it writable again".to_string()
            }
            state => format!("it is {state}"),
        };
        Err(Error::invalid("opening the namespace for writing", why))
    }
}
