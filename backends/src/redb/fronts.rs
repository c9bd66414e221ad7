//! Where directories begin, as far as that is known: no object lies directly in this directory before this path. The segments of a namespace
//! sort the newest first, so that a new one comes before all that are there: whether its name is taken needs no look into the table.
//!
//! Invariant: what is known holds whatever becomes of the commit that is being made. A path only ever moves towards the beginning, and one that
//! is earlier than it had to be says less, not more.

use super::known_paths::KnownPaths;

/// The first paths of directories.
#[derive(Debug, Default)]
pub(super) struct Fronts(KnownPaths);

impl Fronts {
    /// Whether an object would come before all that are directly in its directory; `false` if that is not known.
    pub(super) fn leads(&self, path: &str) -> bool {
        directory_of(path).and_then(|directory| self.0.get(directory)).is_some_and(|front| path < front)
    }

    /// An object comes, or may come, before all that are directly in its directory.
    pub(super) fn set(&mut self, path: &str) {
        if let Some(directory) = directory_of(path) {
            self.0.set(directory, path);
        }
    }
}

/// The directory that an object lies directly in.
pub(super) fn directory_of(path: &str) -> Option<&str> {
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
        let mut fronts = Fronts::default();
        assert!(!fronts.leads("a/b/5"));
        fronts.set("a/b/5");
        for (path, leads) in [
            ("a/b/4", true),
            ("a/b/5", false),
            ("a/b/6", false),
            ("a/b/", true),
            ("a/b/4/x", false),
            ("a/4", false),
            ("a", false),
            ("a/c/4", false),
        ] {
            assert_eq!(fronts.leads(path), leads, "{path}");
        }
        fronts.set("a/b/3");
        assert!(!fronts.leads("a/b/4") && fronts.leads("a/b/2"));
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
