//! How the memory of a compaction is shared out.
//!
//! What is held at once: of each input one decoded block and one fetched run; the runs that are under way; the blocks
//! between the stages; and the beginning of the output before it goes to a file. The indexes of the inputs and of the
//! output (about 20 bytes an image each) come on top.

use walkeep_core::{Error, PageSize, Result};

use super::inputs::Inputs;

/// The least that a compaction can be given.
pub(super) const MEMORY_MIN: usize = 8 << 20;

/// A block of the usual size.
const BLOCK: usize = 256 << 10;

/// Requests under way, and runs that wait to be taken.
pub(super) const FETCHES: usize = 4;

/// Output blocks between the stages, each once as images and once encoded.
const BETWEEN_STAGES: usize = 4 << 20;

/// No run is larger, however few the inputs are.
const RUN_MAX: usize = 4 << 20;

/// The most inputs that one compaction takes, however much memory there is: each is a request for its index.
const INPUTS_MAX: usize = 128;

/// How many inputs with blocks of the usual size fit into so much memory: each has one decoded, and as much fetched.
pub(super) fn inputs_max(memory_bytes: usize) -> usize {
    let left = memory_bytes.saturating_sub(shared(memory_bytes) + (FETCHES + 1) * BLOCK);
    (left / (2 * BLOCK)).clamp(2, INPUTS_MAX)
}

/// What is not the inputs'.
fn shared(memory_bytes: usize) -> usize {
    spool(memory_bytes) + BETWEEN_STAGES.min(memory_bytes / 4)
}

/// How much of the output is kept in memory.
pub(super) const fn spool(memory_bytes: usize) -> usize {
    memory_bytes / 8
}

/// How many bytes one request for images may bring.
///
/// # Errors
///
/// `Exhausted` when the inputs do not fit at all.
pub(super) fn run_max(inputs: &Inputs, memory_bytes: usize) -> Result<usize> {
    let (mut taken, mut block_max) = (shared(memory_bytes), 0);
    let mut fetched = FETCHES + 1;
    for layer in &inputs.layers {
        let (raw, stored) = block_sizes(layer.segment.index().blocks(), inputs.page_size);
        taken += raw + layer.segment.whole_len();
        if !layer.segment.is_whole() {
            fetched += 1;
            block_max = block_max.max(stored);
        }
    }
    let run = memory_bytes.saturating_sub(taken) / fetched;
    if run < block_max {
        let needed = taken + fetched * block_max;
        let count = inputs.layers.len();
        let what = format!(
            "merging {count} segments with their blocks takes {needed} bytes of memory, and {memory_bytes} are allowed; \
             raise it (--memory)"
        );
        return Err(Error::Exhausted { what });
    }
    Ok(run.min(RUN_MAX))
}

/// The largest block, decoded and stored.
fn block_sizes(blocks: &[walkeep_core::segment::BlockEntry], page_size: PageSize) -> (usize, usize) {
    let raw = blocks.iter().map(|block| block.raw_len(page_size)).max().unwrap_or(0);
    let stored = blocks.iter().map(|block| block.stored_len as usize).max().unwrap_or(0);
    (raw, stored)
}
