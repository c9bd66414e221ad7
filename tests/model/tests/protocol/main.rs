//! Searches over the model of the protocol.
//!
//! Job: with every rule kept, no promise breaks (`whole`); with one rule taken away, the promise that it guards does
//! (one module per chapter of the protocol).
//!
//! Invariants: every search is exhaustive within its bounds or ends at a counterexample; none depends on time or
//! chance. A rule is shown to be needed with bounds within which the whole protocol holds.
//!
//! Not here: the model itself.

mod collecting;
mod compacting;
mod following;
mod forking;
mod opening;
mod reading;
mod storing;
mod support;
mod whole;
