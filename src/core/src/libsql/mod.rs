//! The formats of libsql-wal 0.1.0-alpha.1, read and written: buckets, local segments, checkpointed databases.
//!
//! With these an existing bucket can be restored and checked, and one that libsql-wal can read can be written.
//!
//! # The formats in short
//!
//! Everything is packed, little-endian except for the checkpoint footer, and for pages of 4096 bytes. All formats
//! begin with one magic number and the version 1. Checksums are CRC-32.
//!
//! - **A bucket** holds two objects a segment, under one key: the data ([`DataObject`]), then the index
//!   ([`PageIndex`]), whose presence says that the segment is complete. [`ObjectName`] and [`ObjectKey`] are their
//!   names; the newest end lists first, and of segments with one end the widest, which is the most compacted.
//! - **A data object** has one image a page, by page: transactions inside a segment are gone, and its end is the only
//!   restore point. An image may belong to a page behind the end of the database (it shrank later in the segment, or
//!   in a later one of those that were compacted).
//! - **To rebuild a database**, apply data objects that join without a gap from frame 1 on, oldest first, and cut or
//!   extend the result to each one's `size_after` before the next. Pages that nobody wrote are zeros: SQLite's lock
//!   page is one. Where several segments were compacted, it is no longer known whether the database was smaller in
//!   between.
//! - **An index object** maps page numbers to ordinals. It says nothing that the data object does not say.
//! - **A local segment file** ([`LocalSegment`]) is appended to, and sealed by adding an index and writing the header
//!   anew. Its frames are a chain: each checksum goes on from the one before. An unsealed file is as good as its
//!   chain; the header may be ahead of it or behind, so [`LocalSegment::recover`] believes the frames.
//! - **A checkpointed database file** has a [`CheckpointFooter`] of 34 bytes behind its pages. It is no database
//!   until that is cut off.
//!
//! A data object and a sealed file are proven by their checksums; a single frame of a data object that was fetched
//! by range is not, because there is one checksum for the whole object.
//!
//! # Invariants
//!
//! - No bytes make a reader panic, and no length or count in them is believed, or allocated by, before it was
//!   compared with the length of the object. This holds for made-up bytes with right checksums too.
//! - What is read is written again as the same bytes.
//! - Damage is an error that names object, offset, what was expected and what was found.
//!
//! # What this is not
//!
//! It does no I/O, lists nothing, and decides nothing about which segments make a database (`walkeep`). libsql-wal
//! has no log ids in its buckets and no fencing: that two segments join does not prove that they are of one log.

mod checkpoint_footer;
mod data_header;
mod data_object;
mod data_writer;
mod index_object;
mod layout;
mod local_chain;
mod local_header;
mod local_segment;
mod local_writer;
mod magic;
mod object_key;
mod object_name;

pub use checkpoint_footer::{CHECKPOINT_FOOTER_LEN, CheckpointFooter};
pub use data_header::{DATA_FOOTER_LEN, DATA_FRAME_LEN, DATA_HEADER_LEN, DataFrame, DataHeader};
pub use data_object::{DataObject, DataReader};
pub use data_writer::DataWriter;
pub use index_object::{INDEX_HEADER_LEN, PageIndex};
pub use layout::{EPOCH, LibsqlLayout};
pub use local_chain::{LOCAL_FRAME_LEN, LocalFrame};
pub use local_header::{LOCAL_HEADER_LEN, LocalHeader, LocalIndexPlace};
pub use local_segment::{LocalCommit, LocalSegment, RecoveredSegment};
pub use local_writer::LocalWriter;
pub use magic::PAGE_SIZE;
pub use object_key::ObjectKey;
pub use object_name::{Cluster, ObjectKind, ObjectName, clusters_folder};

#[cfg(test)]
mod tests;
