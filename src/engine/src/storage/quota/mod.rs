//! What namespaces may take of a store, and what they take: no I/O, and no clock of its own.
//!
//! Invariants:
//!
//! - room is taken before an object is sent, and given back only when it is known that it was not stored: so what is
//!   stored never exceeds a quota, as far as it is stored through one storage;
//! - what is stored is what a listing shows: counted when the namespace is opened, when there is no room, and from time to
//!   time, since compaction and collection change it as well;
//! - nothing here refuses for good: what waits is tried again, and goes on when there is room.

mod account;
mod token_bucket;

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use walkeep_core::{Error, Namespace, Quota, Result, SegmentKey, UnixMillis};

use self::account::Account;

/// What is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Segments, as objects.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What all namespaces together may take, and take, as far as they are stored through one storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Bytes of their stored segments at most; `None`: unlimited.
    pub bytes_max: Option<NonZeroU64>,
    /// Bytes that are stored, and may be, of those that were counted.
    pub bytes: u64,
}

/// Quotas, and what is used of them.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: BTreeMap<Namespace, Account>,
    /// The quota of namespaces that have none of their own.
    default: Quota,
    /// Bytes of all together.
    total_bytes_max: Option<NonZeroU64>,
}

/// Where a namespace stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) quota: Quota,
    /// What is stored and what may be; `None` where nobody counted, since nothing is limited.
    pub(super) used: Option<Usage>,
    /// Why the last object was refused, if it was.
    pub(super) refused: Option<String>,
    /// How often one was.
    pub(super) refusals: u64,
    /// Where all together stand, if they are limited.
    pub(super) total: Option<Total>,
}

impl Ledger {
    pub(super) fn new(default: Quota, total_bytes_max: Option<NonZeroU64>) -> Self {
        Self { accounts: BTreeMap::new(), default, total_bytes_max }
    }

    fn account(&mut self, namespace: &Namespace) -> &mut Account {
        self.accounts.entry(namespace.clone()).or_default()
    }

    fn quota(&self, namespace: &Namespace) -> Quota {
        self.accounts.get(namespace).and_then(|account| account.quota).unwrap_or(self.default)
    }

    pub(super) fn set_quota(&mut self, namespace: &Namespace, quota: Option<Quota>) {
        self.account(namespace).quota = quota;
    }

    pub(super) const fn set_total(&mut self, total_bytes_max: Option<NonZeroU64>) {
        self.total_bytes_max = total_bytes_max;
    }

    pub(super) fn standing(&self, namespace: &Namespace) -> Standing {
        let account = self.accounts.get(namespace);
        Standing {
            quota: self.quota(namespace),
            used: account.filter(|account| account.was_counted()).map(Account::used),
            refused: account.and_then(|account| account.refused.clone()),
            refusals: account.map_or(0, |account| account.refusals),
            total: self.total_bytes_max.map(|_| self.total()),
        }
    }

    pub(super) fn total(&self) -> Total {
        let bytes = self.accounts.values().map(|account| account.used().bytes).sum();
        Total { bytes_max: self.total_bytes_max, bytes }
    }

    /// The namespaces to count before more of this one is stored: itself, and others that are in the total.
    pub(super) fn uncounted(&self, namespace: &Namespace, now: UnixMillis) -> Vec<Namespace> {
        let quota = self.quota(namespace);
        let own = quota.bytes.is_some() || quota.segments.is_some() || self.total_bytes_max.is_some();
        let is_uncounted =
            |name: &Namespace| self.accounts.get(name).is_none_or(|account| account.is_uncounted(now));
        let mut uncounted = Vec::new();
        if own && is_uncounted(namespace) {
            uncounted.push(namespace.clone());
        }
        if self.total_bytes_max.is_some() {
            let others =
                self.accounts.iter().filter(|(name, account)| *name != namespace && !account.was_counted());
            uncounted.extend(others.map(|(name, _)| name.clone()));
        }
        uncounted
    }

    /// A listing of a namespace's segments, with their sizes.
    pub(super) fn count(
        &mut self,
        namespace: &Namespace,
        listed: &BTreeMap<SegmentKey, u64>,
        now: UnixMillis,
    ) {
        self.account(namespace).count(listed, now);
    }

