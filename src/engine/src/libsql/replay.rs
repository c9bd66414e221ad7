//! Segments replayed oldest first: the hash and the newest frame of each page.
//!
//! This gives the state checksum that libsql-wal does not record, and shows where segments that overlap contradict
//! each other: of the same log, both have the same newest frame of each page, with the same image.
//!
//! Invariant: between calls the table is the database at `at`. An entry without a frame is a page that was never
//! written, was cut off by a shrink, or came from a base without frames.

use walkeep_core::{
    Error, FrameNo, HashSeed, PageCount, PageHash, PageHashTable, PageNo, Result, StateChecksum,
};

use crate::stored_segment::OpenSegment;
use crate::view::{DATABASE_BYTES_MAX, check_size};

/// The newest frame of each page in a range of frames, by page.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    /// What holds them, for messages.
    pub(crate) object: &'a str,
    pub(crate) start: FrameNo,
    pub(crate) end: FrameNo,
    /// The size of the database at the end.
    pub(crate) size_after: PageCount,
    pub(crate) rows: Vec<(PageNo, FrameNo, PageHash)>,
}

impl<'a> Rows<'a> {
    /// The rows of a segment with one image a page.
    pub(crate) fn of(segment: &'a OpenSegment) -> Self {
        let index = segment.index();
        let rows = index.pages().iter().zip(index.frames()).zip(index.hashes());
        Self {
            object: segment.path().as_str(),
            start: segment.key().start(),
            end: segment.key().end(),
            size_after: index.footer().size_after,
            rows: rows.map(|((page, frame), hash)| (*page, *frame, *hash)).collect(),
        }
    }
}

/// The database as the replay goes on.
#[derive(Debug)]
pub(crate) struct Replay {
    table: PageHashTable,
    frames: Vec<Option<FrameNo>>,
    at: Option<FrameNo>,
}

impl Replay {
    /// An empty database.
    pub(crate) const fn new(seed: HashSeed) -> Self {
        Self { table: PageHashTable::new(seed), frames: Vec::new(), at: None }
    }

    /// The last frame replayed.
    pub(crate) const fn at(&self) -> Option<FrameNo> {
        self.at
    }

    pub(crate) fn state(&self) -> StateChecksum {
        self.table.state()
    }

    pub(crate) fn size(&self) -> PageCount {
        self.table.size()
    }

    /// The frame that comes next.
    pub(crate) fn next(&self) -> Result<FrameNo> {
        match self.at {
            None => Ok(FrameNo::FIRST),
            Some(at) => at.next().ok_or_else(|| Error::Exhausted { what: "all frames are used".into() }),
        }
    }

    /// Whether a segment that begins at `start` leaves no hole.
    pub(crate) fn reaches(&self, start: FrameNo) -> bool {
        self.next().is_ok_and(|next| start <= next)
    }

    /// Applies the frames behind those replayed; those that were replayed already must be the same.
    ///
    /// # Errors
    ///
    /// `Corrupt` when they are not; `Exhausted` when the database is larger than any that a view opens.
    pub(crate) fn apply(&mut self, rows: &Rows<'_>) -> Result<()> {
        check_size(walkeep_core::libsql::PAGE_SIZE, rows.size_after, DATABASE_BYTES_MAX)
            .map_err(|error| Error::Exhausted { what: format!("{}: {error}", rows.object) })?;
        self.check_same(rows)?;
        if self.at >= Some(rows.end) {
            return Ok(());
        }
        self.resize(rows.size_after);
        for (page, frame, hash) in rows.rows.iter().filter(|(_, frame, _)| Some(*frame) > self.at) {
            if let Some(entry) = self.frames.get_mut(page.index()) {
                *entry = Some(*frame);
                self.table.set(*page, *hash);
            }
        }
        self.at = Some(rows.end);
        Ok(())
    }

    /// Begins with a whole database of which frames are not known. `hashes` are those of its pages, in order.
    pub(crate) fn begin_at(&mut self, at: FrameNo, size: PageCount, hashes: &[(PageNo, PageHash)]) {
        self.resize(size);
        for (page, hash) in hashes {
            self.table.set(*page, *hash);
        }
        self.at = Some(at);
    }

    fn resize(&mut self, size: PageCount) {
        self.table.resize(size);
        self.frames.resize(size.as_usize(), None);
    }

    /// Compares the part of `rows` that was replayed already. Ranges that end before the last frame replayed are
    /// compared where both have the same frame.
    fn check_same(&self, rows: &Rows<'_>) -> Result<()> {
        let Some(at) = self.at.filter(|at| *at >= rows.start) else { return Ok(()) };
        let wrong = |page: PageNo, expected: String, found: String| {
            let expected = format!("page {page} {expected}, as the segments that it overlaps say");
            Err(Error::corrupt(rows.object, 0, expected, found))
        };
        let whole = rows.end >= at;
        for (page, frame, hash) in rows.rows.iter().filter(|(_, frame, _)| *frame <= at) {
            match self.frames.get(page.index()).copied().flatten() {
                Some(known) if known != *frame && whole => {
                    return wrong(*page, format!("last written by frame {known}"), format!("frame {frame}"));
                }
                Some(known) if known == *frame && self.table.get(*page) != *hash => {
                    return wrong(*page, format!("with the image of frame {known}"), "another image".into());
                }
                _ => {}
            }
        }
        if rows.end == at && rows.size_after != self.size() {
            let expected =
                format!("{} pages after frame {at}, as the segments that it overlaps say", self.size());
            return Err(Error::corrupt(rows.object, 0, expected, rows.size_after));
        }
        if whole { self.check_none_left_out(rows) } else { Ok(()) }
    }

    /// Whether each page that was last written in the range is among the rows.
    fn check_none_left_out(&self, rows: &Rows<'_>) -> Result<()> {
        let mut rest = rows.rows.iter().map(|(page, ..)| *page).peekable();
        for (page, frame) in (1..).filter_map(PageNo::new).zip(&self.frames) {
            while rest.next_if(|other| *other < page).is_some() {}
            let written_here = frame.is_some_and(|frame| frame >= rows.start);
            if written_here && rest.peek() != Some(&page) {
                let expected = format!("an image of page {page}, as the segments that it overlaps have");
                return Err(Error::corrupt(rows.object, 0, expected, "none"));
            }
        }
        Ok(())
    }
}
