//! `walkeep replicate DB STORE --once`: one capture.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;
use walkeep::backends::os::OsDirectory;
use walkeep::core::{Namespace, UnixMillis};
use walkeep::{Error, Handles};
use walkeep_sqlite::{CaptureOptions, Captured, Source, capture};

use crate::args::ReplicateArgs;
use crate::failure::Usage;
use crate::output;
use crate::store::Store;

/// What a capture did, for machines.
#[derive(Serialize)]
struct Document<'a> {
    namespace: &'a Namespace,
    durable_frame_no: u64,
    time: String,
    time_ms: UnixMillis,
    pages: u32,
    page_size: u32,
    pages_stored: u64,
    bytes_stored: u64,
    changed: bool,
    requests: u64,
}

/// What `--unfenced` gives up.
pub(super) const UNFENCED: &str = "warning: --unfenced: whether the store can tell two writers apart is not tried out. If it cannot, two \
                        writers of a namespace at once are both told that their commits are stored, and those of one \
                        are lost: see to it that there is only one";

pub(super) async fn run(args: &ReplicateArgs, json: bool) -> anyhow::Result<()> {
    let namespace = match &args.namespace {
        Some(namespace) => namespace.clone(),
        None => default_namespace(&args.database)?,
    };
    if !args.database.try_exists().unwrap_or(true) {
        // Before anything is created for it.
        return Err(missing(&args.database).into());
    }
    if args.store.store.path().is_some_and(|path| !path.exists()) {
        // A database that cannot be captured leaves no empty store behind.
        drop(Source::open(&args.database, args.busy_timeout)?);
    }
    let mut store = Store::create(&args.store.store)?;
    if args.unfenced {
        output::note(UNFENCED);
        store = store.unfenced();
    }
    let captured = capture_into(&store, &args.database, &namespace, args.busy_timeout).await?;
    if !captured.clock_behind.is_zero() {
        output::note(format!(
            "warning: the clock is {:?} behind the newest commit of the store; this commit was given that one's time",
            captured.clock_behind
        ));
    }
    report(&store, &namespace, &captured, json)
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

/// Captures a database with the machine's clock and randomness.
pub(super) async fn capture_into(
    store: &Store,
    database: &Path,
    namespace: &Namespace,
    busy_timeout: std::time::Duration,
) -> anyhow::Result<Captured> {
    let spool = std::env::temp_dir();
    let spool =
        OsDirectory::open(&spool).with_context(|| format!("open the directory {}", spool.display()))?;
    let options = CaptureOptions { busy_timeout, ..CaptureOptions::new(Arc::new(spool), Handles::system()) };
    match capture(database, &store.bucket, namespace, &options).await {
        // The database that is not there is no restore point that is not there.
        Err(Error::NotFound { .. }) if !database.exists() => Err(missing(database).into()),
        done => Ok(done?),
    }
}

fn report(store: &Store, namespace: &Namespace, captured: &Captured, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&Document {
            namespace,
            durable_frame_no: captured.durable_frame_no.get(),
            time: captured.time.to_string(),
            time_ms: captured.time,
            pages: captured.size.get(),
            page_size: captured.page_size.bytes_u32(),
            pages_stored: captured.pages_stored,
            bytes_stored: captured.bytes_stored,
            changed: captured.pages_stored > 0,
            requests: store.requests().total(),
        });
    }
    let frame = captured.durable_frame_no;
    if captured.pages_stored == 0 {
        output::line(format!("{namespace}: nothing changed since frame {frame} of {}", captured.time));
    } else {
        output::line(format!(
            "{namespace}: stored {} ({}) as frame {frame} of {}",
            output::count(captured.pages_stored, "changed page"),
            output::bytes(captured.bytes_stored),
            captured.time
        ));
    }
    Ok(())
}
