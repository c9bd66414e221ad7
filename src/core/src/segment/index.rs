//! A segment's sections, checked and opened: everything but the page images.

use super::block::{BlockEntry, parse_directory};
use super::columns::Columns;
use super::commits;
use super::footer::{Footer, Section};
use super::size_floor::SizeFloor;
use crate::commit::Commit;
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::page::PageNo;
use crate::page_fst::PageFst;
use crate::page_hash::{PageHash, StateChecksum};

/// What a segment holds and where: about 20 bytes a frame in memory.
///
/// Invariants: every section had its checksum, and kept every rule of `docs/format.md` that can be checked without
/// reading page images.
#[derive(Debug)]
pub struct SegmentIndex {
    footer: Footer,
    columns: Columns,
    commits: Vec<Commit>,
    blocks: Vec<BlockEntry>,
    map: PageFst,
}

impl SegmentIndex {
    /// Opens the sections of the object `object`: the bytes of it that [`Footer::sections`] names.
    ///
    /// # Errors
    ///
    /// `Corrupt` when they are not what was written.
    pub fn parse(object: &str, footer: Footer, sections: &[u8]) -> Result<Self> {
        let wrong = |section: &Section, what: &str| {
            Error::corrupt(
                object,
                section.offset,
                what,
                "a section whose checksum holds but whose content does not fit",
            )
        };
        let header = &footer.header;
        let bytes = checked(object, &footer, sections, &footer.columns)?;
        let columns = Columns::parse(bytes, header)
            .ok_or_else(|| wrong(&footer.columns, "frames of the range, sorted by page and frame"))?;
        let bytes = checked(object, &footer, sections, &footer.commits)?;
        let commits = commits::parse(bytes, header)
            .ok_or_else(|| wrong(&footer.commits, "commits that rise up to the last frame"))?;
        let bytes = checked(object, &footer, sections, &footer.directory)?;
        let blocks = parse_directory(bytes, header.page_size, header.frame_count, footer.blocks().end)
            .map_err(|row| {
                wrong(&footer.directory, &format!("a block behind the one before in row {row}"))
            })?;
        let bytes = checked(object, &footer, sections, &footer.index)?;
        let map = PageFst::new(bytes).map_err(|malformed| malformed.at(object, footer.index.offset))?;
        let index = Self { footer, columns, commits, blocks, map };
        if !index.footer_agrees() {
            let section = &index.footer.commits;
            return Err(wrong(section, "commits that agree with what the footer sums up"));
        }
        Ok(index)
    }

    /// An index that was put together elsewhere, from parts that keep the invariants.
    pub(super) const fn from_parts(
        footer: Footer,
        columns: Columns,
        commits: Vec<Commit>,
        blocks: Vec<BlockEntry>,
        map: PageFst,
    ) -> Self {
        Self { footer, columns, commits, blocks, map }
    }

    fn footer_agrees(&self) -> bool {
        let (Some(first), Some(last)) = (self.commits.first(), self.commits.last()) else {
            return false;
        };
        let smallest = SizeFloor::new(&self.commits).overall();
        let smallest_agrees = if self.footer.header.level == 0 {
            self.footer.min_size_after == smallest
        } else {
            self.footer.min_size_after <= smallest
        };
        let first_agrees = if self.footer.header.level == 0 {
            self.footer.first_time == first.time
        } else {
            self.footer.first_time <= first.time
        };
        smallest_agrees
            && first_agrees
            && self.footer.last_time == last.time
            && self.footer.size_after == last.size_after
            && Some(self.footer.state) == last.state
    }

    /// The footer.
    #[must_use]
    pub const fn footer(&self) -> &Footer {
        &self.footer
    }

    /// The commits, oldest first; in a compacted segment only the last one.
    #[must_use]
    pub fn commits(&self) -> &[Commit] {
        &self.commits
    }

    /// The state checksum at the segment's end; `None` where the format records none (libsql-wal).
    #[must_use]
    pub fn state(&self) -> Option<StateChecksum> {
        self.commits.last().and_then(|commit| commit.state)
    }

