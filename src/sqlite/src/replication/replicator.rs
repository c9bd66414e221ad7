//! What the replications of one process share.

use walkeep::Handles;
use walkeep::core::Result;

use super::handle::{DatabaseSpec, Replication};
use super::watcher::Watcher;

/// Starts replications, which share one watcher of files. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Replicator {
    watcher: Watcher,
    handles: Handles,
}

impl Replicator {
    /// A replicator, which works on the tokio runtime in which this is called.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(handles: Handles) -> Self {
        Self { watcher: Watcher::new(), handles }
    }

    /// Replicates a database in the background. Whether that comes about, its status tells.
    ///
    /// # Errors
    ///
    /// `Invalid`, as [`ReplicationOptions::check`](super::ReplicationOptions::check).
    pub fn start(&self, database: DatabaseSpec) -> Result<Replication> {
        database.options.check()?;
        let quota = Some(database.options.quota).filter(|quota| !quota.is_unlimited());
        database.store.storage.set_quota(&database.namespace, quota);
        Ok(Replication::start(database, self.watcher.clone(), self.handles.clone()))
    }
}
