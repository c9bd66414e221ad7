//! Manifests: the create-only log that says who owns which frames.
//!
//! Job: the epoch table, the frontier of retention, the points kept before it, the pins, and the one question every actor asks: how does this
//! segment stand?
//!
//! Invariants: versions go up by one; entries are in order of epoch; at most the last entries are pending. An entry
//! that owns no frame is dropped when a later epoch begins.
//!
//! Not here: creating one (`store`), nor what actors do with the answer.

use crate::content::{Epoch, Frame};
use crate::segment::Segment;

/// One line of the epoch table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry {
    /// The epoch.
    pub epoch: Epoch,
    /// Chosen by the one who opened; tells two claims of one epoch apart.
    pub nonce: u8,
    /// The first frame of the epoch; none while it is pending.
    pub begin: Option<Frame>,
}

/// How a segment stands under one manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its epoch owns its end.
    Valid,
    /// A known epoch that does not own its end.
    Fenced,
    /// An epoch newer than this manifest.
    Unknown,
}

/// One version of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Manifest {
    /// Version, up by one with each.
    pub version: u8,
    /// The epoch table.
    pub table: Vec<Entry>,
    /// Every commit from here on stays a restore point.
    pub frontier: Frame,
    /// Bit n is set when frame n, before the frontier, stays one too.
    pub kept: u8,
    /// Bit n is set when frame n is pinned.
    pub pins: u8,
}

impl Manifest {
    /// The first version, of an empty log.
    pub fn first() -> Self {
        Self { version: 1, table: Vec::new(), frontier: 1, kept: 0, pins: 0 }
    }

    /// The successor, not yet changed.
    pub fn next(&self) -> Self {
        Self { version: self.version + 1, ..self.clone() }
    }

    /// The successor with one more epoch.
    pub fn with_claim(&self, nonce: u8, begin: Option<Frame>) -> Self {
        let mut next = self.next();
        next.table.push(Entry { epoch: self.last_epoch() + 1, nonce, begin });
        next.drop_ownerless();
        next
    }

    /// The successor in which the last epoch begins.
    pub fn with_begin(&self, begin: Frame) -> Self {
        let mut next = self.next();
        if let Some(last) = next.table.last_mut() {
            last.begin = Some(begin);
        }
        next.drop_ownerless();
        next
    }

    /// The newest epoch, pending or begun; 0 in an empty table.
    pub fn last_epoch(&self) -> Epoch {
        self.table.last().map_or(0, |entry| entry.epoch)
    }

    /// The newest epoch that has begun.
    pub fn last_begun(&self) -> Option<&Entry> {
        self.table.iter().rev().find(|entry| entry.begin.is_some())
    }

    /// Whether somebody has claimed the log and not begun.
    pub fn is_pending(&self) -> bool {
        self.table.last().is_some_and(|entry| entry.begin.is_none())
    }

    /// The epoch that owns a frame: the largest that begins at or before it.
    pub fn owner(&self, frame: Frame) -> Option<Epoch> {
        let begun = self.table.iter().filter(|entry| entry.begin.is_some_and(|begin| begin <= frame));
        begun.map(|entry| entry.epoch).max()
    }

    /// How a segment stands. An epoch that was dropped from the table for owning nothing is older than the newest
    /// one and therefore known: its segments are fenced.
    pub fn standing(&self, segment: &Segment) -> Standing {
        if segment.epoch > self.last_epoch() {
            Standing::Unknown
        } else if self.owner(segment.end) == Some(segment.epoch) {
            Standing::Valid
        } else {
            Standing::Fenced
        }
    }

    /// Whether retention keeps a frame.
    pub fn is_kept(&self, frame: Frame) -> bool {
        frame >= self.frontier || self.kept & (1 << frame) != 0
    }

    /// Whether a frame is a restore point.
    pub fn promises(&self, frame: Frame) -> bool {
        self.is_kept(frame) || self.is_pinned(frame)
    }

    /// Whether two versions promise the same.
    pub fn promises_as(&self, other: &Self) -> bool {
        (self.frontier, self.kept, self.pins) == (other.frontier, other.kept, other.pins)
    }

    /// Whether a frame is pinned.
    pub fn is_pinned(&self, frame: Frame) -> bool {
        self.pins & (1 << frame) != 0
    }

    /// Drops what owns no frame once the last epoch has begun.
    fn drop_ownerless(&mut self) {
        let Some(&Entry { epoch: last, begin: Some(begin), .. }) = self.table.last() else { return };
        self.table.retain(|entry| entry.epoch == last || entry.begin.is_some_and(|other| other < begin));
    }
}
