//! A transaction that is being written: page images in memory, and what savepoints need to undo them.
//!
//! Invariant: nothing of a transaction reaches the disk before it commits, and then each page once, with its last
//! image, the commit on the last frame. So a page that was rewritten or rolled back leaves no trace in the log.

use std::collections::BTreeMap;

use bytes::Bytes;
use walkeep_core::{Commit, CommitKind, Error, PageCount, PageNo, Result};

use super::Log;

/// A point in a transaction to which it can be rolled back.
#[derive(Debug, PartialEq, Eq)]
pub struct Savepoint(u64);

/// What pages were before they were written behind a savepoint; `None` where the transaction had no image.
#[derive(Debug)]
struct Undo {
    id: u64,
    before: BTreeMap<PageNo, Option<Bytes>>,
}

/// A transaction that is being written. Dropping it rolls it back.
///
/// Its images are held in memory until it commits.
#[derive(Debug)]
pub struct Transaction<'a> {
    log: &'a mut Log,
    pages: BTreeMap<PageNo, Bytes>,
    savepoints: Vec<Undo>,
}

impl<'a> Transaction<'a> {
    pub(super) const fn new(log: &'a mut Log) -> Self {
        Self { log, pages: BTreeMap::new(), savepoints: Vec::new() }
    }

    /// Writes a page: its whole image. A page written twice has the last image.
    ///
    /// # Errors
    ///
    /// `Invalid` when the image is not a page long.
    pub fn write(&mut self, page: PageNo, image: impl Into<Bytes>) -> Result<()> {
        let image = image.into();
        let len = self.log.page_size().bytes();
        if image.len() != len {
            let what = format!("an image of {} bytes for page {page}", image.len());
            return Err(Error::invalid(what, format!("a page has {len} bytes")));
        }
        let before = self.pages.insert(page, image);
        if let Some(undo) = self.savepoints.last_mut() {
            undo.before.entry(page).or_insert(before);
        }
        Ok(())
    }

    /// A page as this transaction sees it; `None` when it is what the database file has.
    ///
    /// # Errors
    ///
    /// `Corrupt`, `Io`.
    pub fn read(&self, page: PageNo) -> Result<Option<Bytes>> {
        match self.pages.get(&page) {
            Some(image) => Ok(Some(image.clone())),
            None => self.log.read(page),
        }
    }

    /// Marks this point. Savepoints nest.
    pub fn savepoint(&mut self) -> Savepoint {
        let id = self.log.next_savepoint();
        self.savepoints.push(Undo { id, before: BTreeMap::new() });
        Savepoint(id)
    }

    /// Undoes what was written since this savepoint, which stays. Those behind it are gone.
    ///
    /// # Errors
    ///
    /// `Invalid` for one that is not of this transaction, or was released or rolled back over.
    pub fn rollback_to(&mut self, savepoint: &Savepoint) -> Result<()> {
        let place = self.place(savepoint)?;
        for undo in self.savepoints.drain(place..).rev() {
            for (page, before) in undo.before {
                match before {
                    Some(image) => self.pages.insert(page, image),
                    None => self.pages.remove(&page),
                };
            }
        }
        self.savepoints.push(Undo { id: savepoint.0, before: BTreeMap::new() });
        Ok(())
    }

    /// Forgets this savepoint and those behind it. What was written stays part of the transaction.
    ///
    /// # Errors
    ///
    /// `Invalid` for one that is not of this transaction, or was released or rolled back over.
    pub fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        let place = self.place(&savepoint)?;
        let released = self.savepoints.split_off(place);
        if let Some(outer) = self.savepoints.last_mut() {
            for (page, before) in released.into_iter().flat_map(|undo| undo.before) {
                // The oldest image is the one to go back to.
                outer.before.entry(page).or_insert(before);
            }
        }
        Ok(())
    }

    /// Commits: what was written, and then this size. `None` when nothing was written and the size stays: nothing
    /// was recorded. Pages behind the size are not part of the database and not recorded.
    ///
    /// # Errors
    ///
    /// `Exhausted` when the disk, the frames or the database are full: it was not committed, and the log goes on.
    /// `Unknown` when a write or a sync failed: it may or may not be found when the log is opened again, and until
    /// then the log takes nothing more.
    pub fn commit(self, size_after: PageCount) -> Result<Option<Commit>> {
        self.commit_as(size_after, CommitKind::Transaction)
    }

    /// As [`Transaction::commit`], saying what is known about the time before it.
    ///
    /// # Errors
    ///
    /// As [`Transaction::commit`].
    pub fn commit_as(self, size_after: PageCount, kind: CommitKind) -> Result<Option<Commit>> {
        self.log.append(self.pages, size_after, kind)
    }

    fn place(&self, savepoint: &Savepoint) -> Result<usize> {
        let place = self.savepoints.iter().position(|undo| undo.id == savepoint.0);
        place.ok_or_else(|| {
            let why = "it is not of this transaction, or was released or rolled back over";
            Error::invalid(format!("savepoint {}", savepoint.0), why)
        })
    }
}
