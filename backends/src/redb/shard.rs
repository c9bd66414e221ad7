//! One shard: a redb database, and what becomes of it after a failure.
//!
//! Invariants:
//!
//! - a write is one commit, durable when it returns;
//! - after a failed sync the shard refuses everything until the set is opened anew: what it would read may be lost;
//! - after any other failure of the disk, or a panic over damaged pages, the database is closed and opened again at the
//!   next use, which finds what is durable.

use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use redb::backends::InMemoryBackend;
use redb::{Builder, Database, ReadTransaction, ReadableDatabase, StorageBackend, WriteTransaction};
use walkeep_core::shards::{ShardLayout, ShardNo};
use walkeep_core::{Directory, Error, File, Result};

use super::failure::{Failure, Step};
use super::identity;
use super::shard_file::{ShardFile, Watch};

/// How the name of a mark ends: `shard-000.suspect`.
const MARK: &str = "suspect";

/// Where a shard is, and how it is opened.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) path: PathBuf,
    /// What it is called in messages.
    pub(super) label: String,
    pub(super) layout: ShardLayout,
    pub(super) cache_bytes: usize,
    pub(super) check: bool,
}

#[derive(Debug)]
struct Open {
    database: Guarded,
    watch: Arc<Watch>,
}

/// A database that may be damaged, so that also closing it may panic.
#[derive(Debug)]
struct Guarded(Option<Database>);

impl Guarded {
    fn get(&self) -> Step<&Database> {
        Ok(self.0.as_ref().ok_or(redb::Error::DatabaseClosed)?)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let database = self.0.take();
        let closed = guarded(|| {
            drop(database);
            Ok(())
        });
        if let Err(failure) = closed {
            let error = failure.into_error("close a shard");
            tracing::warn!(%error, "a shard was not closed in order; it is looked through when it is opened");
        }
    }
}

#[derive(Debug)]
enum State {
    Open(Open),
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
    /// Creates the file of a new shard, which is not there. Its name is not durable yet.
    pub(super) fn create(no: ShardNo, place: Place) -> Result<Self> {
        let file = place.directory.create_new(&place.path);
        let file = file.map_err(|error| Error::io(format!("create {}", place.label), error))?;
        let open = place.open_file(file)?;
        let begun = guarded(|| {
            let transaction = open.database.get()?.begin_write()?;
            identity::write(&transaction, &place.layout, no)?;
            Ok(transaction.commit()?)
        });
        begun.map_err(|failure| failure.into_error(&format!("create {}", place.label)))?;
        Ok(Self { no, label: place.label.clone(), place: Some(place), state: RwLock::new(State::Open(open)) })
    }

    /// Opens a shard that is there.
    pub(super) fn open(no: ShardNo, place: Place) -> Result<Self> {
        let open = place.open_again(no)?;
        Ok(Self { no, label: place.label.clone(), place: Some(place), state: RwLock::new(State::Open(open)) })
    }

    /// A shard in memory.
    pub(super) fn in_memory(no: ShardNo, label: String, cache_bytes: usize) -> Result<Self> {
        let database = database(&label, cache_bytes, false, InMemoryBackend::new())?;
        let open = Open { database: Guarded(Some(database)), watch: Arc::default() };
        Ok(Self { no, label, place: None, state: RwLock::new(State::Open(open)) })
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
        self.with_open("read", |open| work(&open.database.get()?.begin_read()?))
    }

    /// Changes the shard, all of it or nothing, durably: one commit.
    ///
    /// # Errors
    ///
    /// Those of `work`, after which nothing has changed. `Unknown` when the commit may or may not be durable. `Exhausted`
    /// when the disk is full, `Io`, `Corrupt`: nothing has changed.
    pub fn write<T>(&self, work: impl FnOnce(&WriteTransaction) -> Step<T>) -> Result<T> {
        self.with_open("write", |open| {
            let transaction = open.database.get()?.begin_write()?;
            match work(&transaction) {
                Ok(value) => {
                    transaction.commit().map_err(Failure::Commit)?;
                    Ok(value)
                }
                Err(failure) => {
                    // What failed is the more telling, unless it left the database as it was.
                    match transaction.abort() {
                        Err(aborting) if failure.is_harmless() => Err(aborting.into()),
                        _ => Err(failure),
                    }
                }
            }
        })
    }

