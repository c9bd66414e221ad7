//! An application's own connection, whose commits can be waited for until they are in the store.
//!
//! Invariants:
//!
//! - nothing is acknowledged that was not captured after it was committed: whether there is anything to do is read from
//!   the `-shm`, which every commit changes. SQLite's WAL hook is left to the application, and so are checkpoints:
//!   `PRAGMA wal_autocheckpoint` replaces the hook without a word, and a commit that was not heard of would be taken
//!   for a stored one;
//! - nothing here takes the application's locks away: raw descriptors of its files are never closed.

use std::fs::File;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use walkeep::core::{Error, FrameNo, Result};

use crate::database_header::{DatabaseHeader, HEADER_LEN};
use crate::descriptors;
use crate::hold::beside;
use crate::replication::{Flusher, Replication};
use crate::wal_header::read_at;
use crate::wal_index::WalIndexHeader;

/// A connection to a database that a [`Replication`] of this process stores. It is used like any [`Connection`]; what it
/// has committed is acknowledged by [`commit_durable`](Self::commit_durable) once it is in the store.
///
/// Any number of connections may share one replication. Callers that wait at the same time share uploads.
///
/// # In which process
///
/// The replication runs in the process of the application, on its tokio runtime, and uses the same SQLite library. Its
/// own connections come and go without touching the locks of others: each raw descriptor of the database's files is kept
/// for as long as the process lives. The application must keep to that rule too: `std::fs::File::open` on the database,
/// its `-wal` or `-shm`, and the end of that file, would drop the locks of every connection in the process. Other
/// processes may use the database at the same time.
///
/// SQLite checkpoints as before. The replication checkpoints by itself when the log is long; an application that leaves
/// it all of that work with `PRAGMA wal_autocheckpoint = 0` does not wait for a checkpoint in a commit.
///
/// # After a restore
///
/// Write to a restored database only once its replication is open ([`Phase::Capturing`](crate::replication::Phase)). Until then
/// nothing but the equality of the two says that it continues what is stored; one that was changed before is refused.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use walkeep::backends::memory::Memory;
/// use walkeep::core::Erased;
/// use walkeep::storage::StorageOptions;
/// use walkeep::{Fencing, Handles};
/// use walkeep_sqlite::Replicated;
/// use walkeep_sqlite::replication::{DatabaseSpec, ReplicationOptions, ReplicationStore, Replicator};
///
/// # async fn example(dir: &std::path::Path) -> walkeep::Result<()> {
/// let path = dir.join("app.db");
/// let connection = rusqlite::Connection::open(&path).expect("a database");
/// connection.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t (a)").expect("a table");
///
/// let (handles, backend) = (Handles::system(), Erased::shared(Memory::new()));
/// let options = StorageOptions::default();
/// let store = ReplicationStore::new(backend, "memory", Fencing::Required, options, handles.clone())?;
/// let options = ReplicationOptions::default();
/// let spec = DatabaseSpec { path, namespace: "app".parse()?, store, options };
/// let replication = Replicator::new(handles).start(spec)?;
///
/// let database = Replicated::new(connection, &replication)?;
/// database.execute("INSERT INTO t VALUES (1)", []).expect("a row");
/// match database.commit_durable(Duration::from_secs(10)).await {
///     Ok(frame) => println!("a restore can reach frame {frame}"),
///     Err(walkeep::Error::Unknown { what }) => println!("it may or may not be stored: {what}"),
///     Err(error) => return Err(error),
/// }
/// # assert!(database.commit_durable(Duration::from_secs(10)).await.is_ok());
/// drop(database);
/// replication.stop(Duration::from_secs(10)).await?;
/// # Ok(()) }
/// # let dir = tempfile::tempdir().unwrap();
/// # tokio::runtime::Runtime::new().unwrap().block_on(example(dir.path())).unwrap();
/// ```
#[derive(Debug)]
pub struct Replicated {
    connection: Connection,
    flusher: Flusher,
    path: PathBuf,
    shm_path: PathBuf,
}

impl Replicated {
    /// A connection whose commits this replication stores.
    ///
    /// # Errors
    ///
    /// `Invalid` when it is a connection to another database than the replicated one, or not in WAL mode; `Io`.
    pub fn new(connection: Connection, replication: &Replication) -> Result<Self> {
        let flusher = replication.flusher();
        let replicated = flusher.status().database;
        let opened = PathBuf::from(connection.path().unwrap_or_default());
        let what =
            || format!("waiting for {:?} with a replication of {}", opened.display(), replicated.display());
        if opened.as_os_str().is_empty() {
            return Err(Error::invalid(what(), "it is in memory: open the file that is replicated"));
        }
        if identity(&opened)? != identity(&replicated)? {
            return Err(Error::invalid(what(), "they are two databases: start a replication for each"));
        }
        let path = std::fs::canonicalize(&opened).map_err(failed("find", &opened))?;
        let shm_path = beside(&path, "-shm");
        let replicated = Self { connection, flusher, path, shm_path };
        replicated.check_mode()?;
        Ok(replicated)
    }

