//! A place in a write-ahead log, by which it is known again.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::wal_header::{Checksum, Salts};

/// A place in the log: behind a frame that ends a transaction, or in front of the first frame of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WalPosition {
    /// The salts of the round.
    pub(crate) salts: Salts,
    /// Frames of the round before this place.
    pub(crate) frame: u64,
    /// The sums after them; those of the header stand for them where there are none.
    pub(crate) checksum: Checksum,
}

impl WalPosition {
    /// The beginning of a round.
    pub(crate) const fn start(salts: Salts) -> Self {
        Self { salts, frame: 0, checksum: (0, 0) }
    }
}

impl fmt::Display for WalPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame {} of round {:016x}", self.frame, u64::from_be_bytes(self.salts))
    }
}
