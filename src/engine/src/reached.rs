//! Which ends of segments a chain from the base reaches.
//!
//! Two rules of joining. In Walkeep's own stores all valid segments tell one history, so that overlapping ones join. In
//! a bucket of libsql-wal nothing says so: there a segment joins only one that ends exactly before it.

use std::collections::BTreeSet;

use walkeep_core::{FrameNo, SegmentKey};

/// Ends that are reached, while segments are looked at in order of rising ends.
#[derive(Debug)]
pub(crate) struct Reached {
    exact: bool,
    highest: Option<FrameNo>,
    /// All ends; kept where joins are exact.
    ends: BTreeSet<FrameNo>,
}

impl Reached {
    /// Nothing reached yet.
    pub(crate) const fn new(exact: bool) -> Self {
        Self { exact, highest: None, ends: BTreeSet::new() }
    }

    /// Whether a chain reaches up to this segment.
    pub(crate) fn joins(&self, key: &SegmentKey, base: FrameNo) -> bool {
        if self.exact {
            let before = key.start().previous();
            return key.start() == base || before.is_some_and(|before| self.ends.contains(&before));
        }
        let next = self.highest.and_then(FrameNo::next);
        key.start() <= base || next.is_some_and(|next| next >= key.start())
    }

    /// Adds an end.
    pub(crate) fn add(&mut self, end: FrameNo) {
        self.highest = self.highest.max(Some(end));
        if self.exact {
            self.ends.insert(end);
        }
    }

    /// Adds the end of a segment, if it joins. Whether it did.
    pub(crate) fn extend(&mut self, key: &SegmentKey, base: FrameNo) -> bool {
        let joins = self.joins(key, base);
        if joins {
            self.add(key.end());
        }
        joins
    }
}
