//! Values with a checksum: a flipped bit in a value, or a value under another key, is an error and never data.
//!
//! A stored value is a CRC-64/NVME (8 bytes, little-endian) over the table's name, the key and the content, and the content.

use walkeep_core::segment::ObjectChecksum;
use walkeep_core::{Error, Result};

/// How many bytes a checksum adds to a value.
pub const OVERHEAD: usize = 8;

/// The value to store.
#[must_use]
pub fn wrap(table: &str, key: &[u8], content: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(OVERHEAD + content.len());
    value.resize(OVERHEAD, 0);
    value.extend_from_slice(content);
    seal(table, key, &mut value);
    value
}

/// Puts the checksum of the rest into the first bytes of a value, which are room for it.
pub(super) fn seal(table: &str, key: &[u8], value: &mut [u8]) {
    if let Some((head, content)) = value.split_first_chunk_mut::<OVERHEAD>() {
        *head = checksum(table, key, content).to_le_bytes();
    }
}

/// The content of a stored value; `object` is what it is called in an error.
///
/// # Errors
///
/// `Corrupt`.
pub fn unwrap<'a>(object: &str, table: &str, key: &[u8], stored: &'a [u8]) -> Result<&'a [u8]> {
    let Some((head, content)) = stored.split_at_checked(OVERHEAD) else {
        let found = format!("{} bytes", stored.len());
        return Err(Error::corrupt(object, 0, "a value with a checksum", found));
    };
    let expected = checksum(table, key, content);
    if head != expected.to_le_bytes() {
        let found = head.iter().rev().fold(0_u64, |found, byte| found << 8 | u64::from(*byte));
        let found = format!("crc64:{found:016x}");
        return Err(Error::corrupt(object, 0, format!("crc64:{expected:016x}"), found));
    }
    Ok(content)
}

/// Lengths stand before what they are of, so that no two triples look alike.
fn checksum(table: &str, key: &[u8], content: &[u8]) -> u64 {
    let mut checksum = ObjectChecksum::new();
    for part in [table.as_bytes(), key] {
        checksum.update(&(part.len() as u64).to_le_bytes());
        checksum.update(part);
    }
    checksum.update(content);
    checksum.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_back_only_from_its_own_place() {
        let value = wrap("nodes", b"a", b"content");
        assert_eq!(unwrap("x", "nodes", b"a", &value).unwrap(), b"content");
        assert_eq!(unwrap("x", "nodes", b"", &wrap("nodes", b"", b"")).unwrap(), b"");
        for (table, key) in [("nodes", &b"b"[..]), ("groups", b"a"), ("node", b"sa"), ("nodesa", b"")] {
            let error = unwrap("x", table, key, &value).unwrap_err();
            assert!(matches!(error, Error::Corrupt(_)), "{table} {key:?}: {error}");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_corrupt() {
        let value = wrap("nodes", b"a", b"content");
        for bit in 0..value.len() * 8 {
            let mut damaged = value.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(unwrap("x", "nodes", b"a", &damaged), Err(Error::Corrupt(_))), "bit {bit}");
        }
        for len in 0..value.len() {
            assert!(matches!(unwrap("x", "nodes", b"a", &value[..len]), Err(Error::Corrupt(_))), "{len}");
        }
    }
}
