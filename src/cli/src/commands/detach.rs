//! `walkeep detach STORE -n NS`: a fork gets a copy of what it shares, and lets go of its parent.

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use std::sync::Arc;
use walkeep::backends::os::OsDirectory;
use walkeep::core::Namespace;
use walkeep::{Handles, detach};

use crate::args::{NAMESPACE_VARIABLE, StoreArgs};
use crate::output;
use crate::store::Store;

#[derive(Debug, Args)]
pub(crate) struct DetachArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The fork
    #[arg(short, long, value_name = "NS", env = NAMESPACE_VARIABLE)]
    pub(crate) namespace: Namespace,
}

#[derive(Serialize)]
struct Document<'a> {
    namespace: &'a Namespace,
    deleted: &'a [Namespace],
}

pub(super) async fn run(args: &DetachArgs, json: bool) -> anyhow::Result<()> {
    let store = Store::open(&args.store.store)?;
    let namespace = &args.namespace;
    let spool = std::env::temp_dir();
    let spool =
        OsDirectory::open(&spool).with_context(|| format!("open the directory {}", spool.display()))?;
    let deleted = detach(&store.bucket, namespace, Arc::new(spool), &Handles::system()).await?;
    if json {
        return output::json(&Document { namespace, deleted: &deleted });
    }
    output::line(format!("{namespace} is no fork any more: everything that it needs is stored in it"));
    for gone in deleted {
        output::line(format!(
            "{gone} was deleted before, and nothing needs it any more: its segments are gone"
        ));
    }
    Ok(())
}
