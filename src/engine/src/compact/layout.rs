//! The output of a compaction before anything is read: which images follow one another, and what must be fetched when.
//!
//! The images that count are merged by page. Within one block of one input they form *pieces*: a whole block of which
//! every image counts, with no page of another input in between, is copied as it is stored; of the others the images are
//! gathered into new blocks.
//!
//! Invariants: pieces are in order of page; of each input, blocks are needed in order, so that at any time one block of
//! each is enough; fetches are in the order in which they are first needed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use walkeep_core::segment::BlockEntry;
use walkeep_core::{PageNo, PageSize};

use super::inputs::Inputs;
use crate::merge::Layer;

/// Bytes between two wanted blocks that are fetched with them rather than asked around.
const GAP_MAX: u64 = 64 << 10;

/// Images of one block of one input that follow one another in the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) layer: usize,
    pub(super) block: usize,
    /// Which of the layer's winners.
    pub(super) winners: Range<usize>,
    /// Whether the block is copied as it is stored.
    pub(super) copied: bool,
}

/// One request: neighbouring blocks of one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fetch {
    pub(super) layer: usize,
    pub(super) bytes: Range<u64>,
}

/// The output, piece by piece.
#[derive(Debug, Default)]
pub(super) struct OutputLayout {
    pub(super) pieces: Vec<Piece>,
    pub(super) fetches: Vec<Fetch>,
}

impl OutputLayout {
    /// Lays out the output of a merge in blocks of `block_raw_target` bytes of images, read by requests of at most
    /// `fetch_max` bytes (or one block).
    pub(super) fn new(inputs: &Inputs, block_raw_target: usize, fetch_max: u64) -> Self {
        let pieces = pieces(inputs, block_raw_target);
        let mut runs = Vec::with_capacity(inputs.layers.len());
        for (layer, winners) in inputs.layers.iter().zip(&inputs.winners) {
            runs.push(runs_of(layer, winners, fetch_max).into_iter().peekable());
        }
        let mut fetches = Vec::new();
        for piece in &pieces {
            // The first piece in a run is where it is needed.
            if let Some(run) =
                runs.get_mut(piece.layer).and_then(|runs| runs.next_if(|run| run.first <= piece.block))
            {
                fetches.push(Fetch { layer: piece.layer, bytes: run.bytes });
            }
        }
        Self { pieces, fetches }
    }
}

/// Merges the winners of all layers by page.
fn pieces(inputs: &Inputs, block_raw_target: usize) -> Vec<Piece> {
    let page_at = |layer: usize, winner: usize| -> Option<PageNo> {
        let position = *inputs.winners.get(layer)?.get(winner)?;
        inputs.layers.get(layer)?.segment.index().pages().get(position as usize).copied()
    };
    let firsts = (0..inputs.layers.len()).filter_map(|layer| Some(Reverse((page_at(layer, 0)?, layer, 0))));
    let mut heap: BinaryHeap<Reverse<(PageNo, usize, usize)>> = firsts.collect();
    let mut found = Vec::new();
    while let Some(Reverse((_, layer, from))) = heap.pop() {
        let (Some(opened), Some(winners)) = (inputs.layers.get(layer), inputs.winners.get(layer)) else {
            break;
        };
        let pages = opened.segment.index().pages();
        // All that come before the first page of any other layer.
        let limit = heap.peek().map(|Reverse((page, _, _))| *page);
        let before = |position: &u32| {
            limit.is_none_or(|limit| pages.get(*position as usize).is_some_and(|page| *page < limit))
        };
        let rest = winners.get(from..).unwrap_or_default();
        let until = from + rest.partition_point(before).max(1);
        add_pieces(&mut found, opened, layer, winners, from..until, (inputs.page_size, block_raw_target));
        if let Some(page) = page_at(layer, until) {
            heap.push(Reverse((page, layer, until)));
        }
    }
    found
}

/// Splits winners of one layer that follow one another by the blocks that they are in.
fn add_pieces(
    found: &mut Vec<Piece>,
    layer: &Layer,
    number: usize,
    winners: &[u32],
    range: Range<usize>,
    (page_size, block_raw_target): (PageSize, usize),
) {
    let mut from = range.start;
    while let Some((block, entry)) = winners.get(from).and_then(|position| block_at(layer, *position)) {
        let rest = winners.get(from..range.end).unwrap_or_default();
        let count = rest.partition_point(|position| *position < entry.first + entry.count).max(1);
        let raw_len = entry.raw_len(page_size);
        // A smaller one is put together with its neighbours; a larger one would make reading a page costlier.
        let fits = raw_len * 2 >= block_raw_target && raw_len <= block_raw_target.max(page_size.bytes());
        let copied = count == entry.count as usize && fits;
        found.push(Piece { layer: number, block, winners: from..from + count, copied });
        from += count;
        if from >= range.end {
            break;
        }
    }
}

fn block_at(layer: &Layer, position: u32) -> Option<(usize, &BlockEntry)> {
    let blocks = layer.segment.index().blocks();
    let at = blocks.partition_point(|block| block.first <= position).checked_sub(1)?;
    Some((at, blocks.get(at)?))
}

/// Wanted blocks that are fetched together.
struct Run {
    first: usize,
    bytes: Range<u64>,
}

fn runs_of(layer: &Layer, winners: &[u32], fetch_max: u64) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut next = 0;
    while let Some((block, entry)) = winners.get(next).and_then(|position| block_at(layer, *position)) {
        match runs.last_mut() {
            Some(run)
                if entry.offset.saturating_sub(run.bytes.end) <= GAP_MAX
                    && entry.end().saturating_sub(run.bytes.start) <= fetch_max =>
            {
                run.bytes.end = entry.end();
            }
            _ => runs.push(Run { first: block, bytes: entry.offset..entry.end() }),
        }
        let rest = winners.get(next..).unwrap_or_default();
        next += rest.partition_point(|position| *position < entry.first + entry.count).max(1);
    }
    runs
}
