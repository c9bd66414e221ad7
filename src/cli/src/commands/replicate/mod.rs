//! `walkeep replicate`: continuously, or once.

mod caretaker;
mod daemon;
mod descriptors;
mod fleet;
mod once;
mod registry;
mod wanted;

use std::path::Path;
use std::process::ExitCode;

use walkeep::Error;
use walkeep::core::Namespace;
use walkeep_sqlite::replication::set_wal;

pub(crate) use self::caretaker::Done;
pub(super) use self::once::capture_into;
use self::wanted::Wanted;
use crate::args::{NAMESPACE_VARIABLE, ReplicateArgs};
use crate::failure::Usage;
use crate::output;

/// What `--unfenced` gives up.
pub(super) const UNFENCED: &str = "warning: --unfenced: whether the store can tell two writers apart is not tried out. If it cannot, two \
                        writers of a namespace at once are both told that their commits are stored, and those of one \
                        are lost: see to it that there is only one";

pub(super) async fn run(args: ReplicateArgs, json: bool) -> anyhow::Result<ExitCode> {
    if let Some(config) = args.config {
        refuse_namespace(args.namespace.as_ref())?;
        return daemon::run_all(config, args.reporting.metrics).await;
    }
    let (Some(database), Some(store)) = (args.database.clone(), args.store.clone()) else {
        return Err(Usage("name the database and the store, or a configuration with --config".into()).into());
    };
    let namespace = match &args.namespace {
        Some(namespace) => namespace.clone(),
        None => default_namespace(&database)?,
    };
    if !database.try_exists().unwrap_or(true) {
        // Before anything is created for it.
        return Err(missing(&database).into());
    }
    if args.unfenced {
        output::note(UNFENCED);
    }
    if args.once {
        once::run(&args, &database, &store, &namespace, json).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.continuous.set_wal {
        set_wal(&database, args.busy_timeout)?;
    }
    let metrics = args.reporting.metrics;
    daemon::run_one(Wanted::by_arguments(&args, database, store, namespace), metrics).await
}

/// A configuration names its own namespaces. One in the environment is there for other commands.
fn refuse_namespace(namespace: Option<&Namespace>) -> Result<(), Usage> {
    let of_environment = std::env::var(NAMESPACE_VARIABLE).ok();
    match namespace {
        Some(namespace) if of_environment.as_deref() != Some(namespace.as_str()) => {
            Err(Usage("--config cannot be used with -n: a configuration names the namespaces itself".into()))
        }
        _ => Ok(()),
    }
}

fn missing(database: &Path) -> Error {
    let what = format!("read {}", database.display());
    Error::Io { what, source: std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such file") }
}

/// The database's file name without its extension.
pub(super) fn default_namespace(database: &Path) -> anyhow::Result<Namespace> {
    let stem = database.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Namespace::new(stem).map_err(|error| {
        Usage(format!("the file name is no namespace: {error}; choose one with -n NS")).into()
    })
}
