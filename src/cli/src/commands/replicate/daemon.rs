//! `walkeep replicate DB STORE`: every transaction, until it is told to stop.

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use walkeep::core::Namespace;
use walkeep::storage::StorageOptions;
use walkeep::{Error, Fencing, Handles};
use walkeep_sqlite::replication::{
    DatabaseSpec, Phase, ReplicationOptions, ReplicationStore, Replicator, set_wal,
};

use crate::args::{ContinuousArgs, ReplicateArgs};
use crate::output;
use crate::store::Store;

/// How long a stop waits for the store. What is left then is stored by the next start.
const STOP_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn run(args: &ReplicateArgs, namespace: Namespace, json: bool) -> anyhow::Result<ExitCode> {
    let handles = Handles::system();
    if args.continuous.set_wal {
        set_wal(&args.database, args.busy_timeout)?;
    }
    let store = Store::create(&args.store.store)?;
    let fencing = if args.unfenced { Fencing::Unfenced } else { Fencing::Required };
    if args.unfenced {
        output::note(super::UNFENCED);
    }
    let target = ReplicationStore::new(
        store.backend(),
        &args.store.store,
        fencing,
        StorageOptions::default(),
        handles.clone(),
    )?;
    let spec = DatabaseSpec {
        path: args.database.clone(),
        namespace: namespace.clone(),
        store: target,
        options: options(&args.continuous, args.busy_timeout),
    };
    let mut replication = Replicator::new(handles).start(spec)?;
    let mut status = replication.watch();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut announced = false;
    loop {
        tokio::select! {
            ended = replication.ended() => {
                ended?;
                return Ok(ExitCode::SUCCESS);
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            Ok(()) = status.changed(), if !announced => {
                let status = status.borrow_and_update().clone();
                if status.phase == Phase::Capturing {
                    announced = true;
                    let epoch = status.epoch.unwrap_or_default();
                    output::note(format!(
                        "replicating {} to {}, namespace {namespace}, epoch {epoch}",
                        args.database.display(),
                        args.store.store
                    ));
                }
            }
        }
    }
    if replication.stop(STOP_WITHIN).await? {
        output::note("stopped; everything that was committed is stored");
        let _ = json;
        return Ok(ExitCode::SUCCESS);
    }
    let what = "stopped; some commits are not stored yet and wait on local disk: the next start stores them"
        .to_string();
    Err(Error::Unavailable { what, source: None }.into())
}

fn options(args: &ContinuousArgs, busy_timeout: Duration) -> ReplicationOptions {
    ReplicationOptions {
        sync_interval: args.sync_interval,
        seal_bytes: args.seal,
        checkpoint_bytes: args.checkpoint,
        spool_bytes_max: args.spool_max,
        busy_timeout,
        poll_interval: args.poll_interval,
        state_directory: args.state_dir.clone(),
        rewind: args.rewind,
        ..ReplicationOptions::default()
    }
}
