//! Small documents that are known to be whole: one line of JSON, and one line with its CRC-64 (`docs/format.md`,
//! section 5).

use serde::Serialize;

use crate::error::{Error, Result};
use crate::segment::ObjectChecksum;

/// The bytes of a document.
///
/// # Errors
///
/// `Invalid` when the value cannot be written as JSON.
pub(crate) fn encode(what: &str, value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(value)
        .map_err(|error| Error::invalid(what, format!("it cannot be written as JSON: {error}")))?;
    bytes.push(b'\n');
    let checksum = checksum_line(&bytes);
    bytes.extend_from_slice(checksum.as_bytes());
    Ok(bytes)
}

/// The JSON in the bytes of the object `path`, once its checksum held.
///
/// # Errors
///
/// `Corrupt`.
pub(crate) fn decode(path: &str, what: &str, bytes: &[u8]) -> Result<serde_json::Value> {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
        let found = format!("{} bytes", bytes.len());
        return Err(Error::corrupt(path, 0, "a line of JSON and a checksum line", found));
    };
    let (line, rest) = bytes.split_at(end + 1);
    let expected = checksum_line(line);
    if rest != expected.as_bytes() {
        let found = String::from_utf8_lossy(rest.get(..64).unwrap_or(rest)).into_owned();
        let found = format!("{:?}", found.trim_end());
        return Err(Error::corrupt(path, line.len() as u64, expected.trim_end(), found));
    }
    serde_json::from_slice(line)
        .map_err(|error| Error::corrupt(path, error.column() as u64, format!("{what} in JSON"), error))
}

/// The second line of a document.
pub(crate) fn checksum_line(line: &[u8]) -> String {
    let mut checksum = ObjectChecksum::new();
    checksum.update(line);
    format!("crc64:{:016x}\n", checksum.value())
}
