//! The rows that a commit inserted, updated and deleted, worked out from the database before it and after it.
//!
//! [`RowFeed`] keeps the two databases in a directory, brings them from commit to commit of a follower's feed, and
//! compares them. It needs nothing from the application that wrote them, and nothing of SQLite's log.
//!
//! Invariants (`docs/decisions/0022-rows-of-changes.md`):
//!
//! - what is listed for a commit makes the rows before it those after it, done in its order;
//! - both databases are untrusted input: they are opened for reading, immutable and defensively, and never changed by
//!   SQLite.
//!
//! Not here: positions. What was worked out and not acknowledged is worked out again.

mod compare;
mod database;
mod feed;
mod row_changes;
mod table;
mod table_pages;
mod value;

pub use feed::RowFeed;
pub use row_changes::{Row, RowChange, RowChanges, RowOp, TableChange, TableEvent};
pub use value::hexadecimal;
