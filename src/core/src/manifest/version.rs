//! The version of a manifest: its number in the order in which they count.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The version of a manifest: 1, 2, 3 …
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ManifestVersion(std::num::NonZeroU64);

impl ManifestVersion {
    /// The first version of a namespace.
    pub const FIRST: Self = Self(std::num::NonZeroU64::MIN);

    /// The version with this number; `None` for zero.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        match std::num::NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number, at least 1.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    pub(super) fn next(self) -> Result<Self> {
        match self.0.checked_add(1) {
            Some(number) => Ok(Self(number)),
            None => Err(Error::Exhausted { what: "all manifest versions are used".into() }),
        }
    }
}

impl std::fmt::Display for ManifestVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
