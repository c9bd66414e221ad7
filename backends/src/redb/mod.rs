//! Many small things in a few embedded databases on one disk: a set of sharded [redb](https://docs.rs/redb) files
//! (`docs/redb.md`).
//!
//! Invariants:
//!
//! - one process at a time has a set open; another one is told which process that is;
//! - what a write returned is durable: each commit ends with one sync, and a failed sync is never repeated. The shard that
//!   it struck refuses everything until the set is opened anew;
//! - every value carries a checksum over its table, its key and itself ([`checked`]): redb's reads check none;
//! - all file I/O goes through a [`Directory`](walkeep_core::Directory), so that a test can crash at every write;
//! - which shard a name is in, how many there are and what they hold stands in `layout.json`, is checked at every opening
//!   and never guessed.
//!
//! [`Redb`] is a store on them: one sync for everything that waits. Calls of [`Shards`] block; in async code make them where blocking is allowed.

mod catalog;
pub mod checked;
mod committer;
mod failure;
mod fronts;
mod identity;
mod known_paths;
mod later;
mod layout_file;
mod listing;
pub(crate) mod location;
mod misplaced;
mod objects;
mod open_shard;
mod opening;
mod options;
#[cfg(test)]
mod pack_tests;
mod packs;
mod place;
mod readers;
mod recent;
#[cfg(test)]
mod recent_tests;
mod row;
mod set_lock;
mod shard;
mod shard_file;
mod shard_listing;
mod shards;
mod shrunk;
mod store;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;
mod writing;

pub use catalog::{RedbCatalog, Siblings};
pub use failure::{Failure, Step};
pub use location::RedbLocation;
pub use misplaced::{Found, Misplaced};
pub use options::ShardsOptions;
pub use shard::Shard;
pub use shards::Shards;
pub use shrunk::Shrunk;
pub use store::{Redb, RedbConfig};
