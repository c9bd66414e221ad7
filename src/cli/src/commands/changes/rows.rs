//! The rows of commits, with the temporary directory that they are worked out in.

use std::sync::Arc;

use anyhow::Context;
use tempfile::TempDir;
use walkeep::backends::os::OsDirectory;
use walkeep::core::Namespace;
use walkeep::followers::Change;
use walkeep::{Bucket, Handles};
use walkeep_sqlite::rows::{RowChanges, RowFeed};

/// Works out the rows of one commit after the other.
pub(super) struct Rows {
    feed: RowFeed,
    /// Removed with this.
    _directory: TempDir,
}

impl Rows {
    pub(super) fn new(bucket: &Bucket, namespace: &Namespace) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("walkeep-rows-").tempdir();
        let directory = directory.context("make a temporary directory for two copies of the database")?;
        let opened = OsDirectory::open(directory.path());
        let opened = opened.with_context(|| format!("open {}", directory.path().display()))?;
        let feed = RowFeed::new(bucket, namespace, &Handles::system(), Arc::new(opened), directory.path());
        Ok(Self { feed, _directory: directory })
    }

    pub(super) async fn of(&mut self, change: &Change) -> anyhow::Result<RowChanges> {
        Ok(self.feed.rows(change).await?)
    }
}
