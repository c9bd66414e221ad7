//! Writing a segment, block by block, in bounded memory (20 bytes a frame and one block).

use std::io::Write;

use super::block::{BLOCK_RAW_MAX, BlockEncoder, BlockEntry, Codec, Compression, EncodedBlock};
use super::checksum::ObjectChecksum;
use super::columns::Columns;
use super::commits;
use super::footer::{Footer, Section};
use super::header::SegmentHeader;
use super::size_floor::SizeFloor;
use crate::commit::Commit;
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::page::{PageCount, PageNo};
use crate::page_fst::PageFst;
use crate::page_hash::{HashSeed, PageHash};
use crate::segment_key::SegmentKey;

/// Blocks of a large segment, and of one with several images a page: they compress against each other.
const BLOCK_RAW_DEFAULT: usize = 256 << 10;
/// Blocks of a small segment with one image a page: single pages are read from it, not runs.
const BLOCK_RAW_SMALL: usize = 16 << 10;
/// What counts as small, in bytes of images.
const SMALL_SEGMENT: u64 = 4 << 20;

/// Writes one segment to an [`std::io::Write`].
///
/// Call [`SegmentWriter::new`], then [`SegmentWriter::push`] for each frame in order of page and frame, then
/// [`SegmentWriter::finish`]. What was written before `finish` returned is not a segment.
pub struct SegmentWriter<W> {
    out: W,
    header: SegmentHeader,
    seed: HashSeed,
    encoder: BlockEncoder,
    block_raw_target: usize,
    block: Vec<u8>,
    block_first: u32,
    position: u64,
    checksum: ObjectChecksum,
    columns: Columns,
    blocks: Vec<BlockEntry>,
}

/// What the columns say of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRow {
    /// The page.
    pub page: PageNo,
    /// The frame.
    pub frame: FrameNo,
    /// The hash of its image.
    pub hash: PageHash,
}

/// A written segment.
#[derive(Clone, Debug)]
pub struct SegmentSummary {
    /// The name that its object must have.
    pub key: SegmentKey,
    /// Its footer.
    pub footer: Footer,
    /// Its length in bytes.
    pub len: u64,
}

impl<W> std::fmt::Debug for SegmentWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmentWriter").field("header", &self.header).finish_non_exhaustive()
    }
}

impl<W: Write> SegmentWriter<W> {
    /// Begins a segment. `one_image_per_page` says that no page will come twice.
    ///
    /// # Errors
    ///
    /// `Invalid` for an empty range or an unknown compression level; `Io` and `Exhausted` from `out`.
    pub fn new(
        out: W,
        header: SegmentHeader,
        seed: HashSeed,
        compression: Compression,
        one_image_per_page: bool,
    ) -> Result<Self> {
        if header.start > header.end || header.frame_count == 0 || header.level > SegmentKey::LEVEL_MAX {
            return Err(Error::invalid(
                format!("a segment {header:?}"),
                "it needs frames, and a level of at most 99",
            ));
        }
        let raw_len = u64::from(header.frame_count) * header.page_size.bytes_u64();
        let block_raw_target =
            if one_image_per_page && raw_len <= SMALL_SEGMENT { BLOCK_RAW_SMALL } else { BLOCK_RAW_DEFAULT };
        let mut writer = Self {
            out,
            header,
            seed,
            encoder: BlockEncoder::new(compression)?,
            block_raw_target,
            block: Vec::with_capacity(block_raw_target),
            block_first: 0,
            position: 0,
            checksum: ObjectChecksum::new(),
            columns: Columns::default(),
            blocks: Vec::new(),
        };
        writer.write(&header.encode())?;
        Ok(writer)
    }

    /// Adds a frame, and returns the hash that is recorded for its image. Frames come in order of page, then frame.
    ///
    /// # Errors
    ///
    /// `Invalid` when a frame is out of order or range, or its image is not a page long; `Io` and `Exhausted` from
    /// the output.
    pub fn push(&mut self, page: PageNo, frame: FrameNo, image: &[u8]) -> Result<PageHash> {
        self.check_follows(page, frame)?;
        if image.len() != self.header.page_size.bytes() {
            let what = format!("frame {frame} of page {page} ({} bytes)", image.len());
            return Err(Error::invalid(what, "an image is one page long"));
        }
        if !self.block.is_empty() && self.block.len() + image.len() > self.block_raw_target {
            self.flush_block()?;
        }
        self.block.extend_from_slice(image);
        let hash = self.seed.page(page, image);
        self.columns.push(page, frame, hash);
        Ok(hash)
    }

