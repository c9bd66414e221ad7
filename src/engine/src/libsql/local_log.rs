//! Local segment files of libsql-wal, and a checkpointed database, as a source of an import. All is only read.
//!
//! Invariants: files are of one log, and so is the database; what is imported was proven by the chain of checksums, and
//! joins what was imported before without a hole; what a file repeats must be the same.
//!
//! Times: libsql-wal records one for a sealed file, and none for another. The transactions of a file all get it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walkeep_core::files::EntryKind;
use walkeep_core::libsql::{
    CHECKPOINT_FOOTER_LEN, CheckpointFooter, LOCAL_HEADER_LEN, LocalCommit, LocalFrame, LocalHeader,
    LocalSegment, PAGE_SIZE,
};
use walkeep_core::{
    Commit, CommitKind, Directory, Error, File, FrameNo, LogId, PageCount, PageHash, PageNo, Result,
    UnixMillis, Unreachable,
};

use super::import::Imported;
use super::import_target::{ImportTarget, frame_count};
use super::replay::{Replay, Rows};

/// Pages of the database read at once.
const CHUNK_PAGES: usize = 256;

/// Local segment files, in order of frames, and perhaps the database that they go on from.
#[derive(Debug)]
pub struct LocalLog {
    directory: Arc<dyn Directory>,
    files: Vec<(LocalHeader, PathBuf)>,
    base: Option<Base>,
}

/// A checkpointed database.
#[derive(Debug)]
struct Base {
    name: String,
    file: Box<dyn File>,
    size: PageCount,
    frame_no: FrameNo,
    log_id: LogId,
}

impl LocalLog {
    /// Looks at all files `*.seg` of a directory.
    ///
    /// # Errors
    ///
    /// `NotFound` when there are none; `Invalid` when they are of several logs, or of a kind that is not read;
    /// `Corrupt` when a header is damaged; `Io`.
    pub fn open(directory: Arc<dyn Directory>) -> Result<Self> {
        let entries =
            directory.entries(Path::new("")).map_err(|error| Error::io("list the segment files", error))?;
        let mut files = Vec::new();
        for entry in entries {
            if entry.kind != EntryKind::File || !entry.name.ends_with(".seg") {
                continue;
            }
            let path = PathBuf::from(&entry.name);
            let file = open(&*directory, &path)?;
            let mut head = vec![0; LOCAL_HEADER_LEN];
            let len = file
                .read_at(0, &mut head)
                .map_err(|error| Error::io(format!("read {}", entry.name), error))?;
            let header = LocalHeader::parse(&entry.name, head.get(..len).unwrap_or_default())?;
            if header.unordered {
                let why = "its frames may stand in any order, as on a replica; import those of the primary";
                return Err(Error::invalid(format!("segment file {}", entry.name), why));
            }
            files.push((header, path));
        }
        // Of several that begin alike the sealed one first: it has a time.
        files.sort_by(|(a, left), (b, right)| {
            (a.start, !a.is_sealed(), left).cmp(&(b.start, !b.is_sealed(), right))
        });
        let log = Self { directory, files, base: None };
        match log.files.split_first() {
            None => Err(Error::not_found("a segment file (*.seg) in the directory")),
            Some(((first, path), rest)) => {
                match rest.iter().find(|(header, _)| header.log_id != first.log_id) {
                    Some((other, name)) => Err(two_logs(path, first.log_id, name, other.log_id)),
                    None => Ok(log),
                }
            }
        }
    }

    /// Adds the checkpointed database that the files go on from.
    ///
    /// # Errors
    ///
    /// `Invalid` when it was never checkpointed, or is of another log; `Corrupt`, `Io`.
    pub fn with_database(mut self, directory: &dyn Directory, path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let read = |error| Error::io(format!("read {name}"), error);
        let file = open(directory, path)?;
        let len = file.len().map_err(read)?;
        let Some(offset) = CheckpointFooter::offset(&name, len)? else {
            let why = "it has no footer of libsql-wal behind its pages, which says up to which frame it goes";
            return Err(Error::invalid(format!("the database {name}"), why));
        };
        let mut bytes = vec![0; CHECKPOINT_FOOTER_LEN];
        let found = file.read_at(offset, &mut bytes).map_err(read)?;
        let footer = CheckpointFooter::parse(&name, offset, bytes.get(..found).unwrap_or_default())?;
        if let Some((header, other)) = self.files.iter().find(|(header, _)| header.log_id != footer.log_id) {
            return Err(two_logs(path, footer.log_id, other, header.log_id));
        }
        let Some(frame_no) = footer.frame_no else {
            let why = "its footer says that no frame was copied into it; there is nothing to go on from";
            return Err(Error::invalid(format!("the database {name}"), why));
        };
        let pages = u32::try_from(offset / PAGE_SIZE.bytes_u64());
        let size =
            PageCount(pages.map_err(|_| Error::Exhausted { what: format!("{name} has too many pages") })?);
        self.base = Some(Base { name, file, size, frame_no, log_id: footer.log_id });
        Ok(self)
    }

