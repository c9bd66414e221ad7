//! Compaction: stored segments are merged into fewer, so that restores stay fast and space can be freed.
//!
//! A [`Strategy`] plans, from names, sizes and what the manifest promises; a [`CompactionPlan`] is data; a
//! [`Compactor`] carries it out and publishes one object, create-only. It deletes nothing: inputs stay until they are
//! collected. So any number of compactors may run at once, and one that stops anywhere leaves the namespace as it was.
//!
//! Invariants, those of `docs/protocol.md`, "Compact":
//!
//! - segments are listed before the manifest that judges them is read, and nothing is planned while an epoch is
//!   pending: a segment that a new writer cuts off is never an input;
//! - inputs join; the output covers their range, holds the images that are visible at its end, each compared with the
//!   hash that its writer recorded, and one commit: the newest input's last. Of an image of the whole database the
//!   hashes give the recorded state;
//! - memory goes with the number of images (their indexes), not with their bytes.
//!
//! Not here: which image counts ([`crate::View`] and this share the one merge), and what may be deleted.

mod compactor;
mod gather;
mod identity;
mod inputs;
mod layout;
mod log_reduction;
mod memory;
mod options;
mod plan;
mod run;
mod strategy;
mod throttle;
mod tiered;

pub use compactor::{Compacted, Compactor, Outcome, Planned};
pub use identity::Identity;
pub use log_reduction::LogReduction;
pub use options::CompactOptions;
pub use plan::{CompactionPlan, Reason};
pub use strategy::Strategy;
pub use throttle::Budget;
pub use tiered::Tiered;
