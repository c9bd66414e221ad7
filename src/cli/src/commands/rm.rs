//! `walkeep rm STORE -n NS --yes`: deletes a namespace, or says what that would do.

use clap::Args;
use serde::Serialize;
use walkeep::core::Namespace;
use walkeep::{Bucket, Error, Handles, Timeline, newest_manifest, remove};

use crate::args::StoreArgs;
use crate::failure::Usage;
use crate::output;
use crate::store::Store;

#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The namespace to delete
    #[arg(short, long, value_name = "NS")]
    pub(crate) namespace: Namespace,
    /// Delete it, for good; without this, only say what would be deleted
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    namespace: &'a Namespace,
    segments_deleted: usize,
    needed_by: &'a [Namespace],
    deleted_too: &'a [Namespace],
}

pub(super) async fn run(args: &RmArgs, json: bool) -> anyhow::Result<()> {
    let store = Store::open(&args.store.store)?;
    let namespace = &args.namespace;
    if !args.yes {
        return Err(Usage(what_would_go(&store.bucket, namespace).await?).into());
    }
    let removed = remove(&store.bucket, namespace, &Handles::system()).await?;
    if json {
        return output::json(&Document {
            namespace,
            segments_deleted: removed.segments,
            needed_by: &removed.needed_by,
            deleted_too: &removed.cascaded,
        });
    }
    let segments = output::count(removed.segments as u64, "segment");
    if removed.needed_by.is_empty() {
        output::line(format!("{namespace} is deleted, {segments}"));
    } else {
        let forks = names(&removed.needed_by);
        output::line(format!("{namespace} is deleted; its segments stay while they are needed by: {forks}"));
    }
    for gone in &removed.cascaded {
        output::line(format!(
            "{gone} was deleted before, and nothing needs it any more: its segments are gone"
        ));
    }
    Ok(())
}

async fn what_would_go(bucket: &Bucket, namespace: &Namespace) -> anyhow::Result<String> {
    let manifest = newest_manifest(bucket, namespace).await?;
    let Some(manifest) = manifest else {
        return Err(Error::not_found(format!("namespace {namespace}")).into());
    };
    let stored = match Timeline::load(bucket, namespace).await {
        Ok(timeline) => {
            let bytes = timeline.own().map(|segment| segment.size).sum::<u64>();
            let segments = output::count(timeline.own().count() as u64, "segment");
            format!(": {segments} of {}", output::bytes(bytes))
        }
        Err(_) => String::new(),
    };
    let forks = manifest.children().iter().map(|child| child.namespace.clone()).collect::<Vec<_>>();
    let kept = match &forks[..] {
        [] => String::new(),
        forks => format!(
            ". It has forks, for which its segments stay until they are deleted or detached: {}",
            names(forks)
        ),
    };
    Ok(format!("this would delete namespace {namespace} for good{stored}{kept}. Say --yes to do so"))
}

fn names(namespaces: &[Namespace]) -> String {
    namespaces.iter().map(Namespace::as_str).collect::<Vec<_>>().join(", ")
}
