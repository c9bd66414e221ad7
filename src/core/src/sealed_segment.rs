//! A segment on its way to a store.

use crate::body::Body;
use crate::segment::SegmentSummary;

/// A segment that is sealed but not stored yet: its bytes are fixed. Cheap to clone; clones share the bytes.
#[derive(Clone, Debug)]
pub struct SealedSegment {
    /// What it is.
    pub summary: SegmentSummary,
    /// Its bytes.
    pub body: Body,
}
