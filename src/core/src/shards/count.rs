//! How many shards there are, and which of them a name is in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use crate::error::{Error, Result};

/// The seed of the hash that spreads names over shards: "WALKEEP1" in ASCII. It is part of the format.
pub const HASH_SEED: u64 = 0x5741_4c4b_4545_5031;

/// What a layout says about the hash: which one, its seed, and which of its bits choose the shard.
pub const HASH_POLICY: &str = "xxh3-64 seed 57414c4b45455031 low bits";

/// The number of a shard, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardNo(pub u8);

impl fmt::Display for ShardNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// How many shards there are: 1 to 256, a power of two.
///
/// ```
/// use walkeep_core::shards::ShardCount;
///
/// let count = ShardCount::new(16)?;
/// assert_eq!(count.shard_of("shop"), count.shard_of("shop"));
/// assert!(ShardCount::new(3).is_err());
/// # Ok::<(), walkeep_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct ShardCount(u16);

impl ShardCount {
    /// One shard: everything in one database.
    pub const ONE: Self = Self(1);

    /// The most shards there may be.
    pub const MAX: Self = Self(256);

    /// The rule, for messages.
    pub const RULE: &'static str =
        "it must be a power of two from 1 to 256: 1, 2, 4, 8, 16, 32, 64, 128 or 256";

    /// A number of shards, checked.
    ///
    /// # Errors
    ///
    /// `Invalid` with [`ShardCount::RULE`].
    pub fn new(count: u32) -> Result<Self> {
        match u16::try_from(count) {
            Ok(count) if count.is_power_of_two() && count <= Self::MAX.0 => Ok(Self(count)),
            _ => Err(Error::invalid(format!("a number of shards of {count}"), Self::RULE)),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The shard that a name belongs to: the low bits of its XXH3-64 with [`HASH_SEED`].
    #[must_use]
    pub fn shard_of(self, name: &str) -> ShardNo {
        let hash = XxHash3_64::oneshot_with_seed(HASH_SEED, name.as_bytes());
        // At most 255: the count is at most 256.
        let [low, ..] = (hash & u64::from(self.0 - 1)).to_le_bytes();
        ShardNo(low)
    }

    /// All shards, in order.
    pub fn all(self) -> impl Iterator<Item = ShardNo> + use<> {
        (0..=u8::MAX).take(usize::from(self.0)).map(ShardNo)
    }
}

impl fmt::Display for ShardCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for ShardCount {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let count = if digits { text.parse().ok() } else { None };
        count.map_or_else(
            || Err(Error::invalid(format!("a number of shards of {text:?}"), Self::RULE)),
            Self::new,
        )
    }
}

impl TryFrom<u32> for ShardCount {
    type Error = Error;

    fn try_from(count: u32) -> Result<Self> {
        Self::new(count)
    }
}

impl From<ShardCount> for u32 {
    fn from(count: ShardCount) -> Self {
        count.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_powers_of_two_up_to_256_are_numbers_of_shards() {
        let good = (0..100_000).filter(|count| ShardCount::new(*count).is_ok()).collect::<Vec<_>>();
        assert_eq!(good, [1, 2, 4, 8, 16, 32, 64, 128, 256]);
        for bad in [0, 3, 512, 65_536, 65_537, u32::MAX] {
            let error = ShardCount::new(bad).unwrap_err().to_string();
            assert!(error.contains("power of two") && error.contains(&bad.to_string()), "{error}");
        }
        for text in ["", "+4", "four", "0x4", " 4", "99999999999"] {
            assert!(text.parse::<ShardCount>().unwrap_err().to_string().contains("power of two"), "{text:?}");
        }
        assert_eq!("64".parse::<ShardCount>().unwrap().get(), 64);
    }

    /// These stand in files: a change of any is a change of the format.
    #[test]
    fn names_stay_in_their_shards_for_ever() {
        let shards = |name: &str| [2, 16, 256].map(|count| ShardCount::new(count).unwrap().shard_of(name).0);
        // As an implementation from the hash's specification gives them.
        assert_eq!(shards(""), [0, 6, 102]);
        assert_eq!(shards("a"), [1, 1, 97]);
        assert_eq!(shards("shop"), [1, 11, 187]);
        assert_eq!(shards("namespaces/shop"), [0, 4, 132]);
        assert_eq!(ShardCount::ONE.shard_of("shop"), ShardNo(0));
    }

    #[test]
    fn names_are_spread_evenly() {
        let count = ShardCount::new(16).unwrap();
        let mut hits = [0; 16];
        for n in 0..16_000 {
            hits[usize::from(count.shard_of(&format!("tenant-{n:05}")).0)] += 1;
        }
        assert!(hits.iter().all(|hits| (850..1150).contains(hits)), "{hits:?}");
        assert_eq!(count.all().map(|shard| shard.0).collect::<Vec<_>>(), (0..16).collect::<Vec<_>>());
        assert_eq!(ShardCount::MAX.all().count(), 256);
    }
}
