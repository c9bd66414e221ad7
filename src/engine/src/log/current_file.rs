//! A current segment in its file: what is appended to, and what a crash left of one.
//!
//! Invariants:
//!
//! - `rows` and `commits` are those of whole transactions; the file may hold more behind them, which counts for nothing;
//! - a file gets its final name only after its header was synced, so that one with frames has a header;
//! - only the process that created a file appends to it. What a crash left is read, and never written again: a sync
//!   that failed may have been the reason, and pages that the system holds for written are not written again.

use bytes::Bytes;
use walkeep_core::current_segment::{
    CURRENT_HEADER_LEN, Chain, ChainedFrame, CurrentHeader, FRAME_HEADER_LEN,
};
use walkeep_core::{Commit, Directory, Error, File, FrameNo, HashSeed, PageHash, PageNo, Random, Result};

use super::file_name::{FileKind, FileName};
use super::sync_failed;

/// How many bytes are read or written at once, about.
const CHUNK: usize = 1 << 20;

/// A committed frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) page: PageNo,
    pub(super) hash: PageHash,
}

#[derive(Debug)]
pub(super) struct CurrentFile {
    name: FileName,
    file: Box<dyn File>,
    header: CurrentHeader,
    chain: Chain,
    rows: Vec<Row>,
    commits: Vec<Commit>,
    buffer: Vec<u8>,
}

/// Why a transaction was not appended.
#[derive(Debug)]
pub(super) struct AppendFailed {
    pub(super) error: Error,
    /// Whether the file is as it was before, so that another transaction can be appended.
    pub(super) undone: bool,
}

impl CurrentFile {
    /// Creates an empty one under a temporary name, synced. `header.salt` is replaced by a fresh one.
    pub(super) fn create(
        directory: &dyn Directory,
        header: CurrentHeader,
        random: &dyn Random,
    ) -> Result<Self> {
        let name = FileName::fresh(header.start, FileKind::Temporary, random)?;
        let header = CurrentHeader { salt: name.salt, ..header };
        let file = directory.create_new(&name.path());
        let file = file.map_err(|error| Error::io(format!("create {name}"), error))?;
        if let Err(error) = file.write_all_at(0, &header.encode()) {
            // On a full disk each try would leave one. It counts for nothing, whether or not this succeeds.
            let _ = directory.remove_file(&name.path());
            return Err(Error::io(format!("write {name}"), error));
        }
        file.sync().map_err(|error| sync_failed(name, &error))?;
        let chain = Chain::new(&header);
        Ok(Self { name, file, header, chain, rows: Vec::new(), commits: Vec::new(), buffer: Vec::new() })
    }

    /// Gives it its final name. The directory is not synced yet.
    pub(super) fn publish(&mut self, directory: &dyn Directory) -> Result<()> {
        let name = self.name.with_kind(FileKind::Current);
        let renamed = directory.rename(&self.name.path(), &name.path());
        renamed.map_err(|error| Error::io(format!("rename {} to {name}", self.name), error))?;
        self.name = name;
        Ok(())
    }

    /// Reads what a crash left: all whole transactions as far as the chain holds, and how many bytes behind them count
    /// for nothing. `None` when the file was never finished: it holds no frame.
    ///
    /// # Errors
    ///
    /// `Corrupt` when there may be frames but the header is damaged; `Invalid`, `Io`.
    pub(super) fn recover(
        directory: &dyn Directory,
        name: FileName,
        seed: HashSeed,
    ) -> Result<Option<(Self, u64)>> {
        let io = |error| Error::io(format!("read {name}"), error);
        let file = directory.open(&name.path()).map_err(io)?;
        let len = file.len().map_err(io)?;
        let mut head = [0; CURRENT_HEADER_LEN];
        let read = file.read_at(0, &mut head).map_err(io)?;
        let header = match CurrentHeader::parse(&name.to_string(), head.get(..read).unwrap_or_default()) {
            Ok(header) if header.start == name.start => header,
            Ok(header) => {
                let expected = format!("the header of a segment that begins with frame {}", name.start);
                return Err(Error::corrupt(name, 0, expected, format!("frame {}", header.start)));
            }
            Err(Error::Corrupt(_)) if len <= CURRENT_HEADER_LEN as u64 => return Ok(None),
            Err(error) => return Err(error),
        };
        let chain = Chain::new(&header);
        let (rows, commits, buffer) = (Vec::new(), Vec::new(), Vec::new());
        let mut current = Self { name, file, header, chain, rows, commits, buffer };
        current.read_frames(seed).map_err(io)?;
        let cut = len.saturating_sub(current.committed_len());
        Ok(Some((current, cut)))
    }

