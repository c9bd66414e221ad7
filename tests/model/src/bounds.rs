//! How far a search goes.
//!
//! Job: the small numbers that keep the state space finite, and the history that a search starts from.
//!
//! Invariants: every actor draws on a budget that only goes down, so every search ends. A budget that is not used up
//! is no error: an actor may stop at any moment, which is how a slow or vanished one is modelled.
//!
//! Not here: which rules hold (`guards`).

use crate::content::Frame;

/// Bounds of one search, and also what is left of them in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bounds {
    /// Last frame that a writer may write.
    pub frames: Frame,
    /// Frames in one segment, at most.
    pub segment_frames_max: Frame,
    /// Writer processes.
    pub writers: u8,
    /// Opens in all, lost claims included.
    pub opens: u8,
    /// Crashes of writers in all.
    pub crashes: u8,
    /// Requests without an answer; each may take effect at any later moment or never.
    pub time_outs: u8,
    /// Whether requests of compactor, GC and pinner can time out too.
    pub maintenance_times_out: bool,
    /// Reads by the reader.
    pub reads: u8,
    /// Runs of the compactor.
    pub compactions: u8,
    /// Whether the compactor may rewrite a single segment without joining it to another.
    pub thinning: bool,
    /// Runs of GC.
    pub collections: u8,
    /// Whether GC keeps points before the frontier, any of those that are promised, and lets pins expire.
    pub keeps: bool,
    /// Pins taken.
    pub pins: u8,
    /// Objects lost by the store itself. If not 0, only what openers do about it is judged.
    pub losses: u8,
    /// Segment lengths that writer 0 has stored and acknowledged before the search starts; empty for an unopened log.
    pub history: &'static [Frame],
}

impl Bounds {
    /// Nothing happens: the starting point for `..` in tests.
    pub const fn none() -> Self {
        Self {
            frames: 2,
            segment_frames_max: 1,
            writers: 1,
            opens: 0,
            crashes: 0,
            time_outs: 0,
            maintenance_times_out: false,
            reads: 0,
            compactions: 0,
            thinning: false,
            collections: 0,
            keeps: false,
            pins: 0,
            losses: 0,
            history: &[],
        }
    }
}
