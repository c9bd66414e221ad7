//! Which of the servers of a machine serves which tenant: a catalog, in a directory that they share.
//!
//! Invariants:
//!
//! - a tenant is opened here only while it is assigned to this node, in the generation that is noted beside its files;
//! - the assignment is an agreement. What keeps the server from writing that lost a tenant without knowing is the epoch in
//!   the store: whoever opens the tenant next fences it.
//!
//! The catalog belongs to one process at a time, so each call opens it and lets it go again. It is asked when a tenant is
//! opened or moved, and by the heartbeat; never for a request to a tenant that is open here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use walkeep::backends::os::OsDirectory;
use walkeep::backends::redb::{RedbCatalog, ShardsOptions};
use walkeep::core::catalog::{Catalog, Generation, NamespaceSettings, Node, NodeId, NodeStatus};
use walkeep::core::shards::{ShardCount, ShardPurpose};
use walkeep::core::{Directory, Epoch, LogId, Namespace};
use walkeep::{Error, Handles, Result};

/// How often a server says that it is there.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// After how long of silence another server may take its tenants.
const DOWN_AFTER: Duration = Duration::from_secs(10);

/// How long the other servers may keep the catalog.
const LOCK_WAIT: Duration = Duration::from_secs(20);

/// The largest page of a listing of the catalog.
const PAGE: usize = 1000;

/// Where a tenant is served.
#[derive(Clone, Debug)]
pub enum Place {
    /// Here, in this generation of its assignment.
    Here(Generation, NamespaceSettings),
    /// By another server that is up.
    Elsewhere(Node),
    /// Nowhere: the catalog does not know it.
    Nowhere,
}

/// This server among those that share a catalog. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cluster {
    directory: Arc<dyn Directory>,
    path: PathBuf,
    node: NodeId,
    handles: Handles,
}

