//! `walkeep catalog sync STORE`: the segments that the catalog lists, made to say what the store says.
//!
//! A namespace that fails does not keep the others from being listed; the command fails then all the same.

use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use walkeep::backends::StoreUrl;
use walkeep::catalog::{Look, sync_segments};
use walkeep::core::catalog::{NamespaceRecord, NamespaceState, SegmentChanges};
use walkeep::core::{Catalog, Namespace};
use walkeep::{Error, Result};

use super::{CatalogArgs, PAGE, open};
use crate::args::{NAMESPACE_VARIABLE, StoreArgs};
use crate::output;
use crate::store::Store;

#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    at: CatalogArgs,
    /// The namespace; by default all that the catalog has in this store
    #[arg(short, long, value_name = "NS", env = NAMESPACE_VARIABLE)]
    namespace: Option<Namespace>,
    /// Look only at what is new since the last time: fewer requests, and what was compacted or deleted since is not noticed
    #[arg(long)]
    newest: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    namespace: &'a Namespace,
    #[serde(flatten)]
    changes: SegmentChanges,
}

pub(super) async fn sync(args: &SyncArgs, json: bool) -> anyhow::Result<()> {
    let url = &args.store.store;
    let store = Store::open(url)?;
    let catalog: Arc<dyn Catalog> = Arc::new(open::existing(&args.at.catalog)?);
    let look = if args.newest { Look::Newest } else { Look::Whole };
    let records = match &args.namespace {
        Some(namespace) => vec![catalog.namespace(namespace)?],
        None => served(&*catalog)?,
    };
    let (mut elsewhere, mut failed) = (0, Vec::new());
    for record in &records {
        let namespace = &record.namespace;
        if args.namespace.is_none() && !is_in(record, url) {
            elsewhere += 1;
            continue;
        }
        match sync_segments(&store.bucket, &catalog, namespace, look).await {
            Ok(changes) => show(&Row { namespace, changes }, json)?,
            // One that was never written.
            Err(Error::NotFound { .. }) if args.namespace.is_none() && record.log_id.is_none() => {}
            Err(error) => failed.push((namespace, error)),
        }
    }
    if elsewhere > 0 {
        let count = output::count(elsewhere, "namespace");
        output::note(format!("note: {count} in other stores, by their settings, left as they were"));
    }
    let mut failed = failed.into_iter();
    let first = failed.next();
    for (namespace, error) in failed {
        output::note_beside_failure(format!(
            "the segments of namespace {namespace} were not listed either: {error}"
        ));
    }
    match first {
        Some((namespace, error)) => {
            Err(error).with_context(|| format!("list the segments of namespace {namespace}"))
        }
        None => Ok(()),
    }
}

/// The namespaces that were not deleted.
fn served(catalog: &dyn Catalog) -> Result<Vec<NamespaceRecord>> {
    let (mut records, mut after) = (Vec::new(), None);
    loop {
        let page = catalog.namespaces("", after.as_ref(), PAGE)?;
        let Some(last) = page.last() else { return Ok(records) };
        after = Some(last.namespace.clone());
        records.extend(page.into_iter().filter(|record| record.state != NamespaceState::Tombstone));
    }
}

/// Whether a namespace is in a store: its settings name it, or none.
fn is_in(record: &NamespaceRecord, url: &StoreUrl) -> bool {
    record
        .settings
        .store
        .as_ref()
        .is_none_or(|named| named.parse().is_ok_and(|named: StoreUrl| named == *url))
}

fn show(row: &Row<'_>, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(row);
    }
    let Row { namespace, changes: SegmentChanges { added, removed, changed, unchanged } } = row;
    output::line(format!(
        "{namespace:<32} {added} added, {removed} removed, {changed} changed, {unchanged} unchanged"
    ));
    Ok(())
}