    /// Refuses files that cannot join what ends with `reached`, before anything is stored.
    pub(super) fn check_joins(&self, reached: Option<FrameNo>) -> Result<()> {
        let reached = reached.max(self.base.as_ref().map(|base| base.frame_no));
        let next = reached.map_or(Some(FrameNo::FIRST), FrameNo::next).unwrap_or(FrameNo::MAX);
        match self.files.first().filter(|(header, _)| header.start > next) {
            Some((header, path)) => Err(hole(&path.display().to_string(), header.start, next)),
            None => Ok(()),
        }
    }

    pub(super) async fn import(
        self,
        replay: &mut Replay,
        target: &mut ImportTarget,
        imported: &mut Imported,
    ) -> Result<()> {
        let Self { directory, files, base } = self;
        if let Some(base) = base {
            if replay.at().is_none_or(|at| at < base.frame_no) && replay.at().is_some() {
                let why = format!(
                    "what was imported before ends with frame {}, before the database's frame {}; a database is \
                     the base of an import, not a bridge",
                    replay.at().map_or(0, FrameNo::get),
                    base.frame_no
                );
                return Err(Error::invalid(format!("the database {}", base.name), why));
            }
            if replay.at().is_none() {
                let time = files.first().map(|(header, _)| header.sealed_at).filter(|time| time.get() > 0);
                base.import(time.unwrap_or_else(|| target.now()), replay, target).await?;
            } else {
                imported.notes.push(format!("the database {} was not needed", base.name));
            }
        }
        for (header, path) in files {
            let name = path.display().to_string();
            if !replay.reaches(header.start) {
                return Err(hole(&name, header.start, replay.next()?));
            }
            let bytes = read_whole(&*directory, &path)?;
            let segment = recover(&name, &bytes, imported)?;
            import_file(&name, &segment, replay, target, imported).await?;
        }
        Ok(())
    }
}

fn open(directory: &dyn Directory, path: &Path) -> Result<Box<dyn File>> {
    directory.open(path).map_err(|error| Error::io(format!("open {}", path.display()), error))
}

fn read_whole(directory: &dyn Directory, path: &Path) -> Result<Vec<u8>> {
    let file = open(directory, path)?;
    let read = |error| Error::io(format!("read {}", path.display()), error);
    let len = usize::try_from(file.len().map_err(read)?)
        .map_err(|_| Error::Exhausted { what: format!("{} is larger than memory", path.display()) })?;
    let mut bytes = vec![0; len];
    let found = file.read_at(0, &mut bytes).map_err(read)?;
    bytes.truncate(found);
    Ok(bytes)
}

fn two_logs(path: &Path, log_id: LogId, other: &Path, other_id: LogId) -> Error {
    let what = format!("importing {} and {} together", path.display(), other.display());
    Error::invalid(what, format!("they are of two logs, {log_id} and {other_id}"))
}

fn hole(name: &str, start: FrameNo, first: FrameNo) -> Error {
    let why = "no segment holds the frames before it; --db takes the checkpointed database, STORE the bucket";
    let missing = start.previous().map(|last| first..=last);
    Unreachable {
        wanted: format!("frame {start}, with which {name} begins,"),
        why: why.into(),
        missing,
        ..Unreachable::default()
    }
    .into()
}

/// The whole transactions of a file, as far as its chain of checksums holds.
fn recover<'a>(name: &str, bytes: &'a [u8], imported: &mut Imported) -> Result<LocalSegment<'a>> {
    let header = LocalHeader::parse(name, bytes)?;
    if header.is_sealed() {
        match LocalSegment::open_sealed(name, bytes) {
            Ok(segment) => return Ok(segment),
            Err(error) => imported.notes.push(format!("{error}; what is whole before that is taken")),
        }
    }
    let recovered = LocalSegment::recover(name, bytes)?;
    if recovered.missing_count > 0 {
        let count = recovered.missing_count;
        imported
            .notes
            .push(format!("{name}: {count} committed frames are lost: they do not hold, or are not there"));
    }
    if recovered.uncommitted_count > 0 {
        let count = recovered.uncommitted_count;
        imported
            .notes
            .push(format!("{name}: {count} frames of a transaction that was not committed are left out"));
    }
    Ok(recovered.segment)
}

