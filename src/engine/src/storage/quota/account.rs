//! What one namespace takes of a store.

use std::collections::{BTreeMap, BTreeSet};

use walkeep_core::{Quota, SegmentKey, UnixMillis};

use super::Usage;
use super::token_bucket::TokenBucket;

/// An object whose outcome is not known for so long, and that no listing shows, is taken for not stored. In milliseconds.
const DOUBT_MAX_MS: u64 = 10 * 60_000;
/// A count that is older is made again: what is compacted and collected besides changes it. In milliseconds.
const COUNT_AGE_MAX_MS: u64 = 10 * 60_000;

/// An object that is being stored, or may be.
#[derive(Clone, Copy, Debug)]
struct Reservation {
    bytes: u64,
    since: UnixMillis,
    /// An attempt ended without an answer: it may be there, or appear.
    doubtful: bool,
}

/// What one namespace may take, and takes.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Its own quota; `None`: as all others.
    pub(super) quota: Option<Quota>,
    /// What a listing showed, and what was stored since; `None` before the first.
    stored: Option<Usage>,
    counted_at: UnixMillis,
    reserved: BTreeMap<SegmentKey, Reservation>,
    /// Of these a listing showed that they are stored, before their own calls said so.
    seen: BTreeSet<SegmentKey>,
    pub(super) tokens: TokenBucket,
    /// Why the last object was refused.
    pub(super) refused: Option<String>,
    /// How often one was.
    pub(super) refusals: u64,
}

impl Account {
    /// Whether it is to be counted before anything more is stored.
    pub(super) fn is_uncounted(&self, now: UnixMillis) -> bool {
        let age = now.get().abs_diff(self.counted_at.get());
        self.stored.is_none() || age > COUNT_AGE_MAX_MS
    }

    pub(super) const fn was_counted(&self) -> bool {
        self.stored.is_some()
    }

    /// Whether an object has its room already: an attempt at it was made before.
    pub(super) fn has(&self, key: &SegmentKey) -> bool {
        self.reserved.contains_key(key) || self.seen.contains(key)
    }

    /// What is stored, and what may be.
    pub(super) fn used(&self) -> Usage {
        let stored = self.stored.unwrap_or_default();
        Usage {
            segments: stored.segments + self.reserved.len() as u64,
            bytes: stored.bytes + self.reserved.values().map(|reserved| reserved.bytes).sum::<u64>(),
        }
    }

    pub(super) fn reserve(&mut self, key: SegmentKey, bytes: u64, now: UnixMillis) {
        self.reserved.insert(key, Reservation { bytes, since: now, doubtful: false });
    }

    /// An object is stored.
    pub(super) fn stored(&mut self, key: &SegmentKey) {
        self.seen.remove(key);
        if let (Some(reserved), Some(stored)) = (self.reserved.remove(key), &mut self.stored) {
            stored.segments += 1;
            stored.bytes += reserved.bytes;
        }
    }

    /// An attempt ended without an answer.
    pub(super) fn doubt(&mut self, key: &SegmentKey) {
        if let Some(reserved) = self.reserved.get_mut(key) {
            reserved.doubtful = true;
        }
    }

    /// An attempt ended, and has stored nothing. An earlier one may have.
    pub(super) fn give_back(&mut self, key: &SegmentKey) {
        if self.reserved.get(key).is_some_and(|reserved| !reserved.doubtful) {
            self.reserved.remove(key);
        }
    }

    /// What a listing shows: it counts, and what it does not show counts for as long as it may still appear.
    pub(super) fn count(&mut self, listed: &BTreeMap<SegmentKey, u64>, now: UnixMillis) {
        self.seen.extend(self.reserved.keys().filter(|key| listed.contains_key(key)).copied());
        let (seen, old) = (&self.seen, |since: UnixMillis| now.get().abs_diff(since.get()) > DOUBT_MAX_MS);
        self.reserved
            .retain(|key, reserved| !(seen.contains(key) || reserved.doubtful && old(reserved.since)));
        self.seen.retain(|key| listed.contains_key(key));
        self.stored = Some(Usage { segments: listed.len() as u64, bytes: listed.values().sum() });
        self.counted_at = now;
    }
}
