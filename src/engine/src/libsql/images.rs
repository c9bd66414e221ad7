//! The images of an opened data object, in order of page: decoded run by run, so that memory is bounded.

use walkeep_core::segment::{BlockDecoder, BlockEntry};
use walkeep_core::{FrameNo, HashSeed, PageNo, Result};

use crate::bucket::Bucket;
use crate::stored_segment::OpenSegment;

/// Blocks are fetched in runs of about this many stored bytes.
const RUN_MAX: u64 = 4 << 20;

/// Hands each image of a segment to `each`, checked against the hash that was made when it was proven.
///
/// # Errors
///
/// `Corrupt` when the object changed meanwhile; `NotFound`, `Unavailable`; errors of `each`.
pub(super) async fn for_each_image(
    bucket: &Bucket,
    segment: &OpenSegment,
    seed: HashSeed,
    mut each: impl FnMut(PageNo, FrameNo, &[u8]) -> Result<()>,
) -> Result<()> {
    let index = segment.index();
    let page_size = index.footer().header.page_size;
    let mut decoder = BlockDecoder::new()?;
    let mut blocks = index.blocks();
    while let Some(first) = blocks.first() {
        let len = blocks.iter().take_while(|block| block.end() - first.offset <= RUN_MAX).count().max(1);
        let (run, rest) = blocks.split_at(len);
        blocks = rest;
        let end = run.last().map_or(first.end(), BlockEntry::end);
        let stored = segment.bytes(bucket, first.offset..end).await?;
        for block in run {
            let start = usize::try_from(block.offset - first.offset).unwrap_or(usize::MAX);
            let bytes = stored.get(start..).and_then(|rest| rest.get(..block.stored_len as usize));
            let raw = decoder.decode(segment.path().as_str(), block, page_size, bytes.unwrap_or_default())?;
            for (position, image) in (block.first..).zip(raw.chunks_exact(page_size.bytes())) {
                segment.check_image(seed, position, block, image)?;
                let row = index.pages().get(position as usize).zip(index.frames().get(position as usize));
                let Some((page, frame)) = row else { continue };
                each(*page, *frame, image)?;
            }
        }
    }
    Ok(())
}
