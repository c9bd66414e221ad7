//! `walkeep catalog init`, `copy` and `restore`: a catalog and its copies in a store.

use std::sync::Arc;

use serde::Serialize;
use walkeep::catalog::{Copied, RestoredCatalog};
use walkeep::core::Catalog;
use walkeep::core::catalog::CatalogId;
use walkeep::{Error, Handles};

use super::{CatalogArgs, NewCatalogArgs, open};
use crate::args::StoreArgs;
use crate::output;
use crate::store::Store;

#[derive(Serialize)]
struct CopiedDocument {
    catalog: CatalogId,
    shards: u16,
    #[serde(flatten)]
    copied: Copied,
}

#[derive(Serialize)]
struct RestoredDocument<'a> {
    catalog: CatalogId,
    shards: u16,
    #[serde(flatten)]
    restored: &'a RestoredCatalog,
}

pub(super) async fn init(store: &StoreArgs, at: &NewCatalogArgs, json: bool) -> anyhow::Result<()> {
    let store = Store::create(&store.store)?;
    let catalog: Arc<dyn Catalog> = Arc::new(open::any(&at.catalog.catalog, at.shards)?);
    walkeep::catalog::init(&store.bucket, &catalog, &Handles::system()).await?;
    copied(&store, &catalog, json).await
}

pub(super) async fn copy(store: &StoreArgs, at: &CatalogArgs, json: bool) -> anyhow::Result<()> {
    let store = Store::open(&store.store)?;
    let catalog: Arc<dyn Catalog> = Arc::new(open::existing(&at.catalog)?);
    copied(&store, &catalog, json).await
}

async fn copied(store: &Store, catalog: &Arc<dyn Catalog>, json: bool) -> anyhow::Result<()> {
    let copied = walkeep::catalog::copy(&store.bucket, catalog, &Handles::system()).await?;
    let document = CopiedDocument { catalog: catalog.identity()?.id, shards: catalog.shards(), copied };
    if json {
        return output::json(&document);
    }
    output::line(format!(
        "catalog {}: {} of {} written, {} unchanged",
        document.catalog,
        output::count(copied.copies, "copy").replace("copys", "copies"),
        output::bytes(copied.bytes),
        copied.unchanged
    ));
    Ok(())
}

pub(super) async fn restore(store: &StoreArgs, at: &NewCatalogArgs, json: bool) -> anyhow::Result<()> {
    let url = &store.store;
    let store = Store::open(url)?;
    if walkeep::catalog::copied_catalog(&store.bucket).await?.is_none() {
        // Before a directory is made for it.
        return Err(Error::not_found(format!("a copy of a catalog in {url}")).into());
    }
    let catalog: Arc<dyn Catalog> = Arc::new(open::any(&at.catalog.catalog, at.shards)?);
    let restored = walkeep::catalog::restore(&store.bucket, &catalog, &Handles::system()).await?;
    for differing in &restored.differing {
        output::note(format!("warning: {differing}"));
    }
    if restored.elsewhere > 0 {
        let count = output::count(restored.elsewhere, "namespace");
        output::note(format!("note: {count} in other stores: their segments are not listed yet"));
    }
    let document =
        RestoredDocument { catalog: catalog.identity()?.id, shards: catalog.shards(), restored: &restored };
    if json {
        return output::json(&document);
    }
    output::line(format!(
        "catalog {}: restored {} with {}, {} listed",
        document.catalog,
        output::count(restored.records, "record"),
        output::count(restored.namespaces, "namespace"),
        output::count(restored.segments, "segment")
    ));
    Ok(())
}
