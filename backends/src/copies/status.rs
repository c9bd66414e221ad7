//! How far copying is.

use walkeep_core::ObjectPath;

/// An object that both stores have, with different bytes. Neither is touched: find out which one is right (`walkeep
/// verify --deep` of each store by itself), and delete the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Its name.
    pub path: ObjectPath,
    /// How they differ, or what is wrong with the one that was to be copied.
    pub why: String,
}

/// How far copying is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyStatus {
    /// Objects that are known to wait.
    pub waiting: usize,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Groups (namespaces) that are still to be compared.
    pub uncompared: usize,
    /// Objects copied since the start.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Rounds of copying that failed since one that did not.
    pub failures: u32,
    /// What the last failed one failed with.
    pub last_error: Option<String>,
    /// How many objects were found that differ, or are damaged where they should be copied from.
    pub conflicts_total: u64,
    /// The first of these.
    pub conflicts: Vec<Conflict>,
    /// Reads that the store which decides could not answer, and the other one did.
    pub fallen_back: u64,
}

impl CopyStatus {
    /// Whether everything that is known is copied.
    #[must_use]
    pub const fn is_caught_up(&self) -> bool {
        self.waiting == 0 && self.uncompared == 0
    }
}
