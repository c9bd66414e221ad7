//! What stores in two places have in common: copying objects from one to the other, in order, and reading both as one.
//!
//! Invariants:
//!
//! - an object is copied whole or not at all, and only after its bytes were checked: against their own checksum, or by
//!   reading them twice;
//! - an object is never replaced. One of the same name with other bytes is a conflict, which is reported and stays;
//! - of one group (a namespace) objects are copied one after the other: in the order in which they were created here,
//!   and what was found by comparing listings oldest first. So a copy that lags is what the original once was. (Where writers
//!   have changed since, what was found by comparing is that only at its end: segments come before manifests, and a log that
//!   has segments of epochs that no manifest knows is refused);
//! - copying and deleting exclude each other within a group, in this process;
//! - nothing that waits is written down: what is missing is found again by comparing listings.

mod both;
mod checked;
mod copier;
mod group;
mod missing;
mod object;
mod pending;
mod side;
mod status;
mod union;

pub(crate) use both::Config;
pub(crate) use copier::Copier;
pub(crate) use group::group_of;
pub(crate) use side::Side;
pub use status::{Conflict, CopyStatus};
pub(crate) use union::{OnError, Part, directories, objects};
