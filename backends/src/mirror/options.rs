//! How a mirror is kept.

use walkeep_core::{ObjectPath, Result};

/// When an object counts as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MirrorAck {
    /// When both stores have it: nothing is stored while one of them is away.
    #[default]
    Both,
    /// When the first one has it. The second one follows in the background: with the first one lost, so is what had not
    /// been copied yet.
    First,
}

/// How a mirror is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorOptions {
    /// When an object counts as stored.
    pub ack: MirrorAck,
    /// The folders whose folders are compared at the start. By default `namespaces`.
    pub roots: Vec<ObjectPath>,
}

impl MirrorOptions {
    /// These options with Walkeep's own layout.
    ///
    /// # Errors
    ///
    /// None: the result is fallible because paths are checked where they are made.
    pub fn new(ack: MirrorAck) -> Result<Self> {
        Ok(Self { ack, roots: vec![ObjectPath::new("namespaces")?] })
    }
}
