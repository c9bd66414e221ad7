//! Opening a catalog on this machine.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use walkeep::backends::os::OsDirectory;
use walkeep::backends::redb::{RedbCatalog, ShardsOptions};
use walkeep::core::Directory;
use walkeep::core::shards::{ShardCount, ShardPurpose};
use walkeep::{Error, Handles};

/// How catalogs are opened here.
pub(super) fn options() -> ShardsOptions {
    ShardsOptions::new(ShardPurpose::Catalog)
}

/// Opens a catalog that exists.
pub(super) fn existing(path: &Path) -> Result<RedbCatalog, Error> {
    let none = || Error::not_found(format!("a catalog in {}", path.display()));
    let directory = OsDirectory::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => none(),
        _ => Error::io(format!("open {}", path.display()), error),
    })?;
    match open(directory, path, &ShardsOptions { create: false, ..options() }) {
        Err(Error::NotFound { .. }) => Err(none()),
        opened => opened,
    }
}

/// Opens a catalog, or makes it.
pub(super) fn any(path: &Path, shards: Option<ShardCount>) -> Result<RedbCatalog, Error> {
    let directory = OsDirectory::create(path);
    let directory = directory.map_err(|error| Error::io(format!("create {}", path.display()), error))?;
    open(directory, path, &ShardsOptions { shards, ..options() })
}

fn open(directory: OsDirectory, path: &Path, options: &ShardsOptions) -> Result<RedbCatalog, Error> {
    let (directory, handles): (Arc<dyn Directory>, _) = (Arc::new(directory), Handles::system());
    RedbCatalog::open(&directory, path, handles.clock, &*handles.random, options)
}
