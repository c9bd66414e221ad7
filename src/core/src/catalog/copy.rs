//! A copy of one part of one shard of a catalog, as it stands in a store (`docs/catalog.md`).
//!
//! Two lines that say what it is and prove it, as in a manifest; and behind them the records, one line of JSON each,
//! compressed with zstd. Invariants: nothing of a copy is believed before its checksums held, and no line is longer than
//! [`LINE_MAX`], whatever the content claims.

use std::io::{BufRead, BufReader, Read, Write};

use serde::{Deserialize, Serialize};

use super::{CatalogId, CatalogPart, CatalogRecord, Claim, Node, RecordSink};
use crate::checked_json;
use crate::error::{Error, Result};
use crate::segment::ObjectChecksum;

/// The most bytes of a record.
const LINE_MAX: u64 = 1 << 20;

const COMPRESSION_LEVEL: i32 = 3;

/// What a copy says it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyHeader {
    /// Always 1.
    pub format: u32,
    /// The catalog that was copied.
    pub catalog: CatalogId,
    /// The claim under which it was.
    pub claim: Claim,
    /// What was copied.
    pub part: CatalogPart,
    /// The shard.
    pub shard: u16,
    /// How many shards there are.
    pub shards: u16,
    /// How often that part of that shard was changed.
    pub changes: u64,
    /// How many records there are.
    pub records: u64,
    /// The bytes behind the two lines.
    pub content_len: u64,
    /// Their CRC-64/NVME, as 16 hexadecimal digits.
    pub content_crc64: String,
}

impl CopyHeader {
    /// The only format.
    pub const FORMAT: u32 = 1;
}

/// Makes the content of a copy, record by record.
pub struct CopyWriter {
    content: zstd::stream::write::Encoder<'static, Vec<u8>>,
    records: u64,
}

impl std::fmt::Debug for CopyWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopyWriter").field("records", &self.records).finish_non_exhaustive()
    }
}

fn unwritable(error: impl std::fmt::Display) -> Error {
    Error::invalid("a copy of the catalog", format!("it cannot be written: {error}"))
}

impl CopyWriter {
    /// Begins an empty copy.
    ///
    /// # Errors
    ///
    /// `Invalid` when the compressor cannot be had.
    pub fn new() -> Result<Self> {
        let content = zstd::stream::write::Encoder::new(Vec::new(), COMPRESSION_LEVEL).map_err(unwritable)?;
        Ok(Self { content, records: 0 })
    }

    /// Adds a record. When a node was last heard of is left out: it is no part of what is counted as a change, and a copy
    /// of one count of changes has one content.
    ///
    /// # Errors
    ///
    /// `Invalid` for a record that is too long.
    pub fn push(&mut self, record: CatalogRecord) -> Result<()> {
        let record = match record {
            CatalogRecord::Node(node) => CatalogRecord::Node(Node { heartbeat: node.updated, ..node }),
            other => other,
        };
        let mut line = serde_json::to_vec(&record).map_err(unwritable)?;
        line.push(b'\n');
        if line.len() as u64 > LINE_MAX {
            return Err(Error::invalid(record.to_string(), format!("it has over {LINE_MAX} bytes")));
        }
        self.records += 1;
        self.content.write_all(&line).map_err(unwritable)
    }

    /// The bytes of the copy. `header` says what it is; what its content is, is filled in here.
    ///
    /// # Errors
    ///
    /// `Invalid` when it cannot be compressed.
    pub fn finish(self, header: CopyHeader) -> Result<Vec<u8>> {
        let content = self.content.finish().map_err(unwritable)?;
        let header = CopyHeader {
            format: CopyHeader::FORMAT,
            records: self.records,
            content_len: content.len() as u64,
            content_crc64: crc64(&content),
            ..header
        };
        let mut bytes = checked_json::encode("a copy of the catalog", &header)?;
        bytes.extend_from_slice(&content);
        Ok(bytes)
    }
}

fn crc64(content: &[u8]) -> String {
    let mut checksum = ObjectChecksum::new();
    checksum.update(content);
    format!("{:016x}", checksum.value())
}

/// Says what the copy in the object `path` is of, once all of it was checked.
///
/// # Errors
///
/// `Corrupt` when a checksum does not hold; `Invalid` when a newer version of Walkeep wrote it.
pub fn read_copy_header(path: &str, bytes: &[u8]) -> Result<CopyHeader> {
    checked(path, bytes).map(|(header, _)| header)
}

