//! One tenant's database: its only connection, and its replication.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout, timeout_at};
use walkeep::core::Epoch;
use walkeep::core::catalog::Generation;
use walkeep::{Error, Result};
use walkeep_sqlite::replication::{DatabaseSpec, Phase, Replication, Replicator, Status};
use walkeep_sqlite::{Receipt, Replicated};

use crate::failure::Failure;
use crate::sql::{self, Answer, Statement};

/// How long to wait for a lock of another process, which is there only if somebody looks at the database by hand.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the store may take to say whether a database continues what is stored.
const OPEN_WITHIN: Duration = Duration::from_secs(20);

/// An open database.
#[derive(Debug)]
pub struct Tenant {
    /// One request at a time. It is waited for without a thread.
    connection: Arc<Mutex<Replicated>>,
    status: watch::Receiver<Status>,
    /// Gone once it was stopped.
    replication: Mutex<Option<Replication>>,
    /// Set before the last commit is waited for: nothing is written behind it.
    closing: AtomicBool,
    /// In which generation of its assignment it is served, where several servers share the tenants.
    generation: Generation,
}

impl Tenant {
    /// Opens a database, which is created if it does not exist, and starts its replication. It is open when that is.
    ///
    /// # Errors
    ///
    /// What SQLite says, as `Io`; `Invalid` when the database does not continue what is stored; `Unavailable`.
    pub async fn open(spec: DatabaseSpec, generation: Generation, replicator: &Replicator) -> Result<Self> {
        let path = spec.path.clone();
        let connection = blocking(move || connect(&path)).await?;
        let name = spec.namespace.clone();
        let replication = replicator.start(spec)?;
        let mut status = replication.watch();
        // Nothing is written before the replication has found that the database continues what is stored, and has noted
        // that on disk: afterwards it could no longer be told from a stranger's.
        let opened = timeout(OPEN_WITHIN, status.wait_for(|status| status.phase != Phase::Opening)).await;
        match opened.map(|opened| opened.map(|status| status.phase)) {
            Ok(Ok(Phase::Failed)) => drop(replication.flush().await?),
            Ok(_) => {}
            Err(_) => {
                let why = status.borrow().last_error.clone().unwrap_or_else(|| "no answer".into());
                let what = format!("{name} could not be opened within {OPEN_WITHIN:?}: {why}");
                return Err(Error::Unavailable { what, source: None });
            }
        }
        let connection = Replicated::new(connection, &replication)?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            status,
            replication: Mutex::new(Some(replication)),
            closing: AtomicBool::new(false),
            generation,
        })
    }

    /// Runs a statement. The receipt is for those who want to know when it is in the store.
    ///
    /// # Errors
    ///
    /// What SQLite says; 503 when the replication has ended: what is written then would never be stored.
    pub async fn run(&self, statement: Statement) -> Result<(Answer, Result<Receipt>), Failure> {
        let connection = Arc::clone(&self.connection).lock_owned().await;
        self.check()?;
        let ran = tokio::task::spawn_blocking(move || {
            let answer = sql::run(&connection, &statement)?;
            // For this transaction and those before it. The next request need not wait until it is stored.
            Ok((answer, connection.receipt()))
        });
        ran.await.unwrap_or_else(|error| {
            Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the statement failed: {error}")))
        })
    }

    /// What is committed now.
    ///
    /// # Errors
    ///
    /// As [`Replicated::receipt`].
    pub async fn receipt(&self) -> Result<Receipt> {
        let connection = Arc::clone(&self.connection).lock_owned().await;
        blocking(move || connection.receipt()).await
    }

    /// In which generation of its assignment it is served.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// The epoch that it is written under, once that is known.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        self.status.borrow().epoch.map(Epoch)
    }

    /// Whether its replication has ended: what is written to it would never be stored.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.status.borrow().phase == Phase::Failed
    }

    fn check(&self) -> Result<(), Failure> {
        if self.closing.load(Ordering::SeqCst) {
            return Err(Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "this tenant is being closed; ask again",
            ));
        }
        let status = self.status.borrow();
        if status.phase != Phase::Failed {
            return Ok(());
        }
        let why = status.last_error.as_deref().unwrap_or("its replication has ended");
        Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, format!("this tenant is not served here: {why}")))
    }

    /// Waits up to `within` until everything is stored, and ends the replication. Returns whether everything is stored;
    /// the rest is on disk, and stored after the next start.
    ///
    /// # Errors
    ///
    /// Those of [`Replication::stop`].
    pub async fn close(&self, within: Duration) -> Result<bool> {
        let deadline = Instant::now() + within;
        {
            // Behind the statement that runs now, if there is one.
            let _connection = self.connection.lock().await;
            self.closing.store(true, Ordering::SeqCst);
        }
        let Some(replication) = self.replication.lock().await.take() else { return Ok(true) };
        // One that is still being opened is waited for too. What came of it, the stop says.
        let _ = timeout_at(deadline, replication.flush()).await;
        replication.stop(deadline.saturating_duration_since(Instant::now())).await
    }
}

/// SQLite's calls block, so they are not for the threads that serve requests.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(Error::Unknown { what: format!("a call of SQLite did not end: {error}") })
    })
}

fn connect(path: &Path) -> Result<Connection> {
    let open = || -> rusqlite::Result<Connection> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Acknowledged as "local" means: on disk, also after a power loss. Checkpoints are the replication's work. The
        // log stays when the last connection closes, so that the next start finds where its capture goes on.
        connection.execute_batch(
            "PRAGMA journal_mode = wal; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;",
        )?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        sql::confine(&mut connection)?;
        Ok(connection)
    };
    open().map_err(|error| Error::io(format!("open {}", path.display()), std::io::Error::other(error)))
}