    /// Returns when everything that was committed to the database before the call, by this connection or another one,
    /// is in the store, so that a restore can reach it: the durable frame. If that is known already, it returns at once
    /// and asks nobody.
    ///
    /// # Errors
    ///
    /// `Unknown` when that takes longer than `timeout`. This is not a failure: the commits stay committed, they may or
    /// may not be stored already, and storing them goes on in the background for as long as the replication lives. Call
    /// it again to find out. `Unknown` also when the replication was stopped, or when nothing can be captured at the
    /// moment (the spool or the disk is full).
    ///
    /// `Fenced` when another writer has taken over the namespace, or what else the replication ended with: commits that
    /// were not acknowledged before may or may not be stored, and later ones are not.
    ///
    /// `Invalid` inside of a transaction, which is not committed yet, and when the database is no longer in WAL mode.
    ///
    /// # Cancel safety
    ///
    /// As with a time-out: storing goes on. The future borrows nothing, so that the connection may be used meanwhile.
    pub fn commit_durable(
        &self,
        timeout: Duration,
    ) -> impl Future<Output = Result<FrameNo>> + Send + 'static + use<> {
        let receipt = self.receipt();
        async move { receipt?.durable(timeout).await }
    }

    /// What is committed now, to be waited for elsewhere: a server takes it on the thread that ran the transaction, and
    /// gives the connection to the next one before it waits.
    ///
    /// # Errors
    ///
    /// `Invalid` inside of a transaction, and when the database is not in WAL mode; `Io`.
    pub fn receipt(&self) -> Result<Receipt> {
        if !self.connection.is_autocommit() {
            let what = "waiting for a transaction that is open";
            return Err(Error::invalid(what, "nothing of it is committed: commit it first"));
        }
        self.check_mode()?;
        let shm = descriptors::open(&self.shm_path).map_err(failed("open", &self.shm_path))?;
        let log = shm.map(|shm| Log::read(shm, &self.shm_path)).transpose()?.flatten();
        Ok(Receipt { flusher: self.flusher.clone(), log })
    }

    /// The connection alone. Replication goes on.
    #[must_use]
    pub fn into_connection(self) -> Connection {
        self.connection
    }

    /// The file says it: a query would be subject to the application's authorizer.
    fn check_mode(&self) -> Result<()> {
        let what = || format!("waiting for commits of {}", self.path.display());
        let io = failed("read", &self.path);
        let file = descriptors::open(&self.path).map_err(&io)?.ok_or_else(|| Error::not_found(what()))?;
        let mut bytes = [0; HEADER_LEN];
        let len = read_at(&file, 0, &mut bytes).map_err(&io)?;
        let header = DatabaseHeader::parse(&self.path, bytes.get(..len).unwrap_or_default())?;
        if header.is_some_and(|header| header.wal_mode) {
            return Ok(());
        }
        Err(Error::invalid(what(), "it is not in WAL mode: use `PRAGMA journal_mode = wal`"))
    }
}

impl Deref for Replicated {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Replicated {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// What was committed at one moment. See [`Replicated::receipt`].
#[derive(Debug)]
pub struct Receipt {
    flusher: Flusher,
    log: Option<Log>,
}

impl Receipt {
    /// As [`Replicated::commit_durable`], for what was committed when the receipt was taken.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn durable(self, timeout: Duration) -> Result<FrameNo> {
        let Self { flusher, log } = self;
        if let Some(failed) = flusher.failed() {
            return Err(failed);
        }
        if let Some(durable) = log.as_ref().and_then(|log| flusher.stored(log)) {
            return Ok(durable);
        }
        let durable = match tokio::time::timeout(timeout, flusher.flush()).await {
            Ok(flushed) => flushed?,
            Err(_) => return Err(timed_out(&flusher, timeout)),
        };
        let nothing = || Error::Unknown { what: "the replication found no commit in the database".into() };
        let durable = durable.ok_or_else(nothing)?;
        if let Some(log) = log {
            flusher.note_stored(log, durable);
        }
        Ok(durable)
    }
}

/// The state of a log, by the `-shm` in which it was found. Two that are equal are the same commits.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    shm: Arc<File>,
    header: WalIndexHeader,
}

impl Log {
    /// Reads it; `None` when it cannot be told from another one.
    fn read(shm: Arc<File>, path: &Path) -> Result<Option<Self>> {
        let header = WalIndexHeader::read(&shm).map_err(failed("read", path))?;
        // All logs without frames look alike.
        Ok(header.filter(|header| header.frames > 0).map(|header| Self { shm, header }))
    }
}

impl PartialEq for Log {
    fn eq(&self, other: &Self) -> bool {
        // A file that is kept open is one file, whatever has its name.
        Arc::ptr_eq(&self.shm, &other.shm) && self.header == other.header
    }
}

fn timed_out(flusher: &Flusher, timeout: Duration) -> Error {
    let status = flusher.status();
    let why = status.last_error.map(|why| format!(" ({why})")).unwrap_or_default();
    Error::Unknown {
        what: format!(
            "the last commits of {} may or may not be in {}: that took longer than {timeout:?}{why}; storing them goes \
             on in the background, ask again to find out",
            status.database.display(),
            status.store
        ),
    }
}

/// Device and inode.
fn identity(path: &Path) -> Result<(u64, u64)> {
    let metadata = std::fs::metadata(path).map_err(failed("look at", path))?;
    Ok((metadata.dev(), metadata.ino()))
}

fn failed(what: &str, path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::io(format!("{what} {}", path.display()), error)
}
