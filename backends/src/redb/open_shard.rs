//! An open shard: its database, which may be damaged, and the rows in memory that follow its commits.
//!
//! Invariants:
//!
//! - one change of rows at a time, from the beginning of its transaction until the rows in memory have followed it;
//! - who looks at rows in memory begins its transaction meanwhile, so that it is never the older of the two;
//! - what is known of the ends of listings is true for every commit that can be seen;
//! - a panic over damaged pages is an error.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::{Builder, Database, ReadTransaction, ReadableDatabase, StorageBackend, WriteTransaction};
use walkeep_core::{ObjectMeta, ObjectPath, Result};

use super::ends::Ends;
use super::failure::{Failure, Step};
use super::fronts::Fronts;
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
    ends: Ends,
    /// Held from the beginning of a change of rows until `recent` has followed it.
    changing: Mutex<Fronts>,
}

/// What is in memory for who changes rows.
pub(super) struct Rows<'a> {
    pub(super) recent: &'a Recent,
    pub(super) fronts: &'a mut Fronts,
}

impl OpenShard {
    pub(super) fn new(database: Database, watch: Arc<Watch>) -> Self {
        let database = Guarded(Some(database));
        let (recent, ends, changing) = (RwLock::default(), Ends::default(), Mutex::default());
        Self { database, watch, recent, ends, changing }
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

    /// Lists at most `limit` rows below a prefix and behind a path, as [`OpenShard::read_rows`].
    pub(super) fn list_rows<R>(
        &self,
        (prefix, after, limit): (&ObjectPath, &str, usize),
        recent: impl FnOnce(&Recent) -> R,
        work: impl FnOnce(&ReadTransaction, R) -> Step<Vec<ObjectMeta>>,
    ) -> Step<Vec<ObjectMeta>> {
        let mut began = None;
        let looked = |rows: &Recent| {
            began = Some(self.ends.now());
            recent(rows)
        };
        let found = self.read_rows(looked, work)?;
        if let Some(began) = began.filter(|_| found.len() < limit) {
            let end = found.last().map_or(after, |last| last.path.as_str());
            self.ends.learn(began, prefix.as_str(), end);
        }
        Ok(found)
    }

    /// Whether nothing lies below a prefix behind a path; `false` if only the table tells.
    pub(super) fn nothing_behind(&self, prefix: &ObjectPath, after: &str) -> bool {
        self.ends.nothing_behind(prefix.as_str(), after)
    }

    /// Changes rows: those in memory, and what is known of directories, follow the commit.
    pub(super) fn write_rows<T>(
        &self,
        work: impl FnOnce(&WriteTransaction, Rows<'_>) -> Step<(T, Change)>,
    ) -> Step<T> {
        let mut changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = self.database.get()?.begin_write()?;
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let worked = work(&transaction, Rows { recent: &recent, fronts: &mut changing });
        drop(recent);
        match worked {
            Ok((value, change)) => {
                self.ends.commit_begins(change.objects());
                let follow = || self.recent.write().unwrap_or_else(PoisonError::into_inner);
                // Nobody may look at rows that are deleted or moved once the commit can be seen.
                let held = change.outdates().then(follow);
                transaction.commit().map_err(Failure::Commit)?;
                let mut rows = held.unwrap_or_else(follow);
                rows.apply(change);
                // Whoever begins a transaction looks at the rows meanwhile, so that none begins before this and learns after it.
                self.ends.commit_is_over();
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
