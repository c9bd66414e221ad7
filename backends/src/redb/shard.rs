//! One shard: a redb database, and what becomes of it after a failure.
//!
//! Invariants:
//!
//! - a write is one commit, durable when it returns;
//! - after a failed sync the shard refuses everything until the set is opened anew: what it would read may be lost;
//! - after any other failure of the disk, or a panic over damaged pages, the database is closed and opened again at the
//!   next use, which finds what is durable.

use std::io;
use std::sync::{Arc, PoisonError, RwLock, TryLockError};

use redb::backends::InMemoryBackend;
use redb::{ReadTransaction, WriteTransaction};
use walkeep_core::shards::ShardNo;
use walkeep_core::{Error, Result};

use super::failure::{Failure, Step};
use super::identity;
use super::open_shard::{OpenShard, Rows, database, guarded};
use super::place::Place;
use super::recent::{Change, Recent};
use super::shard_file::Watch;

/// How many rows may wait in a shard in memory.
const ROWS_WAITING_IN_MEMORY: usize = 1024;

#[derive(Debug)]
enum State {
    Open(Box<OpenShard>),
    /// To be opened again at the next use.
    Closed,
    /// Refuses everything, for this reason.
    Refusing(String),
}

/// What has to become of the database after a failure.
enum Then {
    GoOn,
    OpenAgain,
    Refuse,
}

struct Trouble {
    error: Error,
    then: Then,
}

/// One database of a set. Its calls block, and must not be made from within one another.
#[derive(Debug)]
pub struct Shard {
    no: ShardNo,
    label: String,
    /// `None` in memory.
    place: Option<Place>,
    state: RwLock<State>,
}

impl Shard {
    fn new(no: ShardNo, label: String, place: Option<Place>, open: OpenShard) -> Self {
        Self { no, label, place, state: RwLock::new(State::Open(Box::new(open))) }
    }

    /// Creates the file of a new shard, which is not there. Its name is not durable yet.
    pub(super) fn create(no: ShardNo, place: Place) -> Result<Self> {
        let file = place.directory.create_new(&place.path);
        let file = file.map_err(|error| Error::io(format!("create {}", place.label), error))?;
        let open = place.open_file(file)?;
        let begun = guarded(|| open.write(|transaction| identity::write(transaction, &place.layout, no)));
        begun.map_err(|failure| failure.into_error(&format!("create {}", place.label)))?;
        Ok(Self::new(no, place.label.clone(), Some(place), open))
    }

    /// Opens a shard that is there.
    pub(super) fn open(no: ShardNo, place: Place) -> Result<Self> {
        let open = place.open_again(no)?;
        Ok(Self::new(no, place.label.clone(), Some(place), open))
    }

    /// A shard in memory.
    pub(super) fn in_memory(no: ShardNo, label: String, cache_bytes: usize) -> Result<Self> {
        let database = database(&label, cache_bytes, false, InMemoryBackend::new())?;
        let open = OpenShard::new(database, Arc::default(), ROWS_WAITING_IN_MEMORY);
        Ok(Self::new(no, label, None, open))
    }

    /// Its number.
    #[must_use]
    pub const fn no(&self) -> ShardNo {
        self.no
    }

    /// Reads, from one state of the shard.
    ///
    /// # Errors
    ///
    /// Those of `work`; `Corrupt` when the file is damaged; `Io`, `Exhausted`; `Io` also after a sync failed.
    pub fn read<T>(&self, work: impl FnOnce(&ReadTransaction) -> Step<T>) -> Result<T> {
        self.with_open("read", |open| work(&open.begin_read()?))
    }

    /// Changes the shard, all of it or nothing, durably: one commit.
    ///
    /// # Errors
    ///
    /// Those of `work`, after which nothing has changed. `Unknown` when the commit may or may not be durable. `Exhausted`
    /// when the disk is full, `Io`, `Corrupt`: nothing has changed.
    pub fn write<T>(&self, work: impl FnOnce(&WriteTransaction) -> Step<T>) -> Result<T> {
        self.with_open("write", |open| open.write(work))
    }

    /// Reads rows: `recent` sees those that are not in the table yet, and `work` what it took of them and the tables, which are as
    /// new or newer. What both have is the same.
    ///
    /// # Errors
    ///
    /// As [`Shard::read`].
    pub(super) fn read_rows<R, T>(
        &self,
        recent: impl FnOnce(&Recent) -> R,
        work: impl FnOnce(&ReadTransaction, R) -> Step<T>,
    ) -> Result<T> {
        self.with_open("read", |open| open.read_rows(recent, work))
    }

