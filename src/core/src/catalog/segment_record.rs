//! The registry of a namespace's segments: what a listing of the store said when it was last looked at.
//!
//! It is a cache. Nothing may be deleted, or taken for stored, because of what stands in it.

use serde::{Deserialize, Serialize};

use crate::segment_key::SegmentKey;
use crate::unix_millis::UnixMillis;

/// A stored segment. Its level and time stand in its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentRecord {
    /// What it is.
    pub key: SegmentKey,
    /// The length of the object in bytes.
    pub size: u64,
    /// When it was stored, by the clock of the store; `None` where the store does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<UnixMillis>,
}

/// All segments of a part of a listing: behind one key, up to and with another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedSegments {
    /// The part begins behind this key; `None`: with the newest segment.
    pub after: Option<SegmentKey>,
    /// The last key of the part; `None`: it reaches to the oldest segment.
    pub until: Option<SegmentKey>,
    /// What the listing shows in between, in its order, each once.
    pub segments: Vec<SegmentRecord>,
}

impl ListedSegments {
    /// Whether a key lies in the part.
    #[must_use]
    pub fn spans(&self, key: &SegmentKey) -> bool {
        self.after.is_none_or(|after| after < *key) && self.until.is_none_or(|until| *key <= until)
    }

    /// What must hold, for implementations to check before they write.
    ///
    /// # Errors
    ///
    /// What does not hold.
    pub fn check(&self) -> Result<(), String> {
        if !self.segments.is_sorted_by(|a, b| a.key < b.key) {
            return Err("segments are listed in order, and each once".into());
        }
        match self.segments.iter().find(|segment| !self.spans(&segment.key)) {
            Some(outside) => Err(format!("segment {} lies outside of the part that was listed", outside.key)),
            None => Ok(()),
        }
    }
}

/// What a look at a listing changed in the registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SegmentChanges {
    /// Segments that were not known.
    pub added: u64,
    /// Segments that are not listed any more.
    pub removed: u64,
    /// Segments whose size or time was another.
    pub changed: u64,
    /// Segments that are as they were known.
    pub unchanged: u64,
}

impl SegmentChanges {
    /// Whether the registry was right.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.added == 0 && self.removed == 0 && self.changed == 0
    }

    /// Adds what another part changed.
    pub const fn add(&mut self, other: Self) {
        self.added += other.added;
        self.removed += other.removed;
        self.changed += other.changed;
        self.unchanged += other.unchanged;
    }
}
