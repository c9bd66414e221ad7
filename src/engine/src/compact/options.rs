//! How to compact.

use std::sync::Arc;

use walkeep_core::Directory;
use walkeep_core::segment::Compression;

use super::memory::MEMORY_MIN;
use super::throttle::Budget;
use crate::restore::Progress;
use crate::writer::Handles;

/// How to compact.
#[derive(Clone, Debug)]
pub struct CompactOptions {
    /// Where outputs are put together.
    pub spool: Arc<dyn Directory>,
    /// Time and randomness.
    pub handles: Handles,
    /// How blocks are compressed that are not copied as they are.
    pub compression: Compression,
    /// About how many bytes of page data to hold in memory at once, at least 8 MiB. Indexes come on top: about 20 bytes an
    /// image, of the inputs and of the output.
    pub memory_bytes: usize,
    /// How much of the machine and the store to take.
    pub budget: Budget,
    /// Told how many images were written so far.
    pub progress: Arc<Progress>,
}

impl CompactOptions {
    /// The least memory that a compaction works with; less is taken for this.
    pub const MEMORY_MIN: usize = MEMORY_MIN;

    /// The default: 64 MiB, and no limits.
    #[must_use]
    pub fn new(spool: Arc<dyn Directory>, handles: Handles) -> Self {
        Self {
            spool,
            handles,
            compression: Compression::default(),
            memory_bytes: 64 << 20,
            budget: Budget::default(),
            progress: Arc::default(),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes.max(MEMORY_MIN)
    }
}
