//! How far a search over followers goes.
//!
//! Invariant: every budget only goes down, so that a search ends.

use super::manifest::{Frame, Member};

/// What there is at the beginning, and how often what may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scene {
    /// Commits that are stored at the beginning.
    pub commits: Frame,
    /// Commits that are stored later.
    pub writes: u8,
    /// How many frames behind the newest commit a group may be; without a cap as many as it likes.
    pub cap: Option<Frame>,
    /// For which member each caller acknowledges.
    pub callers: &'static [Member],
    /// How often each of them does.
    pub asks: u8,
    /// How often the first member polls.
    pub polls: u8,
    /// Runs of the collection.
    pub collections: u8,
    /// How often a group is created besides the one that is there.
    pub creates: u8,
    /// How often it is deleted.
    pub deletes: u8,
    /// Answers that may be lost.
    pub lost: u8,
}

impl Scene {
    /// Three commits, and nothing happens: the starting point for `..` in tests.
    #[must_use]
    pub const fn at_rest() -> Self {
        Self {
            commits: 3,
            writes: 0,
            cap: None,
            callers: &[0],
            asks: 0,
            polls: 0,
            collections: 0,
            creates: 0,
            deletes: 0,
            lost: 0,
        }
    }
}
