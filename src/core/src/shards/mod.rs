//! Shards: many names spread over a fixed number of embedded databases on one disk (`docs/redb.md`).
//!
//! Invariants:
//!
//! - which shard a name is in follows from the name and the number of shards alone: [`ShardCount::shard_of`] gives the
//!   same answer on every machine and in every version;
//! - the number of shards, the hash and the purpose of a set of shards stand in its [`ShardLayout`], and never change.
//!
//! Not here: the databases themselves.

mod count;
mod layout;

pub use count::{HASH_POLICY, HASH_SEED, ShardCount, ShardNo};
pub use layout::{ShardLayout, ShardPurpose, ShardSetState};
