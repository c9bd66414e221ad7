//! What ties a [`Catalog`](walkeep_core::Catalog) to a store (`docs/catalog.md`):
//!
//! - [`init`] binds a catalog to a store, and [`copy`] keeps copies of it there, in namespaces that are reserved;
//! - [`restore`] makes a catalog that was lost whole again from the copies;
//! - [`sync_segments`] makes the registry of a namespace's segments say what the store says;
//! - [`take_over`] makes a node the writer of a namespace, in the catalog and in the store.
//!
//! Invariants:
//!
//! - the store is right where it and the catalog differ: nothing is deleted, and no commit is taken for stored, because a
//!   catalog says so;
//! - copies are created and never changed. Who writes them has the newest claim; a catalog that was restored elsewhere
//!   claims, so that the one before is told and does not count any more;
//! - a claim counts for restoring once copies of all shards are there under it.
//!
//! Calls of the catalog are made on a thread for blocking work.

mod blocking;
mod claims;
mod copies;
mod registry;
mod restoring;
mod takeover;

pub use claims::{copied_catalog, init};
pub use copies::{Copied, copy};
pub use registry::{Look, sync_segments};
pub use restoring::{RestoredCatalog, restore};
pub use takeover::{TakenOver, take_over};
