//! Capture of SQLite databases, in any journal mode, without changing them.
//!
//! - [`Source`] is the committed state of a database file, held still under SQLite's own locks while it is read;
//! - [`capture`](capture::capture) stores what changed since the newest view of a namespace, as one commit;
//! - [`probe`] says what a file is, at a glance;
//! - [`replication`] makes every transaction of a live database a restore point;
//! - [`Replicated`] is an application's own connection, whose commits can be waited for until they are in the store;
//! - [`rows`] works out which rows a commit inserted, updated and deleted;
//! - [`check`](mod@check) looks at restored files, which are untrusted input.
//!
//! Invariant: nothing here writes to a user's database, WAL or side files, or leaves new ones behind.
//!
//! # In which process
//!
//! [`replication`] and [`Replicated`] run beside an application, or in it. A single [`capture`](capture::capture) does not:
//! do not capture a database in a process that itself has it open for writing through the same SQLite library. The
//! connections of a process share one mapping of the `-shm`, and a capture opens it for reading only
//! (`readonly_shm`): who comes first decides for all, so that a connection of the application that opens the database
//! during a capture cannot write. Run the capture in a process of its own, as `walkeep` does; any number of captures
//! may run in it.

pub mod capture;
pub mod check;
mod database_header;
mod descriptors;
mod hold;
mod images;
mod live_log;
mod locks;
mod probe;
mod replicated;
pub mod replication;
pub mod rows;
mod snapshot;
mod source;
mod wal;
mod wal_header;
mod wal_index;
mod wal_position;
mod wal_transactions;

pub use capture::{CaptureOptions, Captured, capture};
pub use check::{IntegrityCheck, check};
pub use probe::{Probe, probe};
pub use replicated::{Receipt, Replicated};
pub use source::Source;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct ReadmeExample;
