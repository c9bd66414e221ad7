//! What a restore will fetch: only blocks that hold an image that counts, in few ranges.

use std::ops::Range;

use walkeep_core::{PageHash, PageHashTable};

use crate::merge::merge;
use crate::view::View;

/// Images that one request may bring at most, in bytes: what a restore holds for each request under way.
pub(super) const FETCH_RAW_MAX: usize = 4 << 20;

/// Bytes that one request may bring at most, those between wanted blocks included.
const FETCH_STORED_MAX: u64 = 4 << 20;

/// Bytes between two wanted blocks that are fetched with them rather than asked around.
const GAP_MAX: u64 = 128 << 10;

/// One request: neighbouring blocks of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fetch {
    /// Which layer of the view.
    pub(super) layer: usize,
    /// The bytes of the object.
    pub(super) bytes: Range<u64>,
    /// The blocks in it that are wanted, by their place in the directory.
    pub(super) blocks: Vec<usize>,
    /// The winning positions in them, by their place in the layer's list.
    pub(super) winners: Range<usize>,
}

/// What a restore will do.
#[derive(Clone, Debug)]
pub struct RestorePlan {
    pub(super) fetches: Vec<Fetch>,
    pub(super) winners: Vec<Vec<u32>>,
    /// The XOR of the hashes of pages that are in the target already.
    pub(super) kept: u64,
    /// Segments that are read.
    pub segments: usize,
    /// Requests for page images that are still to be made.
    pub requests: u64,
    /// Bytes that these requests bring.
    pub bytes: u64,
    /// Pages that are written; the others are zeros.
    pub pages_written: u64,
    /// The length of the restored file, which is also the disk space it may need.
    pub file_bytes: u64,
}

impl RestorePlan {
    /// Plans the restore of a view.
    #[must_use]
    pub fn new(view: &View) -> Self {
        Self::of(view, merge(view.layers(), view.size()), 0)
    }

    /// Plans the restore of a view, whose page hashes are `hashes`, over a file whose page hashes are `present`: only
    /// pages that differ and are not zeros. Those that became zeros are left to the owner of the file.
    pub(crate) fn over(view: &View, hashes: &PageHashTable, present: &PageHashTable) -> Self {
        let mut winners = merge(view.layers(), view.size());
        let mut written = 0;
        for (layer, positions) in view.layers().iter().zip(&mut winners) {
            let pages = layer.segment.index().pages();
            positions.retain(|position| {
                let Some(page) = pages.get(*position as usize) else { return false };
                let hash = hashes.get(*page);
                let differs = hash != present.get(*page) && hash != PageHash::ZERO;
                written ^= if differs { hash.0 } else { 0 };
                differs
            });
        }
        let all = hashes.state().0 ^ hashes.seed().size(hashes.size());
        Self::of(view, winners, all ^ written)
    }

    /// Plans the fetching of these images.
    fn of(view: &View, winners: Vec<Vec<u32>>, kept: u64) -> Self {
        let mut plan = Self {
            fetches: Vec::new(),
            winners: Vec::new(),
            kept,
            segments: view.layers().len(),
            requests: 0,
            bytes: 0,
            pages_written: 0,
            file_bytes: view.size().file_bytes(view.page_size()),
        };
        for (layer, positions) in winners.iter().enumerate() {
            plan.pages_written += positions.len() as u64;
            plan.add_layer(view, layer, positions);
        }
        plan.winners = winners;
        plan
    }

    /// Groups the winning positions of a layer by block, and neighbouring blocks by request.
    fn add_layer(&mut self, view: &View, layer: usize, positions: &[u32]) {
        let Some(opened) = view.layers().get(layer) else { return };
        let blocks = opened.segment.index().blocks();
        let mut current: Option<(Fetch, usize)> = None;
        let mut next = 0;
        while let Some(&position) = positions.get(next) {
            let at = blocks.partition_point(|block| block.first <= position).saturating_sub(1);
            let Some(block) = blocks.get(at) else { return };
            let until = next
                + positions
                    .get(next..)
                    .map_or(0, |rest| rest.partition_point(|position| *position < block.first + block.count));
            let raw_len = block.raw_len(view.page_size());
            match &mut current {
                Some((fetch, raw))
                    if block.offset - fetch.bytes.end <= GAP_MAX
                        && *raw + raw_len <= FETCH_RAW_MAX
                        && block.end() - fetch.bytes.start <= FETCH_STORED_MAX =>
                {
                    fetch.bytes.end = block.end();
                    fetch.blocks.push(at);
                    fetch.winners.end = until;
                    *raw += raw_len;
                }
                _ => {
                    self.push(view, current.take());
                    let fetch = Fetch {
                        layer,
                        bytes: block.offset..block.end(),
                        blocks: vec![at],
                        winners: next..until,
                    };
                    current = Some((fetch, raw_len));
                }
            }
            next = until.max(next + 1);
        }
        self.push(view, current);
    }

    fn push(&mut self, view: &View, fetch: Option<(Fetch, usize)>) {
        let Some((fetch, _)) = fetch else { return };
        if view.layers().get(fetch.layer).is_some_and(|layer| !layer.segment.is_whole()) {
            self.requests += 1;
            self.bytes += fetch.bytes.end - fetch.bytes.start;
        }
        self.fetches.push(fetch);
    }
}
