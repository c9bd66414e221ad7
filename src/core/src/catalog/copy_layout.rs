//! The names of a catalog's copies in a store: below the reserved namespaces `__catalog` and `__positions`, which no user's
//! namespace can be called.
//!
//! `namespaces/__catalog/claims/{u64::MAX - no:020}.json` are claims, newest first, and
//! `namespaces/{system namespace}/copies/{u64::MAX - claim:020}/{shard:03}/{u64::MAX - changes:020}` are copies: newest
//! claim first, and of each shard the newest copy first.

use serde::{Deserialize, Serialize};

use super::{CatalogId, CatalogPart, Claim, ClaimNo};
use crate::checked_json;
use crate::error::{Error, Result};
use crate::object_path::ObjectPath;
use crate::unix_millis::UnixMillis;

/// A claim as it stands in a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredClaim {
    /// Always 1.
    pub format: u32,
    /// The catalog that claims.
    pub catalog: CatalogId,
    /// The claim.
    pub claim: Claim,
    /// How many shards the copies under it have.
    pub shards: u16,
    /// When it was made.
    pub created: UnixMillis,
}

impl StoredClaim {
    /// The only format.
    pub const FORMAT: u32 = 1;
    /// The most bytes of a claim.
    pub const LEN_MAX: u64 = 4096;

    /// The bytes of a claim.
    ///
    /// # Errors
    ///
    /// `Invalid` when it cannot be written as JSON.
    pub fn encode(&self) -> Result<Vec<u8>> {
        checked_json::encode("a claim", self)
    }

    /// Reads the claim in the object `path`, whose name says its number.
    ///
    /// # Errors
    ///
    /// `Corrupt`; `Invalid` when a newer version of Walkeep wrote it.
    pub fn decode(path: &str, no: ClaimNo, bytes: &[u8]) -> Result<Self> {
        let value = checked_json::decode(path, "a claim", bytes)?;
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if format != Some(u64::from(Self::FORMAT)) {
            let found = format.map_or_else(|| "none".to_string(), |format| format.to_string());
            let why = format!("this version of Walkeep reads format {}; use a newer one", Self::FORMAT);
            return Err(Error::invalid(format!("{path} of claim format {found}"), why));
        }
        let claim: Self = serde_json::from_value(value).map_err(|error| {
            Error::invalid(path, format!("it is not known ({error}); use a newer version"))
        })?;
        if claim.claim.no != no {
            return Err(Error::corrupt(path, 0, format!("claim {no}"), format!("claim {}", claim.claim.no)));
        }
        if !claim.shards.is_power_of_two() || claim.shards > 256 {
            return Err(Error::corrupt(path, 0, "a number of shards", claim.shards));
        }
        Ok(claim)
    }
}

/// What the name of a copy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CopyName {
    /// The claim under which it was made.
    pub claim: ClaimNo,
    /// The shard.
    pub shard: u16,
    /// How often the part was changed.
    pub changes: u64,
}

/// Where the copies of a catalog are.
#[derive(Clone, Debug)]
pub struct CopyLayout {
    namespaces: ObjectPath,
}

impl CopyLayout {
    /// Below the folder whose folders are the namespaces.
    #[must_use]
    pub fn new(namespaces: &ObjectPath) -> Self {
        Self { namespaces: namespaces.clone() }
    }

    /// The folder of the claims.
    #[must_use]
    pub fn claims(&self) -> ObjectPath {
        self.namespaces.join_checked(&[CatalogPart::Records.system_namespace(), "claims"])
    }

    /// The path of a claim.
    #[must_use]
    pub fn claim(&self, no: ClaimNo) -> ObjectPath {
        self.claims().join_checked(&[&format!("{:020}.json", u64::MAX - no.0)])
    }

    /// The claim that a path names; `None` for a foreign object.
    #[must_use]
    pub fn parse_claim(&self, path: &ObjectPath) -> Option<ClaimNo> {
        let reversed = digits(path.below(&self.claims())?.strip_suffix(".json")?, 20)?;
        Some(ClaimNo(u64::MAX - reversed))
    }