    /// Adds a block that is encoded already, as one: its images are those of `rows`, whose hashes the caller has seen to
    /// hold.
    ///
    /// # Errors
    ///
    /// `Invalid` when a frame is out of order or range, or the block cannot be one of so many images; `Io` and
    /// `Exhausted` from the output.
    pub fn push_block(&mut self, rows: &[FrameRow], block: &EncodedBlock) -> Result<()> {
        self.flush_block()?;
        let (raw_len, stored_len) = (rows.len() * self.header.page_size.bytes(), block.stored.len());
        let fits = !rows.is_empty()
            && raw_len <= BLOCK_RAW_MAX
            && stored_len <= raw_len
            && (block.codec != Codec::None || stored_len == raw_len)
            && block.codec != Codec::LibsqlFrames;
        if !fits {
            let what = format!("a block of {} images in {stored_len} bytes ({:?})", rows.len(), block.codec);
            return Err(Error::invalid(what, "see docs/format.md, 2.5"));
        }
        for row in rows {
            self.check_follows(row.page, row.frame)?;
            self.columns.push(row.page, row.frame, row.hash);
        }
        self.write_block(u32::try_from(rows.len()).unwrap_or(u32::MAX), block)
    }

    /// The most bytes of images that this segment's blocks are filled with.
    #[must_use]
    pub const fn block_raw_target(&self) -> usize {
        self.block_raw_target
    }

    fn check_follows(&self, page: PageNo, frame: FrameNo) -> Result<()> {
        let in_order = self.columns.last().is_none_or(|last| last < (page, frame));
        if in_order && (self.header.start..=self.header.end).contains(&frame) {
            return Ok(());
        }
        let why = "frames come in order of page and frame, and lie in the range";
        Err(Error::invalid(format!("frame {frame} of page {page}"), why))
    }

    /// Ends the segment. `commits` are those of its range, oldest first; `min_size_after` is the smallest size
    /// after any commit of the range, also of those that a compaction left out.
    ///
    /// # Errors
    ///
    /// `Invalid` when frames or commits are not such as the header promised; `Io` and `Exhausted` from the output.
    pub fn finish(mut self, commits: &[Commit], min_size_after: PageCount) -> Result<(W, SegmentSummary)> {
        let (Some(first), Some(last)) = (commits.first(), commits.last()) else {
            return Err(Error::invalid("a segment without commits", "it ends at one"));
        };
        let Some(state) = last.state.filter(|_| commits::follow(commits, &self.header)) else {
            return Err(Error::invalid(
                format!("the commits of segment {:?}", self.header),
                "see docs/format.md, 2.4",
            ));
        };
        if self.columns.pages.len() != self.header.frame_count as usize {
            let what = format!("a segment with {} frames", self.columns.pages.len());
            return Err(Error::invalid(what, format!("its header promised {}", self.header.frame_count)));
        }
        self.flush_block()?;
        let columns = self.columns.encode();
        let columns = self.write_section(&columns)?;
        let commit_rows = self.write_section(&commits::encode(commits))?;
        let rows = self.blocks.iter().flat_map(BlockEntry::encode).collect::<Vec<_>>();
        let directory = self.write_section(&rows)?;
        let map = self.visible_map(&SizeFloor::new(commits))?;
        let index = self.write_section(&map)?;
        let footer = Footer {
            header: self.header,
            columns,
            commits: commit_rows,
            directory,
            index,
            first_time: first.time,
            last_time: last.time,
            state,
            size_after: last.size_after,
            min_size_after,
            object_checksum: self.checksum.value(),
        };
        self.write(&footer.encode())?;
        self.out.flush().map_err(|error| Error::io("write a segment", error))?;
        let summary = SegmentSummary { key: footer.key()?, footer, len: self.position };
        Ok((self.out, summary))
    }

    fn flush_block(&mut self) -> Result<()> {
        let images = self.columns.pages.len() as u64;
        let Some(count) = u32::try_from(images).ok().map(|total| total - self.block_first).filter(|&n| n > 0)
        else {
            return Ok(());
        };
        let block = self.encoder.encode(&self.block)?;
        self.write_block(count, &block)?;
        self.block.clear();
        Ok(())
    }

