//! A data object opened as a segment: read from beginning to end, proven, and its index made on the way.
//!
//! Invariants: nothing of the object is used before the checksum of all of it held. What is fetched again later (the
//! images of an object too large to keep) is compared with checksums made during that reading. Memory is bounded by a
//! chunk and about 20 bytes a frame; the length of the object, which a listing gave, bounds all counts in it.

use bytes::Bytes;
use walkeep_core::libsql::{
    DATA_FOOTER_LEN, DATA_FRAME_LEN, DATA_HEADER_LEN, DataHeader, DataReader, EPOCH, ObjectKey, PAGE_SIZE,
};
use walkeep_core::segment::{Codec, IndexAssembler, SegmentHeader};
use walkeep_core::{ByteRange, Commit, CommitKind, Error, Layout, LogId, Namespace, ObjectPath, Result};

use super::cluster_reader::ClusterReader;
use crate::bucket::Bucket;
use crate::stored_segment::{OpenSegment, StoredSegment};

/// Frames in a block: what is fetched again for one of them.
const BLOCK_FRAMES: usize = 64;

/// Frames fetched at once: about 4 MiB. An object that is not longer is kept in memory.
const CHUNK_FRAMES: usize = 16 * BLOCK_FRAMES;

/// The first request: all of an object of one chunk.
const FIRST_LEN: u64 = (DATA_HEADER_LEN + CHUNK_FRAMES * DATA_FRAME_LEN + DATA_FOOTER_LEN) as u64;

impl ClusterReader {
    /// Reads and checks the data object of a segment.
    ///
    /// # Errors
    ///
    /// As [`OpenSegment::open`].
    pub(crate) async fn open(
        &self,
        bucket: &Bucket,
        namespace: &Namespace,
        stored: StoredSegment,
        log_id: LogId,
    ) -> Result<OpenSegment> {
        let path = self.layout().segment(namespace, &stored.key);
        let first = fetch(bucket, &path, 0, stored.size.min(FIRST_LEN)).await?;
        let reader = DataReader::new(path.as_str(), &first, stored.size)?;
        let header = *reader.header();
        header.expect_key(path.as_str(), &ObjectKey::from(&stored.key))?;
        let assembler = IndexAssembler::new(as_segment(&header, &stored, log_id), self.hash_seed(namespace));
        let mut reading = Reading { reader, assembler, next: 0 };
        let body = first.get(DATA_HEADER_LEN..).unwrap_or_default();
        let mut rest = reading.chunk(&header, body)?.to_vec();
        let mut offset = first.len() as u64;
        while offset < stored.size {
            let len = (stored.size - offset).min(FIRST_LEN);
            rest.extend_from_slice(&fetch(bucket, &path, offset, len).await?);
            offset += len;
            rest = reading.chunk(&header, &rest)?.to_vec();
        }
        let Reading { reader, assembler, .. } = reading;
        reader.finish(&rest)?;
        let commit = Commit {
            frame_no: header.end,
            size_after: header.size_after,
            time: header.time,
            state: None,
            kind: CommitKind::Snapshot,
        };
        let index = assembler.finish(commit, stored.size)?;
        let whole = (first.len() as u64 == stored.size).then_some(first);
        Ok(OpenSegment::from_parts(path, stored, index, whole))
    }
}

/// Bytes of the object, as many as the listing promised.
async fn fetch(bucket: &Bucket, path: &ObjectPath, offset: u64, len: u64) -> Result<Bytes> {
    // An object that is listed as empty may be missing: asking for a byte of it tells.
    let bytes = bucket.get(path, ByteRange::Bounded(offset..offset + len.max(1))).await?;
    if bytes.len() as u64 == len {
        return Ok(bytes);
    }
    let expected = format!("an object of at least {} bytes, as it was listed", offset + len);
    let found = format!("one of {} bytes", offset + bytes.len() as u64);
    Err(Error::corrupt(path, offset + bytes.len() as u64, expected, found))
}

const fn as_segment(header: &DataHeader, stored: &StoredSegment, log_id: LogId) -> SegmentHeader {
    SegmentHeader {
        page_size: PAGE_SIZE,
        log_id,
        segment_id: header.segment_id,
        epoch: EPOCH,
        level: stored.key.level(),
        start: header.start,
        end: header.end,
        frame_count: header.frame_count,
    }
}

/// A data object, read as far as it was fetched.
struct Reading {
    reader: DataReader,
    assembler: IndexAssembler,
    /// The ordinal of the next frame.
    next: u32,
}

impl Reading {
    /// Reads the whole frames at the beginning of `bytes`; returns what is left of them.
    fn chunk<'a>(&mut self, header: &DataHeader, bytes: &'a [u8]) -> Result<&'a [u8]> {
        let wanted = (header.frame_count - self.next) as usize;
        let whole = (bytes.len() / DATA_FRAME_LEN).min(wanted);
        // Blocks of full size, but for the last one.
        let taken = if whole == wanted { whole } else { whole - whole % BLOCK_FRAMES };
        let (frames, rest) = bytes.split_at(taken * DATA_FRAME_LEN);
        for block in frames.chunks(BLOCK_FRAMES * DATA_FRAME_LEN) {
            self.block(header, block)?;
        }
        Ok(rest)
    }

    fn block(&mut self, header: &DataHeader, bytes: &[u8]) -> Result<()> {
        let first = self.next;
        for frame in bytes.chunks(DATA_FRAME_LEN) {
            let frame = self.reader.frame(frame)?;
            self.assembler.push(frame.page, frame.frame_no, frame.image)?;
            self.next += 1;
        }
        let offset = header.frame_range(first).map_or(0, |range| range.start);
        self.assembler.end_block(offset, bytes, Codec::LibsqlFrames);
        Ok(())
    }
}
