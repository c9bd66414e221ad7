//! Randomness as a handle.

use std::fmt::Debug;

use crate::error::Result;

/// A source of randomness. A seeded one makes a run replay exactly.
pub trait Random: Debug + Send + Sync {
    /// Fills `bytes` with random data.
    ///
    /// # Errors
    ///
    /// `Io` when the source fails; the content of `bytes` is then unspecified.
    fn fill(&self, bytes: &mut [u8]) -> Result<()>;
}
