//! `walkeep import libsql`: a namespace of libsql-wal, with all its restore points, into a store.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;
use walkeep::backends::os::OsDirectory;
use walkeep::core::segment::Compression;
use walkeep::core::{FrameNo, Namespace, Unreachable};
use walkeep::libsql::{ImportOptions, ImportSource, Imported, LocalLog, import};
use walkeep::{Error, Handles};

use super::only_namespace;
use crate::failure::Usage;
use crate::libsql_args::{ImportLibsqlArgs, IntoArgs};
use crate::output;
use crate::store::Store;
use crate::store_format::{FormatArgs, StoreFormat};

#[derive(Serialize)]
struct Document<'a> {
    namespace: &'a Namespace,
    frame_no: Option<FrameNo>,
    commits_stored: u64,
    commits_found: u64,
    commits_lacking: u64,
    times_raised: u64,
    bytes_stored: u64,
    notes: &'a [String],
}

pub(super) async fn run(args: &ImportLibsqlArgs, json: bool) -> anyhow::Result<()> {
    if args.store.is_none() && args.seg_dir.is_none() {
        return Err(Usage(
            "nothing to import: name a bucket (STORE), local files (--seg-dir), or both".into(),
        )
        .into());
    }
    let local =
        args.seg_dir.as_deref().map(|directory| local_log(directory, args.db.as_deref())).transpose()?;
    let source = match &args.store {
        Some(url) => {
            let format = FormatArgs { format: Some(StoreFormat::Libsql), cluster: args.cluster.clone() };
            let store = format.open(url).await?;
            let namespace = only_namespace(&store.bucket, args.namespace.as_ref()).await?;
            Some((store, namespace))
        }
        None => None,
    };
    let from = source.as_ref().map(|(_, namespace)| namespace);
    let Some(namespace) = args.as_namespace.as_ref().or(from).or(args.namespace.as_ref()) else {
        return Err(Usage("name the namespace with -n".into()).into());
    };
    let spool = std::env::temp_dir();
    let spool =
        OsDirectory::open(&spool).with_context(|| format!("open the directory {}", spool.display()))?;
    let options = ImportOptions {
        spool: Arc::new(spool),
        handles: Handles::system(),
        compression: Compression::default(),
    };
    let bucket = source.as_ref().map(|(store, namespace)| (&store.bucket, namespace));
    let target = into(&args.into, args.unfenced)?;
    let imported = import(ImportSource { bucket, local }, &target.bucket, namespace, &options).await?;
    match imported.missing.first() {
        None => report(namespace, &imported, json),
        Some(missing) => Err(incomplete(&imported, missing).into()),
    }
}

/// A failure that has added what could be had: importing again goes on behind it.
fn incomplete(imported: &Imported, missing: &RangeInclusive<FrameNo>) -> Error {
    for note in &imported.notes {
        output::note_beside_failure(format!("warning: {note}"));
    }
    let there = output::count(imported.commits_stored + imported.commits_found, "restore point");
    let frame = imported.frame_no.map_or(0, FrameNo::get);
    Error::from(Unreachable {
        wanted: format!("what is behind frame {frame} of the source"),
        why: format!("the source lacks segments; {there} up to that frame are imported"),
        missing: Some(missing.clone()),
        ..Unreachable::default()
    })
}

/// The store to write to.
fn into(args: &IntoArgs, unfenced: bool) -> anyhow::Result<Store> {
    let store = Store::create(&args.into)?;
    if unfenced {
        output::note(super::replicate::UNFENCED);
        return Ok(store.unfenced());
    }
    Ok(store)
}

fn local_log(directory: &Path, database: Option<&Path>) -> anyhow::Result<LocalLog> {
    let opened = OsDirectory::open(directory)
        .with_context(|| format!("open the directory {}", directory.display()))?;
    let log = LocalLog::open(Arc::new(opened))?;
    let Some(database) = database else { return Ok(log) };
    let parent = database.parent().unwrap_or(Path::new(""));
    let beside =
        OsDirectory::open(parent).with_context(|| format!("open the directory of {}", database.display()))?;
    let name =
        database.file_name().ok_or_else(|| Usage(format!("--db {} is no file", database.display())))?;
    Ok(log.with_database(&beside, Path::new(name))?)
}

fn report(namespace: &Namespace, imported: &Imported, json: bool) -> anyhow::Result<()> {
    for note in &imported.notes {
        output::note(format!("warning: {note}"));
    }
    if imported.times_raised > 0 {
        let count = output::count(imported.times_raised, "restore point");
        output::note(format!("warning: {count} got the time of the one before: the source's times fall"));
    }
    if imported.commits_lacking > 0 {
        let count = output::count(imported.commits_lacking, "restore point");
        output::note(format!(
            "warning: {count} of the source cannot be added: the namespace goes on behind them"
        ));
    }
    if json {
        return output::json(&Document {
            namespace,
            frame_no: imported.frame_no,
            commits_stored: imported.commits_stored,
            commits_found: imported.commits_found,
            commits_lacking: imported.commits_lacking,
            times_raised: imported.times_raised,
            bytes_stored: imported.bytes_stored,
            notes: &imported.notes,
        });
    }
    let frame = imported.frame_no.map_or(0, FrameNo::get);
    let found = output::count(imported.commits_found, "restore point");
    if imported.commits_stored == 0 {
        output::line(format!("{namespace}: nothing to import: all {found} up to frame {frame} are there"));
    } else {
        output::line(format!(
            "{namespace}: imported {} ({}) up to frame {frame}; {found} were there",
            output::count(imported.commits_stored, "restore point"),
            output::bytes(imported.bytes_stored)
        ));
    }
    Ok(())
}
