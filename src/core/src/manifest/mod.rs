//! Manifests: the small, versioned, create-only documents that say who may write a namespace, and so which of its
//! segments count.
//!
//! Invariants (checked when one is read and kept by every change):
//!
//! - versions follow one another without holes; only the newest counts;
//! - epochs and their begins rise strictly; the first begin is 1; only the last entry may be pending;
//! - exactly the last entry carries a nonce: that of the writer, or of the opener while it is pending.
//!
//! Not here: reading and creating them in a store (`walkeep::manifests`). The bytes are in [`codec`]; the
//! protocol that makes this safe is written down in `docs/protocol.md`.

pub mod codec;
mod epoch_entry;
mod family;
mod followers;
mod life;
mod promises;
mod version;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use epoch_entry::{EpochEntry, Validity};
pub use family::{Child, Parent};
pub use followers::{Cap, Evicted, Group, Member, Slowest};
pub use life::Life;
pub use promises::{KeptPoint, Pin};
pub use version::ManifestVersion;

use crate::epoch::Epoch;
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::ids::{LogId, Nonce};
use crate::name::{GroupName, PinName};
use crate::page::PageSize;
use crate::page_hash::HashSeed;
use crate::retention::Retention;
use crate::segment_key::SegmentKey;
use crate::unix_millis::UnixMillis;

/// One version of a namespace's manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    version: ManifestVersion,
    log_id: LogId,
    hash_seed: HashSeed,
    epochs: Vec<EpochEntry>,
    #[serde(default, skip_serializing_if = "Life::is_active")]
    state: Life,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<Parent>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    children: Vec<Child>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pins: BTreeMap<PinName, Pin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retention: Option<Retention>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frontier: Option<FrameNo>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kept: Vec<KeptPoint>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    followers: BTreeMap<GroupName, Group>,
}

impl Manifest {
    /// The format version that this code writes.
    pub const FORMAT: u32 = 1;

    /// The first manifest of a new namespace, claimed by `nonce`: epoch 1 is pending.
    #[must_use]
    pub fn create(log_id: LogId, hash_seed: HashSeed, page_size: PageSize, nonce: Nonce) -> Self {
        let entry =
            EpochEntry { epoch: Epoch(1), page_size, begin: None, floor: UnixMillis(0), nonce: Some(nonce) };
        Self {
            format: Self::FORMAT,
            version: ManifestVersion::FIRST,
            log_id,
            hash_seed,
            epochs: vec![entry],
            state: Life::Active,
            parent: None,
            children: Vec::new(),
            pins: BTreeMap::new(),
            retention: None,
            frontier: None,
            kept: Vec::new(),
            followers: BTreeMap::new(),
        }
    }

    /// The next version, in which `nonce` claims the next epoch. A pending claim of somebody else is replaced.
    ///
    /// # Errors
    ///
    /// `Invalid` for a namespace that is frozen or not there; `Exhausted` when all epochs are used.
    pub fn claim(&self, nonce: Nonce, page_size: PageSize) -> Result<Self> {
        self.refuse_unwritable()?;
        let last = self.last();
        let epoch = self.next_epoch()?;
        let mut next = self.successor()?;
        next.epochs.retain(|entry| entry.begin.is_some());
        for entry in &mut next.epochs {
            entry.nonce = None;
        }
        let floor = last.floor;
        next.epochs.push(EpochEntry { epoch, page_size, begin: None, floor, nonce: Some(nonce) });
        Ok(next)
    }

    /// The next version, in which the pending epoch begins at `begin`, behind a commit at `floor`.
    ///
    /// # Errors
    ///
    /// `Invalid` when no epoch is pending, or `begin` would cut off frames of an earlier epoch's begin.
    pub fn begin(&self, begin: FrameNo, floor: UnixMillis) -> Result<Self> {
        let mut next = self.successor()?;
        // An epoch that begins where this one does owns no frame any more.
        next.epochs.retain(|entry| entry.begin != Some(begin));
        match next.epochs.last_mut() {
            Some(last) if last.begin.is_none() => {
                last.begin = Some(begin);
                last.floor = floor;
            }
            _ => return Err(Error::invalid("beginning an epoch", "no epoch is pending")),
        }
        next.check().map_err(|why| Error::invalid(format!("an epoch that begins at frame {begin}"), why))?;
        Ok(next)
    }

