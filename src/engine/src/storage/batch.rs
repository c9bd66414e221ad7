//! Merging segments that wait into one, so that they take one request: all frames and all commits are kept.

use walkeep_core::segment::{BlockDecoder, Compression, SegmentHeader, SegmentWriter};
use walkeep_core::{Body, Error, HashSeed, Result, SealedSegment, SegmentId};

use super::sealed_reader::SealedReader;

/// Merges segments that join, oldest first, into one of the same epoch. May block. Holds their page images in memory.
///
/// # Errors
///
/// `Corrupt` when one is not what was sealed; `Invalid` when they do not join; `Io`.
pub(super) fn merge(segments: &[SealedSegment], seed: HashSeed, id: SegmentId) -> Result<SealedSegment> {
    let readers = segments.iter().map(SealedReader::open).collect::<Result<Vec<_>>>()?;
    let header = header(segments, id)?;
    let page_bytes = header.page_size.bytes();
    let mut images = Vec::with_capacity(readers.len());
    let mut decoder = BlockDecoder::new()?;
    for reader in &readers {
        let mut raw = Vec::with_capacity(reader.index().pages().len() * page_bytes);
        for block in reader.index().blocks() {
            raw.extend_from_slice(reader.block(&mut decoder, block)?);
        }
        images.push(raw);
    }
    let mut rows = Vec::with_capacity(header.frame_count as usize);
    for (reader, raw) in readers.iter().zip(&images) {
        let index = reader.index();
        let frames = index.pages().iter().zip(index.frames());
        rows.extend(
            frames.zip(raw.chunks_exact(page_bytes)).map(|((page, frame), image)| (*page, *frame, image)),
        );
    }
    rows.sort_unstable_by_key(|(page, frame, _)| (*page, *frame));
    let one_image_per_page = rows.is_sorted_by(|(a, ..), (b, ..)| a < b);
    let mut writer =
        SegmentWriter::new(Vec::new(), header, seed, Compression::default(), one_image_per_page)?;
    for (page, frame, image) in rows {
        writer.push(page, frame, image)?;
    }
    let commits = readers.iter().flat_map(|reader| reader.index().commits()).copied().collect::<Vec<_>>();
    let footers = segments.iter().map(|segment| &segment.summary.footer);
    let smallest = footers.map(|footer| footer.min_size_after).min().unwrap_or_default();
    let (bytes, summary) = writer.finish(&commits, smallest)?;
    Ok(SealedSegment { summary, body: Body::from(bytes) })
}

/// The header of the merged segment.
fn header(segments: &[SealedSegment], id: SegmentId) -> Result<SegmentHeader> {
    let headers = || segments.iter().map(|segment| segment.summary.footer.header);
    let (Some(first), Some(last)) = (headers().next(), headers().next_back()) else {
        return Err(Error::invalid("a merge of no segments", "there must be some"));
    };
    let join = headers().zip(headers().skip(1)).all(|(a, b)| {
        a.end.next() == Some(b.start)
            && (a.epoch, a.log_id, a.page_size, a.level, b.level) == (b.epoch, b.log_id, b.page_size, 0, 0)
    });
    let frames = headers().map(|header| u64::from(header.frame_count)).sum::<u64>();
    match u32::try_from(frames) {
        Ok(frame_count) if join => Ok(SegmentHeader { segment_id: id, end: last.end, frame_count, ..first }),
        _ => Err(Error::invalid(
            format!("a merge of segments {} to {}", first.start, last.end),
            "they must join, in one epoch of one log, as the writer sealed them",
        )),
    }
}
