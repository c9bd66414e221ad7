//! What one commit changed.
//!
//! Invariant: whoever has the database at the position and does what its changes say, one after the other, has it at each
//! of their commits, byte for byte: cut off to `smallest_size` pages, then made `commit.size_after` pages long (new ones are
//! zeros), then the images put in place.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use walkeep_core::segment::{BlockDecoder, BlockEntry};
use walkeep_core::{Commit, Error, FrameNo, HashSeed, PageCount, PageNo, PageSize, Result, SegmentKey};

use crate::bucket::Bucket;
use crate::stored_segment::OpenSegment;

/// A commit, and the pages that it wrote.
#[derive(Clone, Debug)]
pub struct Change {
    /// The commit.
    pub commit: Commit,
    /// The frames of its transaction, this one and all up to the commit's; of several, where compaction left one commit.
    pub first_frame: FrameNo,
    /// The smallest size that the database had from the change before until this one: smaller than the commit's only where
    /// compaction left one commit of several.
    pub smallest_size: PageCount,
    bucket: Bucket,
    seed: HashSeed,
    segment: Arc<OpenSegment>,
    /// Where the newest image of each page stands, in order of pages.
    positions: Vec<u32>,
}

impl Change {
    /// The changes of a segment behind a frame, oldest first.
    pub(super) fn all_of(
        bucket: &Bucket,
        seed: HashSeed,
        segment: &Arc<OpenSegment>,
        behind: Option<FrameNo>,
    ) -> Vec<Self> {
        let index = segment.index();
        let commits = segment.commits();
        let mut before = segment.key().start().previous();
        let mut changes = Vec::new();
        for commit in commits {
            if Some(commit.frame_no) > behind {
                let first_frame = before.and_then(FrameNo::next).unwrap_or(FrameNo::FIRST);
                let smallest_size = match segment.key().level() {
                    0 => commit.size_after,
                    _ => index.footer().min_size_after.min(commit.size_after),
                };
                changes.push(Self {
                    commit: *commit,
                    first_frame,
                    smallest_size,
                    bucket: bucket.clone(),
                    seed,
                    segment: Arc::clone(segment),
                    positions: Vec::new(),
                });
            }
            before = Some(commit.frame_no);
        }
        let first = changes.first().map(|change| change.first_frame);
        for (position, (page, frame)) in (0_u32..).zip(index.pages().iter().zip(index.frames())) {
            if Some(*frame) < first {
                continue;
            }
            let at = changes.partition_point(|change| change.commit.frame_no < *frame);
            let Some(change) = changes.get_mut(at).filter(|change| change.commit.size_after.contains(*page))
            else {
                continue;
            };
            // Frames stand in order of pages, then of frames: the last one of a page is its newest.
            match change.positions.last_mut() {
                Some(last) if index.pages().get(*last as usize) == Some(page) => *last = position,
                _ => change.positions.push(position),
            }
        }
        changes
    }

    /// The segment that it is read from.
    #[must_use]
    pub fn segment(&self) -> &SegmentKey {
        self.segment.key()
    }

    /// The size of a page.
    #[must_use]
    pub fn page_size(&self) -> PageSize {
        self.segment.index().footer().header.page_size
    }

    /// How many frames its transaction has.
    #[must_use]
    pub fn frames(&self) -> u64 {
        (self.commit.frame_no.get() - self.first_frame.get()).saturating_add(1)
    }

    /// The pages that it wrote, in order. What the database lost by shrinking is not among them.
    pub fn pages(&self) -> impl ExactSizeIterator<Item = PageNo> + '_ {
        let pages = self.segment.index().pages();
        self.positions.iter().map(|position| pages.get(*position as usize).copied().unwrap_or(PageNo::FIRST))
    }

    /// Their images, in the same order, each proven by its hash. A block of images at a time is in memory, and each is
    /// fetched once.
    ///
    /// # Errors
    ///
    /// The stream ends at its first error: `Corrupt`; `NotFound` when a collection took the segment (poll again);
    /// `Unavailable`.
    pub fn images(&self) -> BoxStream<'_, Result<(PageNo, Bytes)>> {
        let index = self.segment.index();
        let mut blocks: Vec<(BlockEntry, Vec<u32>)> = Vec::new();
        for position in &self.positions {
            let Some(block) = index.block_of(*position) else {
                let path = self.segment.path();
                let none = Error::corrupt(path, 0, format!("a frame at position {position}"), "none");
                return stream::iter([Err(none)]).boxed();
            };
            match blocks.last_mut() {
                Some((last, positions)) if last.first == block.first => positions.push(*position),
                _ => blocks.push((*block, vec![*position])),
            }
        }
        let read = move |(block, positions)| async move {
            match self.read(&block, positions).await {
                Ok(images) => stream::iter(images.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(error) => stream::iter(vec![Err(error)]),
            }
        };
        stream::iter(blocks).then(read).flatten().boxed()
    }

    /// Images of one block.
    async fn read(&self, block: &BlockEntry, positions: Vec<u32>) -> Result<Vec<(PageNo, Bytes)>> {
        let index = self.segment.index();
        let page_size = index.footer().header.page_size;
        let stored = self.segment.bytes(&self.bucket, block.offset..block.end()).await?;
        let raw = {
            let mut decoder = BlockDecoder::new()?;
            Bytes::copy_from_slice(decoder.decode(self.segment.path().as_str(), block, page_size, &stored)?)
        };
        let mut images = Vec::with_capacity(positions.len());
        for position in positions {
            let start = (position - block.first) as usize * page_size.bytes();
            let image = raw.get(start..start + page_size.bytes()).unwrap_or_default();
            self.segment.check_image(self.seed, position, block, image)?;
            if let Some(page) = index.pages().get(position as usize) {
                images.push((*page, raw.slice(start..start + image.len())));
            }
        }
        Ok(images)
    }
}