impl Cluster {
    /// The servers that share the catalog in a directory, of which this one is to be `node`. The directory is made if it is
    /// not there.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn new(path: &Path, node: NodeId, handles: Handles) -> Result<Self> {
        let directory = OsDirectory::create(path);
        let directory = directory.map_err(|error| Error::io(format!("create {}", path.display()), error))?;
        Ok(Self { directory: Arc::new(directory), path: path.to_path_buf(), node, handles })
    }

    /// Takes part, reached at `address`.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when the name is that of a server with another address; `Unavailable` when somebody keeps the
    /// catalog.
    pub async fn join(&self, address: &str) -> Result<()> {
        let (node, address) = (self.node.clone(), address.to_string());
        self.with(move |catalog| catalog.register_node(&node, &address, &BTreeMap::new())).await?;
        Ok(())
    }

    /// The name of this server.
    #[must_use]
    pub const fn node(&self) -> &NodeId {
        &self.node
    }

    /// Finds out where a tenant is served, and takes it if nobody serves it: nobody was given it, or who was is down. With
    /// `create` one that the catalog does not know is added to it, with these settings.
    ///
    /// # Errors
    ///
    /// `Unavailable`; `Invalid` for a tenant that was deleted, and while this server is draining.
    pub async fn take(&self, tenant: &Namespace, create: Option<NamespaceSettings>) -> Result<Place> {
        let (me, tenant, now) = (self.node.clone(), tenant.clone(), self.handles.clock.now());
        // Nobody else has the catalog meanwhile.
        self.with(move |catalog| {
            let record = match (catalog.namespace(&tenant), create) {
                (Err(Error::NotFound { .. }), Some(settings)) => {
                    catalog.create_namespace(&tenant, &settings)?
                }
                (Err(Error::NotFound { .. }), None) => return Ok(Place::Nowhere),
                (record, _) => record?,
            };
            record.refuse_tombstone("serving")?;
            let assignment = catalog.assignment(&tenant)?;
            let present = assignment.as_ref().map_or(Generation::NONE, |assignment| assignment.generation);
            match assignment.and_then(|assignment| assignment.node) {
                Some(node) if node == me => return Ok(Place::Here(present, record.settings)),
                Some(node) => {
                    let node = catalog.node(&node)?;
                    if node.status(now, DOWN_AFTER) != NodeStatus::Down {
                        return Ok(Place::Elsewhere(node));
                    }
                    tracing::warn!(%tenant, node = %node.id, "taking over from a server that is down");
                }
                None => {}
            }
            let taken = catalog.assign(&tenant, &me, Some(present))?;
            Ok(Place::Here(taken.generation, record.settings))
        })
        .await
    }

    /// Notes under which epoch a tenant that was taken is written.
    ///
    /// # Errors
    ///
    /// `Fenced` when it was given to somebody else meanwhile; `Invalid` when the catalog knows another log of this name.
    pub async fn confirm(
        &self,
        tenant: &Namespace,
        generation: Generation,
        epoch: Epoch,
        log: LogId,
    ) -> Result<()> {
        let tenant = tenant.clone();
        self.with(move |catalog| catalog.confirm(&tenant, generation, epoch, log).map(drop)).await
    }

    /// A server that takes tenants.
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown one; `Invalid` for this one, and one that takes nothing.
    pub async fn target(&self, node: &NodeId) -> Result<Node> {
        let (node, now) = (node.clone(), self.handles.clock.now());
        if node == self.node {
            return Err(Error::invalid(format!("moving to node {node}"), "it is served here already"));
        }
        let node = self.with(move |catalog| catalog.node(&node)).await?;
        match node.status(now, DOWN_AFTER) {
            NodeStatus::Up => Ok(node),
            status => Err(Error::invalid(format!("moving to node {}", node.id), format!("it is {status}"))),
        }
    }

    /// Gives a tenant that is held here to another server.
    ///
    /// # Errors
    ///
    /// `Fenced` when it is not held here any more.
    pub async fn give(&self, tenant: &Namespace, generation: Generation, to: &NodeId) -> Result<()> {
        let (tenant, to) = (tenant.clone(), to.clone());
        self.with(move |catalog| catalog.assign(&tenant, &to, Some(generation)).map(drop)).await
    }

    /// Says that this server is there. Returns which of the tenants that it has open it does not hold any more.
    ///
    /// # Errors
    ///
    /// `Unavailable`; `NotFound` when this server was removed from the catalog.
    pub async fn beat(&self, open: Vec<(Namespace, Generation)>) -> Result<Vec<Namespace>> {
        let me = self.node.clone();
        self.with(move |catalog| {
            catalog.heartbeat(&me)?;
            let mut lost = Vec::new();
            for (tenant, generation) in open {
                let held = catalog.assignment(&tenant)?;
                if !held.is_some_and(|held| held.node == Some(me.clone()) && held.generation == generation) {
                    lost.push(tenant);
                }
            }
            Ok(lost)
        })
        .await
    }

    /// The servers, and whether they are up.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn nodes(&self) -> Result<Vec<(Node, NodeStatus)>> {
        let now = self.handles.clock.now();
        let nodes = self.with(|catalog| catalog.nodes(None, PAGE)).await?;
        Ok(nodes.into_iter().map(|node| (node.clone(), node.status(now, DOWN_AFTER))).collect())
    }

    async fn with<T: Send + 'static>(
        &self,
        call: impl FnOnce(&RedbCatalog) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        blocking(move || call(&this.open()?)).await
    }

    /// Keeps the catalog until it is dropped, or better let go of ([`Cluster::let_go`]). The other servers wait meanwhile.
    ///
    /// # Errors
    ///
    /// `Unavailable` when somebody else keeps it.
    pub async fn keep(&self) -> Result<Arc<dyn Catalog>> {
        let this = self.clone();
        let kept = blocking(move || this.open()).await?;
        Ok(Arc::new(kept))
    }

    /// Lets go of the catalog. Closing it waits for the disk.
    ///
    /// # Errors
    ///
    /// None that is known.
    pub async fn let_go(catalog: Arc<dyn Catalog>) -> Result<()> {
        blocking(move || {
            drop(catalog);
            Ok(())
        })
        .await
    }

    fn open(&self) -> Result<RedbCatalog> {
        let options = ShardsOptions {
            shards_if_new: ShardCount::ONE,
            cache_bytes: 4 << 20,
            lock_wait: LOCK_WAIT,
            ..ShardsOptions::new(ShardPurpose::Catalog)
        };
        let (clock, random) = (Arc::clone(&self.handles.clock), &*self.handles.random);
        RedbCatalog::open(&self.directory, &self.path, clock, random, &options)
    }
}

/// Does something that waits for a disk.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(Error::Unknown { what: format!("a call of the catalog did not end: {error}") })
    })
}
