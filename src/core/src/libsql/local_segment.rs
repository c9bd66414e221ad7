//! Local segment files: opening a sealed one, and recovering one that was not sealed or is damaged.
//!
//! Invariants: frames that are given out were proven by the chain of checksums, from the first on without a gap, and
//! end with a commit. What follows the last commit is counted, not given out.
//!
//! What ends a transaction: a frame with a size, or the frame that the header names as the last committed one,
//! because libsql-wal can lose the size on a frame. A commit that is lost on both counts merges with the next one:
//! there is a restore point less, and never half a transaction.
//!
//! Not here: reading files. They are given as bytes.

use std::collections::BTreeMap;

use super::data_header::{DataFrame, DataHeader};
use super::data_writer::DataWriter;
use super::local_chain::{Chain, LocalFrame, chained};
use super::local_header::{LOCAL_HEADER_LEN, LocalHeader, LocalIndexPlace};
use crate::error::{Corruption, Error, Result};
use crate::frame_no::FrameNo;
use crate::ids::SegmentId;
use crate::page::{PageCount, PageNo};
use crate::page_fst::PageFst;
use crate::unix_millis::UnixMillis;

/// The end of a transaction in a local segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalCommit {
    /// How many frames of the file it ends with.
    pub frame_count: usize,
    /// The highest number of those frames: the commit's own, where frames are in order.
    pub frame_no: FrameNo,
    /// The size of the database after it.
    pub size_after: PageCount,
}

/// The committed frames of a local segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalSegment<'a> {
    header: LocalHeader,
    frames: Vec<LocalFrame<'a>>,
    commits: Vec<LocalCommit>,
}

/// What could be had of a local segment file that was not sealed or is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredSegment<'a> {
    /// The whole transactions; possibly none.
    pub segment: LocalSegment<'a>,
    /// How many frames behind the last commit hold, and were left out.
    pub uncommitted_count: u64,
    /// How many frames the header says are committed, but are not there or do not hold: transactions that were
    /// acknowledged and are lost.
    pub missing_count: u64,
    /// Why the first frame behind those that hold does not; `None` when the file ends there.
    pub stopped: Option<Corruption>,
}

impl<'a> LocalSegment<'a> {
    /// Opens the sealed file `file`, all of it: every checksum must hold, and the index must be that of its frames.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is not what was written; `Invalid` when it was not sealed (use [`LocalSegment::recover`])
    /// or is of a kind that this code does not know.
    pub fn open_sealed(file: &str, bytes: &'a [u8]) -> Result<Self> {
        let header = LocalHeader::parse(file, bytes)?;
        let Some(place) = header.index else {
            return Err(Error::invalid(file, "it was not sealed; recover it"));
        };
        let frame_bytes = place.frames(file, bytes)?;
        let chain = Chain::walk(file, &header, frame_bytes);
        if let Some(corruption) = chain.stopped {
            return Err(Error::Corrupt(Box::new(corruption)));
        }
        let index = place.open(file, bytes, chain.checksum)?;
        let (committed, held) = (header.committed_count(), chain.frames.len() as u64);
        if committed > held {
            let expected = format!("{committed} committed frames");
            return Err(Error::corrupt(file, place.offset, expected, format!("{held} frames")));
        }
        let segment = Self::committed(header, chain.frames);
        let Some(last) = segment.commits.last() else {
            return Err(Error::corrupt(file, 18, "a committed frame in a sealed file", "none"));
        };
        if last.size_after != header.size_after {
            let expected = format!("{} pages after frame {}", last.size_after, last.frame_no);
            return Err(Error::corrupt(file, 34, expected, format!("{} pages", header.size_after)));
        }
        let newest = segment.newest_positions();
        let entries = newest.iter().map(|(page, position)| (*page, *position as u64));
        match index.differs_from(newest.len() as u64, entries) {
            Some((at, expected)) => {
                let expected = format!("{expected}, as the frames say");
                Err(Error::corrupt(file, place.offset + at, expected, "something else"))
            }
            None => Ok(segment),
        }
    }

