//! The words, formats and traits of Walkeep.
//!
//! This crate does no I/O. It holds:
//!
//! - the words as types: [`PageNo`], [`FrameNo`], [`Commit`], [`SegmentKey`], [`Namespace`] …;
//! - the formats: the stored segment ([`segment`]), the [`manifest`] and the log on local disk
//!   ([`current_segment`]), all specified in `docs/format.md`,
//!   and those of libsql-wal ([`libsql`]), so that its buckets can be restored;
//! - the traits that everything else is written against: [`Backend`] (bytes), [`Layout`] (which object is what),
//!   [`Storage`] (what a database server holds), [`Catalog`] (what a server of many databases knows of them), and the handles through which all time, randomness and file I/O go: [`Clock`], [`Random`], [`Directory`];
//! - the errors, sorted by what the caller can do;
//! - with the feature `conformance`, the suites that every backend and every catalog must pass.
//!
//! A backend of your own needs this crate alone. To read and write logs, use the crate `walkeep`.
//!
//! ```
//! use walkeep_core::{Epoch, FrameNo, SegmentKey, UnixMillis};
//!
//! let frame = |n| FrameNo::new(n).expect("frame numbers begin at 1");
//! let older = SegmentKey::new(Epoch(1), frame(1), frame(7), UnixMillis(1000), 0)?;
//! let newer = SegmentKey::new(Epoch(1), frame(8), frame(9), UnixMillis(2000), 0)?;
//! assert!(newer < older, "listings give the newest first");
//! assert!(newer.to_string() < older.to_string(), "and so do the names");
//! # Ok::<(), walkeep_core::Error>(())
//! ```
#![forbid(unsafe_code)]

mod acknowledgement;
mod backend;
mod body;
pub mod catalog;
mod checked_json;
mod clock;
mod commit;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod current_segment;
mod either;
mod epoch;
mod erased;
mod error;
mod file_writer;
pub mod files;
mod frame_no;
mod ids;
mod layout;
pub mod libsql;
mod log_head;
pub mod manifest;
mod name;
mod namespace;
mod object_path;
mod page;
mod page_fst;
mod page_hash;
mod proof;
mod quota;
mod random;
mod replica_state;
mod restore_point;
mod restore_target;
mod retention;
mod seal_policy;
mod sealed_segment;
pub mod segment;
mod segment_key;
pub mod shards;
pub mod storage;
mod unix_millis;

pub use acknowledgement::{Acknowledgement, Reader};
pub use backend::{Backend, ByteRange, Leftovers, ObjectMeta};
pub use body::{Body, BodySource};
pub use catalog::Catalog;
pub use clock::Clock;
pub use commit::{Commit, CommitKind};
pub use either::Either;
pub use epoch::Epoch;
pub use erased::{AnyConfig, DynBackend, Erased};
pub use error::{Corruption, Error, Neighbour, Result, Unreachable};
pub use file_writer::FileWriter;
pub use files::{Directory, File};
pub use frame_no::FrameNo;
pub use ids::{LogId, Nonce, SegmentId, ShardSetId};
pub use layout::{Layout, NativeLayout};
pub use log_head::LogHead;
pub use manifest::Manifest;
pub use name::{GroupName, MemberName, PinName};
pub use namespace::Namespace;
pub use object_path::ObjectPath;
pub use page::{PageCount, PageNo, PageSize};
pub use page_hash::{HashSeed, PageHash, PageHashTable, StateChecksum};
pub use proof::{Drill, Proof, Verified, VerifiedObject};
pub use quota::Quota;
pub use random::Random;
pub use replica_state::{REPLICA_STATE_LEN, ReplicaState, ReplicaVersion};
pub use restore_point::RestorePoint;
pub use restore_target::{DatabaseShape, NullTarget, PageSink, RestoreTarget, Restored};
pub use retention::{Period, Retention, Tier};
pub use seal_policy::{SealPolicy, Unsealed};
pub use sealed_segment::SealedSegment;
pub use segment_key::SegmentKey;
pub use storage::Storage;
pub use unix_millis::UnixMillis;
