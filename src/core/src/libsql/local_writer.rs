//! Writing local segment files, the same bytes that libsql-wal writes.
//!
//! In memory, because the header comes first and is known last. Frames are in order: files of replicas are only read.

use std::collections::BTreeMap;

use super::local_chain::{LocalFrame, chained, frames_end};
use super::local_header::{LOCAL_HEADER_LEN, LocalHeader, LocalIndexPlace};
use super::magic::PAGE_LEN;
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::ids::LogId;
use crate::page::{PageCount, PageNo};
use crate::page_fst::PageFst;
use crate::unix_millis::UnixMillis;

/// Makes one local segment file.
#[derive(Debug)]
pub struct LocalWriter {
    header: LocalHeader,
    bytes: Vec<u8>,
    pushed_count: u64,
    checksum: u32,
    newest: BTreeMap<PageNo, u64>,
}

impl LocalWriter {
    /// Begins a file whose first frame is `start`, on a database of `size_before` pages. The salt should be random.
    #[must_use]
    pub fn new(start: FrameNo, size_before: PageCount, log_id: LogId, salt: u32) -> Self {
        let header = LocalHeader {
            start,
            last_committed: None,
            frame_count: 0,
            size_after: size_before,
            index: None,
            unordered: false,
            salt,
            log_id,
            sealed_at: UnixMillis(0),
        };
        let bytes = vec![0; LOCAL_HEADER_LEN];
        Self { header, bytes, pushed_count: 0, checksum: salt, newest: BTreeMap::new() }
    }

    /// Adds a frame; the last one of a transaction with the size of the database after it, the others with 0.
    ///
    /// # Errors
    ///
    /// `Invalid` when the image is not a page long, or there are no more frame numbers.
    pub fn push(&mut self, page: PageNo, image: &[u8], size_after: PageCount) -> Result<FrameNo> {
        let frame_no = self.header.start.get().checked_add(self.pushed_count).and_then(FrameNo::new);
        let Some(frame_no) = frame_no.filter(|_| image.len() == PAGE_LEN) else {
            let what = format!("an image of page {page} with {} bytes", image.len());
            return Err(Error::invalid(what, "images have 4096 bytes, and frame numbers end at 2^64"));
        };
        let (head, checksum) = LocalFrame { page, frame_no, size_after, image }.encode_header(self.checksum);
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(image);
        self.checksum = checksum;
        self.newest.insert(page, self.pushed_count);
        self.pushed_count += 1;
        if size_after.get() != 0 {
            self.header.last_committed = Some(frame_no);
            self.header.frame_count = self.pushed_count;
            self.header.size_after = size_after;
        }
        Ok(frame_no)
    }

    /// The bytes of the file as it is, not sealed.
    #[must_use]
    pub fn into_unsealed(self) -> Vec<u8> {
        self.with_header()
    }

    /// Seals it, and gives its bytes.
    ///
    /// # Errors
    ///
    /// `Invalid` when there are no frames, or the last one is not a commit.
    pub fn seal(mut self, sealed_at: UnixMillis) -> Result<Vec<u8>> {
        let offset = frames_end(self.pushed_count).filter(|_| self.pushed_count > 0);
        let Some(offset) = offset.filter(|_| self.header.frame_count == self.pushed_count) else {
            let what = format!("sealing a segment of {} frames", self.pushed_count);
            return Err(Error::invalid(what, "it must end with a commit"));
        };
        let map = PageFst::build(std::mem::take(&mut self.newest))?;
        self.header.index = Some(LocalIndexPlace { offset, len: map.len() as u64 });
        self.header.sealed_at = sealed_at;
        self.bytes.extend_from_slice(&map);
        self.bytes.extend_from_slice(&chained(self.checksum, &[&map]).to_le_bytes());
        Ok(self.with_header())
    }

    fn with_header(mut self) -> Vec<u8> {
        if let Some(place) = self.bytes.first_chunk_mut() {
            *place = self.header.encode();
        }
        self.bytes
    }
}
