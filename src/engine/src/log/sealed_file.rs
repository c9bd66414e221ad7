//! A sealed segment in its file: the very bytes that are stored.
//!
//! Invariants: its index was checked; it has every frame of its range.
//!
//! The file is held open, so that an upload under way can go on reading it after it was removed.

use std::sync::Arc;

use bytes::Bytes;
use walkeep_core::segment::{
    BlockDecoder, FOOTER_LEN, Footer, SegmentHeader, SegmentIndex, SegmentSummary, restamp,
};
use walkeep_core::{
    Body, Commit, Directory, Epoch, Error, File, FrameNo, PageHash, PageNo, Result, SealedSegment,
};

use super::file_name::{FileKind, FileName};
use crate::file_body::FileBody;

#[derive(Debug)]
pub(super) struct SealedFile {
    name: FileName,
    file: Arc<dyn File>,
    index: SegmentIndex,
    segment: SealedSegment,
}

/// A decoded block, kept because the next image is often in it too.
#[derive(Clone, Debug)]
pub(super) struct Block {
    first: u32,
    count: u32,
    raw: Bytes,
}

impl SealedFile {
    /// Opens and checks a file, but not its page images.
    pub(super) fn open(directory: &dyn Directory, name: FileName) -> Result<Self> {
        let file = directory.open(&name.path());
        let file = file.map_err(|error| Error::io(format!("open {name}"), error))?;
        Self::read(file.into(), name)
    }

    pub(super) fn read(file: Arc<dyn File>, name: FileName) -> Result<Self> {
        let io = |error| Error::io(format!("read {name}"), error);
        let object = name.to_string();
        let len = file.len().map_err(io)?;
        let mut tail = [0; FOOTER_LEN];
        let read = file.read_at(len.saturating_sub(FOOTER_LEN as u64), &mut tail).map_err(io)?;
        let footer = Footer::parse(&object, tail.get(..read).unwrap_or_default(), len)?;
        let key = footer.key()?;
        // Bounded by the file's length: the footer was checked against it.
        let range = footer.sections();
        let mut sections = vec![0; usize::try_from(range.end - range.start).unwrap_or_default()];
        let read = file.read_at(range.start, &mut sections).map_err(io)?;
        let sections = sections.get(..read).unwrap_or_default();
        let index = SegmentIndex::parse(&object, footer.clone(), sections)?;
        let SegmentHeader { start, end, frame_count, .. } = footer.header;
        if start != name.start || u64::from(frame_count) != end.get() - start.get() + 1 {
            let expected = format!("all frames of a segment that begins with {}", name.start);
            return Err(Error::corrupt(&object, 0, expected, format!("{frame_count} of {start}..={end}")));
        }
        let body = Body::Source(Arc::new(FileBody { file: Arc::clone(&file), len }));
        let segment = SealedSegment { summary: SegmentSummary { key, footer, len }, body };
        Ok(Self { name, file, index, segment })
    }

    /// Gives a file that was made under a temporary name its final one. The directory is not synced yet.
    pub(super) fn publish(&mut self, directory: &dyn Directory) -> Result<()> {
        let name = self.name.with_kind(FileKind::Sealed);
        let renamed = directory.rename(&self.name.path(), &name.path());
        renamed.map_err(|error| Error::io(format!("rename {} to {name}", self.name), error))?;
        self.name = name;
        Ok(())
    }

    /// Makes it a segment of this epoch. The whole file is read and proven, unless it is one already.
    pub(super) fn restamp(&mut self, epoch: Epoch) -> Result<()> {
        let SealedSegment { summary, body } = &self.segment;
        if summary.footer.header.epoch != epoch {
            let (summary, body) = restamp(&self.name.to_string(), summary, body, epoch)?;
            self.segment = SealedSegment { summary, body };
        }
        Ok(())
    }

    /// The block that holds an image; `kept` if it is that one.
    pub(super) fn block(
        &self,
        position: u32,
        kept: Option<Block>,
        decoder: &mut BlockDecoder,
    ) -> Result<Block> {
        if let Some(kept) = kept.filter(|kept| kept.holds(position)) {
            return Ok(kept);
        }
        let object = self.name.to_string();
        let Some(entry) = self.index.block_of(position) else {
            let expected = format!("a block with position {position}");
            return Err(Error::corrupt(object, 0, expected, "none"));
        };
        let mut stored = vec![0; entry.stored_len as usize];
        let read = self.file.read_at(entry.offset, &mut stored);
        let read = read.map_err(|error| Error::io(format!("read {object}"), error))?;
        let stored = stored.get(..read).unwrap_or_default();
        let raw = decoder.decode(&object, entry, self.page_size(), stored)?;
        Ok(Block { first: entry.first, count: entry.count, raw: Bytes::copy_from_slice(raw) })
    }

    /// The image at a position of a block, not checked against its hash.
    pub(super) fn image(&self, position: u32, block: &Block) -> Bytes {
        let len = self.page_size().bytes();
        let start = position.saturating_sub(block.first) as usize * len;
        if start + len <= block.raw.len() { block.raw.slice(start..start + len) } else { Bytes::new() }
    }

    /// Page and hash of every frame, in order of frames.
    pub(super) fn rows(&self) -> Vec<(PageNo, PageHash)> {
        let index = &self.index;
        let mut rows = vec![(PageNo::FIRST, PageHash::ZERO); index.frames().len()];
        for ((frame, page), hash) in index.frames().iter().zip(index.pages()).zip(index.hashes()) {
            let place = usize::try_from(frame.get() - self.start().get()).ok();
            if let Some(row) = place.and_then(|place| rows.get_mut(place)) {
                *row = (*page, *hash);
            }
        }
        rows
    }

    fn page_size(&self) -> walkeep_core::PageSize {
        self.index.footer().header.page_size
    }

    pub(super) const fn name(&self) -> FileName {
        self.name
    }

    pub(super) const fn index(&self) -> &SegmentIndex {
        &self.index
    }

    pub(super) fn commits(&self) -> &[Commit] {
        self.index.commits()
    }

    pub(super) const fn segment(&self) -> &SealedSegment {
        &self.segment
    }

    pub(super) fn start(&self) -> FrameNo {
        self.index.footer().header.start
    }

    pub(super) fn end(&self) -> FrameNo {
        self.index.footer().header.end
    }
}

impl Block {
    const fn holds(&self, position: u32) -> bool {
        position >= self.first && position - self.first < self.count
    }
}
