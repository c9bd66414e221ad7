//! An open shard: its database, which may be damaged, and the rows in memory that follow its commits.
//!
//! Invariants:
//!
//! - one change of rows at a time, from the beginning of its transaction until the rows in memory have followed it;
//! - who looks at rows in memory begins its transaction meanwhile, so that it is never the older of the two;
//! - what is known of where directories begin is true for the newest commit that can be seen;
//! - a panic over damaged pages is an error.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::{Builder, Database, ReadTransaction, ReadableDatabase, StorageBackend, WriteTransaction};
use walkeep_core::Result;

use super::failure::{Failure, Step};
use super::fronts::{Fronts, NewFronts};
use super::recent::{Change, Recent};
use super::shard_file::Watch;
use super::writing::Writing;

/// A database, what befell its file, and the rows that are in memory.
#[derive(Debug)]
pub(super) struct OpenShard {
    database: Guarded,
    watch: Arc<Watch>,
    /// Rows that are not in the table yet; none but in a store.
    recent: RwLock<Recent>,
    fronts: Fronts,
    /// Held from the beginning of a change of rows until `recent` has followed it.
    changing: Mutex<()>,
}

/// What is in memory for who changes rows.
pub(super) struct Rows<'a> {
    pub(super) recent: &'a Recent,
    pub(super) fronts: NewFronts<'a>,
}

impl OpenShard {
    /// With room for where so many directories begin.
    pub(super) fn new(database: Database, watch: Arc<Watch>, known_max: usize) -> Self {
        let (database, fronts) = (Guarded(Some(database)), Fronts::new(known_max));
        Self { database, watch, recent: RwLock::default(), fronts, changing: Mutex::default() }
    }

    /// With the rows that were read back.
    pub(super) fn with_rows(self, recent: Recent) -> Self {
        Self { recent: RwLock::new(recent), ..self }
    }

    pub(super) const fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// For what takes the whole database.
    pub(super) fn database_mut(&mut self) -> Step<&mut Database> {
        Ok(self.database.0.as_mut().ok_or(redb::Error::DatabaseClosed)?)
    }

    /// Whether rows wait.
    pub(super) fn has_rows_waiting(&self) -> bool {
        !self.recent.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Where directories begin.
    pub(super) const fn fronts(&self) -> &Fronts {
        &self.fronts
    }

    pub(super) fn begin_read(&self) -> Step<ReadTransaction> {
        Ok(self.database.get()?.begin_read()?)
    }

    pub(super) fn write<T>(&self, work: impl FnOnce(&WriteTransaction) -> Step<T>) -> Step<T> {
        let transaction = self.database.get()?.begin_write()?;
        match work(&transaction) {
            Ok(value) => transaction.commit().map_err(Failure::Commit).map(|()| value),
            Err(failure) => Err(aborted(transaction, failure)),
        }
    }

    pub(super) fn read_rows<R, T>(
        &self,
        recent: impl FnOnce(&Recent) -> R,
        work: impl FnOnce(&ReadTransaction, R) -> Step<T>,
    ) -> Step<T> {
        let rows = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let transaction = self.begin_read()?;
        let taken = recent(&rows);
        drop(rows);
        work(&transaction, taken)
    }

    pub(super) fn write_rows<T>(
        &self,
        work: impl FnOnce(&WriteTransaction, Rows<'_>) -> Step<(T, Change)>,
    ) -> Step<T> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = self.database.get()?.begin_write()?;
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let worked = work(&transaction, Rows { recent: &recent, fronts: self.fronts.begin() });
        drop(recent);
        match worked {
            Ok((value, mut change)) => {
                let moved = std::mem::take(&mut change.fronts);
                self.fronts.commit_begins(&moved);
                let follow = || self.recent.write().unwrap_or_else(PoisonError::into_inner);
                // Nobody may look at rows that are deleted or moved once the commit can be seen.
                let held = change.outdates().then(follow);
                transaction.commit().map_err(Failure::Commit)?;
                held.unwrap_or_else(follow).apply(change);
                self.fronts.commit_is_over(&moved);
                Ok(value)
            }
            Err(failure) => Err(aborted(transaction, failure)),
        }
    }

    /// Writes all rows that wait, so that the next opening has none to read back.
    pub(super) fn write_all_rows(&self, version: u32) -> Step<()> {
        self.write_rows(|transaction, rows| {
            let mut writing = Writing::begin(transaction, version, rows, usize::MAX)?;
            writing.write_all_rows()?;
            Ok(((), writing.finish()?))
        })
    }
}

/// Aborts a transaction that failed: the more telling of what went wrong.
fn aborted(transaction: WriteTransaction, failure: Failure) -> Failure {
    match transaction.abort() {
        Err(aborting) if failure.is_harmless() => aborting.into(),
        _ => failure,
    }
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

/// The database in a file, or in memory.
pub(super) fn database(
    label: &str,
    cache_bytes: usize,
    check: bool,
    storage: impl StorageBackend,
) -> Result<Database> {
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
pub(super) fn guarded<T>(work: impl FnOnce() -> Step<T>) -> Step<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(redb::Error::Corrupted(format!("a panic: {text}")).into())
    })
}
