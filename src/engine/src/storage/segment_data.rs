//! A stored segment's images, read and checked one by one.

use async_trait::async_trait;
use bytes::Bytes;
use walkeep_core::segment::SegmentIndex;
use walkeep_core::storage::SegmentReader;
use walkeep_core::{Error, HashSeed, Result};

use crate::bucket::Bucket;
use crate::stored_segment::OpenSegment;

/// An open segment of a store.
#[derive(Debug)]
pub(super) struct SegmentData {
    pub(super) bucket: Bucket,
    pub(super) segment: OpenSegment,
    pub(super) seed: HashSeed,
}

#[async_trait]
impl SegmentReader for SegmentData {
    fn index(&self) -> &SegmentIndex {
        self.segment.index()
    }

    async fn image(&self, position: u32) -> Result<Bytes> {
        let frames = self.index().pages().len();
        if position as usize >= frames {
            let what = format!("position {position} of segment {}", self.segment.key());
            return Err(Error::invalid(what, format!("it has {frames} frames")));
        }
        self.segment.image(&self.bucket, self.seed, position).await
    }
}
