//! A database that is to be replicated, however that was asked for.

use std::path::PathBuf;

use walkeep::backends::StoreUrl;
use walkeep::core::Namespace;
use walkeep_sqlite::replication::{ReplicationOptions, state_directory};

use super::caretaker::Tended;
use crate::args::{ContinuousArgs, ReplicateArgs};
use crate::config::{Care, DatabaseEntry};

/// A database that is to be replicated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) path: PathBuf,
    pub(super) store: StoreUrl,
    pub(super) namespace: Namespace,
    pub(super) unfenced: bool,
    pub(super) options: ReplicationOptions,
    pub(super) care: Care,
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
        let care = Care { compact: !args.continuous.no_compact, ..Care::default() };
        Self { path, store, namespace, unfenced: args.unfenced, options, care }
    }

    /// What is looked after.
    pub(super) fn tended(&self) -> Tended {
        // Where the replication has it: beside the file itself, not beside a symbolic link to it.
        let path = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        Tended {
            namespace: self.namespace.clone(),
            store: self.store.clone(),
            state_directory: self.options.state_directory.clone().unwrap_or_else(|| state_directory(&path)),
            care: self.care.clone(),
        }
    }
}

impl From<DatabaseEntry> for Wanted {
    fn from(entry: DatabaseEntry) -> Self {
        let DatabaseEntry { path, store, namespace, unfenced, settings, .. } = entry;
        let options = ReplicationOptions::from(&settings);
        Self { path, store, namespace, unfenced, options, care: settings.care }
    }
}
