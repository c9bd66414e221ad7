//! All tenants of the server.
//!
//! Invariants:
//!
//! - a database is opened once, and before it is served it is there: on disk, else restored from the store and proven;
//! - the store is asked whether a tenant exists before one is created: a database that was lost with its disk is never
//!   taken for a new one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use tokio::sync::{Mutex, OnceCell};
use walkeep::backends::os::OsDirectory;
use walkeep::core::{DynBackend, Namespace, PageSize, Storage};
use walkeep::restore::{FileTarget, RestoreOptions, RestorePlan};
use walkeep::storage::{AsyncStorage, StorageOptions};
use walkeep::{Bucket, DATABASE_BYTES_MAX, Error, Fencing, Handles, RestorePoint, Result, View};
use walkeep_sqlite::replication::{DatabaseSpec, ReplicationOptions, ReplicationStore, Replicator};

use crate::tenant::Tenant;

/// Databases that are opened or closed at the same time.
const CONCURRENCY: usize = 4;

type Cell = Arc<OnceCell<Arc<Tenant>>>;

/// The tenants of a data directory and a store. One process at a time: two would fence each other.
#[derive(Debug)]
pub struct Tenants {
    data: PathBuf,
    directory: Arc<OsDirectory>,
    bucket: Bucket,
    store: ReplicationStore,
    /// Opens namespaces, and stores nothing.
    opener: AsyncStorage<DynBackend>,
    replicator: Replicator,
    handles: Handles,
    open: Mutex<BTreeMap<Namespace, Cell>>,
}

impl Tenants {
    /// The tenants of a directory, which is created if it does not exist, and a store. `name` is how the store is shown.
    ///
    /// # Errors
    ///
    /// `Io`; `Invalid`.
    pub fn new(data: &Path, backend: DynBackend, name: &str) -> Result<Self> {
        let directory = OsDirectory::create(data);
        let directory = directory.map_err(|error| Error::io(format!("create {}", data.display()), error))?;
        let handles = Handles::system();
        let bucket = Bucket::new(Arc::new(Arc::clone(&backend)), None)?.named(name);
        let options = StorageOptions::default();
        let opener = AsyncStorage::new(Arc::new(Arc::clone(&backend)), options.clone(), handles.clone())?;
        Ok(Self {
            data: data.to_path_buf(),
            directory: Arc::new(directory),
            bucket,
            store: ReplicationStore::new(backend, name, Fencing::Required, options, handles.clone())?,
            opener,
            replicator: Replicator::new(handles.clone()),
            handles,
            open: Mutex::default(),
        })
    }

