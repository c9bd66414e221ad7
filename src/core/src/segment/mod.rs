//! The stored segment: the frames `start..=end` of a log as one immutable object (`docs/format.md`, section 2).
//!
//! [`SegmentWriter`] writes one, block by block, to any [`std::io::Write`]. Reading begins at the end of the
//! object: [`Footer::parse`] tells where the sections are, [`SegmentIndex::parse`] checks and opens them, and
//! [`BlockDecoder`] turns the stored bytes of a block into page images.
//!
//! Invariants: sections are checked before they are opened; no length from an object is believed before it is
//! bounded by the object's own length; a reader never panics on any bytes.
//!
//! Not here: fetching bytes, and what a database looks like across segments (`walkeep::View`).

mod assembler;
mod block;
mod checksum;
mod columns;
mod commits;
mod footer;
mod header;
mod index;
mod restamp;
mod size_floor;
mod writer;

pub use assembler::IndexAssembler;
pub use block::{BLOCK_RAW_MAX, BlockDecoder, BlockEncoder, BlockEntry, Codec, Compression, EncodedBlock};
pub use checksum::ObjectChecksum;
pub use footer::{FOOTER_LEN, Footer};
pub use header::{HEADER_LEN, SegmentHeader};
pub use index::SegmentIndex;
pub use restamp::restamp;
pub use size_floor::SizeFloor;
pub use writer::{FrameRow, SegmentSummary, SegmentWriter};

/// How many bytes at the end of an object are fetched first: enough for footer, index and columns of most.
pub const TAIL_LEN: u64 = 64 << 10;
