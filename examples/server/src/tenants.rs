//! All tenants of the server.
//!
//! Invariants:
//!
//! - a database is opened once, and before it is served it is there: on disk, else restored from the store and proven;
//! - the store is asked whether a tenant exists before one is created: a database that was lost with its disk is never
//!   taken for a new one;
//! - where several servers share the tenants, one is opened here only while it is assigned to this server, and from files
//!   that nobody else has gone on with since. Where it is, the catalog says, and the store is asked about no tenant that is
//!   served elsewhere. That there is none of a name, only the store says: a catalog can be lost.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use tokio::sync::{Mutex, OnceCell};
use walkeep::backends::os::OsDirectory;
use walkeep::core::catalog::{Generation, NamespaceSettings, Node, NodeId};
use walkeep::core::{DynBackend, Namespace, PageSize, Quota, Storage};
use walkeep::restore::{FileTarget, RestoreOptions, RestorePlan};
use walkeep::storage::{AsyncStorage, StorageOptions};
use walkeep::{
    Bucket, DATABASE_BYTES_MAX, Error, Fencing, Handles, RestorePoint, Result, View, newest_manifest,
};
use walkeep_sqlite::replication::{DatabaseSpec, ReplicationOptions, ReplicationStore, Replicator};

use crate::cluster::{Cluster, Place};
use crate::local_files::{LocalFiles, file_name};
use crate::tenant::Tenant;

/// Databases that are opened or closed at the same time.
const CONCURRENCY: usize = 4;

/// How long a tenant that is moved may take to get everything stored.
const MOVE_WITHIN: Duration = Duration::from_secs(20);

type Cell = Arc<OnceCell<Arc<Tenant>>>;

/// Where a tenant was found.
#[derive(Debug)]
pub enum Found {
    /// Here; and whether it was created just now.
    Here(Arc<Tenant>, bool),
    /// Another server serves it.
    Elsewhere(Node),
}

