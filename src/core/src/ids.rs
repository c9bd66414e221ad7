//! Random identities: of a log, of a segment, of one opening of a log for writing, and of a set of shards.
//!
//! All are 128 bits, written as 32 lower-case hexadecimal digits, and made from a [`Random`] handle.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::random::Random;

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub u128);

        impl $name {
            /// A fresh one.
            ///
            /// # Errors
            ///
            /// `Io` when the source of randomness fails.
            pub fn random(random: &dyn Random) -> Result<Self> {
                let mut bytes = [0; 16];
                random.fill(&mut bytes)?;
                Ok(Self(u128::from_le_bytes(bytes)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                parse_hex(text).map(Self).ok_or_else(|| {
                    Error::invalid(format!(concat!($what, " {:?}"), text), "it must be 32 lower-case hexadecimal digits")
                })
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

random_id!(
    /// One life of one log. A re-created namespace has another, so that its segments never mix with the old ones.
    LogId, "log id"
);
random_id!(
    /// One stored object. Tells "my own retried PUT" from "somebody else's object under this key".
    SegmentId, "segment id"
);
random_id!(
    /// One opening of a log for writing; fresh for every opening, never for every machine.
    Nonce, "nonce"
);
random_id!(
    /// One set of shards, so that files of another set are not taken for its own.
    ShardSetId, "shard set id"
);
random_id!(
    /// One catalog. A catalog that was restored from its copies has the id of the one that was copied.
    CatalogId, "catalog id"
);

/// Reads exactly 32 lower-case hexadecimal digits: one value has one spelling.
fn parse_hex(text: &str) -> Option<u128> {
    let canonical = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    canonical.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_exactly_one_spelling() {
        let id = LogId(0xabc);
        assert_eq!(id.to_string(), "00000000000000000000000000000abc");
        assert_eq!(id.to_string().parse::<LogId>().unwrap(), id);
        for text in ["", "abc", "00000000000000000000000000000ABC", "+0000000000000000000000000000abc"] {
            assert!(text.parse::<LogId>().is_err(), "{text:?}");
        }
    }
}
