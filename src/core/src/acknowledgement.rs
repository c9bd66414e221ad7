//! How far a follower has come: one small object for each acknowledgement, whose name has the frame (`docs/format.md`,
//! section 5).
//!
//! Invariant: content and name say the same, so that an object of another log, or one that somebody put there, is not
//! believed.

use serde::{Deserialize, Serialize};

use crate::checked_json;
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::ids::LogId;
use crate::manifest::ManifestVersion;
use crate::name::{GroupName, MemberName};
use crate::unix_millis::UnixMillis;

/// One life of a member of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reader {
    /// The group.
    pub group: GroupName,
    /// The member.
    pub member: MemberName,
    /// The version of the manifest that it joined in.
    pub generation: ManifestVersion,
}

/// What a member has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    format: u32,
    log_id: LogId,
    group: GroupName,
    member: MemberName,
    generation: ManifestVersion,
    frame: FrameNo,
    /// When it was acknowledged.
    pub time: UnixMillis,
}

impl Acknowledgement {
    /// The format version that this code writes.
    pub const FORMAT: u32 = 1;

    /// The most bytes one may have.
    pub const LEN_MAX: u64 = 4096;

    /// An acknowledgement of this frame and all before it.
    #[must_use]
    pub fn new(log_id: LogId, reader: Reader, frame: FrameNo, time: UnixMillis) -> Self {
        let Reader { group, member, generation } = reader;
        Self { format: Self::FORMAT, log_id, group, member, generation, frame, time }
    }

    /// Its bytes.
    ///
    /// # Errors
    ///
    /// None: the result is fallible as all encoding is.
    pub fn encode(&self) -> Result<Vec<u8>> {
        checked_json::encode("an acknowledgement", self)
    }

    /// Reads one from the bytes of the object `path`, which must be that of this reader and frame.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is damaged or of something else; `Invalid` for a newer format.
    pub fn decode(path: &str, bytes: &[u8], log_id: LogId, reader: &Reader, frame: FrameNo) -> Result<Self> {
        let value = checked_json::decode(path, "an acknowledgement", bytes)?;
        let newer = |why: String| Error::invalid(path, format!("{why}; use a newer version of Walkeep"));
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if format != Some(u64::from(Self::FORMAT)) {
            return Err(newer(format!("it has format {format:?}, and {} is known here", Self::FORMAT)));
        }
        let found: Self = serde_json::from_value(value)
            .map_err(|error| newer(format!("it is no acknowledgement as known here ({error})")))?;
        let expected = Self::new(log_id, reader.clone(), frame, found.time);
        if found != expected {
            let said = |a: &Self| {
                format!(
                    "frame {} by {}/{} of generation {} in log {}",
                    a.frame, a.group, a.member, a.generation, a.log_id
                )
            };
            return Err(Error::corrupt(path, 0, said(&expected), said(&found)));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> Reader {
        let (group, member) = (GroupName::new("search").unwrap(), MemberName::new("a").unwrap());
        Reader { group, member, generation: ManifestVersion::FIRST }
    }

    fn frame(n: u64) -> FrameNo {
        FrameNo::new(n).unwrap()
    }

    #[test]
    fn it_reads_back_and_damage_is_an_error() {
        let acknowledged = Acknowledgement::new(LogId(1), reader(), frame(7), UnixMillis(9));
        let bytes = acknowledged.encode().unwrap();
        let decode = |bytes: &[u8]| Acknowledgement::decode("a", bytes, LogId(1), &reader(), frame(7));
        assert_eq!(decode(&bytes).unwrap(), acknowledged);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(matches!(decode(&damaged), Err(Error::Corrupt(_))), "byte {at}");
            assert!(matches!(decode(&bytes[..at]), Err(Error::Corrupt(_))), "{at} bytes");
        }
    }

    #[test]
    fn one_of_something_else_is_not_believed() {
        let bytes = Acknowledgement::new(LogId(1), reader(), frame(7), UnixMillis(9)).encode().unwrap();
        let decode =
            |log, reader: &Reader, n| Acknowledgement::decode("a", &bytes, LogId(log), reader, frame(n));
        assert!(decode(1, &reader(), 7).is_ok());
        let is_corrupt = |found: Result<Acknowledgement>| matches!(found, Err(Error::Corrupt(_)));
        assert!(is_corrupt(decode(2, &reader(), 7)) && is_corrupt(decode(1, &reader(), 8)));
        let other = Reader { member: MemberName::new("b").unwrap(), ..reader() };
        assert!(is_corrupt(decode(1, &other, 7)));
        let other = Reader { generation: ManifestVersion::new(2).unwrap(), ..reader() };
        assert!(is_corrupt(decode(1, &other, 7)));
    }

    #[test]
    fn a_newer_format_is_refused() {
        let newer = Acknowledgement {
            format: 2,
            ..Acknowledgement::new(LogId(1), reader(), frame(7), UnixMillis(9))
        };
        let error = Acknowledgement::decode("a", &newer.encode().unwrap(), LogId(1), &reader(), frame(7));
        assert!(error.unwrap_err().to_string().contains("newer version"));
    }
}
