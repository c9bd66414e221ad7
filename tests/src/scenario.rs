//! Random histories: steps that can be drawn from a seed or by `proptest`, and carried out.

use std::sync::Arc;

use walkeep::backends::Memory;
use walkeep::core::segment::Compression;
use walkeep::core::{CommitKind, PageSize, SegmentKey};

use crate::handles::SeededRandom;
use crate::history::History;
use crate::recorded::frame_no;

/// The largest page number that is written.
pub const PAGE_MAX: u8 = 12;

/// One step of a history. Numbers are taken modulo what there is to choose from.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A page is written in the open transaction; `fill` 0 writes zeros.
    Write {
        /// The page.
        page: u8,
        /// What it is filled with.
        fill: u8,
    },
    /// The open transaction is committed; without a size, the database grows as far as was written.
    Commit {
        /// The size of the database after it.
        size: Option<u8>,
        /// How long after the commit before, in milliseconds.
        later: u8,
        /// Whether what was before it is unknown.
        discontinuous: bool,
    },
    /// What is committed is sealed and stored.
    Store,
    /// The namespace is opened again: a new epoch.
    Reopen {
        /// Whether with another page size.
        resize: bool,
    },
    /// Stored segments are compacted into one.
    Compact {
        /// The first of them.
        first: u8,
        /// The last of them.
        last: u8,
    },
    /// A stored segment is deleted, at the very end of the history.
    Delete {
        /// Which one.
        which: u8,
    },
}

impl Step {
    /// A step from a source of numbers. `lossy`: deleting is one of them.
    #[must_use]
    pub fn random(random: &SeededRandom, lossy: bool) -> Self {
        let byte = |bound: u64| u8::try_from(random.below(bound)).unwrap();
        match random.below(if lossy { 24 } else { 21 }) {
            0..10 => Self::Write { page: byte(12), fill: byte(4) },
            10..15 => Self::Commit {
                size: (random.below(3) == 0).then(|| byte(13)),
                later: byte(3),
                discontinuous: random.below(8) == 0,
            },
            15..18 => Self::Store,
            18 => Self::Reopen { resize: random.below(3) == 0 },
            19..21 => Self::Compact { first: byte(8), last: byte(8) },
            _ => Self::Delete { which: byte(16) },
        }
    }

    /// The steps of a seed.
    #[must_use]
    pub fn sequence(seed: u64, lossy: bool) -> Vec<Self> {
        let random = SeededRandom::new(seed);
        let len = 10 + random.below(40);
        (0..len).map(|_| Self::random(&random, lossy)).collect()
    }
}

/// Carries steps out on a new namespace.
///
/// # Panics
///
/// When the engine refuses one of them.
pub async fn run(seed: u64, steps: &[Step]) -> History<Memory> {
    let mut history = History::open(Arc::new(Memory::new()), PageSize::MIN, seed).await;
    history.compression =
        [Compression::None, Compression::Zstd(1), Compression::Lz4][usize::try_from(seed % 3).unwrap()];
    let mut deleted = Vec::new();
    for step in steps {
        match *step {
            Step::Write { page, fill } => write(&mut history, page % PAGE_MAX + 1, fill),
            Step::Commit { size, later, discontinuous } => commit(&mut history, size, later, discontinuous),
            Step::Store => store(&mut history).await,
            Step::Reopen { resize } => {
                store(&mut history).await;
                let sizes = [PageSize::MIN, PageSize::new(1024).unwrap()];
                let other = sizes.into_iter().find(|size| *size != history.page_size()).unwrap();
                let page_size = if resize { other } else { history.page_size() };
                history.reopen(page_size).await.unwrap();
            }
            Step::Compact { first, last } => compact(&mut history, first, last).await,
            Step::Delete { which } => deleted.push(which),
        }
    }
    store(&mut history).await;
    for which in deleted {
        if let Some(key) = nth(&history.stored, which) {
            history.delete(key).await;
        }
    }
    history
}

fn nth<T: Copy>(of: &[T], which: u8) -> Option<T> {
    of.get(usize::from(which).checked_rem(of.len())?).copied()
}

fn write(history: &mut History<Memory>, page: u8, fill: u8) {
    let len = history.page_size().bytes();
    // Even fills compress, odd ones do not.
    let image: Vec<u8> = if fill.is_multiple_of(2) {
        vec![fill; len]
    } else {
        let noise = SeededRandom::new(u64::from(fill));
        std::iter::repeat_with(|| noise.next_u64().to_le_bytes()).flatten().take(len).collect()
    };
    history.write(u32::from(page), image);
}

fn commit(history: &mut History<Memory>, size: Option<u8>, later: u8, discontinuous: bool) {
    if !history.is_in_transaction() {
        write(history, 1, 2);
    }
    let grown = history.size().max(history.highest_written());
    let before = history.commits.last().map_or(1000, |last| last.commit.time.get());
    let kind = if discontinuous { CommitKind::Discontinuous } else { CommitKind::Transaction };
    history.commit_as(kind, size.map_or(grown, u32::from), before + u64::from(later));
}

async fn store(history: &mut History<Memory>) {
    if history.is_in_transaction() {
        commit(history, None, 1, false);
    }
    history.store().await;
}

/// Compacts a range of segments as they were stored, of one page size.
async fn compact(history: &mut History<Memory>, first: u8, last: u8) {
    let raw: Vec<SegmentKey> = history.stored.iter().filter(|key| key.level() == 0).copied().collect();
    let (Some(first), Some(last)) = (nth(&raw, first), nth(&raw, last)) else { return };
    let (start, end) = (first.start().min(last.start()), first.end().max(last.end()));
    let base = history.commits.iter().find(|recorded| recorded.commit.frame_no == end).unwrap().base;
    let start = start.max(base);
    let alike = history.stored.iter().filter(|key| (key.start(), key.end()) == (start, end));
    let level = alike.map(SegmentKey::level).max().unwrap_or(0) + 1;
    if let Some(sealed) = history.compacted(frame_no(start.get()), end, level) {
        history.put(&sealed).await;
    }
}
