//! What was proven of a namespace and when, as its own small object: so that a later verification need not read it
//! again, and everybody can see when a restore was last tried (`docs/format.md`, section 9).
//!
//! A proof is a note of what somebody with write access found, not a guarantee: whoever doubts it reads everything.

use serde::{Deserialize, Serialize};

use crate::checked_json;
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::ids::LogId;
use crate::page_hash::StateChecksum;
use crate::segment_key::SegmentKey;
use crate::unix_millis::UnixMillis;

/// The newest proof of a namespace; it repeats what still holds of the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    format: u32,
    /// The log that this is about.
    pub log_id: LogId,
    /// When it was written.
    pub at: UnixMillis,
    /// What was read and proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// The last restore that was tried and proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<Drill>,
}

/// Everything up to a commit, proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verified {
    /// When.
    pub at: UnixMillis,
    /// The state of every commit up to this one was folded anew.
    pub until: FrameNo,
    /// The objects that were read whole.
    pub objects: Vec<VerifiedObject>,
}

/// A segment whose every byte was read and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifiedObject {
    /// Its name.
    pub key: SegmentKey,
    /// Its length in bytes.
    pub size: u64,
    /// The checksum of the whole object, which its footer repeats (CRC-64/NVME).
    #[serde(with = "hex")]
    pub checksum: u64,
}

/// A checksum as 16 hexadecimal digits, as other objects have it.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::page_hash::StateChecksum;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    pub(super) fn serialize<S: Serializer>(checksum: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&StateChecksum(*checksum))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        StateChecksum::deserialize(deserializer).map(|checksum| checksum.0)
    }
}

/// A restore to nowhere: the database was put together as a restore does, and its state was the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    /// When.
    pub at: UnixMillis,
    /// The commit that was restored.
    pub frame: FrameNo,
    /// The commit's time.
    pub time: UnixMillis,
    /// The state that came out, and that the writer had recorded.
    pub state: StateChecksum,
}

impl Proof {
    /// The format version that this code writes.
    pub const FORMAT: u32 = 1;

    /// The most bytes a proof may have.
    pub const LEN_MAX: u64 = 256 << 20;

    /// A proof of nothing yet.
    #[must_use]
    pub const fn new(log_id: LogId, at: UnixMillis) -> Self {
        Self { format: Self::FORMAT, log_id, at, verified: None, drill: None }
    }

    /// Its bytes.
    ///
    /// # Errors
    ///
    /// `Exhausted` when it would be longer than [`Proof::LEN_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>> {
        let bytes = checked_json::encode("a proof", self)?;
        if bytes.len() as u64 > Self::LEN_MAX {
            return Err(Error::Exhausted { what: format!("the proof would have {} bytes", bytes.len()) });
        }
        Ok(bytes)
    }

    /// Reads one from the bytes of the object `path`.
    ///
    /// # Errors
    ///
    /// `Corrupt`; `Invalid` for a newer format.
    pub fn decode(path: &str, bytes: &[u8]) -> Result<Self> {
        let value = checked_json::decode(path, "a proof", bytes)?;
        let newer = |why: String| Error::invalid(path, format!("{why}; use a newer version of Walkeep"));
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if format != Some(u64::from(Self::FORMAT)) {
            return Err(newer(format!("it has format {format:?}, and {} is known here", Self::FORMAT)));
        }
        serde_json::from_value(value)
            .map_err(|error| newer(format!("it is no proof as known here ({error})")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Epoch;

    fn proof() -> Proof {
        let key = SegmentKey::new(Epoch(1), FrameNo::FIRST, FrameNo::FIRST, UnixMillis(5), 0).unwrap();
        let objects = vec![VerifiedObject { key, size: 7, checksum: u64::MAX }];
        let verified = Some(Verified { at: UnixMillis(8), until: FrameNo::FIRST, objects });
        let state = StateChecksum(3);
        let drill = Some(Drill { at: UnixMillis(9), frame: FrameNo::FIRST, time: UnixMillis(5), state });
        Proof { verified, drill, ..Proof::new(LogId(1), UnixMillis(9)) }
    }

    #[test]
    fn a_proof_reads_back_and_damage_is_an_error() {
        let bytes = proof().encode().unwrap();
        assert_eq!(Proof::decode("p", &bytes).unwrap(), proof());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(matches!(Proof::decode("p", &damaged), Err(Error::Corrupt(_))), "byte {at}");
            assert!(matches!(Proof::decode("p", &bytes[..at]), Err(Error::Corrupt(_))), "{at} bytes");
        }
    }

    #[test]
    fn a_newer_format_is_refused() {
        let newer = Proof { format: 2, ..proof() };
        let error = Proof::decode("p", &newer.encode().unwrap()).unwrap_err();
        assert!(error.to_string().contains("newer version"), "{error}");
    }
}