    fn write_block(&mut self, count: u32, block: &EncodedBlock) -> Result<()> {
        self.blocks.push(BlockEntry {
            offset: self.position,
            first: self.block_first,
            count,
            stored_len: u32::try_from(block.stored.len()).unwrap_or(u32::MAX),
            crc: block.crc,
            codec: block.codec,
        });
        self.write(&block.stored)?;
        self.block_first += count;
        Ok(())
    }

    /// The index: page → position of its newest image, for pages that no commit of this segment has hidden.
    fn visible_map(&self, floor: &SizeFloor) -> Result<Vec<u8>> {
        let Columns { pages, frames, .. } = &self.columns;
        let rows = pages.iter().zip(frames).enumerate();
        PageFst::build(rows.filter_map(|(position, (page, frame))| {
            let newest = pages.get(position + 1) != Some(page);
            (newest && floor.since(*frame).contains(*page)).then_some((*page, position as u64))
        }))
    }

    fn write_section(&mut self, bytes: &[u8]) -> Result<Section> {
        let section = Section { offset: self.position, len: bytes.len() as u64, crc: crc32fast::hash(bytes) };
        self.write(bytes)?;
        Ok(section)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|error| Error::io("write a segment", error))?;
        self.checksum.update(bytes);
        self.position += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CommitKind, Epoch, LogId, PageSize, SegmentId, StateChecksum, UnixMillis};

    const SEED: HashSeed = HashSeed(3);

    fn frame(number: u64) -> FrameNo {
        FrameNo::new(number).unwrap()
    }

    fn row(page: u32, frame_no: u64, image: &[u8]) -> FrameRow {
        let page = PageNo::new(page).unwrap();
        FrameRow { page, frame: frame(frame_no), hash: SEED.page(page, image) }
    }

    fn writer() -> SegmentWriter<Vec<u8>> {
        let header = SegmentHeader {
            page_size: PageSize::MIN,
            log_id: LogId(1),
            segment_id: SegmentId(2),
            epoch: Epoch(1),
            level: 1,
            start: frame(1),
            end: frame(9),
            frame_count: 4,
        };
        SegmentWriter::new(Vec::new(), header, SEED, Compression::None, true).unwrap()
    }

    fn finished(writer: SegmentWriter<Vec<u8>>) -> Vec<u8> {
        let commit = Commit {
            frame_no: frame(9),
            size_after: PageCount(4),
            time: UnixMillis(1),
            state: Some(StateChecksum(7)),
            kind: CommitKind::Transaction,
        };
        writer.finish(&[commit], PageCount(4)).unwrap().0
    }

    #[test]
    fn blocks_that_are_encoded_already_make_the_same_segment() {
        let images = [[1; 512], [2; 512], [3; 512], [4; 512]];
        let mut pushed = writer();
        for (number, image) in (1..).zip(&images) {
            pushed.push(PageNo::new(number).unwrap(), frame(u64::from(number) + 5), image).unwrap();
            if number == 1 || number == 3 {
                pushed.flush_block().unwrap();
            }
        }
        let mut blocks = writer();
        let mut encoder = BlockEncoder::new(Compression::None).unwrap();
        blocks.push(PageNo::FIRST, frame(6), &images[0]).unwrap();
        let block = encoder.encode(&images[1..3].concat()).unwrap();
        blocks.push_block(&[row(2, 7, &images[1]), row(3, 8, &images[2])], &block).unwrap();
        blocks.push(PageNo::new(4).unwrap(), frame(9), &images[3]).unwrap();
        assert!(finished(pushed) == finished(blocks));
    }

    #[test]
    fn a_block_that_cannot_be_of_its_images_is_refused() {
        let image = [1; 512];
        let block = BlockEncoder::new(Compression::None).unwrap().encode(&[1; 1024]).unwrap();
        let [first, second] = [row(2, 7, &image), row(3, 8, &image)];
        for rows in
            [&[][..], &[first], &[first, second, row(4, 9, &image)], &[second, first], &[first, first]]
        {
            assert!(writer().push_block(rows, &block).is_err(), "{rows:?}");
        }
        assert!(writer().push_block(&[first, row(3, 10, &image)], &block).is_err(), "not in the range");
        let foreign = EncodedBlock { codec: Codec::LibsqlFrames, ..block.clone() };
        assert!(writer().push_block(&[first, second], &foreign).is_err());
        let mut after = writer();
        after.push_block(&[first, second], &block).unwrap();
        assert!(after.push_block(&[first, second], &block).is_err(), "out of order");
    }
}
