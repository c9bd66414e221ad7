//! Where directories begin, as far as that is known: no object lies directly in this directory before this path. Segments and manifests sort the
//! newest first. So it is known without a look into the table that the name of a new segment is free, and that there is no newer manifest, which
//! every writer asks after each segment.
//!
//! Invariants:
//!
//! - what readers see holds for the newest commit that can be seen, and for the one that is being made, whether it comes or not: a beginning that it
//!   brings forward moves before it can be seen, and everything else is learned once it can be;
//! - all new objects come this way: one process has the shard open, and one commit is made at a time.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::known_paths::KnownPaths;

/// The first paths of directories.
#[derive(Debug)]
pub(super) struct Fronts(RwLock<KnownPaths>);

/// What a commit makes of them.
#[derive(Debug)]
pub(super) struct NewFronts<'a> {
    earlier: &'a Fronts,
    new: Moved,
}

/// The first paths of directories that a commit has brought something new into.
pub(super) type Moved = HashMap<Box<str>, String>;

impl Fronts {
    /// Room for those of so many directories.
    pub(super) fn new(max: usize) -> Self {
        Self(RwLock::new(KnownPaths::new(max)))
    }

    fn read(&self) -> RwLockReadGuard<'_, KnownPaths> {
        // What is known is true at every step.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, KnownPaths> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an object would come before all that are directly in its directory; `false` if that is not known.
    pub(super) fn leads(&self, path: &str) -> bool {
        directory_of(path)
            .is_some_and(|directory| self.read().get(directory).is_some_and(|front| path < front))
    }

    /// For a commit that is being made.
    pub(super) fn begin(&self) -> NewFronts<'_> {
        NewFronts { earlier: self, new: Moved::new() }
    }

    /// A commit is about to be seen, or not.
    pub(super) fn commit_begins(&self, moved: &Moved) {
        let mut known = self.write();
        for (directory, front) in moved {
            if known.get(directory).is_some_and(|known| **front < *known) {
                known.set(directory, front);
            }
        }
    }

    /// The commit can be seen.
    pub(super) fn commit_is_over(&self, moved: &Moved) {
        let mut known = self.write();
        moved.iter().for_each(|(directory, front)| known.set(directory, front));
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.write().clear();
    }
}

impl NewFronts<'_> {
    /// As [`Fronts::leads`], with what the commit has changed so far.
    pub(super) fn leads(&self, path: &str) -> bool {
        let new = directory_of(path).and_then(|directory| self.new.get(directory));
        new.map_or_else(|| self.earlier.leads(path), |front| path < &**front)
    }

    /// An object comes, or may come, before all that are directly in its directory.
    pub(super) fn set(&mut self, path: &str) {
        if let Some(directory) = directory_of(path) {
            self.new.insert(directory.into(), path.into());
        }
    }

    pub(super) fn finish(self) -> Moved {
        self.new
    }
}

/// The directory that an object lies directly in.
fn directory_of(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(directory, _)| directory)
}

/// Whether an object lies in the directory of another one, directly or not.
pub(super) fn is_beside(other: &str, path: &str) -> bool {
    let rest = directory_of(path).and_then(|directory| other.strip_prefix(directory));
    rest.is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_first_leads_and_nothing_else() {
        let fronts = Fronts::new(100);
        let mut new = fronts.begin();
        assert!(!new.leads("a/b/5"));
        new.set("a/b/5");
        let cases = [
            ("a/b/4", true),
            ("a/b/5", false),
            ("a/b/6", false),
            ("a/b/", true),
            ("a/b/4/x", false),
            ("a/4", false),
            ("a", false),
            ("a/c/4", false),
        ];
        for (path, leads) in cases {
            assert_eq!(new.leads(path), leads, "{path}");
        }
        fronts.commit_is_over(&new.finish());
        for (path, leads) in cases {
            assert_eq!(fronts.leads(path), leads, "{path}");
            assert_eq!(fronts.begin().leads(path), leads, "{path}");
        }
    }

    #[test]
    fn before_a_commit_is_seen_only_what_it_brings_forward_moves() {
        let fronts = Fronts::new(100);
        fronts.commit_is_over(&Moved::from([("a".into(), "a/5".into()), ("b".into(), "b/5".into())]));
        let mut new = fronts.begin();
        ["a/3", "b/7", "c/5"].into_iter().for_each(|path| new.set(path));
        assert!(new.leads("b/6") && !new.leads("a/4"));
        let moved = new.finish();
        assert!(fronts.leads("a/4") && fronts.leads("b/4"));
        fronts.commit_begins(&moved);
        // It may fail: what was there stays.
        for (path, leads) in [("a/4", false), ("a/2", true), ("b/4", true), ("b/6", false), ("c/4", false)] {
            assert_eq!(fronts.leads(path), leads, "{path}");
        }
        fronts.commit_is_over(&moved);
        for (path, leads) in [("a/4", false), ("a/2", true), ("b/6", true), ("c/4", true), ("c/5", false)] {
            assert_eq!(fronts.leads(path), leads, "{path}");
        }
        fronts.clear();
        assert!(!fronts.leads("a/2"));
    }

    #[test]
    fn what_lies_beside() {
        for (other, path, beside) in [
            ("a/b/1", "a/b/2", true),
            ("a/b/1/x", "a/b/2", true),
            ("a/b", "a/b/2", false),
            ("a/b0", "a/b/2", false),
            ("a/bc/1", "a/b/2", false),
            ("a", "b", false),
        ] {
            assert_eq!(is_beside(other, path), beside, "{other} {path}");
        }
    }
}
