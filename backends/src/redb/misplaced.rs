//! Names that are in another shard than they belong to.

use std::fmt;

use walkeep_core::shards::ShardNo;

/// A name that was found in another shard than it belongs to. It is used where it is, and reported.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Misplaced {
    /// The name.
    pub name: String,
    /// The shard that it belongs to.
    pub home: ShardNo,
    /// The shard that it is in.
    pub shard: ShardNo,
}

impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, home, shard } = self;
        write!(f, "{name} is in shard {shard}, and belongs to shard {home}")
    }
}

/// Something that was found under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// What was found.
    pub value: T,
    /// The shard that it is in: where it is to be changed.
    pub shard: ShardNo,
    /// That this is not the shard it belongs to.
    pub misplaced: Option<Misplaced>,
}
