//! Opening a log: what was left is sealed, and a new current file begun.
//!
//! A current file that a process left is never appended to: it is sealed, and so copied to new files that are synced. Of
//! what a failed sync covered the system may hold pages for written that are not.

use std::sync::Arc;

use walkeep_core::current_segment::CurrentHeader;
use walkeep_core::storage::Durable;
use walkeep_core::{Commit, Directory, Error, FrameNo, LogHead, PageHashTable, Result, UnixMillis};

use super::current_file::CurrentFile;
use super::file_name::{FileKind, FileName};
use super::opened::{Opened, Recovered};
use super::options::LogOptions;
use super::recovery::{Recovery, Refusal, Run};
use super::seal::Sealing;
use super::sealed_file::SealedFile;
use super::visible::visible_until;
use super::{Log, remove, sync_directory};
use crate::Handles;

impl Log {
    /// Opens the log in a directory of its own, which exists, or begins one.
    ///
    /// `head` is what opening the namespace gave. `base` are the hashes of the pages of the database file as it is now.
    /// They are needed for the state checksums; a checkpoint that was interrupted does no harm. For a new namespace the
    /// database is empty. The size of pages cannot change.
    ///
    /// What was committed before and not sealed is sealed. Hand what [`Log::sealed`] lists to the storage.
    ///
    /// # Errors
    ///
    /// `Corrupt` when files are damaged or missing; `Invalid` when `base` or `head` are not of this log; `Exhausted` when
    /// the disk is full; `Unknown` when a sync failed; `Io`. Nothing is lost: the call can be repeated.
    pub fn open(
        directory: Arc<dyn Directory>,
        head: &LogHead,
        base: PageHashTable,
        options: LogOptions,
        handles: &Handles,
    ) -> Result<Opened> {
        options.check()?;
        if base.seed() != head.hash_seed {
            return Err(Error::invalid("hashes of another seed", "take the seed of the log's head"));
        }
        match Recovery::load(&*directory, head, base, &options) {
            Ok(recovery) => start(recovery, directory, head, options, handles),
            Err(Refusal::Stale(stale)) => Ok(Opened::Stale(stale)),
            Err(Refusal::Failed(error)) => Err(error),
        }
    }
}

fn start(
    recovery: Recovery,
    directory: Arc<dyn Directory>,
    head: &LogHead,
    options: LogOptions,
    handles: &Handles,
) -> Result<Opened> {
    let last = recovery.last().copied().or(head.durable);
    let Recovery { runs, obsolete, cut_bytes, table, file_size } = recovery;
    let (files, random) = (&*directory, &*handles.random);
    let header = header_after(head, last.as_ref(), &table)?;
    // Before space is needed: what was never finished may be in the way.
    let (unfinished, obsolete): (Vec<_>, Vec<_>) =
        obsolete.into_iter().partition(|name| name.kind == FileKind::Temporary);
    for name in unfinished {
        remove(files, name)?;
    }
    let sealing = Sealing { directory: files, random, head, compression: options.compression };
    let (sealed, obsolete) = seal_runs(&sealing, runs, obsolete)?;
    let mut current = CurrentFile::create(files, header, random)?;
    current.publish(files)?;
    for name in obsolete {
        remove(files, name)?;
    }
    // Also for names that an earlier process made and did not live to sync.
    sync_directory(files)?;

    let smallest = sealed.iter().flat_map(SealedFile::commits).map(|commit| commit.size_after).min();
    let in_file = smallest.map_or(file_size, |smallest| smallest.min(file_size));
    let newest = last.map(|last| visible_until(&sealed, &current, last.frame_no)).unwrap_or_default();
    let durable = head.durable.map_or(0, |durable| durable.frame_no.get());
    let frames_not_durable = last.map_or(0, |last| last.frame_no.get() - durable);
    let log = Log {
        directory,
        handles: handles.clone(),
        options,
        head: *head,
        table,
        sealed,
        current,
        newest,
        in_file,
        last,
        durable: match head.durable {
            _ if head.unbounded => Durable::Unbounded,
            None => Durable::Nothing,
            Some(durable) => Durable::Until(durable.frame_no),
        },
        unsynced_since: None,
        unsealed_since: UnixMillis(0),
        savepoints: 0,
        poisoned: None,
    };
    Ok(Opened::Ready(Box::new(log), Recovered { last, frames_not_durable, cut_bytes }))
}

/// Seals the current files among the runs, and makes all that are not durable segments of this epoch. Their names are
/// durable before the files that they replace are removed.
fn seal_runs(
    sealing: &Sealing<'_>,
    runs: Vec<Run>,
    mut obsolete: Vec<FileName>,
) -> Result<(Vec<SealedFile>, Vec<FileName>)> {
    let durable = sealing.head.durable.map_or(0, |durable| durable.frame_no.get());
    let mut sealed = Vec::new();
    let mut fresh = false;
    for run in runs {
        let current = match run {
            Run::Sealed(file) => {
                sealed.push(*file);
                continue;
            }
            Run::Current(current) => current,
        };
        // The durable frame may lie inside it, if a sealed file was lost: segments to be stored begin behind it.
        let parts = current.commits().partition_point(|commit| commit.frame_no.get() <= durable);
        let (before, behind) = current.commits().split_at_checked(parts).unwrap_or_default();
        let mut start = current.header().start;
        for commits in [before, behind] {
            let Some(last) = commits.last() else { continue };
            let mut file = sealing.seal(&current, start, commits)?;
            file.publish(sealing.directory)?;
            sealed.push(file);
            fresh = true;
            start = last.frame_no.next().unwrap_or(FrameNo::MAX);
        }
        obsolete.push(current.name());
    }
    if fresh {
        sync_directory(sealing.directory)?;
    }
    for file in sealed.iter_mut().filter(|file| file.end().get() > durable) {
        if file.start().get() <= durable {
            let (name, head) = (file.name(), sealing.head.epoch);
            let why = format!(
                "frame {durable}, where the store ends, lies inside it, which this log never stored: discard it, and restore the database"
            );
            return Err(Error::invalid(format!("{name} for epoch {head}"), why));
        }
        file.restamp(sealing.head.epoch)?;
    }
    Ok((sealed, obsolete))
}

/// The header of the current file behind the last commit.
pub(super) fn header_after(
    head: &LogHead,
    last: Option<&Commit>,
    table: &PageHashTable,
) -> Result<CurrentHeader> {
    let next = last.map_or(Some(FrameNo::FIRST), |last| last.frame_no.next());
    Ok(CurrentHeader {
        page_size: head.page_size,
        log_id: head.log_id,
        start: next.ok_or_else(|| Error::Exhausted { what: "all frames are used".into() })?,
        salt: 0,
        state_before: table.state(),
        size_before: table.size(),
    })
}
