//! Calls of a catalog from async code: they wait for a disk.

use std::sync::Arc;

use walkeep_core::{Catalog, Error, Result};

/// Makes calls of a catalog on a thread for blocking work.
///
/// # Cancel safety
///
/// What was begun goes on to its end.
pub(super) async fn on<T: Send + 'static>(
    catalog: &Arc<dyn Catalog>,
    work: impl FnOnce(&dyn Catalog) -> Result<T> + Send + 'static,
) -> Result<T> {
    let catalog = Arc::clone(catalog);
    match tokio::task::spawn_blocking(move || work(&*catalog)).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Error::Unknown { what: format!("a call of the catalog ended early: {error}") }),
    }
}
