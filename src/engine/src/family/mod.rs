//! Namespaces as a whole: forking, detaching, deleting, and making them read only.
//!
//! The protocol is `docs/protocol.md`, "Pin, fork, delete". Invariants:
//!
//! - a fork is listed by its parent before it is there, and until it is gone or needs its parent no longer: what it
//!   shares is never deleted meanwhile;
//! - each step is one create-only manifest, or can be done twice: whatever was cut short is ended by doing it again;
//! - segments are deleted only behind a tombstone, and only those of epochs that it knows.
//!
//! Not here: how a fork is read ([`crate::Timeline`]), and what a manifest may become ([`walkeep_core::manifest`]).

mod detaching;
mod forking;
mod freezing;
mod full_image;
mod publish;
mod reclaim;
mod removing;

pub use detaching::detach;
pub use forking::fork;
pub use freezing::{Freeze, freeze, thaw};
pub(crate) use publish::publish;
pub(crate) use reclaim::reclaim_all;
pub use removing::{Removed, remove};
