//! Deleting what nothing can need.
//!
//! What is needed is a set that can be listed: every commit from the *frontier* on, the points that retention kept before
//! it, pins, and the commits where forks begin ([`Manifest::held`](walkeep_core::Manifest::held)); the frontier waits for
//! [`followers`](crate::followers), up to their caps. The rules are
//! `docs/protocol.md`, "GC"; each is there because a run without it lost data.
//!
//! Invariants:
//!
//! - a segment goes only if a wider one covers it and nothing needed lies in between, or if its epoch is known not to own
//!   it; what an epoch of a newer manifest wrote is never touched;
//! - what will no longer be needed is published before anything is deleted, on top of the manifest that was looked at: if
//!   somebody pinned or forked meanwhile, everything is looked at again;
//! - whatever goes is older than the grace time, and so is what covers it: whoever is reading has the time to end;
//! - every point that can be restored before can be restored after, as far as it is promised: this is checked on the names
//!   that are left before anything is deleted.
//!
//! Not here: making wider segments (`compact`), and deleting whole namespaces ([`remove`](crate::family::remove)).

mod clock_check;
mod holds;
mod plan;
mod run;
mod thinning;

use std::time::Duration;

pub use holds::Hold;
pub use plan::{GcPlan, Reason, Verdict};
pub use run::{Collected, collect, plan};

/// How to collect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GcOptions {
    /// How old what goes must be at least, and what covers it: longer than any restore takes. Default: one hour.
    pub grace: Duration,
}

impl Default for GcOptions {
    fn default() -> Self {
        Self { grace: Duration::from_secs(60 * 60) }
    }
}
