//! What an embedder copies into its database file: the newest durable images, and what shrinks did.

use std::collections::BTreeMap;

use bytes::Bytes;
use walkeep_core::segment::SizeFloor;
use walkeep_core::storage::Durable;
use walkeep_core::{Commit, Error, FrameNo, PageCount, PageNo, Result};

use super::image_reader::ImageReader;
use super::sealed_file::SealedFile;
use super::visible::visible_until;
use super::{Log, remove, sync_directory};

/// The newest images up to a durable commit, to be copied into the database file.
///
/// In this order, and then [`Log::checkpointed`]:
///
/// 1. cut the file to [`Checkpoint::smallest_size`], if it is larger: pages behind it were cut off on the way, and are
///    zeros unless they come again;
/// 2. write [`Checkpoint::images`];
/// 3. make the file [`Checkpoint::size`] long; 4. sync it.
///
/// It may be interrupted anywhere and begun anew: until [`Log::checkpointed`] the log has everything.
#[derive(Debug)]
pub struct Checkpoint<'a> {
    log: &'a Log,
    commit: Commit,
    smallest: PageCount,
    newest: BTreeMap<PageNo, FrameNo>,
}

impl Checkpoint<'_> {
    /// The commit that the database file is at after it.
    #[must_use]
    pub const fn commit(&self) -> &Commit {
        &self.commit
    }

    /// The smallest size on the way, in pages: what the file is cut to first.
    #[must_use]
    pub const fn smallest_size(&self) -> PageCount {
        self.smallest
    }

    /// The size of the database after it, in pages.
    #[must_use]
    pub const fn size(&self) -> PageCount {
        self.commit.size_after
    }

    /// The images, in order of pages, each checked.
    ///
    /// # Errors
    ///
    /// Each item: `Corrupt`, `Io`; `Exhausted` when there is no memory to decompress.
    pub fn images(&self) -> impl Iterator<Item = Result<(PageNo, Bytes)>> + '_ {
        let mut reader = ImageReader::new(self.log);
        let images = self.newest.iter();
        images.map(move |(page, frame)| Ok((*page, reader.image(*page, *frame)?)))
    }
}

impl Log {
    /// Tells the log how far the store has it. It never goes back.
    pub fn set_durable(&mut self, durable: Durable) {
        let further = match (self.durable, durable) {
            (Durable::Unbounded, _) | (_, Durable::Nothing) => false,
            (_, Durable::Unbounded) | (Durable::Nothing, Durable::Until(_)) => true,
            (Durable::Until(before), Durable::Until(now)) => now > before,
        };
        if further {
            self.durable = durable;
        }
    }

    /// What can be copied into the database file: everything up to the newest durable commit that is here and on disk.
    /// `None` when there is none. Where durable is unbounded, [`Log::sync`] or seal first to have all.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Checkpoint<'_>> {
        // The database file must not be ahead of the log, also if the log loses what was not synced.
        let unsynced = self.unsynced_since.is_some() || self.poisoned.is_some();
        let sealed = self.sealed.last().map(SealedFile::end);
        let durable = |commit: &&Commit| {
            self.durable.covers(commit.frame_no) && (!unsynced || Some(commit.frame_no) <= sealed)
        };
        let commits = self.local_commits().take_while(durable).copied().collect::<Vec<_>>();
        let commit = *commits.last()?;
        let smallest = SizeFloor::new(&commits).overall();
        let newest = visible_until(&self.sealed, &self.current, commit.frame_no);
        Some(Checkpoint { log: self, commit, smallest, newest })
    }

    /// Tells the log that the database file holds everything up to this commit, and is synced. Sealed files with
    /// nothing newer are removed.
    ///
    /// # Errors
    ///
    /// `Invalid` for a frame that is not durable; `Io` when files could not be removed, `Unknown` when their removal could
    /// not be synced: they are removed by a later call, or come back and do no harm.
    pub fn checkpointed(&mut self, frame_no: FrameNo) -> Result<()> {
        if !self.durable.covers(frame_no) {
            let why = "a database is checkpointed no further than its log is durable";
            return Err(Error::invalid(format!("a checkpoint up to frame {frame_no}"), why));
        }
        let at = self.local_commits().rfind(|commit| commit.frame_no <= frame_no).copied();
        let covered = self.sealed.partition_point(|file| file.end() <= frame_no);
        let mut removed = 0_usize;
        let mut outcome = Ok(());
        for file in self.sealed.iter().take(covered) {
            outcome = remove(&*self.directory, file.name());
            if outcome.is_err() {
                break;
            }
            removed += 1;
        }
        if let Some(newest) = removed.checked_sub(1).and_then(|at| self.sealed.get(at)) {
            let end = newest.end();
            self.newest.retain(|_, frame| *frame > end);
        }
        self.sealed.drain(..removed);
        if let Some(at) = at {
            let later = self.local_commits().filter(|commit| commit.frame_no > at.frame_no);
            let smallest = later.map(|commit| commit.size_after).min();
            self.in_file = smallest.map_or(at.size_after, |smallest| smallest.min(at.size_after));
        }
        outcome?;
        if removed > 0 { sync_directory(&*self.directory) } else { Ok(()) }
    }
}
