//! `walkeep export libsql`: a namespace's restore points as segments that libsql-wal reads.

use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;
use walkeep::backends::os::{OsDirectory, SystemRandom};
use walkeep::core::FrameNo;
use walkeep::core::Namespace;
use walkeep::libsql::{ExportOptions, export};

use super::only_namespace;
use crate::libsql_args::ExportLibsqlArgs;
use crate::output;
use crate::store::Store;

#[derive(Serialize)]
struct Document<'a> {
    namespace: &'a Namespace,
    cluster: &'a str,
    frame_no: Option<FrameNo>,
    segments_written: u64,
    segments_found: u64,
    ends_merged: u64,
}

pub(super) async fn run(args: &ExportLibsqlArgs, json: bool) -> anyhow::Result<()> {
    let store = Store::open(&args.store.store)?;
    let namespace = only_namespace(&store.bucket, args.namespace.as_ref()).await?;
    let spool = std::env::temp_dir();
    let spool =
        OsDirectory::open(&spool).with_context(|| format!("open the directory {}", spool.display()))?;
    let options = ExportOptions { spool: Arc::new(spool), random: Arc::new(SystemRandom) };
    let target = Store::create(&args.into.into)?;
    let exported = export(&store.bucket, &namespace, &target.bucket, &args.cluster, &options).await?;
    if exported.ends_merged > 0 {
        let count = output::count(exported.ends_merged, "restore point");
        output::note(format!("warning: {count} merged into the next one: libsql-wal has no form for them"));
    }
    if json {
        return output::json(&Document {
            namespace: &namespace,
            cluster: args.cluster.as_str(),
            frame_no: exported.frame_no,
            segments_written: exported.segments_written,
            segments_found: exported.segments_found,
            ends_merged: exported.ends_merged,
        });
    }
    output::line(format!(
        "{namespace}: wrote {} up to frame {}; {} there already",
        output::count(exported.segments_written, "segment"),
        exported.frame_no.map_or(0, FrameNo::get),
        exported.segments_found
    ));
    Ok(())
}
