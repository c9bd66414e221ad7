//! Which catalog a catalog is, and which of its copies in a store are its own.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::CatalogId;
use crate::ids::Nonce;

/// The place of a claim in the row of all claims on a store's copies: 1, 2, 3 …
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClaimNo(pub u64);

impl fmt::Display for ClaimNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The right to write copies of a catalog into a store: the newest claim has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Its place in the row.
    pub no: ClaimNo,
    /// Tells it from one that somebody else made at the same time.
    pub nonce: Nonce,
}

/// Which catalog this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogIdentity {
    /// Its identity. A restored catalog has that of the one it was copied from.
    pub id: CatalogId,
    /// Its claim on the copies in a store, once it was bound to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}