    fn successor(&self) -> Result<Self> {
        Ok(Self { version: self.version.next()?, ..self.clone() })
    }

    /// The version.
    #[must_use]
    pub const fn version(&self) -> ManifestVersion {
        self.version
    }

    /// The identity of the log.
    #[must_use]
    pub const fn log_id(&self) -> LogId {
        self.log_id
    }

    /// The seed of all page hashes.
    #[must_use]
    pub const fn hash_seed(&self) -> HashSeed {
        self.hash_seed
    }

    /// The table of epochs, oldest first.
    #[must_use]
    pub fn epochs(&self) -> &[EpochEntry] {
        &self.epochs
    }

    /// The newest entry.
    #[must_use]
    pub fn last(&self) -> &EpochEntry {
        self.epochs.last().unwrap_or_else(|| unreachable!("a manifest has at least one epoch"))
    }

    /// Whether an opening is under way, or was left unfinished.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.last().begin.is_none()
    }

    /// Whether the newest entry is the opening with this nonce.
    #[must_use]
    pub fn is_last(&self, nonce: Nonce) -> bool {
        self.last().nonce == Some(nonce)
    }

    /// The first frame of the newest epoch that has begun; `None` when none has.
    #[must_use]
    pub fn last_begin(&self) -> Option<FrameNo> {
        self.epochs.iter().rev().find_map(|entry| entry.begin)
    }

    /// The entry of the epoch that owns a frame: the largest whose begin is at or before it.
    #[must_use]
    pub fn owner(&self, frame: FrameNo) -> Option<&EpochEntry> {
        self.epochs.iter().rev().find(|entry| entry.begin.is_some_and(|begin| begin <= frame))
    }

    /// The last frame an epoch owns; `None` for the newest one, which has no end yet.
    #[must_use]
    pub fn last_owned(&self, epoch: Epoch) -> Option<FrameNo> {
        let later = self.epochs.iter().filter(|entry| entry.epoch > epoch);
        later.filter_map(|entry| entry.begin).next()?.previous()
    }

    /// The first frame that can matter for the database at `frame`: where the epochs that share its page size
    /// begin.
    #[must_use]
    pub fn base(&self, frame: FrameNo) -> FrameNo {
        let mut base = FrameNo::FIRST;
        let mut page_size = None;
        for entry in &self.epochs {
            match entry.begin {
                Some(begin) if begin <= frame => {
                    if page_size.replace(entry.page_size) != Some(entry.page_size) {
                        base = begin;
                    }
                }
                _ => break,
            }
        }
        base
    }

    /// Whether a segment that is stored in this namespace counts. What a fork shares is stored with its parent: while it
    /// has one, nothing of its own that ends at or before the fork does.
    #[must_use]
    pub fn validity(&self, key: &SegmentKey) -> Validity {
        if self.parent.as_ref().is_some_and(|parent| key.end() <= parent.frame) {
            return Validity::Fenced;
        }
        if key.epoch() > self.last().epoch {
            return Validity::UnknownEpoch;
        }
        let owner = self.owner(key.end());
        if owner.is_none_or(|entry| entry.epoch != key.epoch()) {
            Validity::Fenced
        } else if self.is_pending() && self.last_begin().is_some_and(|begin| begin <= key.end()) {
            Validity::Unconfirmed
        } else {
            Validity::Valid
        }
    }

    /// The invariants of the module; the error names the one that does not hold.
    fn check(&self) -> Result<(), String> {
        let Some((last, earlier)) = self.epochs.split_last() else {
            return Err("it has no epochs".into());
        };
        if earlier.iter().any(|entry| entry.begin.is_none() || entry.nonce.is_some()) {
            return Err("an epoch before the last is pending or has a nonce".into());
        }
        if last.nonce.is_none() {
            return Err("the last epoch has no nonce".into());
        }
        if !self.epochs.iter().map(|entry| entry.epoch).is_sorted_by(|a, b| a < b) {
            return Err("epochs do not rise".into());
        }
        let begins = || self.epochs.iter().filter_map(|entry| entry.begin);
        if !begins().is_sorted_by(|a, b| a < b) {
            return Err("begins of epochs do not rise".into());
        }
        if begins().next().is_some_and(|begin| begin != FrameNo::FIRST) {
            return Err("the first epoch does not begin at frame 1".into());
        }
        if let Some(retention) = &self.retention {
            retention.check()?;
        }
        self.check_promises()?;
        self.check_followers()?;
        self.check_family()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(n: u64) -> FrameNo {
        FrameNo::new(n).unwrap()
    }

    fn new() -> Manifest {
        Manifest::create(LogId(1), HashSeed(2), PageSize::DEFAULT, Nonce(3))
    }

    fn key(epoch: u32, end: u64) -> SegmentKey {
        SegmentKey::new(Epoch(epoch), FrameNo::FIRST, frame(end), UnixMillis(0), 0).unwrap()
    }

    #[test]
    fn the_epoch_that_owns_the_end_decides_validity() {
        let manifest = new().begin(frame(1), UnixMillis(0)).unwrap();
        let manifest = manifest.claim(Nonce(4), PageSize::DEFAULT).unwrap();
        assert_eq!(manifest.validity(&key(1, 5)), Validity::Unconfirmed);
        let manifest = manifest.begin(frame(6), UnixMillis(9)).unwrap();
        assert_eq!(manifest.validity(&key(1, 5)), Validity::Valid);
        assert_eq!(manifest.validity(&key(1, 6)), Validity::Fenced);
        assert_eq!(manifest.validity(&key(2, 6)), Validity::Valid);
        assert_eq!(manifest.validity(&key(2, 5)), Validity::Fenced);
        assert_eq!(manifest.validity(&key(3, 6)), Validity::UnknownEpoch);
        // An epoch that owned no frame is dropped from the table; what it left behind is known not to count.
        assert_eq!(manifest.validity(&key(0, 6)), Validity::Fenced);
        assert_eq!(manifest.last_owned(Epoch(1)), Some(frame(5)));
        assert_eq!(manifest.last_owned(Epoch(2)), None);
    }

    #[test]
    fn an_epoch_that_owns_no_frame_is_dropped_and_its_number_is_not_used_again() {
        let manifest = new().begin(frame(1), UnixMillis(0)).unwrap();
        let manifest = manifest.claim(Nonce(4), PageSize::DEFAULT).unwrap();
        let manifest = manifest.begin(frame(1), UnixMillis(0)).unwrap();
        assert_eq!(manifest.epochs().len(), 1);
        assert_eq!(manifest.last().epoch, Epoch(2));

        // An opener that died between its two manifests leaves a pending epoch: the next one takes its place.
        let manifest = manifest.claim(Nonce(5), PageSize::DEFAULT).unwrap();
        let manifest = manifest.claim(Nonce(6), PageSize::DEFAULT).unwrap();
        assert_eq!(manifest.epochs().iter().map(|e| e.epoch.get()).collect::<Vec<_>>(), [2, 4]);
        assert!(manifest.is_last(Nonce(6)) && !manifest.is_last(Nonce(5)));
    }

    #[test]
    fn a_change_of_page_size_moves_the_base() {
        let manifest = new().begin(frame(1), UnixMillis(0)).unwrap();
        let manifest =
            manifest.claim(Nonce(4), PageSize::DEFAULT).unwrap().begin(frame(5), UnixMillis(0)).unwrap();
        let manifest =
            manifest.claim(Nonce(5), PageSize::MIN).unwrap().begin(frame(9), UnixMillis(0)).unwrap();
        let manifest =
            manifest.claim(Nonce(6), PageSize::MIN).unwrap().begin(frame(12), UnixMillis(0)).unwrap();
        assert_eq!(manifest.base(frame(8)), frame(1));
        assert_eq!(manifest.base(frame(9)), frame(9));
        assert_eq!(manifest.base(frame(20)), frame(9));
    }

    #[test]
    fn an_epoch_cannot_begin_before_an_earlier_one() {
        let manifest = new().begin(frame(1), UnixMillis(0)).unwrap();
        let manifest =
            manifest.claim(Nonce(4), PageSize::DEFAULT).unwrap().begin(frame(5), UnixMillis(0)).unwrap();
        let manifest = manifest.claim(Nonce(5), PageSize::DEFAULT).unwrap();
        assert!(manifest.begin(frame(4), UnixMillis(0)).is_err());
        assert!(new().begin(frame(2), UnixMillis(0)).is_err());
    }
}