/// Reads the copy in the object `path`, and hands out its records; nothing is handed out before all of it was checked.
///
/// # Errors
///
/// As [`read_copy_header`]; `Invalid` also for a record of a newer version, `Corrupt` for one that is none; what the sink
/// ends with.
pub fn read_copy(path: &str, bytes: &[u8], to: &mut RecordSink<'_>) -> Result<CopyHeader> {
    let (header, content) = checked(path, bytes)?;
    let at = (bytes.len() - content.len()) as u64;
    let damaged = |error: &dyn std::fmt::Display| Error::corrupt(path, at, "records in JSON", error);
    let decoder = zstd::stream::read::Decoder::new(content).map_err(|error| damaged(&error))?;
    let mut lines = BufReader::new(decoder);
    for _ in 0..header.records {
        let mut line = Vec::new();
        (&mut lines).take(LINE_MAX).read_until(b'\n', &mut line).map_err(|error| damaged(&error))?;
        // Checksums held: whoever wrote this knew more than this version.
        let record: CatalogRecord = serde_json::from_slice(&line).map_err(|error| {
            Error::invalid(path, format!("a record is not known ({error}); use a newer version"))
        })?;
        to(record)?;
    }
    Ok(header)
}

/// The header of a copy, and the records behind it, compressed.
fn checked<'a>(path: &str, bytes: &'a [u8]) -> Result<(CopyHeader, &'a [u8])> {
    let second_line =
        bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).map(|(at, _)| at + 1);
    let Some((head, content)) = second_line.and_then(|at| bytes.split_at_checked(at)) else {
        return Err(Error::corrupt(path, 0, "the two lines of a copy", format!("{} bytes", bytes.len())));
    };
    let value = checked_json::decode(path, "a copy of the catalog", head)?;
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    if format != Some(u64::from(CopyHeader::FORMAT)) {
        let found = format.map_or_else(|| "none".to_string(), |format| format.to_string());
        let why = format!("this version of Walkeep reads format {}; use a newer one", CopyHeader::FORMAT);
        return Err(Error::invalid(format!("{path} of copy format {found}"), why));
    }
    let header: CopyHeader = serde_json::from_value(value).map_err(|error| {
        Error::invalid(path, format!("its header is not known ({error}); use a newer version"))
    })?;
    if content.len() as u64 != header.content_len || crc64(content) != header.content_crc64 {
        let expected = format!("{} bytes with crc64:{}", header.content_len, header.content_crc64);
        let found = format!("{} bytes with crc64:{}", content.len(), crc64(content));
        return Err(Error::corrupt(path, head.len() as u64, expected, found));
    }
    Ok((header, content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{ClaimNo, NamespaceRecord, NamespaceSettings};
    use crate::ids::Nonce;
    use crate::namespace::Namespace;
    use crate::unix_millis::UnixMillis;

    fn header() -> CopyHeader {
        CopyHeader {
            format: 0,
            catalog: CatalogId(1),
            claim: Claim { no: ClaimNo(2), nonce: Nonce(3) },
            part: CatalogPart::Records,
            shard: 1,
            shards: 4,
            changes: 9,
            records: 0,
            content_len: 0,
            content_crc64: String::new(),
        }
    }

    fn records() -> Vec<CatalogRecord> {
        let record = |n: u32| {
            let namespace = Namespace::new(format!("ns{n}")).unwrap();
            CatalogRecord::Namespace(
                NamespaceRecord::new(&namespace, &NamespaceSettings::default(), UnixMillis(7)).unwrap(),
            )
        };
        (0..20).map(record).collect()
    }

    fn copy() -> Vec<u8> {
        let mut writer = CopyWriter::new().unwrap();
        records().into_iter().for_each(|record| writer.push(record).unwrap());
        writer.finish(header()).unwrap()
    }

    fn read(bytes: &[u8]) -> Result<(CopyHeader, Vec<CatalogRecord>)> {
        let mut found = Vec::new();
        let header = read_copy("c", bytes, &mut |record| {
            found.push(record);
            Ok(())
        })?;
        Ok((header, found))
    }

    #[test]
    fn a_copy_reads_back() {
        let (found, records_found) = read(&copy()).unwrap();
        assert_eq!((found.changes, found.records, found.shard), (9, 20, 1));
        assert_eq!(records_found, records());
        let empty = CopyWriter::new().unwrap().finish(header()).unwrap();
        assert_eq!(read(&empty).unwrap().1, Vec::new());
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_corrupt() {
        let bytes = copy();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(read(&damaged), Err(Error::Corrupt(_))), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(matches!(read(&bytes[..len]), Err(Error::Corrupt(_))), "{len} bytes");
        }
    }

    #[test]
    fn a_newer_format_is_refused_with_both_numbers() {
        let header = CopyHeader { format: 2, ..header() };
        let error = read(&checked_json::encode("c", &header).unwrap()).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }));
        assert!(error.to_string().contains("format 2") && error.to_string().contains("format 1"), "{error}");
    }
}