/// Stores the transactions of a file that are behind what is replayed, each as a commit.
async fn import_file(
    name: &str,
    segment: &LocalSegment<'_>,
    replay: &mut Replay,
    target: &mut ImportTarget,
    imported: &mut Imported,
) -> Result<()> {
    let sealed_at = segment.header().sealed_at;
    let time = if sealed_at.get() > 0 { sealed_at } else { target.now() };
    let mut start = None;
    let mut commits: Vec<Commit> = Vec::new();
    let mut done = 0;
    check_repeated(name, segment, replay, target)?;
    for commit in segment.commits() {
        let frames = segment.frames().get(done..commit.frame_count).unwrap_or_default();
        done = commit.frame_count;
        if replay.at() >= Some(commit.frame_no) {
            continue;
        }
        let first = replay.next()?;
        let rows = rows(name, first, commit, frames, target);
        replay.apply(&rows)?;
        if !target.has(commit.frame_no, replay)? {
            start.get_or_insert(first);
            commits.push(target.commit(commit.frame_no, time, CommitKind::Transaction, replay));
        }
    }
    let (Some(start), Some(last)) = (start, commits.last()) else { return Ok(()) };
    if sealed_at.get() == 0 {
        imported
            .notes
            .push(format!("{name} was not sealed, so its transactions got the time of this import"));
    }
    let new = |frame: &&LocalFrame<'_>| (start..=last.frame_no).contains(&frame.frame_no);
    let mut frames: Vec<_> = segment.frames().iter().filter(new).collect();
    frames.sort_by_key(|frame| (frame.page, frame.frame_no));
    let mut writer = target.begin(start, last.frame_no, frame_count(frames.len())?, false).await?;
    for frame in frames {
        writer.push(frame.page, frame.frame_no, frame.image)?;
    }
    target.store(writer, &commits).await
}

/// The newest frame of each page among these, which are those of one transaction.
fn rows<'a>(
    name: &'a str,
    start: FrameNo,
    commit: &LocalCommit,
    frames: &[LocalFrame<'_>],
    target: &ImportTarget,
) -> Rows<'a> {
    let newest: BTreeMap<_, _> =
        frames.iter().filter(|frame| frame.frame_no >= start).map(|frame| (frame.page, frame)).collect();
    let hash =
        |frame: &LocalFrame<'_>| (frame.page, frame.frame_no, target.seed().page(frame.page, frame.image));
    Rows {
        object: name,
        start,
        end: commit.frame_no,
        size_after: commit.size_after,
        rows: newest.into_values().map(hash).collect(),
    }
}

/// Compares what a file repeats with what is replayed.
fn check_repeated(
    name: &str,
    segment: &LocalSegment<'_>,
    replay: &mut Replay,
    target: &ImportTarget,
) -> Result<()> {
    let repeated = |commit: &&LocalCommit| Some(commit.frame_no) <= replay.at();
    let Some(commit) = segment.commits().iter().rev().find(repeated) else { return Ok(()) };
    let frames = segment.frames().get(..commit.frame_count).unwrap_or_default();
    let rows = rows(name, segment.header().start, commit, frames, target);
    replay.apply(&rows)
}

impl Base {
    /// Stores the database as one commit.
    async fn import(&self, time: UnixMillis, replay: &mut Replay, target: &mut ImportTarget) -> Result<()> {
        crate::view::check_size(PAGE_SIZE, self.size, crate::view::DATABASE_BYTES_MAX)?;
        let mut hashes: Vec<(PageNo, PageHash)> = Vec::new();
        self.for_each_page(|page, image| {
            let hash = target.seed().page(page, image);
            // The first page is stored in any case, because a segment holds at least one.
            if hash != PageHash::ZERO || page == PageNo::FIRST {
                hashes.push((page, hash));
            }
            Ok(())
        })?;
        replay.begin_at(self.frame_no, self.size, &hashes);
        if target.has(self.frame_no, replay)? {
            return Ok(());
        }
        let commit = target.commit(self.frame_no, time, CommitKind::Snapshot, replay);
        let mut writer =
            target.begin(FrameNo::FIRST, self.frame_no, frame_count(hashes.len())?, true).await?;
        let mut stored = hashes.iter().peekable();
        self.for_each_page(|page, image| match stored.next_if(|(other, _)| *other == page) {
            Some((_, hash)) if target.seed().page(page, image) != *hash => {
                let what =
                    format!("{} changed while it was read; stop its server, and import again", self.name);
                Err(Error::Unavailable { what, source: None })
            }
            Some(_) => writer.push(page, self.frame_no, image).map(drop),
            None => Ok(()),
        })?;
        tracing::debug!(log = %self.log_id, frame = %self.frame_no, "imported a checkpointed database");
        target.store(writer, &[commit]).await
    }

    fn for_each_page(&self, mut each: impl FnMut(PageNo, &[u8]) -> Result<()>) -> Result<()> {
        let mut buffer = vec![0; CHUNK_PAGES * PAGE_SIZE.bytes()];
        let pages: Vec<PageNo> = (1..=self.size.get()).filter_map(PageNo::new).collect();
        for chunk in pages.chunks(CHUNK_PAGES) {
            let wanted = buffer.get_mut(..chunk.len() * PAGE_SIZE.bytes()).unwrap_or_default();
            let offset = chunk.first().map_or(0, |page| page.file_offset(PAGE_SIZE));
            let read = self.file.read_at(offset, wanted);
            let found = read.map_err(|error| Error::io(format!("read {}", self.name), error))?;
            if found != wanted.len() {
                return Err(Error::corrupt(&self.name, offset, "pages up to the footer", "a shorter file"));
            }
            for (page, image) in chunk.iter().zip(wanted.chunks_exact(PAGE_SIZE.bytes())) {
                each(*page, image)?;
            }
        }
        Ok(())
    }
}
