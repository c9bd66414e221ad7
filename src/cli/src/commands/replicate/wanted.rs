//! A database that is to be replicated, however that was asked for.

use std::path::PathBuf;

use walkeep::backends::StoreUrl;
use walkeep::core::Namespace;
use walkeep_sqlite::replication::ReplicationOptions;

use crate::args::{ContinuousArgs, ReplicateArgs};
use crate::config::DatabaseEntry;

/// A database that is to be replicated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) path: PathBuf,
    pub(super) store: StoreUrl,
    pub(super) namespace: Namespace,
    pub(super) unfenced: bool,
    pub(super) options: ReplicationOptions,
}

impl Wanted {
    /// What the command line asks for.
    pub(super) fn by_arguments(
        args: &ReplicateArgs,
        path: PathBuf,
        store: StoreUrl,
        namespace: Namespace,
    ) -> Self {
        let ContinuousArgs {
            sync_interval,
            checkpoint,
            seal,
            spool_max,
            poll_interval,
            state_dir,
            rewind,
            ..
        } = &args.continuous;
        let options = ReplicationOptions {
            sync_interval: *sync_interval,
            seal_bytes: *seal,
            checkpoint_bytes: *checkpoint,
            spool_bytes_max: *spool_max,
            busy_timeout: args.busy_timeout,
            poll_interval: *poll_interval,
            state_directory: state_dir.clone(),
            rewind: *rewind,
            ..ReplicationOptions::default()
        };
        Self { path, store, namespace, unfenced: args.unfenced, options }
    }
}

impl From<DatabaseEntry> for Wanted {
    fn from(entry: DatabaseEntry) -> Self {
        let DatabaseEntry { path, store, namespace, unfenced, settings, .. } = entry;
        let options = ReplicationOptions::from(&settings);
        Self { path, store, namespace, unfenced, options }
    }
}
