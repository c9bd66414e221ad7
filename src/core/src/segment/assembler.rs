//! The index of an object of another format, made while its images are read: so it opens like a segment of our own.
//!
//! Invariants: rows stand in order of page and frame; blocks follow one another and hold all of them. What the other
//! format does not record is unknown, not made up: the commit has no state checksum unless the caller gives one, and
//! the sections that a stored index would have are empty.
//!
//! Not here: reading that format.

use super::block::{BlockEntry, Codec};
use super::columns::Columns;
use super::footer::{Footer, Section};
use super::header::SegmentHeader;
use super::index::SegmentIndex;
use crate::commit::Commit;
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::page::PageNo;
use crate::page_fst::PageFst;
use crate::page_hash::{HashSeed, StateChecksum};

/// Puts an index together, row by row.
#[derive(Debug)]
pub struct IndexAssembler {
    header: SegmentHeader,
    seed: HashSeed,
    columns: Columns,
    blocks: Vec<BlockEntry>,
}

impl IndexAssembler {
    /// Begins the index of an object that is what `header` says.
    #[must_use]
    pub fn new(header: SegmentHeader, seed: HashSeed) -> Self {
        Self { header, seed, columns: Columns::default(), blocks: Vec::new() }
    }

    /// Adds a frame, whose image is proven.
    ///
    /// # Errors
    ///
    /// `Invalid` when it does not follow the one before, or lies outside the range.
    pub fn push(&mut self, page: PageNo, frame: FrameNo, image: &[u8]) -> Result<()> {
        let in_order = self.columns.last().is_none_or(|last| last < (page, frame));
        if !in_order || !(self.header.start..=self.header.end).contains(&frame) {
            let why = "frames come in order of page and frame, and lie in the range";
            return Err(Error::invalid(format!("frame {frame} of page {page}"), why));
        }
        self.columns.push(page, frame, self.seed.page(page, image));
        Ok(())
    }

    /// Says that the images pushed since the last block are the block `stored`, which begins at `offset`.
    pub fn end_block(&mut self, offset: u64, stored: &[u8], codec: Codec) {
        let first = self.held();
        let images = u32::try_from(self.columns.pages.len()).unwrap_or(u32::MAX);
        self.blocks.push(BlockEntry {
            offset,
            first,
            count: images.saturating_sub(first),
            stored_len: u32::try_from(stored.len()).unwrap_or(u32::MAX),
            crc: crc32fast::hash(stored),
            codec,
        });
    }

    /// How many images the blocks hold.
    fn held(&self) -> u32 {
        self.blocks.last().map_or(0, |block| block.first + block.count)
    }

    /// Ends the index of an object that is `object_len` bytes long and ends with `commit`, the only one that it
    /// tells of.
    ///
    /// # Errors
    ///
    /// `Invalid` when rows, blocks and header do not agree.
    pub fn finish(self, commit: Commit, object_len: u64) -> Result<SegmentIndex> {
        let held = self.held();
        let Self { header, columns, blocks, .. } = self;
        let agrees = columns.pages.len() == header.frame_count as usize
            && held == header.frame_count
            && commit.frame_no == header.end;
        if !agrees {
            return Err(Error::invalid(
                format!("an index of {} frames for {header:?}", columns.pages.len()),
                "it needs the frames that the header promised, all in blocks, and ends with a commit",
            ));
        }
        let visible =
            columns.pages.iter().zip(0_u64..).filter(|(page, _)| commit.size_after.contains(**page));
        let map = PageFst::build(visible.map(|(page, position)| (*page, position)))?;
        let map = PageFst::new(&map).map_err(|malformed| malformed.at("an index in memory", 0))?;
        let none = Section { offset: object_len, len: 0, crc: 0 };
        let footer = Footer {
            header,
            columns: none,
            commits: none,
            directory: none,
            index: none,
            first_time: commit.time,
            last_time: commit.time,
            state: commit.state.unwrap_or(StateChecksum(0)),
            size_after: commit.size_after,
            min_size_after: commit.size_after,
            object_checksum: 0,
        };
        Ok(SegmentIndex::from_parts(footer, columns, vec![commit], blocks, map))
    }
}
