//! What a set of shards is: the content of its layout file (`docs/redb.md`).
//!
//! Invariant: it is written twice, before the shards are created (state `creating`) and after that (state `ready`). So a
//! shard that is missing is created only as long as nothing can have been stored in the set.

use serde::{Deserialize, Serialize};

use super::count::{HASH_POLICY, ShardCount};
use crate::checked_json;
use crate::error::{Error, Result};
use crate::ids::ShardSetId;

/// What is kept in a set of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShardPurpose {
    /// The objects of a store: segments, manifests.
    Segments,
    /// A catalog: namespaces, nodes, followers.
    Catalog,
}

impl ShardPurpose {
    /// The word that stands in the layout.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Segments => "segments",
            Self::Catalog => "catalog",
        }
    }
}

/// How far a set of shards has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShardSetState {
    /// Its shards are being created: nothing has been stored yet.
    Creating,
    /// All its shards are there.
    Ready,
}

/// What a set of shards is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardLayout {
    /// The version of the format that its shards are written in, for ever.
    pub version: u32,
    /// The set, for ever: each of its shards says that it belongs to it.
    pub id: ShardSetId,
    /// What is kept in it.
    pub purpose: ShardPurpose,
    /// How many shards it has.
    pub shards: ShardCount,
    /// Whether the shards are all there.
    pub state: ShardSetState,
}

/// As it stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: String,
    version: u32,
    hash: String,
    id: ShardSetId,
    purpose: ShardPurpose,
    shards: ShardCount,
    state: ShardSetState,
}

/// What only the first fields tell.
#[derive(Deserialize)]
struct Kind {
    format: Option<String>,
    version: Option<u64>,
    hash: Option<String>,
}

impl ShardLayout {
    /// The word by which the file is known.
    pub const FORMAT: &'static str = "walkeep-shards";

    /// The newest version of the format that this code writes and reads; it knows all before.
    pub const VERSION: u32 = 3;

    /// From this version on, small objects of a store are in packs.
    pub const PACKED: u32 = 2;

    /// From this version on, the rows of small objects are written later than their packs.
    pub const ROWS_LATER: u32 = 3;

    /// The most bytes a layout file may have.
    pub const LEN_MAX: u64 = 4096;

    /// The version of a new set: the oldest one that has what it needs, so that older programs know as much as they can.
    #[must_use]
    pub const fn version_if_new(purpose: ShardPurpose) -> u32 {
        match purpose {
            ShardPurpose::Segments => Self::ROWS_LATER,
            ShardPurpose::Catalog => 1,
        }
    }

