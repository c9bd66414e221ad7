//! Capture of SQLite databases, in any journal mode, without changing them.
//!
//! - [`Source`] is the committed state of a database file, held still under SQLite's own locks while it is read;
//! - [`capture`](capture::capture) stores what changed since the newest view of a namespace, as one commit;
//! - [`check`](mod@check) looks at restored files, which are untrusted input.
//!
//! Invariant: nothing here writes to a user's database, WAL or side files, or leaves new ones behind.

pub mod capture;
pub mod check;
mod database_header;
mod descriptors;
mod hold;
mod live_log;
mod locks;
mod source;
mod wal;
mod wal_index;

pub use capture::{CaptureOptions, Captured, capture};
pub use check::{IntegrityCheck, check};
pub use source::Source;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct ReadmeExample;
