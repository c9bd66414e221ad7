//! One file of the cache: a part of an object, with everything needed to know that it is that.
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 8 | magic, `WALKCCH1` |
//! | 8 | 8 | CRC-64/NVME of everything behind it |
//! | 16 | 4 | length of the identity, *n* |
//! | 20 | *n* | the identity: store, object, its size and time, number of the part |
//! | 20 + *n* | | the part |
//!
//! Numbers are little-endian. The format is no promise: a file that is not like this is no entry, and is removed.

use std::fmt::Write as _;

use bytes::Bytes;
use walkeep_core::ObjectPath;
use walkeep_core::segment::ObjectChecksum;

use super::Version;

const MAGIC: [u8; 8] = *b"WALKCCH1";
const FIXED: usize = 20;

/// Which part of which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    text: String,
    /// How long the part must be.
    len: usize,
}

impl Identity {
    pub(super) fn new(store: &str, path: &ObjectPath, version: Version, part: u64, len: usize) -> Self {
        let mut text = String::new();
        let Version { size, modified } = version;
        // Lines: no path has one in it, and the store stands last.
        let _ = write!(text, "{path}\n{size}\n{modified}\n{part}\n{store}");
        Self { text, len }
    }

    /// The name of the file. Two parts of one name are no harm: what a file holds is read in it.
    pub(super) fn name(&self) -> String {
        let mut checksum = ObjectChecksum::new();
        checksum.update(self.text.as_bytes());
        format!("{:016x}", checksum.value())
    }
}

/// The bytes of a file.
pub(super) fn encode(identity: &Identity, part: &[u8]) -> Vec<u8> {
    let text = identity.text.as_bytes();
    let mut bytes = Vec::with_capacity(FIXED + text.len() + part.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(text);
    bytes.extend_from_slice(part);
    let sum = checksum(bytes.get(16..).unwrap_or_default());
    if let Some(place) = bytes.get_mut(8..16) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
    bytes
}

/// The part in the bytes of a file, if it is the one that is meant, whole and unharmed.
pub(super) fn decode(identity: &Identity, bytes: Bytes) -> Option<Bytes> {
    let word = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let behind = bytes.get(16..)?;
    let whole = bytes.get(..8)? == MAGIC && word(8)? == checksum(behind);
    let text_len = bytes.get(16..FIXED)?.try_into().ok().map(u32::from_le_bytes)?;
    let start = FIXED.checked_add(usize::try_from(text_len).ok()?)?;
    let meant = bytes.get(FIXED..start)? == identity.text.as_bytes();
    (whole && meant && bytes.len() - start == identity.len).then(|| bytes.slice(start..))
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut checksum = ObjectChecksum::new();
    checksum.update(bytes);
    checksum.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(part: u64, len: usize) -> Identity {
        let path = ObjectPath::new("namespaces/a/segments/1").unwrap();
        Identity::new("s3://b", &path, Version { size: 9, modified: 5 }, part, len)
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_no_entry() {
        let one = identity(0, 40);
        let bytes = encode(&one, &[7; 40]);
        assert_eq!(decode(&one, bytes.clone().into()).unwrap(), vec![7; 40]);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&one, damaged.into()), None, "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(decode(&one, bytes[..len].to_vec().into()), None, "{len} bytes");
        }
        let longer = [bytes.clone(), vec![0]].concat();
        assert_eq!(decode(&one, longer.into()), None);
    }

    #[test]
    fn an_entry_of_another_object_version_part_or_store_is_none() {
        let bytes = Bytes::from(encode(&identity(0, 40), &[7; 40]));
        assert_eq!(decode(&identity(1, 40), bytes.clone()), None);
        assert_eq!(decode(&identity(0, 41), bytes.clone()), None);
        let path = ObjectPath::new("namespaces/a/segments/1").unwrap();
        for (store, size, modified) in [("s3://c", 9, 5), ("s3://b", 8, 5), ("s3://b", 9, 6)] {
            let other = Identity::new(store, &path, Version { size, modified }, 0, 40);
            assert_eq!(decode(&other, bytes.clone()), None);
        }
    }
}
