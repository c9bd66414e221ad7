//! An exhaustive model of the Walkeep protocol.
//!
//! Job: writers that open, store, crash and time out, a reader, a compactor, GC and somebody who pins, over an object
//! store in which requests may land at any later time. Every rule of the protocol is a switch in [`guards::Guards`];
//! with all of them on no promise in [`properties`] may break within the bounds, and taking one away shows what it is
//! there for.
//!
//! Invariants: the model is finite, has no clock and no randomness, and a search runs the same way every time.
//!
//! What it is not: the engine, nor a proof beyond its bounds. It says nothing about progress, weak or paged listings,
//! or retention that removes the oldest frames. Forks and deleting have a smaller model of their own, [`forks`], and so
//! have followers, [`followers`].
//!
//! ```
//! use walkeep_model::{bounds::Bounds, guards::Guards, model::Protocol, search};
//!
//! let bounds = Bounds { frames: 2, writers: 2, opens: 2, time_outs: 1, ..Bounds::none() };
//! let kept = search::exhaust(Protocol { guards: Guards::all(), bounds });
//! assert!(kept.failures.is_empty());
//!
//! let guards = Guards { check_after_put: false, ..Guards::all() };
//! let broken = search::first_failure(Protocol { guards, bounds });
//! assert!(!broken.failures.is_empty());
//! ```

pub mod bounds;
pub mod chain;
pub mod collector;
pub mod compactor;
pub mod content;
pub mod faults;
pub mod followers;
pub mod forks;
pub mod guards;
pub mod judge;
pub mod manifest;
pub mod model;
pub mod pinner;
pub mod properties;
pub mod reader;
pub mod search;
pub mod segment;
pub mod state;
pub mod store;
pub mod writer;
