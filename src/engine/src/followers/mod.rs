//! Followers: named readers of a namespace's log, each with a position that outlives it, like a replication slot.
//!
//! A *group* is a purpose (a search index, a cache, a read replica); its *members* are the processes or shards that
//! serve it, each with a position of its own. A [`Followers`] creates groups, takes acknowledgements, and polls for the
//! commits behind a position; [`gc`](crate::gc) keeps what they still need, up to the cap of the group.
//!
//! Invariants (`docs/protocol.md`, "Followers"):
//!
//! - the position of a member is the largest frame that it has acknowledged: it never goes back, whatever races or is lost;
//! - a poll returns every commit behind the position, in order, or says that some are gone; never one that may yet be cut
//!   off;
//! - an acknowledgement that is not whole, or is not what its name says, is an error and not passed over.
//!
//! Not here: who the followers are, which is in the manifest ([`walkeep_core::manifest`]); telling followers in the same
//! process ([`Storage::subscribe`](walkeep_core::Storage::subscribe)).

mod acknowledged;
mod change;
mod groups;
mod poll;
mod positions;
mod waiting;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use walkeep_core::manifest::ManifestVersion;
use walkeep_core::{FrameNo, GroupName, LogId, Namespace};

pub(crate) use acknowledged::{Acknowledged, Position};
pub use change::Change;
pub use groups::Begin;
pub use poll::{Gone, Lag, Poll};
pub use waiting::{Patience, wait_beyond};

use crate::bucket::Bucket;
use crate::writer::Handles;

/// The followers of the namespaces of a store. One for a process is enough: it remembers what was polled.
#[derive(Debug)]
pub struct Followers {
    bucket: Bucket,
    handles: Handles,
    known: Mutex<Known>,
}

/// What is remembered between calls, and lost with the process.
#[derive(Debug, Default)]
struct Known {
    /// The durable frame of a log, as last seen: it does not go back.
    durable: BTreeMap<Namespace, (LogId, FrameNo)>,
    /// How many frames a group had lost at its last poll.
    evicted: BTreeMap<(Namespace, GroupName, ManifestVersion), u64>,
}

impl Followers {
    /// The followers of the namespaces of a store.
    #[must_use]
    pub fn new(bucket: &Bucket, handles: &Handles) -> Self {
        Self { bucket: bucket.clone(), handles: handles.clone(), known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each entry stands for itself: a panic elsewhere leaves nothing half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