    /// Opens every tenant that is on disk or in the store, so that what is on disk alone gets stored, and the first
    /// request of none has to wait. One that cannot be opened is reported, and again when it is asked for.
    ///
    /// # Errors
    ///
    /// `Unavailable` when the store cannot be listed; `Io`.
    pub async fn open_all(&self) -> Result<()> {
        let (mut all, _) = self.bucket.namespaces().await?;
        let io = |error| Error::io(format!("list {}", self.data.display()), error);
        for entry in std::fs::read_dir(&self.data).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            all.extend(name.to_str().and_then(|name| name.strip_suffix(".db")?.parse::<Namespace>().ok()));
        }
        all.sort();
        all.dedup();
        stream::iter(all)
            .for_each_concurrent(CONCURRENCY, async |name| {
                if let Err(error) = self.get(&name).await {
                    tracing::error!(tenant = %name, %error, "the tenant cannot be served");
                }
            })
            .await;
        Ok(())
    }

    /// A tenant; `None` when there is none of this name, on disk or in the store.
    ///
    /// # Errors
    ///
    /// Those of a restore, and of [`Tenant::open`].
    pub async fn get(&self, name: &Namespace) -> Result<Option<Arc<Tenant>>> {
        match self.find(name, false).await {
            Ok((tenant, _)) => Ok(Some(tenant)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A tenant, which is created if there is none of this name; whether it was.
    ///
    /// # Errors
    ///
    /// As [`Tenants::get`].
    pub async fn create(&self, name: &Namespace) -> Result<(Arc<Tenant>, bool)> {
        self.find(name, true).await
    }

    async fn find(&self, name: &Namespace, create: bool) -> Result<(Arc<Tenant>, bool)> {
        let cell = Arc::clone(self.open.lock().await.entry(name.clone()).or_default());
        let mut created = false;
        // Whoever comes meanwhile waits for the same opening.
        let opening = cell.get_or_try_init(async || {
            let exists = self.is_on_disk(name)? || self.restore(name).await?;
            if !exists && !create {
                return Err(Error::not_found(format!("tenant {name}")));
            }
            created = !exists;
            let path = self.data.join(file_name(name));
            let (namespace, store) = (name.clone(), self.store.clone());
            let spec = DatabaseSpec { path, namespace, store, options: ReplicationOptions::default() };
            Tenant::open(spec, &self.replicator).await.map(Arc::new)
        });
        let opened = opening.await.cloned();
        if opened.is_err() {
            // Names that do not exist must not fill the memory.
            drop(cell);
            self.open.lock().await.retain(|_, cell| cell.initialized() || Arc::strong_count(cell) > 1);
        }
        opened.map(|tenant| (tenant, created))
    }

    fn is_on_disk(&self, name: &Namespace) -> Result<bool> {
        let path = self.data.join(file_name(name));
        path.try_exists().map_err(|error| Error::io(format!("look at {}", path.display()), error))
    }

    /// Restores a database to its newest commit in the store; `false` when there is none. Until it is whole and proven
    /// there is no file of its name.
    async fn restore(&self, name: &Namespace) -> Result<bool> {
        let newest = || View::open(&self.bucket, name, RestorePoint::Latest, DATABASE_BYTES_MAX);
        let view = match newest().await {
            Ok(view) => view,
            Err(Error::NotFound { .. }) => return Ok(false),
            // Whoever opened it last was killed before that was done, or before anything was stored. Which of the two,
            // and what its newest commit is, an opening of our own settles: from here on we are the writer.
            Err(Error::Unreachable(unsettled)) if unsettled.missing.is_none() => {
                if self.opener.open(name, PageSize::DEFAULT, None).await?.durable.is_none() {
                    return Ok(false);
                }
                newest().await?
            }
            Err(error) => return Err(error),
        };
        // What may be left beside a lost database, such as its log, does not belong to the restored one.
        let force = true;
        let file = file_name(name);
        let mut target = FileTarget::new(self.directory.clone(), &file, force, &*self.handles.random)?;
        let restored =
            view.write_to(&RestorePlan::new(&view), &mut target, &RestoreOptions::default()).await?;
        if !restored.verified {
            let expected = "a state checksum, which every capture records";
            return Err(Error::corrupt(format!("namespace {name}"), 0, expected, "none"));
        }
        target.publish()?;
        tracing::info!(tenant = %name, frame = %restored.commit.frame_no, "restored from the store");
        Ok(true)
    }

    /// Ends all replications; the tenants that have something left that is not stored.
    pub async fn close(&self, within: Duration) -> Vec<Namespace> {
        let open = std::mem::take(&mut *self.open.lock().await);
        let open = open.into_iter().filter_map(|(name, cell)| Some((name, cell.get()?.clone())));
        let closing = open.map(async |(name, tenant)| match tenant.close(within).await {
            Ok(true) => None,
            Ok(false) => Some(name),
            Err(error) => {
                tracing::error!(tenant = %name, %error, "its replication ended");
                Some(name)
            }
        });
        futures::future::join_all(closing).await.into_iter().flatten().collect()
    }
}

fn file_name(name: &Namespace) -> String {
    format!("{name}.db")
}
