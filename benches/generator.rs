//! Writes databases of any size segment by segment, without holding them.

use std::path::Path;
use std::sync::Arc;

use walkeep::backends::os::OsDirectory;
use walkeep::core::segment::{Compression, SegmentHeader, SegmentWriter};
use walkeep::core::{
    Commit, CommitKind, PageCount, PageHashTable, PageNo, PageSize, SealedSegment, SegmentId, UnixMillis,
};
use walkeep::{Bucket, Handles, Spool, Writer};
use walkeep_tests::handles::SeededRandom;

use crate::image;

/// The namespace that is written.
pub const NAMESPACE: &str = "bench";

const PAGES_EACH: u64 = 30;

/// A version of a page.
#[must_use]
pub fn image_of(page: u32, version: u64) -> Vec<u8> {
    image(&SeededRandom::new((u64::from(page) << 32) | version))
}

/// So many pages drawn from a database of `size`, each once, rising.
#[must_use]
pub fn some_pages(random: &SeededRandom, size: u32, count: u32) -> Vec<u32> {
    let mut pages = (0..count).map(|_| 1 + random.below(u64::from(size)) as u32).collect::<Vec<_>>();
    pages.sort_unstable();
    pages.dedup();
    pages
}

/// Writes a database segment by segment, without holding it.
#[derive(Debug)]
pub struct Generator {
    writer: Writer,
    table: PageHashTable,
    spool: Arc<OsDirectory>,
    /// The version that each page has: what its image is made of, besides its number.
    pub versions: Vec<u64>,
}

impl Generator {
    /// A new namespace [`NAMESPACE`], of a database of so many pages of 4 KiB.
    pub async fn new(bucket: &Bucket, pages: u32, spool: &Path) -> Self {
        let handles = Handles::system();
        let namespace = NAMESPACE.parse().unwrap();
        let writer = Writer::open(bucket, &namespace, PageSize::DEFAULT, &handles).await.unwrap();
        let mut table = PageHashTable::new(writer.hash_seed());
        table.resize(PageCount(pages));
        let spool = Arc::new(OsDirectory::open(spool).unwrap());
        Self { writer, table, spool, versions: vec![0; pages as usize] }
    }

    /// Stores one segment with one commit: these pages, in order, as they are now.
    pub async fn store(&mut self, pages: &[u32], time: u64) {
        let (handles, start) = (Handles::system(), self.writer.next_frame_no().unwrap());
        let mut end = start;
        for _ in 1..pages.len() {
            end = end.next().unwrap();
        }
        let header = SegmentHeader {
            page_size: PageSize::DEFAULT,
            log_id: self.writer.log_id(),
            segment_id: SegmentId::random(&*handles.random).unwrap(),
            epoch: self.writer.epoch(),
            level: 0,
            start,
            end,
            frame_count: pages.len() as u32,
        };
        let spool = Spool::new(Arc::clone(&self.spool) as _, &*handles.random).unwrap();
        let mut segment =
            SegmentWriter::new(spool, header, self.table.seed(), Compression::default(), true).unwrap();
        let mut frame = start;
        for number in pages {
            let page = PageNo::new(*number).unwrap();
            let version = self.versions[page.index()];
            let image = image_of(*number, version);
            let hash = segment.push(page, frame, &image).unwrap();
            self.table.set(page, hash);
            frame = frame.next().unwrap();
        }
        let commit = Commit {
            frame_no: end,
            size_after: self.table.size(),
            time: UnixMillis(time),
            state: Some(self.table.state()),
            kind: CommitKind::Transaction,
        };
        let (spool, summary) = segment.finish(&[commit], self.table.size()).unwrap();
        let sealed = SealedSegment { summary, body: spool.into_body().unwrap() };
        self.writer.store(&sealed).await.unwrap();
    }

    /// Stores all pages.
    pub async fn store_all(&mut self, time: u64) {
        let pages = (1..=self.table.size().get()).collect::<Vec<_>>();
        self.store(&pages, time).await;
    }

    /// Changes and stores about 30 pages that lie in a few places, as those of a transaction do.
    pub async fn store_some(&mut self, random: &SeededRandom, time: u64) {
        let size = u64::from(self.table.size().get());
        let mut pages = Vec::new();
        while (pages.len() as u64) < PAGES_EACH {
            let first = 1 + random.below(size - 3);
            pages.extend((first..first + 1 + random.below(3)).map(|page| page as u32));
        }
        pages.sort_unstable();
        pages.dedup();
        for page in &pages {
            self.versions[*page as usize - 1] += 1;
        }
        self.store(&pages, time).await;
    }
}
