//! Buckets of libsql-wal: read directly, copied into a store, and written.
//!
//! [`Bucket::as_libsql`](crate::Bucket::as_libsql) reads one cluster of such a bucket in place: timelines, views,
//! restores, histories and verification work on it as on a store of Walkeep's own, through the same
//! [`View`](crate::View).
//!
//! What is different there:
//!
//! - **Restore points** are the ends of segments. A data object has one image a page, so nothing inside is known.
//! - **Nothing is recorded that proves a whole database.** Each object's own checksum is checked, and that segments
//!   join; a restore from such a bucket is never called verified.
//! - **There are no log ids and no fencing.** Two segments that join need not be of one log. So joins are exact,
//!   overlaps are not used, and segments that end alike but were sealed at different times are an error.
//! - **Times** are those at which segments were sealed; libsql-wal sealed some at time 0 after a crash. A time is
//!   answered with the last end before which everything was sealed by then.
//!
//! Not here: the formats ([`walkeep_core::libsql`]).

mod chain;
mod cluster_reader;
mod data_segment;
mod ends;
mod export;
mod images;
mod import;
mod import_target;
mod local_log;
mod replay;

pub(crate) use chain::{chain, contradiction};
pub(crate) use cluster_reader::ClusterReader;
pub(crate) use ends::{end_at, mark_compacted};
pub use export::{ExportOptions, Exported, export};
pub use import::{ImportSource, Imported, import};
pub use import_target::ImportOptions;
pub use local_log::LocalLog;
pub(crate) use replay::{Replay, Rows};