    /// Takes from the file `file` all whole transactions, as far as the chain of checksums holds. The index of a
    /// sealed file is not needed.
    ///
    /// # Errors
    ///
    /// `Corrupt` and `Invalid` when the header is damaged or of a kind that this code does not know: without the
    /// salt in it no frame can be proven.
    pub fn recover(file: &str, bytes: &'a [u8]) -> Result<RecoveredSegment<'a>> {
        let header = LocalHeader::parse(file, bytes)?;
        let body = bytes.get(LOCAL_HEADER_LEN..).unwrap_or_default();
        // In a sealed file the index follows the frames. A file that lost its end has less than the header says.
        let limit = header.index.and_then(|place| usize::try_from(place.offset).ok());
        let limit = limit.map_or(body.len(), |offset| offset.saturating_sub(LOCAL_HEADER_LEN));
        let chain = Chain::walk(file, &header, body.get(..limit).unwrap_or(body));
        let held = chain.frames.len() as u64;
        let segment = Self::committed(header, chain.frames);
        Ok(RecoveredSegment {
            uncommitted_count: held - segment.frames.len() as u64,
            missing_count: header.committed_count().saturating_sub(held),
            stopped: chain.stopped,
            segment,
        })
    }

    /// The frames up to the last commit.
    fn committed(header: LocalHeader, mut frames: Vec<LocalFrame<'a>>) -> Self {
        let named = header.committed_count();
        let mut commits: Vec<LocalCommit> = Vec::new();
        let mut highest = header.start;
        for (frame, count) in frames.iter().zip(1_usize..) {
            highest = highest.max(frame.frame_no);
            let size_after = match frame.size_after {
                PageCount(0) if count as u64 == named => header.size_after,
                size => size,
            };
            if size_after.get() != 0 {
                commits.push(LocalCommit { frame_count: count, frame_no: highest, size_after });
            }
        }
        frames.truncate(commits.last().map_or(0, |commit| commit.frame_count));
        Self { header, frames, commits }
    }

    /// The header. What it says of commits may be stale: see [`LocalSegment::commits`].
    #[must_use]
    pub const fn header(&self) -> &LocalHeader {
        &self.header
    }

    /// The committed frames, as they stand in the file.
    #[must_use]
    pub fn frames(&self) -> &[LocalFrame<'a>] {
        &self.frames
    }

    /// The commits, oldest first.
    #[must_use]
    pub fn commits(&self) -> &[LocalCommit] {
        &self.commits
    }

    /// The newest frame of each page, by page, after all commits. It can hold pages behind the end of the database.
    #[must_use]
    pub fn newest(&self) -> BTreeMap<PageNo, &LocalFrame<'a>> {
        self.frames.iter().map(|frame| (frame.page, frame)).collect()
    }

    fn newest_positions(&self) -> BTreeMap<PageNo, usize> {
        self.frames.iter().zip(0..).map(|(frame, position)| (frame.page, position)).collect()
    }

    /// The data object that libsql-wal makes of this segment: its header, and all its bytes. Of a sealed file,
    /// `time` is the header's `sealed_at`.
    ///
    /// # Errors
    ///
    /// `Invalid` when there is no commit, or frames are not in order: libsql-wal stores no such segments.
    pub fn to_data(&self, segment_id: SegmentId, time: UnixMillis) -> Result<(DataHeader, Vec<u8>)> {
        let Some(last) = self.commits.last().filter(|_| !self.header.unordered) else {
            let why = "only segments with a commit, whose frames are in order, are stored";
            return Err(Error::invalid(
                format!("segment {} of log {}", self.header.start, self.header.log_id),
                why,
            ));
        };
        let newest = self.newest();
        let too_many =
            |_| Error::invalid(format!("a segment of {} pages", newest.len()), "pages have 32 bits");
        let header = DataHeader {
            frame_count: u32::try_from(newest.len()).map_err(too_many)?,
            segment_id,
            start: self.header.start,
            end: last.frame_no,
            size_after: last.size_after,
            time,
        };
        let mut writer = DataWriter::new(Vec::new(), header)?;
        for LocalFrame { page, frame_no, image, .. } in newest.into_values().copied() {
            writer.push(&DataFrame { page, frame_no, image })?;
        }
        Ok((header, writer.finish()?))
    }
}

impl LocalIndexPlace {
    /// The bytes of the frames before the index.
    fn frames<'a>(&self, file: &str, bytes: &'a [u8]) -> Result<&'a [u8]> {
        let offset = usize::try_from(self.offset).ok();
        offset.and_then(|offset| bytes.get(LOCAL_HEADER_LEN..offset)).ok_or_else(|| {
            let found = format!("offset {} in {} bytes", self.offset, bytes.len());
            Error::corrupt(file, 38, "an index behind the header, within the file", found)
        })
    }

    /// The index, whose checksum goes on from that of the last frame. Bytes may follow: sealing overwrites frames
    /// of a transaction that was rolled back, and does not cut off the rest of them.
    fn open(&self, file: &str, bytes: &[u8], chain: u32) -> Result<PageFst> {
        let (offset, len) = (usize::try_from(self.offset).ok(), usize::try_from(self.len).ok());
        let rest = offset.and_then(|offset| bytes.get(offset..));
        let parts = rest.zip(len).and_then(|(rest, len)| rest.split_at_checked(len));
        let Some((map, stored)) = parts.and_then(|(map, rest)| Some((map, rest.first_chunk()?))) else {
            let expected =
                format!("an index of {} bytes and its checksum at offset {}", self.len, self.offset);
            return Err(Error::corrupt(file, 46, expected, format!("a file of {} bytes", bytes.len())));
        };
        let (stored, computed) = (u32::from_le_bytes(*stored), chained(chain, &[map]));
        if stored != computed {
            let expected = format!("an index with checksum {stored:08x}");
            return Err(Error::corrupt(file, self.offset, expected, format!("checksum {computed:08x}")));
        }
        PageFst::new(map).map_err(|malformed| malformed.at(file, self.offset))
    }
}
