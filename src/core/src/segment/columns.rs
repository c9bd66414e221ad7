//! The columns of a segment: page number, frame number and page hash of each frame, in order of position.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, IntoBytes};

use super::header::SegmentHeader;
use crate::frame_no::FrameNo;
use crate::page::PageNo;
use crate::page_hash::PageHash;

pub(super) const COLUMNS_ROW_LEN: usize = 4 + 8 + 8;

/// The columns in memory: 20 bytes a frame, as stored.
///
/// Invariant: pairs of page and frame rise strictly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) pages: Vec<PageNo>,
    pub(super) frames: Vec<FrameNo>,
    pub(super) hashes: Vec<PageHash>,
}

impl Columns {
    pub(super) fn last(&self) -> Option<(PageNo, FrameNo)> {
        Some((*self.pages.last()?, *self.frames.last()?))
    }

    pub(super) fn push(&mut self, page: PageNo, frame: FrameNo, hash: PageHash) {
        self.pages.push(page);
        self.frames.push(frame);
        self.hashes.push(hash);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.pages.len() * COLUMNS_ROW_LEN);
        for page in &self.pages {
            bytes.extend_from_slice(&page.get().to_le_bytes());
        }
        for frame in &self.frames {
            bytes.extend_from_slice(&frame.get().to_le_bytes());
        }
        for hash in &self.hashes {
            bytes.extend_from_slice(&hash.0.to_le_bytes());
        }
        bytes
    }

    /// Reads the columns; `None` when an invariant does not hold. The length was checked against the count before.
    pub(super) fn parse(bytes: &[u8], header: &SegmentHeader) -> Option<Self> {
        let count = header.frame_count as usize;
        let (pages, rest) = bytes.split_at_checked(count * 4)?;
        let (frames, hashes) = rest.split_at_checked(count * 8)?;
        let pages = <[U32]>::ref_from_bytes(pages).ok()?;
        let frames = <[U64]>::ref_from_bytes(frames).ok()?;
        let hashes = <[U64]>::ref_from_bytes(hashes).ok()?;
        debug_assert_eq!(hashes.as_bytes().len(), count * 8);
        let columns = Self {
            pages: pages.iter().map(|page| PageNo::new(page.get())).collect::<Option<_>>()?,
            frames: frames.iter().map(|frame| FrameNo::new(frame.get())).collect::<Option<_>>()?,
            hashes: hashes.iter().map(|hash| PageHash(hash.get())).collect(),
        };
        let pairs = || columns.pages.iter().zip(&columns.frames);
        let in_range = columns.frames.iter().all(|frame| (header.start..=header.end).contains(frame));
        (in_range && pairs().is_sorted_by(|a, b| a < b)).then_some(columns)
    }
}
