//! A history with many segments, and a compactor of it: what tests of compaction begin with.

use std::sync::Arc;

use walkeep::backends::Memory;
use walkeep::compact::{CompactOptions, Compactor};
use walkeep::core::{Backend, PageSize, SegmentKey};
use walkeep::{Bucket, RestorePoint};

use crate::handles::{SeededRandom, handles};
use crate::history::{History, restore};
use crate::sim_directory::SimDirectory;

/// A minute, in milliseconds.
pub const MINUTE: u64 = 60_000;
/// An hour, in milliseconds.
pub const HOUR: u64 = 60 * MINUTE;
/// A day, in milliseconds.
pub const DAY: u64 = 24 * HOUR;

/// How to compact in a test, at this time.
#[must_use]
pub fn options(now: u64) -> CompactOptions {
    let (handles, _) = handles(now, now ^ 5);
    CompactOptions::new(Arc::new(SimDirectory::new()), handles)
}

/// A compactor of a history.
///
/// # Panics
///
/// When it is refused.
pub fn compactor<B: Backend>(log: &History<B>, now: u64) -> Compactor {
    compactor_in(&log.bucket, log, now)
}

/// The same through another bucket.
///
/// # Panics
///
/// When it is refused.
pub fn compactor_in<B: Backend>(bucket: &Bucket, log: &History<B>, now: u64) -> Compactor {
    Compactor::new(bucket, &log.namespace, options(now)).unwrap()
}

/// An empty history of pages of 512 bytes.
pub async fn empty() -> History<Memory> {
    empty_on(Memory::new()).await
}

/// The same on a backend.
pub async fn empty_on<B: Backend>(backend: B) -> History<B> {
    History::open(Arc::new(backend), PageSize::MIN, 1).await
}

/// An image that does not compress.
#[must_use]
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let random = SeededRandom::new(seed);
    std::iter::repeat_with(|| random.next_u64().to_le_bytes()).flatten().take(len).collect()
}

/// Writes these pages with noise, commits at this time and stores a segment.
///
/// # Panics
///
/// When the writer refuses.
pub async fn store<B: Backend>(log: &mut History<B>, pages: &[u32], time: u64) -> SegmentKey {
    let len = log.page_size().bytes();
    for page in pages {
        log.write(*page, noise(time * 1000 + u64::from(*page), len));
    }
    let size = log.size().max(log.highest_written());
    log.commit(size, time);
    log.store().await.unwrap()
}

/// Every commit that is promised is exactly what its copy says; the others are no restore points.
///
/// # Panics
///
/// When one is not.
pub async fn all_exact<B: Backend>(log: &History<B>) {
    let timeline = walkeep::Timeline::load(&log.bucket, &log.namespace).await.unwrap();
    for recorded in &log.commits {
        let frame = recorded.commit.frame_no;
        if !timeline.manifest().promises(frame) {
            assert!(log.view(RestorePoint::Frame(frame)).await.is_err(), "frame {frame} is not promised");
            continue;
        }
        let view = log.view(RestorePoint::Frame(frame)).await.unwrap();
        assert_eq!(*view.commit(), recorded.commit);
        let (file, restored) = restore(&view).await.unwrap();
        assert!(file == recorded.file && restored.verified, "the restored file at frame {frame} differs");
    }
}
