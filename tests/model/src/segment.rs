//! Stored segments: a key and what the bytes say.
//!
//! Job: the object of the model, immutable once written unless the same key is written again.
//!
//! Invariants: `start ≤ end`; the order of keys is (epoch, start, end, level). The tags say what each frame of the
//! segment is, and one frame more: what its writer believed to lie directly below it. That one is how two branches
//! glued together are noticed even where their ranges do not overlap.
//!
//! Not here: whether a segment counts; that is the manifest's word.

use crate::content::{Epoch, FRAMES_MAX, Frame, Tags};

/// One object: its key and its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Segment {
    /// The epoch of the writer (of the last input, for a compaction).
    pub epoch: Epoch,
    /// First frame.
    pub start: Frame,
    /// Last frame.
    pub end: Frame,
    /// 0 as written by the writer, higher when compacted.
    pub level: u8,
    /// It holds one image per page, so only its end is a restore point. Not part of the key.
    pub is_thinned: bool,
    /// Content of `start..=end`, and of `start − 1` as the writer believed it to be.
    pub tags: Tags,
}

impl Segment {
    /// A segment that takes its content and its belief about the frame below from a history.
    pub fn cut(epoch: Epoch, start: Frame, end: Frame, history: &Tags) -> Self {
        let mut tags = Tags::default();
        for frame in start.saturating_sub(1)..=end.min(FRAMES_MAX) {
            tags.set(frame, history.get(frame));
        }
        Self { epoch, start, end, level: 0, is_thinned: false, tags }
    }

    /// Whether two segments would be one object in the store.
    pub fn same_key(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    /// Whether the frames of `other` lie inside this one's (equal ranges included).
    pub fn covers(&self, other: &Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether both hold the same frames.
    pub fn same_range(&self, other: &Self) -> bool {
        (self.start, self.end) == (other.start, other.end)
    }

    /// Whether a restore can stop at `point` inside this segment.
    pub fn can_stop_at(&self, point: Frame) -> bool {
        self.end == point || (!self.is_thinned && self.start <= point && point < self.end)
    }

    fn key(&self) -> (Epoch, Frame, Frame, u8) {
        (self.epoch, self.start, self.end, self.level)
    }
}
