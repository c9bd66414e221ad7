//! What the benches share: page images that look like a database's, and segments made of them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "bench code"
)]

pub mod generator;
pub mod slow_syncs;

use walkeep::core::segment::{Compression, SegmentHeader, SegmentSummary, SegmentWriter};
use walkeep::core::{
    Commit, CommitKind, Epoch, FrameNo, HashSeed, LogId, PageCount, PageHashTable, PageNo, PageSize,
    SegmentId, UnixMillis,
};
use walkeep_tests::handles::SeededRandom;

/// The seed of all page hashes in the benches.
pub const SEED: HashSeed = HashSeed(1);

/// A page like one of a table: words that repeat, and some noise.
#[must_use]
pub fn image(random: &SeededRandom) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PageSize::DEFAULT.bytes() + 32);
    while bytes.len() < PageSize::DEFAULT.bytes() {
        bytes.extend_from_slice(format!("customer {:04} ", random.below(500)).as_bytes());
        bytes.extend_from_slice(&random.next_u64().to_le_bytes()[..6]);
    }
    bytes.truncate(PageSize::DEFAULT.bytes());
    bytes
}

/// So many different pages.
#[must_use]
pub fn images(count: u32) -> Vec<Vec<u8>> {
    let random = SeededRandom::new(7);
    (0..count).map(|_| image(&random)).collect()
}

/// A segment that holds these pages, from page 1 on.
#[must_use]
pub fn segment(images: &[Vec<u8>], compression: Compression) -> (Vec<u8>, SegmentSummary) {
    let end = FrameNo::new(images.len() as u64).unwrap();
    let header = SegmentHeader {
        page_size: PageSize::DEFAULT,
        log_id: LogId(1),
        segment_id: SegmentId(1),
        epoch: Epoch(1),
        level: 0,
        start: FrameNo::FIRST,
        end,
        frame_count: images.len() as u32,
    };
    let mut table = PageHashTable::new(SEED);
    table.resize(PageCount(images.len() as u32));
    let mut writer = SegmentWriter::new(Vec::new(), header, SEED, compression, true).unwrap();
    for (number, image) in (1..).zip(images) {
        let page = PageNo::new(number).unwrap();
        table.set(page, SEED.page(page, image));
        writer.push(page, FrameNo::new(u64::from(number)).unwrap(), image).unwrap();
    }
    let commit = Commit {
        frame_no: end,
        size_after: table.size(),
        time: UnixMillis(1),
        state: Some(table.state()),
        kind: CommitKind::Snapshot,
    };
    writer.finish(&[commit], table.size()).unwrap()
}