    /// Whether an object has its room already, from an earlier attempt.
    pub(super) fn has(&self, namespace: &Namespace, key: &SegmentKey) -> bool {
        self.accounts.get(namespace).is_some_and(|account| account.has(key))
    }

    /// Whether one more object may be stored now by the rate, or how long to wait.
    pub(super) fn take_token(&mut self, namespace: &Namespace, now: UnixMillis) -> Result<(), Duration> {
        match self.quota(namespace).stores_per_second {
            None => Ok(()),
            Some(rate) => self.account(namespace).tokens.take(rate, now),
        }
    }

    /// How long until one more object may be stored by the rate.
    pub(super) fn wait(&self, namespace: &Namespace, now: UnixMillis) -> Duration {
        let mut tokens = self.accounts.get(namespace).map(|account| account.tokens).unwrap_or_default();
        let rate = self.quota(namespace).stores_per_second;
        rate.and_then(|rate| tokens.take(rate, now).err()).unwrap_or_default()
    }

    /// Takes room for an object.
    ///
    /// # Errors
    ///
    /// `Exhausted`, with figures, when there is none.
    pub(super) fn reserve(
        &mut self,
        namespace: &Namespace,
        key: SegmentKey,
        bytes: u64,
        now: UnixMillis,
    ) -> Result<()> {
        if self.has(namespace, &key) {
            return Ok(());
        }
        let refused = self.refusal(namespace, bytes);
        let account = self.account(namespace);
        account.refused.clone_from(&refused);
        account.refusals += u64::from(refused.is_some());
        match refused {
            None => {
                account.reserve(key, bytes, now);
                Ok(())
            }
            Some(what) => Err(Error::Exhausted { what }),
        }
    }

    /// Why there is no room for so many bytes more.
    fn refusal(&self, namespace: &Namespace, bytes: u64) -> Option<String> {
        let quota = self.quota(namespace);
        let used = self.accounts.get(namespace).map(Account::used).unwrap_or_default();
        let over = |used: u64, more: u64, max: Option<NonZeroU64>| {
            max.is_some_and(|max| used.checked_add(more).is_none_or(|sum| sum > max.get()))
        };
        let remedy = "it waits until the quota is raised or something is deleted (`walkeep gc`)";
        if over(used.bytes, bytes, quota.bytes) || over(used.segments, 1, quota.segments) {
            let Usage { segments, bytes: stored } = used;
            return Some(format!(
                "namespace {namespace} is at its quota: {stored} bytes in {segments} segments are stored, {quota} are \
                 allowed, and the next segment has {bytes} bytes; {remedy}"
            ));
        }
        // All accounts are summed only where they are limited: this is asked for every segment.
        let max = self.total_bytes_max?;
        let total = self.total().bytes;
        over(total, bytes, Some(max)).then(|| {
            format!(
                "all namespaces together are at their quota: {total} bytes are stored, at most {max} bytes are allowed, \
                 and the next segment of {namespace} has {bytes} bytes; {remedy}"
            )
        })
    }