    fn read_frames(&mut self, seed: HashSeed) -> std::io::Result<()> {
        let frame_len = self.header.frame_len();
        let mut chunk = vec![0; (CHUNK / frame_len).max(1) * frame_len];
        let (mut offset, mut whole) = (CURRENT_HEADER_LEN as u64, 0);
        loop {
            let read = self.file.read_at(offset, &mut chunk)?;
            let bytes = chunk.get(..read).unwrap_or_default();
            let mut accepted = 0;
            for bytes in bytes.chunks_exact(frame_len) {
                let Some(ChainedFrame { page, commit, image, .. }) = self.chain.accept(bytes) else { break };
                self.rows.push(Row { page, hash: seed.page(page, image) });
                if let Some(commit) = commit {
                    self.commits.push(commit);
                    whole = self.rows.len();
                }
                accepted += frame_len;
            }
            offset += accepted as u64;
            if accepted < chunk.len() {
                self.rows.truncate(whole);
                return Ok(());
            }
        }
    }

    /// Appends a transaction; `pages` is not empty. It is not synced yet.
    pub(super) fn append(
        &mut self,
        pages: &[(PageNo, Bytes)],
        hashes: &[(PageNo, PageHash)],
        commit: &Commit,
    ) -> Result<(), AppendFailed> {
        let before = self.chain;
        let written = self.write_frames(pages, commit);
        self.buffer.clear();
        self.buffer.shrink_to(2 * CHUNK);
        if let Err(error) = written {
            self.chain = before;
            // Only a full disk is known to have done nothing else. What was written then is cut off again.
            let full = matches!(error, Error::Exhausted { .. });
            let undone = full && self.file.set_len(self.committed_len()).is_ok();
            return Err(AppendFailed { error, undone });
        }
        self.rows.extend(hashes.iter().map(|(page, hash)| Row { page: *page, hash: *hash }));
        self.commits.push(*commit);
        Ok(())
    }

    fn write_frames(&mut self, pages: &[(PageNo, Bytes)], commit: &Commit) -> Result<()> {
        let mut offset = self.committed_len();
        for (at, (page, image)) in pages.iter().enumerate() {
            let last = at + 1 == pages.len();
            self.chain.append(*page, image, last.then_some(commit), &mut self.buffer)?;
            if last || self.buffer.len() >= CHUNK {
                let written = self.file.write_all_at(offset, &self.buffer);
                written.map_err(|error| Error::io(format!("write {}", self.name), error))?;
                offset += self.buffer.len() as u64;
                self.buffer.clear();
            }
        }
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync().map_err(|error| sync_failed(self.name, &error))
    }

    /// The image of a committed frame, not checked.
    pub(super) fn read_image(&self, frame: FrameNo, image: &mut [u8]) -> Result<()> {
        let offset = self.image_offset(frame);
        let read = self.file.read_at(offset, image);
        let read = read.map_err(|error| Error::io(format!("read {}", self.name), error))?;
        if read < image.len() {
            let expected = format!("the image of frame {frame}, {} bytes", image.len());
            return Err(Error::corrupt(self.name, offset, expected, format!("{read} bytes")));
        }
        Ok(())
    }

    pub(super) fn image_offset(&self, frame: FrameNo) -> u64 {
        self.frame_offset(self.place(frame) as u64) + FRAME_HEADER_LEN as u64
    }

    fn frame_offset(&self, place: u64) -> u64 {
        CURRENT_HEADER_LEN as u64 + place * self.header.frame_len() as u64
    }

    /// The length of the file up to its last commit.
    fn committed_len(&self) -> u64 {
        self.frame_offset(self.rows.len() as u64)
    }

    fn place(&self, frame: FrameNo) -> usize {
        usize::try_from(frame.get().saturating_sub(self.header.start.get())).unwrap_or(usize::MAX)
    }

    /// The committed frame of this number.
    pub(super) fn row(&self, frame: FrameNo) -> Option<&Row> {
        self.rows.get(self.place(frame)).filter(|_| frame >= self.header.start)
    }

    pub(super) const fn name(&self) -> FileName {
        self.name
    }

    pub(super) const fn header(&self) -> &CurrentHeader {
        &self.header
    }

    pub(super) fn commits(&self) -> &[Commit] {
        &self.commits
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }
}