    /// Whether it is known, without a read and without waiting for who has the whole database, that an object would come before all that are
    /// directly in its directory.
    pub(super) fn leads(&self, path: &str) -> bool {
        let state = match self.state.try_read() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(state)) => state.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        matches!(&*state, State::Open(open) if open.fronts().leads(path))
    }

    /// As [`Shard::write`], of a store: rows that are not in the table yet follow the commit.
    ///
    /// # Errors
    ///
    /// As [`Shard::write`].
    pub(super) fn write_rows<T>(
        &self,
        work: impl FnOnce(&WriteTransaction, Rows<'_>) -> Step<(T, Change)>,
    ) -> Result<T> {
        self.with_open("write", |open| open.write_rows(work))
    }

    /// How many rows may wait.
    pub(super) fn rows_waiting_max(&self) -> usize {
        self.place.as_ref().map_or(ROWS_WAITING_IN_MEMORY, |place| place.rows_waiting)
    }

    /// Gives the space that is not needed any more back to the file system. Everybody else waits meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Shard::write`].
    pub fn compact(&self) -> Result<bool> {
        self.alone("compact", |open| Ok(open.database_mut()?.compact()?), |_| false)
    }

    /// How long its file is; 0 in memory.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn bytes(&self) -> Result<u64> {
        let Some(place) = &self.place else { return Ok(0) };
        let found = place.directory.metadata(&place.path);
        let found = found.map_err(|error| Error::io(format!("look at {}", place.label), error))?;
        Ok(found.map_or(0, |found| found.len))
    }

    /// Checks every page. Everybody else waits meanwhile.
    ///
    /// # Errors
    ///
    /// `Corrupt` when a page is damaged; otherwise as [`Shard::write`].
    pub fn check(&self) -> Result<()> {
        let check = |open: &mut OpenShard| Ok(open.database_mut()?.check_integrity()?);
        // It may have gone back to an older commit, which what is in memory does not know.
        if self.alone("check", check, |sound| !sound)? {
            return Ok(());
        }
        Err(Error::corrupt(&self.label, 0, "pages with the checksums that stand beside them", "others"))
    }

    /// Does something that takes the whole database, and if `outdates` says so of what came of it, does not use what was known before.
    fn alone<T>(
        &self,
        verb: &str,
        work: impl FnOnce(&mut OpenShard) -> Step<T>,
        outdates: impl FnOnce(&T) -> bool,
    ) -> Result<T> {
        self.ensure_open()?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let State::Open(open) = &mut *state else { return Err(self.closed(verb)) };
        match guarded(|| work(open)) {
            Ok(done) => {
                if outdates(&done) {
                    open.fronts().clear();
                    if self.place.is_some() {
                        *state = State::Closed;
                    }
                }
                Ok(done)
            }
            Err(failure) => {
                let trouble = self.trouble(verb, open.watch(), failure);
                self.settle(&mut state, &trouble);
                Err(trouble.error)
            }
        }
    }

    fn with_open<T>(&self, verb: &str, work: impl FnOnce(&OpenShard) -> Step<T>) -> Result<T> {
        self.ensure_open()?;
        let (watch, trouble) = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            let State::Open(open) = &*state else { return Err(self.closed(verb)) };
            match guarded(|| work(open)) {
                Ok(done) => return Ok(done),
                Err(failure) => (Arc::clone(open.watch()), self.trouble(verb, open.watch(), failure)),
            }
        };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have opened it again meanwhile.
        if matches!(&*state, State::Open(open) if Arc::ptr_eq(open.watch(), &watch)) {
            self.settle(&mut state, &trouble);
        }
        Err(trouble.error)
    }

    fn closed(&self, verb: &str) -> Error {
        Error::io(
            format!("{verb} {}", self.label),
            io::Error::other("it failed at the same moment; try again"),
        )
    }

    /// Opens the database again where a failure closed it.
    fn ensure_open(&self) -> Result<()> {
        if matches!(&*self.state.read().unwrap_or_else(PoisonError::into_inner), State::Open(_)) {
            return Ok(());
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match (&*state, &self.place) {
            (State::Open(_), _) => Ok(()),
            (State::Refusing(why), _) => Err(Error::io(&self.label, io::Error::other(why.clone()))),
            (State::Closed, Some(place)) => {
                *state = State::Open(Box::new(place.open_again(self.no)?));
                Ok(())
            }
            (State::Closed, None) => Err(Error::io(&self.label, io::Error::other("it is gone"))),
        }
    }

    /// What a failure means, to the caller and to the database.
    fn trouble(&self, verb: &str, watch: &Watch, failure: Failure) -> Trouble {
        let what = format!("{verb} {}", self.label);
        let harmless = failure.is_harmless();
        let in_commit = matches!(failure, Failure::Commit(_));
        let error = failure.into_error(&what);
        if watch.sync_failed() {
            let unknown = format!("{what}: a sync failed ({error}), so that it may or may not stay");
            return Trouble { error: Error::Unknown { what: unknown }, then: Then::Refuse };
        }
        if harmless {
            return Trouble { error, then: Then::GoOn };
        }
        let error = if in_commit && watch.header_written() {
            Error::Unknown {
                what: format!("{what}: the commit failed at its end ({error}); read to find out"),
            }
        } else {
            error
        };
        Trouble { error, then: if self.place.is_some() { Then::OpenAgain } else { Then::GoOn } }
    }

    fn settle(&self, state: &mut State, trouble: &Trouble) {
        *state = match trouble.then {
            Then::GoOn => return,
            Then::OpenAgain => {
                tracing::warn!(shard = self.label, error = %trouble.error, "a shard failed and is opened again");
                State::Closed
            }
            Then::Refuse => {
                tracing::error!(shard = self.label, error = %trouble.error, "a sync failed: a shard is closed");
                State::Refusing(
                    "an earlier sync failed, so that it is closed; open the set of shards anew".into(),
                )
            }
        };
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let (State::Open(open), Some(place)) = (&mut *state, &self.place) else { return };
        if !open.has_rows_waiting() {
            return;
        }
        let written = guarded(|| open.write_all_rows(place.layout.version));
        if let Err(failure) = written {
            let error = failure.into_error(&format!("write the rows of {}", self.label));
            tracing::warn!(%error, "a shard was not closed in order; the next opening reads its rows back");
        }
    }
}