    /// What came of an attempt to store an object that has its room.
    pub(super) fn settle(&mut self, namespace: &Namespace, key: &SegmentKey, outcome: Option<&Error>) {
        let account = self.account(namespace);
        match outcome {
            None => account.stored(key),
            // The store refused it, or it never was sent.
            Some(Error::Exhausted { .. } | Error::Io { .. }) => account.give_back(key),
            Some(_) => account.doubt(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use walkeep_core::{Epoch, FrameNo};

    use super::*;

    fn key(n: u64) -> SegmentKey {
        let frame = FrameNo::new(n).unwrap();
        SegmentKey::new(Epoch(1), frame, frame, UnixMillis(5), 0).unwrap()
    }

    fn name(text: &str) -> Namespace {
        text.parse().unwrap()
    }

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn ledger(quota: Quota, total: u64) -> Ledger {
        let mut ledger = Ledger::new(quota, NonZeroU64::new(total));
        for namespace in ["a", "b"] {
            ledger.count(&name(namespace), &BTreeMap::new(), NOW);
        }
        ledger
    }

    fn bytes(max: u64) -> Quota {
        Quota { bytes: NonZeroU64::new(max), ..Quota::UNLIMITED }
    }

    #[test]
    fn room_is_taken_once_and_given_back_only_when_nothing_was_stored() {
        let mut ledger = ledger(bytes(100), 0);
        let a = name("a");
        let unknown = Error::Unknown { what: String::new() };
        let full = Error::Exhausted { what: String::new() };
        ledger.reserve(&a, key(1), 60, NOW).unwrap();
        ledger.reserve(&a, key(1), 60, NOW).unwrap();
        let refused = ledger.reserve(&a, key(2), 60, NOW).unwrap_err().to_string();
        assert!(
            refused.contains("60 bytes in 1 segments") && refused.contains("at most 100 bytes"),
            "{refused}"
        );
        ledger.settle(&a, &key(1), Some(&full));
        assert_eq!(ledger.standing(&a).used, Some(Usage::default()));
        ledger.reserve(&a, key(1), 60, NOW).unwrap();
        ledger.settle(&a, &key(1), Some(&unknown));
        ledger.settle(&a, &key(1), Some(&full));
        assert!(ledger.reserve(&a, key(2), 60, NOW).is_err(), "the first attempt may have stored it");
        ledger.settle(&a, &key(1), None);
        assert_eq!(ledger.standing(&a).used, Some(Usage { segments: 1, bytes: 60 }));
        assert!(ledger.standing(&a).refused.is_some());
        ledger.set_quota(&a, Some(bytes(120)));
        ledger.reserve(&a, key(2), 60, NOW).unwrap();
        assert_eq!(ledger.standing(&a).refused, None);
    }

    #[test]
    fn a_listing_counts_what_is_being_stored_once() {
        let mut ledger = ledger(bytes(100), 0);
        let a = name("a");
        ledger.reserve(&a, key(1), 60, NOW).unwrap();
        ledger.settle(&a, &key(1), Some(&Error::Unknown { what: String::new() }));
        ledger.count(&a, &BTreeMap::from([(key(1), 60)]), NOW);
        assert_eq!(ledger.standing(&a).used, Some(Usage { segments: 1, bytes: 60 }));
        ledger.reserve(&a, key(1), 60, NOW).unwrap();
        ledger.settle(&a, &key(1), None);
        assert_eq!(ledger.standing(&a).used, Some(Usage { segments: 1, bytes: 60 }));
        // One that no listing shows counts for ten minutes.
        ledger.reserve(&a, key(2), 40, NOW).unwrap();
        ledger.settle(&a, &key(2), Some(&Error::Unknown { what: String::new() }));
        for (later, used) in [(599_000, 100), (601_000, 60)] {
            ledger.count(&a, &BTreeMap::from([(key(1), 60)]), UnixMillis(NOW.get() + later));
            assert_eq!(ledger.standing(&a).used.unwrap().bytes, used);
        }
    }

    #[test]
    fn the_total_is_of_all_and_waits_until_all_are_counted() {
        let mut ledger = ledger(Quota::UNLIMITED, 100);
        let (a, b, c) = (name("a"), name("b"), name("c"));
        ledger.reserve(&a, key(1), 60, NOW).unwrap();
        assert!(ledger.reserve(&b, key(1), 60, NOW).unwrap_err().to_string().contains("all namespaces"));
        ledger.reserve(&b, key(2), 40, NOW).unwrap();
        assert_eq!(ledger.uncounted(&a, NOW), []);
        ledger.set_quota(&c, Some(Quota::UNLIMITED));
        assert_eq!(ledger.uncounted(&a, NOW), [c]);
        let later = UnixMillis(NOW.get() + 601_000);
        assert!(ledger.uncounted(&a, later).contains(&a));
        let segments = Quota { segments: NonZeroU64::new(1), ..Quota::UNLIMITED };
        ledger.set_total(None);
        ledger.set_quota(&a, Some(segments));
        assert!(ledger.reserve(&a, key(2), 1, NOW).is_err());
    }
}