    /// The folder of all copies of a part.
    #[must_use]
    pub fn copies(&self, part: CatalogPart) -> ObjectPath {
        self.namespaces.join_checked(&[part.system_namespace(), "copies"])
    }

    /// The folder of the copies of a part under a claim.
    #[must_use]
    pub fn copies_under(&self, part: CatalogPart, claim: ClaimNo) -> ObjectPath {
        self.copies(part).join_checked(&[&format!("{:020}", u64::MAX - claim.0)])
    }

    /// The path of a copy.
    #[must_use]
    pub fn copy(&self, part: CatalogPart, name: CopyName) -> ObjectPath {
        let (shard, changes) = (format!("{:03}", name.shard), format!("{:020}", u64::MAX - name.changes));
        self.copies_under(part, name.claim).join_checked(&[&shard, &changes])
    }

    /// The copy that a path names; `None` for a foreign object.
    #[must_use]
    pub fn parse_copy(&self, part: CatalogPart, path: &ObjectPath) -> Option<CopyName> {
        let mut names = path.below(&self.copies(part))?.split('/');
        let claim = ClaimNo(u64::MAX - digits(names.next()?, 20)?);
        let shard = u16::try_from(digits(names.next()?, 3)?).ok()?;
        let changes = u64::MAX - digits(names.next()?, 20)?;
        names.next().is_none().then_some(CopyName { claim, shard, changes })
    }
}

/// A number of exactly so many digits.
fn digits(text: &str, width: usize) -> Option<u64> {
    let canonical = text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit());
    canonical.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Nonce;

    fn layout() -> CopyLayout {
        CopyLayout::new(&ObjectPath::new("namespaces").unwrap())
    }

    #[test]
    fn names_read_back_newest_first_and_foreign_ones_are_not_ours() {
        let layout = layout();
        let name = |claim, shard, changes| CopyName { claim: ClaimNo(claim), shard, changes };
        let names = [name(9, 0, 5), name(9, 0, 4), name(9, 1, 7), name(8, 0, 90), name(8, 200, 1)];
        let paths = names.map(|name| layout.copy(CatalogPart::Positions, name));
        assert!(paths.is_sorted(), "{paths:?}");
        for (path, name) in paths.iter().zip(names) {
            assert_eq!(layout.parse_copy(CatalogPart::Positions, path), Some(name));
            assert_eq!(layout.parse_copy(CatalogPart::Records, path), None);
            assert_eq!(layout.parse_copy(CatalogPart::Positions, &path.join("x").unwrap()), None);
        }
        let claim = layout.claim(ClaimNo(3));
        assert_eq!(claim.as_str(), "namespaces/__catalog/claims/18446744073709551612.json");
        assert_eq!(layout.parse_claim(&claim), Some(ClaimNo(3)));
        assert!(layout.claim(ClaimNo(4)) < claim);
        assert_eq!(layout.parse_claim(&layout.claims().join("3.json").unwrap()), None);
    }

    #[test]
    fn the_reserved_namespaces_are_nobodys() {
        for part in CatalogPart::ALL {
            assert!(crate::Namespace::new(part.system_namespace()).is_err());
        }
    }

    #[test]
    fn a_claim_reads_back_and_every_flipped_bit_is_corrupt() {
        let claim = Claim { no: ClaimNo(2), nonce: Nonce(3) };
        let stored =
            StoredClaim { format: 1, catalog: CatalogId(1), claim, shards: 4, created: UnixMillis(5) };
        let bytes = stored.encode().unwrap();
        assert_eq!(StoredClaim::decode("c", ClaimNo(2), &bytes).unwrap(), stored);
        assert!(matches!(StoredClaim::decode("c", ClaimNo(3), &bytes), Err(Error::Corrupt(_))));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                matches!(StoredClaim::decode("c", ClaimNo(2), &damaged), Err(Error::Corrupt(_))),
                "{bit}"
            );
        }
        let newer = StoredClaim { format: 2, ..stored }.encode().unwrap();
        let error = StoredClaim::decode("c", ClaimNo(2), &newer).unwrap_err().to_string();
        assert!(error.contains("format 2") && error.contains("format 1"), "{error}");
    }
}
