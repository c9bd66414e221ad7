//! What is left of a log, and whether it goes on.
//!
//! Nothing is changed here: files are read, and those that count are chosen.
//!
//! Which files there can be follows from the order of steps when a segment is sealed (see [`super::seal`] and
//! [`Log::seal`](super::Log::seal)): sealed file, sync of the directory, next current file and removal of the old one,
//! sync. A removal may be undone by a power loss at any time before that last sync, and so may those of a checkpoint.
//!
//! - Of several files with one start the longest counts: they hold the same frames as far as each goes.
//! - Files count as far back from the newest as they join. Older ones are leftovers of a removal, if everything up to
//!   the hole is durable; else the hole is damage.

use walkeep_core::{
    Commit, Directory, Error, FrameNo, LogHead, LogId, PageCount, PageHash, PageHashTable, PageNo, PageSize,
    Result,
};

use super::current_file::CurrentFile;
use super::file_name::{FileKind, FileName};
use super::opened::Stale;
use super::options::LogOptions;
use super::sealed_file::SealedFile;
use crate::view::check_size;

/// One file of frames that count.
#[derive(Debug)]
pub(super) enum Run {
    Sealed(Box<SealedFile>),
    Current(CurrentFile),
}

impl Run {
    pub(super) const fn name(&self) -> FileName {
        match self {
            Self::Sealed(file) => file.name(),
            Self::Current(file) => file.name(),
        }
    }

    pub(super) const fn start(&self) -> FrameNo {
        self.name().start
    }

    pub(super) fn commits(&self) -> &[Commit] {
        match self {
            Self::Sealed(file) => file.commits(),
            Self::Current(file) => file.commits(),
        }
    }

    /// The number of the frame behind its last one.
    fn next(&self) -> u64 {
        self.commits().last().map_or(self.start().get(), |commit| commit.frame_no.get().saturating_add(1))
    }

    fn rows(&self) -> Vec<(PageNo, PageHash)> {
        match self {
            Self::Sealed(file) => file.rows(),
            Self::Current(file) => file.rows().iter().map(|row| (row.page, row.hash)).collect(),
        }
    }

    fn identity(&self) -> (LogId, PageSize) {
        match self {
            Self::Sealed(file) => {
                (file.index().footer().header.log_id, file.index().footer().header.page_size)
            }
            Self::Current(file) => (file.header().log_id, file.header().page_size),
        }
    }
}

/// Why a log does not go on.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is not what the store has: it is to be discarded.
    Stale(Stale),
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A local log that goes on.
#[derive(Debug)]
pub(super) struct Recovery {
    /// Files that join, oldest first.
    pub(super) runs: Vec<Run>,
    /// Files that count for nothing.
    pub(super) obsolete: Vec<FileName>,
    /// How many bytes of unfinished transactions there were.
    pub(super) cut_bytes: u64,
    /// The database after the last local commit.
    pub(super) table: PageHashTable,
    /// How long the database file is.
    pub(super) file_size: PageCount,
}

impl Recovery {
    /// Reads what is there, and checks that it goes on where the store ends.
    pub(super) fn load(
        directory: &dyn Directory,
        head: &LogHead,
        base: PageHashTable,
        options: &LogOptions,
    ) -> Result<Self, Refusal> {
        let (runs, mut obsolete, cut_bytes) = read_files(directory, head)?;
        let (runs, leftovers) = choose(runs, head.durable.map_or(0, |durable| durable.frame_no.get()))?;
        obsolete.extend(leftovers);
        check_head(&runs, head, &base)?;
        let file_size = base.size();
        let table = replay(&runs, head, base, options)?;
        Ok(Self { runs, obsolete, cut_bytes, table, file_size })
    }

    /// The last local commit.
    pub(super) fn last(&self) -> Option<&Commit> {
        last_of(&self.runs)
    }
}

fn last_of(runs: &[Run]) -> Option<&Commit> {
    runs.iter().rev().find_map(|run| run.commits().last())
}

type Files = (Vec<Run>, Vec<FileName>, u64);

fn read_files(directory: &dyn Directory, head: &LogHead) -> Result<Files, Refusal> {
    let (mut runs, mut obsolete, mut cut_bytes) = (Vec::new(), Vec::new(), 0);
    for name in FileName::list(directory)? {
        let run = match name.kind {
            FileKind::Temporary => None,
            FileKind::Sealed => Some(Run::Sealed(SealedFile::open(directory, name)?.into())),
            FileKind::Current => {
                CurrentFile::recover(directory, name, head.hash_seed)?.map(|(current, cut)| {
                    cut_bytes += cut;
                    Run::Current(current)
                })
            }
        };
        let Some(run) = run else {
            obsolete.push(name);
            continue;
        };
        let (log_id, page_size) = run.identity();
        if (log_id, page_size) != (head.log_id, head.page_size) {
            let why = format!(
                "{name} is of log {log_id} with pages of {page_size} bytes, the store's is {} with {}",
                head.log_id, head.page_size
            );
            let why =
                format!("{why}: check which store it is, or keep the directory aside and begin with another");
            return Err(Error::invalid("a local log", why).into());
        }
        if let Run::Sealed(file) = &run {
            let epoch = file.index().footer().header.epoch;
            if epoch > head.epoch {
                let why = format!("epoch {} was given up for {epoch}: open the namespace again", head.epoch);
                return Err(Error::invalid(format!("a log whose {name} is of epoch {epoch}"), why).into());
            }
        }
        runs.push(run);
    }
    Ok((runs, obsolete, cut_bytes))
}