    /// Gives the space that is not needed any more back to the file system. Everybody else waits meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Shard::write`].
    pub fn compact(&self) -> Result<bool> {
        self.alone("compact", |database| Ok(database.compact()?))
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
        let sound = self.alone("check", |database| Ok(database.check_integrity()?))?;
        if sound {
            return Ok(());
        }
        Err(Error::corrupt(&self.label, 0, "pages with the checksums that stand beside them", "others"))
    }

    /// Does something that takes the whole database.
    fn alone<T>(&self, verb: &str, work: impl FnOnce(&mut Database) -> Step<T>) -> Result<T> {
        self.ensure_open()?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let State::Open(open) = &mut *state else { return Err(self.closed(verb)) };
        let database = open.database.0.as_mut();
        match guarded(|| work(database.ok_or(redb::Error::DatabaseClosed)?)) {
            Ok(done) => Ok(done),
            Err(failure) => {
                let trouble = self.trouble(verb, &open.watch, failure);
                self.settle(&mut state, &trouble);
                Err(trouble.error)
            }
        }
    }

    fn with_open<T>(&self, verb: &str, work: impl FnOnce(&Open) -> Step<T>) -> Result<T> {
        self.ensure_open()?;
        let (watch, trouble) = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            let State::Open(open) = &*state else { return Err(self.closed(verb)) };
            match guarded(|| work(open)) {
                Ok(done) => return Ok(done),
                Err(failure) => (Arc::clone(&open.watch), self.trouble(verb, &open.watch, failure)),
            }
        };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have opened it again meanwhile.
        if matches!(&*state, State::Open(open) if Arc::ptr_eq(&open.watch, &watch)) {
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
                *state = State::Open(place.open_again(self.no)?);
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

impl Place {
    /// Opens the shard that is there. One with a mark is copied first, so that what is only in the machine's memory comes
    /// to the disk: see [`ShardFile`].
    fn open_again(&self, no: ShardNo) -> Result<Open> {
        self.renew().map_err(|error| Error::io(format!("copy {} after a failed sync", self.label), error))?;
        let file = self.directory.open_writable(&self.path);
        let file = file.map_err(|error| Error::io(format!("open {}", self.label), error))?;
        let empty = file.len().map_err(|error| Error::io(format!("open {}", self.label), error))? == 0;
        if empty {
            // The database would take it for a new one.
            return Err(Error::corrupt(&self.label, 0, "a shard", "an empty file"));
        }
        let open = self.open_file(file)?;
        let checked =
            guarded(|| identity::check(&open.database.get()?.begin_read()?, &self.label, &self.layout, no));
        checked.map_err(|failure| failure.into_error(&format!("open {}", self.label)))?;
        Ok(open)
    }

    fn renew(&self) -> io::Result<()> {
        let mark = self.path.with_extension(MARK);
        if self.directory.metadata(&mark)?.is_none() {
            return Ok(());
        }
        tracing::warn!(shard = self.label, "a sync of it failed: it is copied");
        let copy = self.path.with_extension("copy");
        match self.directory.remove_file(&copy) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.directory.copy_new(&self.path, &copy)?.sync()?;
        self.directory.rename(&copy, &self.path)?;
        self.directory.sync_directory(Path::new(""))?;
        self.directory.remove_file(&mark)
    }

    fn open_file(&self, file: Box<dyn File>) -> Result<Open> {
        let watch = Arc::<Watch>::default();
        let mark = self.path.with_extension(MARK);
        let storage = ShardFile::new(file, Arc::clone(&watch), Arc::clone(&self.directory), mark);
        let database = database(&self.label, self.cache_bytes, self.check, storage)?;
        Ok(Open { database: Guarded(Some(database)), watch })
    }
}

fn database(label: &str, cache_bytes: usize, check: bool, storage: impl StorageBackend) -> Result<Database> {
    let repairing = label.to_string();
    let opened = guarded(|| {
        let mut builder = Builder::new();
        builder.set_cache_size(cache_bytes).set_check_integrity_on_open(check);
        builder.set_repair_callback(move |session| {
            tracing::info!(
                shard = repairing,
                progress = session.progress(),
                "it was not closed: it is looked through"
            );
        });
        Ok(builder.create_with_backend(storage)?)
    });
    opened.map_err(|failure| failure.into_error(&format!("open {label}")))
}

/// Does it, and takes a panic (over a damaged page) for an error.
fn guarded<T>(work: impl FnOnce() -> Step<T>) -> Step<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(redb::Error::Corrupted(format!("a panic: {text}")).into())
    })
}
