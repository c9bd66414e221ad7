//! `walkeep replicate DB STORE --once`: one capture.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;
use walkeep::backends::StoreUrl;
use walkeep::backends::os::OsDirectory;
use walkeep::core::{Namespace, UnixMillis};
use walkeep::{Error, Handles};
use walkeep_sqlite::{CaptureOptions, Captured, Source, capture};

use crate::args::ReplicateArgs;
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

pub(super) async fn run(
    args: &ReplicateArgs,
    database: &Path,
    store: &StoreUrl,
    namespace: &Namespace,
    json: bool,
) -> anyhow::Result<()> {
    if store.is_missing() {
        // A database that cannot be captured leaves no empty store behind.
        drop(Source::open(database, args.busy_timeout)?);
    }
    let mut store = Store::create(store)?;
    if args.unfenced {
        store = store.unfenced();
    }
    let captured = capture_into(&store, database, namespace, args.busy_timeout).await?;
    if !captured.clock_behind.is_zero() {
        output::note(format!(
            "warning: the clock is {:?} behind the newest commit of the store; this commit was given that one's time",
            captured.clock_behind
        ));
    }
    report(&store, namespace, &captured, json)
}

/// Captures a database with the machine's clock and randomness.
pub(in crate::commands) async fn capture_into(
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
        Err(Error::NotFound { .. }) if !database.exists() => Err(super::missing(database).into()),
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