/// The files that count, oldest first, and the names of the others.
fn choose(mut runs: Vec<Run>, durable: u64) -> Result<(Vec<Run>, Vec<FileName>)> {
    // Of two of one length the current one: the sync of the sealed one's name may have failed.
    runs.sort_by_key(|run| (run.start(), run.next(), matches!(run, Run::Current(_))));
    let (mut chosen, mut leftovers) = (Vec::<Run>::new(), Vec::new());
    for run in runs.into_iter().rev() {
        let Some(newer) = chosen.last() else {
            chosen.push(run);
            continue;
        };
        let start = newer.start();
        if run.start() == start || start.get() - 1 <= durable && run.next() != start.get() {
            leftovers.push(run.name());
        } else if run.next() == start.get() {
            chosen.push(run);
        } else {
            return Err(missing(newer.name(), run.next(), start.get() - 1));
        }
    }
    chosen.reverse();
    Ok((chosen, leftovers))
}

fn missing(object: FileName, first: u64, last: u64) -> Error {
    let expected = format!("a file that ends before it, with frames {first} to {last}");
    Error::corrupt(object, 0, expected, "none")
}

/// Whether the local log goes on where the store ends (`docs/protocol.md`, "Open", 5).
fn check_head(runs: &[Run], head: &LogHead, base: &PageHashTable) -> Result<(), Refusal> {
    let durable = head.durable.map_or(0, |durable| durable.frame_no.get());
    let Some(first) = runs.first() else {
        return check_base(runs, head, base);
    };
    // Where nothing is stored, what is before is in the database file, and the end of the replay tells whether it is.
    if first.start().get() > durable + 1 && !head.unbounded {
        return Err(missing(first.name(), durable + 1, first.start().get() - 1).into());
    }
    if first.start().get() == durable + 1 {
        check_base(runs, head, base)?;
    } else if let Some(durable) = head.durable {
        let mut commits = runs.iter().flat_map(Run::commits);
        let commit = commits.find(|commit| commit.frame_no >= durable.frame_no);
        let Some(commit) = commit else {
            let last = last_of(runs).map_or(0, |commit| commit.frame_no.get());
            let why = format!("it ends with frame {last}, the store has {}", durable.frame_no);
            return Err(stale(head, runs, why));
        };
        let same = commit.frame_no == durable.frame_no
            && commit.size_after == durable.size_after
            && durable.state.is_none_or(|state| commit.state == Some(state));
        if !same {
            let why = format!("at frame {} it has another database than the store", durable.frame_no);
            return Err(stale(head, runs, why));
        }
    }
    let mut commits = runs.iter().flat_map(Run::commits);
    let early = commits.find(|commit| commit.frame_no.get() > durable && commit.time < head.time_floor);
    if let Some(early) = early {
        let (frame, time, floor) = (early.frame_no, early.time, head.time_floor);
        return Err(stale(head, runs, format!("frame {frame} of {time} is before the store's {floor}")));
    }
    check_joints(runs, head)
}

/// Nothing local is at or before the durable frame: the database file must be what the store has there.
fn check_base(runs: &[Run], head: &LogHead, base: &PageHashTable) -> Result<(), Refusal> {
    let Some(durable) = head.durable else {
        if base.size() > PageCount(0) && last_of(runs).is_none() && !head.unbounded {
            let what = format!("a database of {} pages under a log that is empty", base.size());
            let why = "begin with an empty database, and write its pages in the first transaction";
            return Err(Error::invalid(what, why).into());
        }
        return Ok(());
    };
    let same = base.size() == durable.size_after && durable.state.is_none_or(|state| base.state() == state);
    if same { Ok(()) } else { Err(stale(head, runs, not_at(durable.frame_no))) }
}

/// Each current file says what it follows.
fn check_joints(runs: &[Run], head: &LogHead) -> Result<(), Refusal> {
    for (at, run) in runs.iter().enumerate() {
        let Run::Current(current) = run else { continue };
        let older = runs.get(..at).and_then(last_of).copied();
        let before = older.or(head.durable).filter(|c| c.frame_no.get() + 1 == current.header().start.get());
        let header = current.header();
        let joins = before.is_none_or(|before| {
            before.size_after == header.size_before
                && before.state.is_none_or(|state| state == header.state_before)
        });
        if !joins {
            let expected = format!("the state after the frame before {}", header.start);
            return Err(Error::corrupt(current.name(), 48, expected, header.state_before).into());
        }
    }
    Ok(())
}

/// The database after the last local commit. The file may hold some newer images than its size and the log's begin
/// suggest (a checkpoint that was interrupted), all of which the log has too: so only the end can be checked.
fn replay(
    runs: &[Run],
    head: &LogHead,
    mut table: PageHashTable,
    options: &LogOptions,
) -> Result<PageHashTable, Refusal> {
    let mut pages = Vec::new();
    for run in runs {
        let mut rows = run.rows().into_iter();
        let mut next = run.start().get();
        for commit in run.commits() {
            check_size(head.page_size, commit.size_after, options.database_bytes_max)?;
            let count = usize::try_from(commit.frame_no.get() + 1 - next).unwrap_or(usize::MAX);
            pages.clear();
            pages.extend(rows.by_ref().take(count));
            table.apply(commit.size_after, &pages);
            next = commit.frame_no.get() + 1;
        }
    }
    match last_of(runs) {
        Some(last) if last.state != Some(table.state()) => Err(stale(head, runs, not_at(last.frame_no))),
        _ => Ok(table),
    }
}

fn not_at(frame: FrameNo) -> String {
    format!("the database file together with it is not the database of frame {frame}")
}

fn stale(head: &LogHead, runs: &[Run], why: String) -> Refusal {
    Refusal::Stale(Stale { why, local: last_of(runs).copied(), durable: head.durable })
}
