//! Walkeep keeps a database's write-ahead log and gives the database back as it was at any commit.
//!
//! This crate is the library that a database server embeds:
//!
//! - a [`Log`](log::Log) keeps a database's transactions on local disk, and seals them into segments;
//! - an [`AsyncStorage`](storage::AsyncStorage) stores the segments of many databases in the background: see
//!   [`Storage`](walkeep_core::storage) for what it does, and for what of libsql-wal corresponds to what;
//! - a [`Bucket`] is a store: a backend, and how to call it;
//! - a [`Writer`] is the one writer of a namespace; it stores [`SealedSegment`]s, made with
//!   [`walkeep_core::segment::SegmentWriter`];
//! - a [`Timeline`] is what is stored; a [`View`] is the database at one [`RestorePoint`] of it, and restores,
//!   compares and reads pages;
//! - [`fork`](fn@fork) makes a namespace of any restore point at once, [`detach`](fn@detach) makes it stand alone; [`freeze`](fn@freeze) makes
//!   one read only, and [`remove`](fn@remove) deletes it;
//! - [`followers`] read the log commit by commit, each with a position that outlives it;
//! - a [`Replica`](replica::Replica) is a file that is kept at the newest commit, for readers;
//! - [`compact`](mod@compact) merges stored segments, so that a restore reads few and collecting can free space;
//! - [`catalog`] ties the metadata of a server of many databases to a store;
//! - [`history`](fn@history) lists commits, and [`verify`](mod@verify) proves what is stored;
//! - the module [`libsql`](mod@libsql) reads buckets of libsql-wal in place, imports and writes them.
//!
//! For SQLite databases see the crate `walkeep-sqlite`, and the command `walkeep`.
//!
//! A database of one page, written by hand and read back:
//!
//! ```
//! use std::sync::Arc;
//! use walkeep::core::segment::{Compression, SegmentHeader, SegmentWriter};
//! use walkeep::core::{Commit, CommitKind, FrameNo, PageCount, PageHashTable, PageNo, PageSize, SegmentId, UnixMillis};
//! use walkeep::{Bucket, DATABASE_BYTES_MAX, Handles, RestorePoint, SealedSegment, View, Writer};
//!
//! # tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
//! let bucket = Bucket::new(Arc::new(walkeep::backends::Memory::new()), None)?;
//! let (namespace, page_size, page) = ("shop".parse()?, PageSize::DEFAULT, PageNo::FIRST);
//! let mut writer = Writer::open(&bucket, &namespace, page_size, &Handles::system()).await?;
//!
//! // What the writer knows of its database: a hash per page, which fold to the state checksum.
//! let image = vec![7; page_size.bytes()];
//! let mut table = PageHashTable::new(writer.hash_seed());
//! table.resize(PageCount(1));
//! table.set(page, writer.hash_seed().page(page, &image));
//!
//! let frame_no = writer.next_frame_no()?;
//! let header = SegmentHeader {
//!     page_size,
//!     log_id: writer.log_id(),
//!     segment_id: SegmentId(1),
//!     epoch: writer.epoch(),
//!     level: 0,
//!     start: frame_no,
//!     end: frame_no,
//!     frame_count: 1,
//! };
//! let (size_after, time) = (table.size(), UnixMillis(1));
//! let commit = Commit { frame_no, size_after, time, state: Some(table.state()), kind: CommitKind::Transaction };
//! let mut segment = SegmentWriter::new(Vec::new(), header, writer.hash_seed(), Compression::default(), true)?;
//! segment.push(page, frame_no, &image)?;
//! let (bytes, summary) = segment.finish(&[commit], size_after)?;
//! let durable = writer.store(&SealedSegment { summary, body: bytes.into() }).await?;
//!
//! let view = View::open(&bucket, &namespace, RestorePoint::Frame(durable), DATABASE_BYTES_MAX).await?;
//! assert_eq!(view.page(page).await?, image);
//! # Ok::<(), walkeep::Error>(()) }).expect("an example that works");
//! ```

mod bucket;
pub mod catalog;
mod claim;
pub mod compact;
mod explain;
mod family;
mod fencing;
mod file_body;
mod find;
pub mod followers;
pub mod gc;
mod history;
pub mod libsql;
mod locate;
pub mod log;
mod manifests;
mod merge;
mod promises;
mod reached;
pub mod replica;
pub mod restore;
mod spool;
pub mod storage;
mod stored_segment;
mod timeline;
pub mod verify;
mod view;
mod writer;

pub use bucket::Bucket;
pub use family::{Freeze, Removed, detach, fork, freeze, remove, thaw};
pub use fencing::Fencing;
pub use history::{LoggedCommit, history};
pub use locate::{Located, locate};
pub use manifests::newest as newest_manifest;
pub use promises::{find_pin, pin, retain, unpin};
pub use spool::Spool;
pub use stored_segment::{OpenSegment, StoredSegment};
pub use timeline::{Ignored, Timeline};
pub use view::{DATABASE_BYTES_MAX, View};
pub use walkeep_backends as backends;
pub use walkeep_core as core;
pub use walkeep_core::{Error, RestorePoint, Result, SealedSegment};
pub use writer::{Handles, Writer};
