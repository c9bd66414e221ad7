//! Every byte of one object: its header, its blocks, its images, its checksum.

use walkeep_core::segment::{BlockDecoder, BlockEntry, HEADER_LEN, ObjectChecksum, SegmentHeader};
use walkeep_core::{Error, HashSeed, Result};

use crate::bucket::Bucket;
use crate::stored_segment::OpenSegment;

/// Blocks are fetched in runs of about this many stored bytes.
const RUN_MAX: u64 = 4 << 20;

/// Reads a whole object and checks it. Returns how many images it holds.
pub(super) async fn check(bucket: &Bucket, segment: &OpenSegment, seed: HashSeed) -> Result<u64> {
    let object = segment.path().as_str();
    let footer = segment.index().footer();
    let mut checksum = ObjectChecksum::new();

    let header = segment.bytes(bucket, 0..HEADER_LEN as u64).await?;
    checksum.update(&header);
    if SegmentHeader::parse(object, 0, &header)? != footer.header {
        return Err(Error::corrupt(object, 0, "the header that the footer repeats", "another one"));
    }
    let mut blocks = segment.index().blocks();
    while let Some(first) = blocks.first() {
        let len = blocks.iter().take_while(|block| block.end() - first.offset <= RUN_MAX).count().max(1);
        let (run, rest) = blocks.split_at(len);
        blocks = rest;
        let end = run.last().map_or(first.end(), BlockEntry::end);
        let stored = segment.bytes(bucket, first.offset..end).await?;
        checksum.update(&stored);
        check_run(segment, run, &stored, seed)?;
    }
    let sections = segment.bytes(bucket, footer.sections()).await?;
    checksum.update(&sections);
    if checksum.value() != footer.object_checksum {
        let expected = format!("an object with checksum {:016x}", footer.object_checksum);
        return Err(Error::corrupt(object, 0, expected, format!("checksum {:016x}", checksum.value())));
    }
    Ok(u64::from(footer.header.frame_count))
}

fn check_run(segment: &OpenSegment, run: &[BlockEntry], stored: &[u8], seed: HashSeed) -> Result<()> {
    let object = segment.path().as_str();
    let index = segment.index();
    let page_size = index.footer().header.page_size;
    let mut decoder = BlockDecoder::new()?;
    let begin = run.first().map_or(0, |block| block.offset);
    for block in run {
        let start = usize::try_from(block.offset - begin).unwrap_or(usize::MAX);
        let bytes = stored.get(start..).and_then(|rest| rest.get(..block.stored_len as usize));
        let raw = decoder.decode(object, block, page_size, bytes.unwrap_or_default())?;
        for (position, image) in (block.first..).zip(raw.chunks_exact(page_size.bytes())) {
            segment.check_image(seed, position, block, image)?;
        }
    }
    Ok(())
}