/// The tenants of a data directory and a store. One process at a time, unless they share a [`Cluster`]: two would fence each
/// other.
#[derive(Debug)]
pub struct Tenants {
    directory: Arc<OsDirectory>,
    files: LocalFiles,
    cluster: Option<Cluster>,
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
    pub fn new(data: &Path, backend: DynBackend, name: &str, cluster: Option<Cluster>) -> Result<Self> {
        let directory = OsDirectory::create(data);
        let directory = directory.map_err(|error| Error::io(format!("create {}", data.display()), error))?;
        let handles = Handles::system();
        let bucket = Bucket::new(Arc::new(Arc::clone(&backend)), None)?.named(name);
        let options = StorageOptions::default();
        let opener = AsyncStorage::new(Arc::new(Arc::clone(&backend)), options.clone(), handles.clone())?;
        Ok(Self {
            directory: Arc::new(directory),
            files: LocalFiles::new(data),
            cluster,
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
        all.extend(self.files.tenants()?);
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
    pub async fn get(&self, name: &Namespace) -> Result<Option<Found>> {
        match self.find(name, None).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A tenant, which is created if there is none of this name: with these settings, where several servers share them.
    ///
    /// # Errors
    ///
    /// As [`Tenants::get`].
    pub async fn create(&self, name: &Namespace, settings: NamespaceSettings) -> Result<Found> {
        self.find(name, Some(settings)).await
    }

    async fn find(&self, name: &Namespace, create: Option<NamespaceSettings>) -> Result<Found> {
        let cell = Arc::clone(self.open.lock().await.entry(name.clone()).or_default());
        if let Some(ended) = cell.get().filter(|tenant| self.cluster.is_some() && tenant.has_ended()) {
            // Fenced, most likely: somebody else serves it now.
            self.forget(name, ended).await;
            return Box::pin(self.find(name, create)).await;
        }
        let (mut created, mut elsewhere) = (false, None);
        // Whoever comes meanwhile waits for the same opening.
        let opening = cell.get_or_try_init(async || {
            let nobody = || Error::not_found(format!("tenant {name}"));
            let (generation, quota) = match self.place(name, create.clone()).await? {
                Place::Here(generation, settings) => (generation, settings.quota),
                Place::Nowhere => return Err(nobody()),
                Place::Elsewhere(node) => {
                    elsewhere = Some(node);
                    return Err(nobody());
                }
            };
            let exists = self.files.exists(name)? || self.restore(name).await?;
            if !exists && create.is_none() {
                return Err(nobody());
            }
            created = !exists;
            self.open_here(name, generation, quota).await.map(Arc::new)
        });
        let opened = opening.await.cloned();
        if opened.is_err() {
            // Names that do not exist must not fill the memory.
            drop(cell);
            self.open.lock().await.retain(|_, cell| cell.initialized() || Arc::strong_count(cell) > 1);
        }
        match (elsewhere, opened) {
            (Some(node), Err(_)) => Ok(Found::Elsewhere(node)),
            (_, opened) => opened.map(|tenant| Found::Here(tenant, created)),
        }
    }

    /// Where it is served, as the catalog knows. If here, old files of it are out of the way.
    async fn place(&self, name: &Namespace, create: Option<NamespaceSettings>) -> Result<Place> {
        let Some(cluster) = &self.cluster else {
            return Ok(Place::Here(Generation::NONE, NamespaceSettings::default()));
        };
        let mut place = cluster.take(name, create).await?;
        // One that the catalog has not heard of yet, or not any more, may be in the store.
        if matches!(place, Place::Nowhere) && newest_manifest(&self.bucket, name).await?.is_some() {
            place = cluster.take(name, Some(NamespaceSettings::default())).await?;
        }
        if let Place::Here(generation, _) = &place {
            self.files.keep_only(name, *generation)?;
        }
        Ok(place)
    }

    /// Opens a database that is on disk, or is to be.
    async fn open_here(&self, name: &Namespace, generation: Generation, quota: Quota) -> Result<Tenant> {
        if self.cluster.is_some() {
            self.files.note(name, generation)?;
        }
        let (path, store) = (self.files.database(name), self.store.clone());
        let options = ReplicationOptions { quota, ..ReplicationOptions::default() };
        let spec = DatabaseSpec { path, namespace: name.clone(), store, options };
        let tenant = Tenant::open(spec, generation, &self.replicator).await?;
        let manifest = newest_manifest(&self.bucket, name).await?;
        if let (Some(cluster), Some(epoch), Some(manifest)) = (&self.cluster, tenant.epoch(), manifest) {
            cluster.confirm(name, generation, epoch, manifest.log_id()).await?;
        }
        Ok(tenant)
    }

    /// Forgets a tenant that is not served here any more.
    async fn forget(&self, name: &Namespace, tenant: &Arc<Tenant>) {
        let mut open = self.open.lock().await;
        if open.get(name).and_then(|cell| cell.get()).is_some_and(|known| Arc::ptr_eq(known, tenant)) {
            open.remove(name);
        }
    }

    /// Moves a tenant that is served here to another server, with everything that was committed.
    ///
    /// # Errors
    ///
    /// `Invalid` where servers do not share tenants, and for a server that takes none; `Unavailable` when not everything
    /// could be stored: then it stays here. `NotFound`.
    pub async fn move_to(&self, name: &Namespace, to: &NodeId) -> Result<Node> {
        let Some(cluster) = &self.cluster else {
            return Err(Error::invalid(
                "moving a tenant",
                "this server shares none: it was started without --catalog",
            ));
        };
        let tenant = match self.find(name, None).await? {
            Found::Here(tenant, _) => tenant,
            Found::Elsewhere(node) => {
                let why = format!("node {} at {} serves it: ask there", node.id, node.address);
                return Err(Error::invalid(format!("moving tenant {name}"), why));
            }
        };
        let target = cluster.target(to).await?;
        let closed = tenant.close(MOVE_WITHIN).await;
        let given = match closed {
            Ok(true) => cluster.give(name, tenant.generation(), to).await,
            Ok(false) => {
                let what = format!(
                    "not everything of tenant {name} could be stored within {MOVE_WITHIN:?}: it stays"
                );
                Err(Error::Unavailable { what, source: None })
            }
            Err(error) => Err(error),
        };
        self.forget(name, &tenant).await;
        given.map(|()| target)
    }

    /// Says that this server is there, and drops the tenants that others have taken.
    ///
    /// # Errors
    ///
    /// Those of [`Cluster::beat`].
    pub async fn beat(&self) -> Result<()> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let open = {
            let open = self.open.lock().await;
            let served = open.iter().filter_map(|(name, cell)| Some((name.clone(), cell.get()?.clone())));
            served.collect::<Vec<_>>()
        };
        let held = open.iter().map(|(name, tenant)| (name.clone(), tenant.generation())).collect();
        let lost = cluster.beat(held).await?;
        for (name, tenant) in open.iter().filter(|(name, _)| lost.contains(name)) {
            tracing::warn!(tenant = %name, "another server has taken it");
            self.forget(name, tenant).await;
            // What nobody stored stays in its files, which are put aside when it comes back.
            drop(tenant.close(Duration::ZERO).await);
        }
        Ok(())
    }

    /// The cluster, if the tenants are shared.
    #[must_use]
    pub const fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
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
