//! Forks: a namespace that goes on from a commit of another, and reads what is before it there.
//!
//! Invariants: a fork's table of epochs repeats its parent's up to the fork, so that it judges the parent's segments as
//! the parent does; its own epochs are newer. Each child that a parent lists has a log of its own.

use serde::{Deserialize, Serialize};

use super::{EpochEntry, Life, Manifest, ManifestVersion};
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::ids::{LogId, Nonce};
use crate::namespace::Namespace;
use crate::unix_millis::UnixMillis;

/// Where a fork came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parent {
    /// The namespace.
    pub namespace: Namespace,
    /// Its log.
    pub log_id: LogId,
    /// The last frame that the two share.
    pub frame: FrameNo,
    /// The time of that commit.
    pub time: UnixMillis,
}

/// A fork that goes on from a commit of this namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Child {
    /// The namespace.
    pub namespace: Namespace,
    /// Its log.
    pub log_id: LogId,
    /// The last frame that the two share: needed as long as the fork lists this parent.
    pub frame: FrameNo,
}

impl Manifest {
    /// Where this namespace came from, if it is a fork that still needs it.
    #[must_use]
    pub const fn parent(&self) -> Option<&Parent> {
        self.parent.as_ref()
    }

    /// The forks that need this namespace.
    #[must_use]
    pub fn children(&self) -> &[Child] {
        &self.children
    }

    /// The next version, with a fork: what must be published before the fork's own manifest is created.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` for a name that is taken; `Invalid` for a namespace that is not there or a point that is not
    /// promised; `Unavailable` while an epoch is pending.
    pub fn with_child(&self, child: Child) -> Result<Self> {
        self.refuse_change("forking")?;
        if self.children.iter().any(|other| other.namespace == child.namespace) {
            return Err(Error::AlreadyExists { what: format!("fork {}", child.namespace) });
        }
        self.refuse_unpromised(child.frame)?;
        let mut next = self.successor()?;
        next.children.push(child);
        next.children.sort_by(|a, b| a.namespace.cmp(&b.namespace));
        Ok(next)
    }

    /// The next version, without a fork that is gone or needs its parent no longer. Also of a deleted namespace.
    ///
    /// # Errors
    ///
    /// `Exhausted` when all versions are used.
    pub fn without_child(&self, log_id: LogId) -> Result<Self> {
        let mut next = self.successor()?;
        next.children.retain(|child| child.log_id != log_id);
        Ok(next)
    }

    /// The first manifest of a fork of this namespace at a commit: `version` is 1, or follows that of a namespace of
    /// this name that is not there any more. It is begun, and promises that commit and what follows.
    ///
    /// # Errors
    ///
    /// `Invalid` when no epoch owns the frame; `Exhausted`.
    pub fn fork(&self, parent: Parent, log_id: LogId, nonce: Nonce, before: Option<&Self>) -> Result<Self> {
        let frame = parent.frame;
        let inherited = self.epochs.iter().filter(|entry| entry.begin.is_some_and(|begin| begin <= frame));
        let mut epochs = inherited.cloned().collect::<Vec<_>>();
        let Some(last) = epochs.last().cloned() else {
            return Err(Error::invalid(format!("a fork at frame {frame}"), "no epoch owns it"));
        };
        for entry in &mut epochs {
            entry.nonce = None;
        }
        let newest = before.map_or(last.epoch, |before| before.last().epoch.max(last.epoch));
        let next = newest.next().ok_or_else(|| Error::Exhausted { what: "all epochs are used".into() })?;
        let begin = frame.next().ok_or_else(|| Error::Exhausted { what: "all frames are used".into() })?;
        epochs.push(EpochEntry {
            epoch: next,
            page_size: last.page_size,
            begin: Some(begin),
            floor: parent.time,
            nonce: Some(nonce),
        });
        let version = match before {
            None => ManifestVersion::FIRST,
            Some(before) => before.version.next()?,
        };
        let mut fork = Self::create(log_id, self.hash_seed, last.page_size, nonce);
        fork.version = version;
        fork.epochs = epochs;
        fork.parent = Some(parent);
        fork.frontier = (frame > FrameNo::FIRST).then_some(frame);
        fork.check().map_err(|why| Error::invalid(format!("a fork at frame {frame}"), why))?;
        Ok(fork)
    }

    /// The manifest that keeps a fork that did not come about from coming about later: the first one of its name, or
    /// the one behind that of a namespace that is not there.
    ///
    /// # Errors
    ///
    /// `Invalid` for a namespace that is there; `Exhausted`.
    pub fn aborted(
        log_id: LogId,
        seed: crate::HashSeed,
        page_size: crate::PageSize,
        nonce: Nonce,
        after: Option<&Self>,
    ) -> Result<Self> {
        let manifest = match after {
            None => Self::create(log_id, seed, page_size, nonce),
            Some(after) => after.recreate(log_id, seed, page_size, nonce)?,
        };
        Ok(Self { state: Life::Aborted, ..manifest })
    }

    /// The same without an opening that is under way: how a fork judges what was confirmed before that began.
    #[must_use]
    pub fn settled(mut self) -> Self {
        if self.is_pending() && self.epochs.len() > 1 {
            self.epochs.pop();
        }
        self
    }

    /// The next version, which needs its parent no longer: everything that it shared is stored here too.
    ///
    /// # Errors
    ///
    /// `Invalid` when it is no fork or is not there; `Unavailable` while an epoch is pending.
    pub fn detach(&self) -> Result<Self> {
        self.refuse_change("detaching")?;
        let mut next = self.successor()?;
        match next.parent.take() {
            Some(_) => Ok(next),
            None => Err(Error::invalid("detaching the namespace", "it is no fork, or was detached before")),
        }
    }

    pub(super) fn check_family(&self) -> Result<(), String> {
        let first_own = self.parent.as_ref().and_then(|parent| parent.frame.next());
        if let Some(first) = first_own
            && self.last_begin().is_none_or(|begin| begin < first)
        {
            return Err(format!("a fork whose own epochs do not begin at frame {first} or behind"));
        }
        let names = self.children.iter().map(|child| &child.namespace);
        if !names.is_sorted_by(|a, b| a < b) {
            return Err("forks are not in order of their names".into());
        }
        Ok(())
    }
}
