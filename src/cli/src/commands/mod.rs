//! The commands, one a file.

mod catalog;
mod changes;
mod compact;
mod completions;
mod config;
mod demo;
mod detach;
mod export;
mod followers;
mod fork;
mod freeze;
mod gc;
mod import;
mod inspect;
mod log;
mod ls;
mod pin;
mod replica;
mod replicate;
mod restore;
mod retain;
mod rm;
mod segments;
mod shrink;
mod status;
mod sync;
mod verify;

pub(crate) use catalog::CatalogCommand;
pub(crate) use changes::{ChangesArgs, NOTES as CHANGES_NOTES};
pub(crate) use compact::{CompactArgs, NOTES as COMPACT_NOTES};
pub(crate) use detach::DetachArgs;
pub(crate) use followers::FollowersArgs;
pub(crate) use fork::ForkArgs;
pub(crate) use freeze::FreezeArgs;
pub(crate) use gc::GcArgs;
pub(crate) use inspect::InspectArgs;
pub(crate) use pin::{PinArgs, PinsArgs, UnpinArgs};
pub(crate) use replicate::Done;
pub(crate) use retain::RetainArgs;
pub(crate) use rm::RmArgs;
pub(crate) use shrink::ShrinkArgs;
pub(crate) use sync::SyncArgs;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use walkeep::backends::os::OsDirectory;
use walkeep::core::Namespace;
use walkeep::{Bucket, Error, newest_manifest};

use crate::args::{Cli, Command, ConfigCommand, Export, Import};
use crate::failure::Usage;
use crate::output;

/// Runs the command that was asked for.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let json = cli.json;
    match cli.command {
        Command::Demo(args) => demo::run(&args, json).await?,
        Command::Replicate(args) => return replicate::run(args, json).await,
        Command::Restore(args) => restore::run(&args, json).await?,
        Command::Replica(args) => replica::run(&args, json).await?,
        Command::Ls(args) => ls::run(&args, json).await?,
        Command::Log(args) => log::run(&args, json).await?,
        Command::Segments(args) => segments::run(&args, json).await?,
        Command::Inspect(args) => inspect::run(&args, json).await?,
        Command::Compact(args) => compact::run(&args, json).await?,
        Command::Verify(args) => return verify::run(&args, json).await,
        Command::Fork(args) => fork::run(&args, json).await?,
        Command::Followers(args) => followers::run(&args, json).await?,
        Command::Changes(args) => changes::run(&args, json).await?,
        Command::Detach(args) => detach::run(&args, json).await?,
        Command::Rm(args) => rm::run(&args, json).await?,
        Command::Retain(args) => retain::run(&args, json).await?,
        Command::Gc(args) => return gc::run(&args, json).await,
        Command::Pin(args) => pin::run(&args, json).await?,
        Command::Unpin(args) => pin::run_unpin(&args, json).await?,
        Command::Pins(args) => pin::run_list(&args, json).await?,
        Command::Freeze(args) => freeze::run(&args, true, json).await?,
        Command::Thaw(args) => freeze::run(&args, false, json).await?,
        Command::Import(Import::Libsql(args)) => import::run(&args, json).await?,
        Command::Export(Export::Libsql(args)) => export::run(&args, json).await?,
        Command::Status(args) => return status::run(&args, json).await,
        Command::Sync(args) => return sync::run(&args, json).await,
        Command::Shrink(args) => shrink::run(&args, json)?,
        Command::Catalog(command) => catalog::run(command, json).await?,
        Command::Config(ConfigCommand::Check { file }) => config::check(&file, json)?,
        Command::Completions { shell } => completions::run(shell),
    }
    Ok(ExitCode::SUCCESS)
}

/// How many namespaces a message names at most.
const NAMESPACES_NAMED: usize = 10;

/// Whether a namespace was deleted, or is a fork that did not come about: what is left of it is no folder of others.
async fn is_gone(bucket: &Bucket, namespace: &Namespace) -> walkeep::Result<bool> {
    let newest = newest_manifest(bucket, namespace).await?;
    Ok(newest.is_some_and(|newest| !newest.life().is_there()))
}

/// The namespace that was named, or the only one of the store.
async fn only_namespace(bucket: &Bucket, named: Option<&Namespace>) -> anyhow::Result<Namespace> {
    if let Some(namespace) = named {
        return Ok(namespace.clone());
    }
    let (mut namespaces, _) = bucket.namespaces().await?;
    if namespaces.len() > 1 {
        let mut there = Vec::new();
        for namespace in namespaces {
            if there.len() < NAMESPACES_NAMED && !is_gone(bucket, &namespace).await? {
                there.push(namespace);
            }
        }
        namespaces = there;
    }
    match &namespaces[..] {
        [only] => Ok(only.clone()),
        [] => Err(Error::not_found("a namespace in this store (it is empty)").into()),
        several => {
            let names = several.iter().map(Namespace::as_str).collect::<Vec<_>>().join(", ");
            let why = format!("the store has several namespaces ({names}); choose one with -n");
            Err(Usage(why).into())
        }
    }
}

/// The directory of a file that is to be written, and its name there.
fn split_output(output: &Path) -> anyhow::Result<(PathBuf, &str)> {
    let name = output.file_name().and_then(|name| name.to_str());
    let Some(name) = name.filter(|_| !output.is_dir()) else {
        return Err(Usage(format!("-o {} is not the name of a file", output.display())).into());
    };
    Ok((output.parent().unwrap_or(Path::new("")).to_path_buf(), name))
}

/// Opens the directory of a file that is to be written.
fn open_directory_of(output: &Path, parent: &Path) -> anyhow::Result<Arc<OsDirectory>> {
    let directory = OsDirectory::open(parent);
    Ok(Arc::new(directory.with_context(|| format!("open the directory of {}", output.display()))?))
}

/// Says that folders stand among the namespaces that are none.
fn warn_foreign_folders(count: usize) {
    match count {
        0 => {}
        1 => output::note("warning: ignored 1 folder that is no namespace"),
        _ => output::note(format!("warning: ignored {count} folders that are no namespaces")),
    }
}

/// Says that objects were listed that are not Walkeep's, or do not count.
fn warn_ignored(namespace: &Namespace, ignored: walkeep::Ignored, unconfirmed: usize) {
    let mut parts = Vec::new();
    let mut say = |count: usize, what: &str| {
        if count > 0 {
            parts.push(format!("{} {what}", output::count(count as u64, "object")));
        }
    };
    say(ignored.foreign, "with foreign names");
    say(ignored.fenced, "of writers that were fenced");
    say(ignored.unknown_epoch, "of epochs that the manifest does not know");
    say(ignored.incomplete, "without an index (an upload by libsql-wal that did not end)");
    say(unconfirmed, "not confirmed yet (a writer is opening the namespace, or an opening was cut short)");
    if !parts.is_empty() {
        output::note(format!("warning: namespace {namespace}: ignored {}", parts.join(", ")));
    }
}
