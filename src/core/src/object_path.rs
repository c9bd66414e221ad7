//! The key of an object in a backend.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The key of an object: components joined by `/`.
///
/// Invariants: 1 to 900 bytes; no component is empty, begins with `.` (so there is no `.` and no `..`, and no
/// hidden file), or holds a control character or a backslash. A path can therefore never lead out of a root.
/// Order is the order of the bytes, as in the listings of object stores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectPath(String);

impl ObjectPath {
    /// The most bytes a path may have; stores allow 1024, and a configured prefix needs room.
    pub const LEN_MAX: usize = 900;

    /// A path, checked.
    ///
    /// # Errors
    ///
    /// `Invalid` when an invariant of the type does not hold.
    pub fn new(path: impl Into<String>) -> Result<Self> {
        let path = path.into();
        let component_is_safe = |component: &str| {
            !component.is_empty()
                && !component.starts_with('.')
                && !component.chars().any(|c| c.is_control() || c == '\\')
        };
        if path.len() <= Self::LEN_MAX && path.split('/').all(component_is_safe) {
            Ok(Self(path))
        } else {
            Err(Error::invalid(
                format!("object path {path:?}"),
                "components must not be empty, begin with '.', or hold control characters or backslashes",
            ))
        }
    }

    /// This path with further components.
    ///
    /// # Errors
    ///
    /// `Invalid`, as [`ObjectPath::new`].
    pub fn join(&self, rest: impl fmt::Display) -> Result<Self> {
        Self::new(format!("{}/{rest}", self.0))
    }

    /// This path with components that are valid by construction: names from validated types.
    pub(crate) fn join_checked(&self, components: &[&str]) -> Self {
        let mut path = self.0.clone();
        for component in components {
            path.push('/');
            path.push_str(component);
        }
        debug_assert!(Self::new(path.clone()).is_ok(), "{path}");
        Self(path)
    }

    /// The whole key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// What follows `prefix/`, if this path lies below it.
    #[must_use]
    pub fn below<'a>(&'a self, prefix: &Self) -> Option<&'a str> {
        self.0.strip_prefix(prefix.as_str())?.strip_prefix('/')
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ObjectPath {
    type Err = Error;

    fn from_str(path: &str) -> Result<Self> {
        Self::new(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_could_leave_a_root_are_refused() {
        for path in ["", "/", "/a", "a/", "a//b", "../a", "a/..", "a/./b", "a/.b", "a\\b", "a\0", "a/\u{7f}"]
        {
            assert!(ObjectPath::new(path).is_err(), "{path:?}");
        }
        assert!(ObjectPath::new("a".repeat(ObjectPath::LEN_MAX + 1)).is_err());
    }

    #[test]
    fn a_prefix_ends_at_a_component() {
        let path = ObjectPath::new("a/bc/d").unwrap();
        assert_eq!(path.below(&ObjectPath::new("a/bc").unwrap()), Some("d"));
        assert_eq!(path.below(&ObjectPath::new("a/b").unwrap()), None);
        assert_eq!(path.name(), "d");
    }
}