    /// The blocks, in order of position.
    #[must_use]
    pub fn blocks(&self) -> &[BlockEntry] {
        &self.blocks
    }

    /// The page numbers of all frames, in order of position.
    #[must_use]
    pub fn pages(&self) -> &[PageNo] {
        &self.columns.pages
    }

    /// The frame numbers of all frames, in order of position.
    #[must_use]
    pub fn frames(&self) -> &[FrameNo] {
        &self.columns.frames
    }

    /// The page hashes of all frames, in order of position.
    #[must_use]
    pub fn hashes(&self) -> &[PageHash] {
        &self.columns.hashes
    }

    /// The position of the newest image of a page, if it is visible at the segment's end.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the index names a frame of another page.
    pub fn find(&self, object: &str, page: PageNo) -> Result<Option<u32>> {
        let offset = self.footer.index.offset;
        let Some(position) = self.map.get(page).map_err(|malformed| malformed.at(object, offset))? else {
            return Ok(None);
        };
        let position = u32::try_from(position).ok();
        match position.filter(|&at| self.columns.pages.get(at as usize) == Some(&page)) {
            Some(position) => Ok(Some(position)),
            None => {
                let expected = format!("the position of a frame of page {page}");
                Err(Error::corrupt(object, offset, expected, "another position"))
            }
        }
    }

    /// The position of the newest image of a page at or before `frame`, visible or not.
    #[must_use]
    pub fn newest_until(&self, page: PageNo, frame: FrameNo) -> Option<u32> {
        let Columns { pages, frames, .. } = &self.columns;
        let first = pages.partition_point(|p| *p < page);
        let len = pages.get(first..)?.partition_point(|p| *p == page);
        let len = frames.get(first..first + len)?.partition_point(|f| *f <= frame);
        u32::try_from((first + len.checked_sub(1)?) as u64).ok()
    }

    /// The block that holds a position.
    #[must_use]
    pub fn block_of(&self, position: u32) -> Option<&BlockEntry> {
        let at = self.blocks.partition_point(|block| block.first <= position).checked_sub(1)?;
        self.blocks.get(at).filter(|block| position - block.first < block.count)
    }

    /// Whether the index holds exactly the pages visible at the segment's end, each with its newest image. For
    /// `verify`: a section whose checksum holds was written like this, unless the writer had a defect.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it does not.
    pub fn check_map(&self, object: &str) -> Result<()> {
        let floor = SizeFloor::new(&self.commits);
        let Columns { pages, frames, .. } = &self.columns;
        let visible = || {
            let rows = (0_u64..).zip(pages.iter().zip(frames));
            // The next row's page tells whether this is the newest image of its own.
            let next = pages.iter().skip(1).map(Some).chain([None]);
            rows.zip(next).filter_map(|((position, (page, frame)), next)| {
                (next != Some(page) && floor.since(*frame).contains(*page)).then_some((*page, position))
            })
        };
        match self.map.differs_from(visible().count() as u64, visible()) {
            None => Ok(()),
            Some((offset, expected)) => Err(Error::corrupt(
                object,
                self.footer.index.offset + offset,
                expected,
                "another entry of the index",
            )),
        }
    }
}

/// The bytes of a section, whose checksum holds.
fn checked<'a>(object: &str, footer: &Footer, sections: &'a [u8], section: &Section) -> Result<&'a [u8]> {
    let start = usize::try_from(section.offset - footer.sections().start).ok();
    let len = usize::try_from(section.len).ok();
    let bytes = start.zip(len).and_then(|(start, len)| sections.get(start..)?.get(..len));
    let bytes = bytes.ok_or_else(|| {
        let expected = format!("a section of {} bytes", section.len);
        Error::corrupt(object, section.offset, expected, format!("{} bytes of all sections", sections.len()))
    })?;
    let crc = crc32fast::hash(bytes);
    if crc != section.crc {
        let expected = format!("a section with crc {:08x}", section.crc);
        return Err(Error::corrupt(object, section.offset, expected, format!("crc {crc:08x}")));
    }
    Ok(bytes)
}
