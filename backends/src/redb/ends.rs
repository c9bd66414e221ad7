//! Where listings end, as far as that is known: behind this path nothing lies below this prefix. Every writer asks after each commit whether a
//! newer manifest is there; who asks again is answered from memory, as long as nothing came. Nobody else has the shard open.
//!
//! Invariants:
//!
//! - what is known holds for the newest commit that can be seen: a commit that would make it wrong takes it away before it can be seen;
//! - nothing is learned while a commit is being made, nor from a transaction that was begun before the end of the last one.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::known_paths::KnownPaths;

/// Where the listings of a shard end.
#[derive(Debug, Default)]
pub(super) struct Ends(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    ends: KnownPaths,
    /// How many commits began, and how many were over: while they differ, one is being made.
    begun: u64,
    over: u64,
}

/// When a transaction began: at the end of so many commits, or while one was being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(Option<u64>);

impl Known {
    fn moment(&self) -> Moment {
        Moment((self.begun == self.over).then_some(self.over))
    }
}

impl Ends {
    fn read(&self) -> RwLockReadGuard<'_, Known> {
        // What is known is true at every step.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The moment, for a transaction that has begun and before whose beginning no commit was seen that is not over yet.
    pub(super) fn now(&self) -> Moment {
        self.read().moment()
    }

    /// A transaction that began at this moment saw nothing below a prefix behind a path.
    pub(super) fn learn(&self, began: Moment, prefix: &str, end: &str) {
        let mut known = self.write();
        let earlier = known.ends.get(prefix).is_some_and(|known| known <= end);
        if began.0.is_some() && began == known.moment() && !earlier {
            known.ends.set(prefix, end);
        }
    }

    /// Whether nothing lies below a prefix behind a path; `false` if that is not known.
    pub(super) fn nothing_behind(&self, prefix: &str, path: &str) -> bool {
        self.read().ends.get(prefix).is_some_and(|end| end <= path)
    }

    /// A commit with these new objects is about to be made.
    pub(super) fn commit_begins<'a>(&self, new: impl Iterator<Item = &'a str>) {
        self.write().begun += 1;
        let mut wrong = Vec::new();
        let known = self.read();
        for path in new {
            let above = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
            wrong.extend(above.filter(|prefix| known.ends.get(prefix).is_some_and(|end| end < path)));
        }
        drop(known);
        if !wrong.is_empty() {
            let mut known = self.write();
            wrong.into_iter().for_each(|prefix| known.ends.remove(prefix));
        }
    }

    /// The commit can be seen by every transaction that begins from now on. (After one that failed nothing is learned until another one is over.)
    pub(super) fn commit_is_over(&self) {
        let mut known = self.write();
        known.over = known.begun;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_behind_an_end_takes_it_away_at_every_level() {
        for (new, known) in [
            ("a/b/c/5", true),
            ("a/b/c/4", true),
            ("a/b/c/6", false),
            ("a/b/c/5/x", false),
            ("a/b/d/6", true),
            ("a/b/c0", true),
        ] {
            let ends = Ends::default();
            assert!(!ends.nothing_behind("a/b/c", "a/b/c/5"));
            ends.learn(ends.now(), "a/b/c", "a/b/c/5");
            assert!(ends.nothing_behind("a/b/c", "a/b/c/5") && ends.nothing_behind("a/b/c", "a/b/c/9"));
            assert!(!ends.nothing_behind("a/b/c", "a/b/c/4") && !ends.nothing_behind("a/b", "a/b/c/5"));
            ends.commit_begins([new].into_iter());
            assert_eq!(ends.nothing_behind("a/b/c", "a/b/c/5"), known, "{new}");
            ends.commit_is_over();
            assert_eq!(ends.nothing_behind("a/b/c", "a/b/c/5"), known, "{new}");
        }
        let ends = Ends::default();
        ends.learn(ends.now(), "a/b", "a/b");
        ends.commit_begins(["a/b/c/d"].into_iter());
        assert!(!ends.nothing_behind("a/b", "a/b"));
    }

    #[test]
    fn the_earlier_end_stays() {
        let ends = Ends::default();
        for end in ["a/b/5", "a/b/7", "a/b/3"] {
            ends.learn(ends.now(), "a/b", end);
        }
        assert!(ends.nothing_behind("a/b", "a/b/3") && !ends.nothing_behind("a/b", "a/b/2"));
    }

    #[test]
    fn nothing_is_learned_from_before_or_during_a_commit() {
        let ends = Ends::default();
        let before = ends.now();
        ends.commit_begins(std::iter::empty());
        let during = ends.now();
        for moment in [before, during] {
            ends.learn(moment, "a/b", "a/b/1");
            assert!(!ends.nothing_behind("a/b", "a/b/1"));
        }
        ends.commit_is_over();
        for moment in [before, during] {
            ends.learn(moment, "a/b", "a/b/1");
            assert!(!ends.nothing_behind("a/b", "a/b/1"));
        }
        ends.learn(ends.now(), "a/b", "a/b/1");
        assert!(ends.nothing_behind("a/b", "a/b/1"));
        // After a commit that failed, whose outcome nobody knows.
        ends.commit_begins(["a/b/2"].into_iter());
        ends.learn(ends.now(), "a/b", "a/b/1");
        ends.commit_begins(std::iter::empty());
        ends.learn(ends.now(), "a/b", "a/b/1");
        assert!(!ends.nothing_behind("a/b", "a/b/1"));
    }
}