    /// The bytes of the file.
    ///
    /// # Errors
    ///
    /// None that are known: JSON of these fields can always be written.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let Self { version, id, purpose, shards, state } = *self;
        let (format, hash) = (Self::FORMAT.to_string(), HASH_POLICY.to_string());
        let stored = Stored { format, version, hash, id, purpose, shards, state };
        checked_json::encode("a layout of shards", &stored)
    }

    /// Reads the bytes of the file `path`.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the checksum does not hold. `Invalid` when it is of another format, a newer version, or another hash.
    pub fn decode(path: &str, bytes: &[u8]) -> Result<Self> {
        let value = checked_json::decode(path, "a layout of shards", bytes)?;
        let unknown = |what: String, why: String| Err(Error::invalid(format!("{path} {what}"), why));
        let kind = serde_json::from_value(value.clone());
        let kind = kind.unwrap_or(Kind { format: None, version: None, hash: None });
        if kind.format.as_deref() != Some(Self::FORMAT) {
            let found = kind.format.unwrap_or_else(|| "none".into());
            let why = format!("a layout of shards has the format {:?}; name another directory", Self::FORMAT);
            return unknown(format!("of the format {found:?}"), why);
        }
        if !kind.version.is_some_and(|version| (1..=Self::VERSION.into()).contains(&version)) {
            let found = kind.version.map_or_else(|| "none".into(), |version| version.to_string());
            let why =
                format!("this version of Walkeep reads versions 1 to {}; use a newer one", Self::VERSION);
            return unknown(format!("of version {found}"), why);
        }
        if kind.hash.as_deref() != Some(HASH_POLICY) {
            let found = kind.hash.unwrap_or_else(|| "none".into());
            let why = format!(
                "names are spread with {HASH_POLICY:?} here, so that nothing would be found where it is; use the \
                 version of Walkeep that made it, and copy its content into a new directory"
            );
            return unknown(format!("with the hash {found:?}"), why);
        }
        match serde_json::from_value::<Stored>(value) {
            Ok(Stored { version, id, purpose, shards, state, .. }) => {
                Ok(Self { version, id, purpose, shards, state })
            }
            Err(error) => unknown(
                format!("with content that this version of Walkeep does not know ({error})"),
                "use a newer one".into(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> ShardLayout {
        ShardLayout {
            version: 1,
            id: ShardSetId(0xab),
            purpose: ShardPurpose::Segments,
            shards: ShardCount::new(16).unwrap(),
            state: ShardSetState::Ready,
        }
    }

    /// The file with one text in the place of another, and a checksum that holds.
    fn changed(from: &str, to: &str) -> Vec<u8> {
        let bytes = layout().encode().unwrap();
        let line = String::from_utf8(bytes).unwrap().lines().next().unwrap().to_string();
        assert!(line.contains(from), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line.replace(from, to)).unwrap();
        checked_json::encode("x", &value).unwrap()
    }

    #[test]
    fn a_layout_reads_back_and_looks_the_same_for_ever() {
        let bytes = layout().encode().unwrap();
        assert_eq!(ShardLayout::decode("layout.json", &bytes).unwrap(), layout());
        let line = "{\"format\":\"walkeep-shards\",\"version\":1,\"hash\":\"xxh3-64 seed 57414c4b45455031 low bits\",\
                    \"id\":\"000000000000000000000000000000ab\",\"purpose\":\"segments\",\"shards\":16,\"state\":\"ready\"}\n";
        assert!(bytes.starts_with(line.as_bytes()), "{}", String::from_utf8_lossy(&bytes));
        assert!(bytes.len() as u64 <= ShardLayout::LEN_MAX);
    }

    #[test]
    fn both_versions_read_back() {
        for version in [1, 2] {
            let layout = ShardLayout { version, ..layout() };
            assert_eq!(ShardLayout::decode("layout.json", &layout.encode().unwrap()).unwrap(), layout);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_an_error() {
        let bytes = layout().encode().unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = ShardLayout::decode("layout.json", &damaged).unwrap_err();
            assert!(matches!(error, Error::Corrupt(_)), "bit {bit}: {error}");
        }
        for len in 0..bytes.len() {
            assert!(ShardLayout::decode("layout.json", &bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn what_is_foreign_newer_or_spread_otherwise_is_refused_with_a_remedy() {
        for (from, to, says) in [
            ("walkeep-shards", "other-shards", "other-shards"),
            ("\"version\":1", "\"version\":4", "use a newer one"),
            ("\"version\":1", "\"version\":0", "reads versions 1 to 3"),
            ("\"version\":1", "\"version\":\"1\"", "name another directory"),
            ("seed 57414c4b45455031", "seed 0", "copy its content"),
            ("\"shards\":16", "\"shards\":3", "power of two"),
            ("\"segments\"", "\"thoughts\"", "thoughts"),
            ("\"state\"", "\"more\":1,\"state\"", "more"),
        ] {
            let error = ShardLayout::decode("layout.json", &changed(from, to)).unwrap_err();
            assert!(matches!(error, Error::Invalid { .. }), "{to}: {error:?}");
            assert!(error.to_string().contains(says), "{to}: {error}");
        }
    }
}
