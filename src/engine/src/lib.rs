//! Walkeep keeps a database's write-ahead log and gives the database back as it was at any commit.
//!
//! This crate is the library that a database server embeds:
//!
//! - a [`Bucket`] is a store: a backend, and how to call it;
//! - a [`Writer`] is the one writer of a namespace; it stores [`SealedSegment`]s, made with
//!   [`walkeep_core::segment::SegmentWriter`];
//! - a [`Timeline`] is what is stored; a [`View`] is the database at one [`RestorePoint`] of it, and restores,
//!   compares and reads pages;
//! - [`history`](fn@history) lists commits, and [`verify`](mod@verify) proves what is stored.
//!
//! For SQLite databases see the crate `walkeep-sqlite`, and the command `walkeep`.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
#![doc = include_str!("../doc/example.rs")]
//! # Ok::<(), walkeep::Error>(()) }).unwrap();
//! ```

mod bucket;
mod history;
mod locate;
mod manifests;
mod merge;
pub mod restore;
mod restore_point;
mod spool;
mod stored_segment;
mod timeline;
pub mod verify;
mod view;
mod writer;

pub use bucket::Bucket;
pub use history::{LoggedCommit, history};
pub use locate::{Located, locate};
pub use restore_point::RestorePoint;
pub use spool::Spool;
pub use stored_segment::{OpenSegment, StoredSegment};
pub use timeline::{Ignored, Timeline};
pub use view::{DATABASE_BYTES_MAX, View};
pub use walkeep_backends as backends;
pub use walkeep_core as core;
pub use walkeep_core::{Error, Result};
pub use writer::{Handles, SealedSegment, Writer};
