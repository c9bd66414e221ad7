//! A sealed segment under another epoch.
//!
//! A segment that was sealed and not stored before its writer ended is stored by the next writer, whose epoch is
//! another. Only header, footer and the object's checksum differ: everything between is read from where it is.
//!
//! The segment's id stays: it says that the content is the same. Objects of two epochs have different names, so
//! that one is never taken for the other.

use std::io;
use std::sync::Arc;

use super::checksum::ObjectChecksum;
use super::footer::{FOOTER_LEN, Footer};
use super::header::{HEADER_LEN, SegmentHeader};
use super::writer::SegmentSummary;
use crate::body::{Body, BodySource};
use crate::epoch::Epoch;
use crate::error::{Error, Result};

/// How many bytes are read at once.
const CHUNK: usize = 256 << 10;

/// Gives the segment of `summary` and `body` another epoch, without writing anything. The whole body is read once,
/// and proven by its checksum. `object` names it in errors.
///
/// # Errors
///
/// `Corrupt` when the body is not what its summary says; `Io`.
pub fn restamp(
    object: &str,
    summary: &SegmentSummary,
    body: &Body,
    epoch: Epoch,
) -> Result<(SegmentSummary, Body)> {
    let old = &summary.footer;
    let header = SegmentHeader { epoch, ..old.header };
    let middle = HEADER_LEN as u64..summary.len.saturating_sub(FOOTER_LEN as u64);
    let (mut before, mut after) = (ObjectChecksum::new(), ObjectChecksum::new());
    before.update(&old.header.encode());
    after.update(&header.encode());
    let mut chunk = vec![0; CHUNK];
    let mut offset = middle.start;
    while offset < middle.end {
        let len = usize::try_from(middle.end - offset).map_or(CHUNK, |rest| rest.min(CHUNK));
        let bytes = chunk.get_mut(..len).unwrap_or_default();
        body.read_exact_at(offset, bytes).map_err(|error| Error::io(format!("read {object}"), error))?;
        before.update(bytes);
        after.update(bytes);
        offset += len as u64;
    }
    if body.len() != summary.len || before.value() != old.object_checksum {
        let expected = format!("{} bytes with checksum {:016x}", summary.len, old.object_checksum);
        let found = format!("{} bytes with checksum {:016x}", body.len(), before.value());
        return Err(Error::corrupt(object, 0, expected, found));
    }
    let footer = Footer { header, object_checksum: after.value(), ..old.clone() };
    let summary = SegmentSummary { key: footer.key()?, footer, len: summary.len };
    let head = header.encode();
    let tail = summary.footer.encode();
    let restamped = Restamped { head, tail, middle: body.clone() };
    Ok((summary, Body::Source(Arc::new(restamped))))
}

/// Another header and footer over the same body.
#[derive(Debug)]
struct Restamped {
    head: [u8; HEADER_LEN],
    tail: [u8; FOOTER_LEN],
    middle: Body,
}

impl BodySource for Restamped {
    fn len(&self) -> u64 {
        self.middle.len()
    }

    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.middle.read_exact_at(offset, bytes)?;
        lay_over(&self.head, 0, offset, bytes);
        lay_over(&self.tail, self.middle.len() - FOOTER_LEN as u64, offset, bytes);
        Ok(())
    }
}

/// Replaces what of `bytes`, which stand at `offset`, lies where `over` stands.
fn lay_over(over: &[u8], over_offset: u64, offset: u64, bytes: &mut [u8]) {
    for (at, byte) in (over_offset..).zip(over) {
        let place = at.checked_sub(offset).and_then(|at| usize::try_from(at).ok());
        if let Some(place) = place.and_then(|at| bytes.get_mut(at)) {
            *place = *byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{Compression, SegmentWriter};
    use crate::{
        Commit, CommitKind, FrameNo, HashSeed, LogId, PageCount, PageNo, PageSize, SegmentId, StateChecksum,
        UnixMillis,
    };

    fn sealed(epoch: u32) -> (SegmentSummary, Vec<u8>) {
        let header = SegmentHeader {
            page_size: PageSize::MIN,
            log_id: LogId(1),
            segment_id: SegmentId(2),
            epoch: Epoch(epoch),
            level: 0,
            start: FrameNo::FIRST,
            end: FrameNo::FIRST,
            frame_count: 1,
        };
        let mut writer =
            SegmentWriter::new(Vec::new(), header, HashSeed(3), Compression::None, true).unwrap();
        writer.push(PageNo::FIRST, FrameNo::FIRST, &[7; 512]).unwrap();
        let commit = Commit {
            frame_no: FrameNo::FIRST,
            size_after: PageCount(1),
            time: UnixMillis(4),
            state: Some(StateChecksum(5)),
            kind: CommitKind::Transaction,
        };
        let (bytes, summary) = writer.finish(&[commit], PageCount(1)).unwrap();
        (summary, bytes)
    }

    #[test]
    fn a_restamped_segment_is_the_one_that_would_have_been_sealed_in_that_epoch() {
        let ((old, bytes), (new, expected)) = (sealed(1), sealed(9));
        let (summary, body) = restamp("x", &old, &bytes.into(), Epoch(9)).unwrap();
        assert_eq!((summary.key, &summary.footer, summary.len), (new.key, &new.footer, new.len));
        let Body::Source(source) = body else { panic!("a source") };
        // Read in pieces of every kind: inside, across and between header and footer.
        for len in [1, 7, 127, 128, 129, 300, expected.len()] {
            let mut read = Vec::new();
            while read.len() < expected.len() {
                let mut piece = vec![0; len.min(expected.len() - read.len())];
                source.read_exact_at(read.len() as u64, &mut piece).unwrap();
                read.extend(piece);
            }
            assert!(read == expected, "in pieces of {len}");
        }
    }

    #[test]
    fn a_damaged_segment_is_not_restamped() {
        let (summary, bytes) = sealed(1);
        for at in [HEADER_LEN, bytes.len() - FOOTER_LEN - 1] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            let error = restamp("x", &summary, &bytes.into(), Epoch(2)).unwrap_err();
            assert!(matches!(error, Error::Corrupt(_)), "{error}");
        }
        let error = restamp("x", &summary, &bytes[1..].to_vec().into(), Epoch(2)).unwrap_err();
        assert!(matches!(error, Error::Corrupt(_) | Error::Io { .. }), "{error}");
    }
}
