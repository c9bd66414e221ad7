//! The validated name of one database's log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The name of a namespace: 1 to 128 ASCII letters, digits, `.`, `_` and `-`, not beginning with `.` or `__`.
///
/// These characters are safe in every object store and file system, and need no escaping anywhere. Names that
/// begin with `__` belong to Walkeep itself.
///
/// ```
/// use walkeep_core::Namespace;
/// assert!("shop".parse::<Namespace>().is_ok());
/// assert!("../shop".parse::<Namespace>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(String);

impl Namespace {
    /// The most characters a name may have.
    pub const LEN_MAX: usize = 128;

    /// The rule, for messages.
    pub const RULE: &'static str = "a name has 1 to 128 ASCII letters, digits, '.', '_' and '-', has no \"..\", \
                                    and begins with neither '.' nor \"__\" (reserved for Walkeep itself)";

    /// A namespace, checked.
    ///
    /// # Errors
    ///
    /// `Invalid` with [`Namespace::RULE`].
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let valid = (1..=Self::LEN_MAX).contains(&name.len())
            && name.bytes().all(allowed)
            && !name.starts_with('.')
            && !name.starts_with("__")
            && !name.contains("..");
        if valid { Ok(Self(name)) } else { Err(Error::invalid(format!("namespace {name:?}"), Self::RULE)) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Namespace {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl TryFrom<String> for Namespace {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        Self::new(name)
    }
}

impl From<Namespace> for String {
    fn from(namespace: Namespace) -> Self {
        namespace.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_root_are_refused() {
        for name in ["", "a/b", "..", ".", ".hidden", "a..b", "a\0b", "a\nb", "a b", "ä", "__system", "a\\b"]
        {
            let error = Namespace::new(name).unwrap_err();
            assert!(error.to_string().contains("a name has"), "{name:?}: {error}");
        }
        assert!(Namespace::new("a".repeat(129)).is_err());
    }

    #[test]
    fn ordinary_names_are_accepted() {
        for name in ["a", "app", "app-1.prod", "_x", "A_b", "0"] {
            assert_eq!(Namespace::new(name).unwrap().as_str(), name);
        }
        assert!(Namespace::new("a".repeat(128)).is_ok());
    }
}
