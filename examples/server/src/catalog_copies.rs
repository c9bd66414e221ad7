//! Copies of the servers' catalog in the store, from which a catalog that was lost is restored.
//!
//! Invariants:
//!
//! - a server whose catalog is not bound to the store copies nothing: it binds a new one when it starts, and refuses to
//!   start with a new one where the store has the copies of another;
//! - the store is asked nothing while nothing has changed here.
//!
//! Not here: restoring. `walkeep catalog restore STORE` does that, while no server runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use walkeep::core::Catalog;
use walkeep::core::catalog::CatalogPart;
use walkeep::{Bucket, Handles, Result};

use crate::cluster::{Cluster, blocking};

/// How long the last copy may take when the server stops.
const LAST_WITHIN: Duration = Duration::from_secs(10);

/// Copies a catalog into a store.
#[derive(Debug)]
pub struct CatalogCopies {
    cluster: Cluster,
    bucket: Bucket,
    handles: Handles,
    /// How often each part of each shard had been changed when it was copied last; empty before the first copy.
    copied: Mutex<Vec<u64>>,
}

impl CatalogCopies {
    /// Copies of a catalog in a store: the catalog is bound to it, and copied, if it was not before.
    ///
    /// # Errors
    ///
    /// `Invalid` when the store has the copies of another catalog, or the catalog is bound to another store; `Fenced` when
    /// it was restored elsewhere; `Unavailable`.
    pub async fn begin(cluster: &Cluster, bucket: &Bucket, handles: &Handles) -> Result<Self> {
        let copies = Self {
            cluster: cluster.clone(),
            bucket: bucket.clone(),
            handles: handles.clone(),
            copied: Mutex::default(),
        };
        let catalog = cluster.keep().await?;
        let bound = walkeep::catalog::init(bucket, &catalog, handles).await;
        Cluster::let_go(catalog).await?;
        bound?;
        copies.copy().await?;
        Ok(copies)
    }

    /// Copies what has changed since the last time; whether anything had.
    ///
    /// # Errors
    ///
    /// Those of `walkeep::catalog::copy`. What is not copied is copied the next time.
    pub async fn copy(&self) -> Result<bool> {
        let mut copied = self.copied.lock().await;
        let catalog = self.cluster.keep().await?;
        let looked = Arc::clone(&catalog);
        let now = blocking(move || changes(&*looked)).await?;
        let done = if *copied == now {
            Ok(())
        } else {
            walkeep::catalog::copy(&self.bucket, &catalog, &self.handles).await.map(drop)
        };
        Cluster::let_go(catalog).await?;
        done?;
        let has_changed = *copied != now;
        *copied = now;
        Ok(has_changed)
    }

    /// Copies again and again, until it is dropped.
    pub async fn keep_up(&self, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            match self.copy().await {
                Ok(true) => tracing::info!("the catalog is copied into the store"),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the catalog could not be copied into the store"),
            }
        }
    }

    /// Copies what has changed by the end. What could not be copied is in the catalog all the same.
    pub async fn end(&self) {
        match tokio::time::timeout(LAST_WITHIN, self.copy()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%error, "the last changes of the catalog are not in the store"),
            Err(_) => {
                tracing::error!("the last changes of the catalog are not in the store: it took too long")
            }
        }
    }
}

/// How often each part of each shard was changed.
fn changes(catalog: &dyn Catalog) -> Result<Vec<u64>> {
    let shards = 0..catalog.shards();
    let all = shards.flat_map(|shard| CatalogPart::ALL.map(|part| catalog.changes(shard, part)));
    all.collect()
}
