//! A database of pages that writes its own log: what a test needs to make segments whose every state is known.

use std::collections::BTreeMap;

use bytes::Bytes;
use walkeep::core::segment::{Compression, SegmentHeader, SegmentWriter};
use walkeep::core::{
    Body, Commit, CommitKind, Epoch, FrameNo, HashSeed, LogId, PageCount, PageHashTable, PageNo, PageSize,
    SegmentId, UnixMillis,
};
use walkeep::{SealedSegment, Writer};

/// A database that is being written, and the transactions that are not sealed yet.
#[derive(Debug)]
pub struct PageLog {
    page_size: PageSize,
    pages: BTreeMap<PageNo, Vec<u8>>,
    table: PageHashTable,
    frames: BTreeMap<(PageNo, FrameNo), Vec<u8>>,
    commits: Vec<Commit>,
    start: FrameNo,
    next: FrameNo,
}

impl PageLog {
    /// An empty database whose next frame is `next`.
    #[must_use]
    pub fn new(page_size: PageSize, seed: HashSeed, next: FrameNo) -> Self {
        Self {
            page_size,
            pages: BTreeMap::new(),
            table: PageHashTable::new(seed),
            frames: BTreeMap::new(),
            commits: Vec::new(),
            start: next,
            next,
        }
    }

    /// Commits a transaction: these page images, and then this size.
    pub fn commit(&mut self, images: &[(u32, Vec<u8>)], size: u32, time: u64) -> FrameNo {
        self.table.resize(PageCount(size.max(self.table.size().get())));
        let mut last = self.next;
        for (page, image) in images {
            let page = PageNo::new(*page).unwrap();
            assert_eq!(image.len(), self.page_size.bytes());
            self.table.set(page, self.table.seed().page(page, image));
            self.pages.insert(page, image.clone());
            self.frames.insert((page, self.next), image.clone());
            last = self.next;
            self.next = self.next.next().unwrap();
        }
        self.table.resize(PageCount(size));
        self.pages.retain(|page, _| PageCount(size).contains(*page));
        self.commits.push(Commit {
            frame_no: last,
            size_after: PageCount(size),
            time: UnixMillis(time),
            state: Some(self.table.state()),
            kind: CommitKind::Transaction,
        });
        last
    }

    /// The database file as it is now.
    #[must_use]
    pub fn file(&self) -> Vec<u8> {
        let mut file = vec![0; self.table.size().as_usize() * self.page_size.bytes()];
        for (page, image) in &self.pages {
            let start = page.index() * self.page_size.bytes();
            file[start..start + image.len()].copy_from_slice(image);
        }
        file
    }

    /// Seals the transactions since the last time as the next segment of `writer`.
    pub fn seal(&mut self, writer: &Writer, segment_id: u128, compression: Compression) -> SealedSegment {
        self.seal_in(writer.log_id(), writer.epoch(), segment_id, compression)
    }

    /// Seals them as the next segment of a log in an epoch.
    pub fn seal_in(
        &mut self,
        log_id: LogId,
        epoch: Epoch,
        segment_id: u128,
        compression: Compression,
    ) -> SealedSegment {
        let header = SegmentHeader {
            page_size: self.page_size,
            log_id,
            segment_id: SegmentId(segment_id),
            epoch,
            level: 0,
            start: self.start,
            end: self.commits.last().unwrap().frame_no,
            frame_count: self.frames.len() as u32,
        };
        let seed = self.table.seed();
        let mut segment = SegmentWriter::new(Vec::new(), header, seed, compression, false).unwrap();
        for ((page, frame), image) in &self.frames {
            segment.push(*page, *frame, image).unwrap();
        }
        let smallest = self.commits.iter().map(|commit| commit.size_after).min().unwrap();
        let (bytes, summary) = segment.finish(&self.commits, smallest).unwrap();
        self.frames.clear();
        self.commits.clear();
        self.start = self.next;
        SealedSegment { summary, body: Body::Bytes(Bytes::from(bytes)) }
    }
}
