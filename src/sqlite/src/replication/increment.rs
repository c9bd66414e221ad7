//! What is to be sealed next: transactions with their frame numbers, and where their images are. No images.
//!
//! Invariant: the table of page hashes is, after each commit, that of the database after it.

use std::sync::Arc;

use walkeep::core::segment::{Compression, SegmentHeader, SegmentSummary, SegmentWriter};
use walkeep::core::{
    Commit, CommitKind, Error, File, FileWriter, FrameNo, LogHead, PageCount, PageHash, PageHashTable,
    PageNo, Result, SegmentId, UnixMillis,
};

use crate::images::{ImageAt, Images};
use crate::wal_position::WalPosition;

/// One frame.
#[derive(Clone, Copy, Debug)]
struct Row {
    page: PageNo,
    frame: FrameNo,
    at: ImageAt,
    hash: PageHash,
}

/// The pages of a transaction: in order, each once.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    pub(crate) rows: Vec<(PageNo, ImageAt, PageHash)>,
    pub(crate) size_after: PageCount,
}

/// Transactions that are to become one segment.
#[derive(Debug)]
pub(crate) struct Increment {
    rows: Vec<Row>,
    commits: Vec<Commit>,
    /// The place in the log behind them.
    pub(crate) end: WalPosition,
}

impl Increment {
    pub(crate) const fn new(end: WalPosition) -> Self {
        Self { rows: Vec::new(), commits: Vec::new(), end }
    }

    pub(crate) fn last(&self) -> Option<&Commit> {
        self.commits.last()
    }

    /// The frames that there are.
    pub(crate) fn frames(&self) -> u64 {
        self.rows.len() as u64
    }

    /// The pages that it changes, in order.
    pub(crate) fn pages(&self) -> Vec<PageNo> {
        let mut pages = self.rows.iter().map(|row| row.page).collect::<Vec<_>>();
        pages.sort_unstable();
        pages.dedup();
        pages
    }

    /// Adds a transaction behind `last`, and brings the table up to date.
    ///
    /// # Errors
    ///
    /// `Exhausted` when all frame numbers are used.
    pub(crate) fn push(
        &mut self,
        last: Option<FrameNo>,
        table: &mut PageHashTable,
        pages: Pages,
        time: UnixMillis,
        kind: CommitKind,
    ) -> Result<()> {
        let Pages { rows, size_after } = pages;
        let mut frame = last.map_or(Some(FrameNo::FIRST), FrameNo::next);
        let mut frame_no = None;
        let mut hashes = Vec::with_capacity(rows.len());
        for (page, at, hash) in rows {
            let number = frame.filter(|frame| *frame < FrameNo::MAX);
            let number = number.ok_or_else(|| Error::Exhausted { what: "all frames are used".into() })?;
            self.rows.push(Row { page, frame: number, at, hash });
            hashes.push((page, hash));
            frame_no = Some(number);
            frame = number.next();
        }
        table.apply(size_after, &hashes);
        if let Some(frame_no) = frame_no {
            self.commits.push(Commit { frame_no, size_after, time, state: Some(table.state()), kind });
        }
        Ok(())
    }

    /// Writes the segment.
    ///
    /// # Errors
    ///
    /// `Corrupt` when an image is not what it was when its hash was taken; `Io`, `Exhausted`.
    pub(crate) fn seal(
        &self,
        file: Arc<dyn File>,
        images: &Images,
        head: &LogHead,
        id: SegmentId,
        compression: Compression,
    ) -> Result<SegmentSummary> {
        let mut order = self.rows.iter().collect::<Vec<_>>();
        order.sort_unstable_by_key(|row| (row.page, row.frame));
        let (Some(first), Some(last), Ok(frame_count)) =
            (self.rows.first(), self.commits.last(), u32::try_from(order.len()))
        else {
            return Err(Error::invalid("a segment of captured transactions", "too many frames, or none"));
        };
        let header = SegmentHeader {
            page_size: head.page_size,
            log_id: head.log_id,
            segment_id: id,
            epoch: head.epoch,
            level: 0,
            start: first.frame,
            end: last.frame_no,
            frame_count,
        };
        let once = order.windows(2).all(|pair| matches!(pair, [a, b] if a.page != b.page));
        let mut writer =
            SegmentWriter::new(FileWriter::new(file), header, head.hash_seed, compression, once)?;
        let mut image = vec![0; head.page_size.bytes()];
        for row in order {
            let read = images.read(row.at, &mut image);
            read.map_err(|error| Error::io(format!("read page {}", row.page), error))?;
            if writer.push(row.page, row.frame, &image)? != row.hash {
                let what = format!("page {} of the database", row.page);
                return Err(Error::corrupt(what, 0, "the image that was read before", "another one"));
            }
        }
        let smallest = self.commits.iter().map(|commit| commit.size_after).min().unwrap_or_default();
        Ok(writer.finish(&self.commits, smallest)?.1)
    }
}
