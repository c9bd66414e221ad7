//! The opened inputs of a compaction: layers of the one merge, newest first.
//!
//! Invariants: they have one page size; the output's commit is the newest input's last one.

use std::sync::Arc;

use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use walkeep_core::{Commit, Error, HashSeed, PageCount, PageSize, Result, StateChecksum};

use super::plan::CompactionPlan;
use super::throttle::Throttle;
use crate::bucket::Bucket;
use crate::merge::{Layer, merge};
use crate::timeline::Timeline;

/// Indexes fetched at the same time.
const OPEN_CONCURRENCY: usize = 8;

/// What a compaction reads.
#[derive(Debug)]
pub(super) struct Inputs {
    pub(super) layers: Vec<Layer>,
    /// Of each layer the positions whose images count, in order of page.
    pub(super) winners: Vec<Vec<u32>>,
    pub(super) commit: Commit,
    /// The smallest size after any commit of the range.
    pub(super) smallest: PageCount,
    pub(super) page_size: PageSize,
    pub(super) seed: HashSeed,
}

impl Inputs {
    /// Fetches the indexes.
    ///
    /// # Errors
    ///
    /// `NotFound` when an input is gone; `Corrupt` when one is damaged, or their images do not give the database that
    /// the writer recorded; `Unavailable`.
    pub(super) async fn open(
        bucket: &Bucket,
        timeline: &Timeline,
        plan: &CompactionPlan,
        throttle: &Throttle,
    ) -> Result<Self> {
        let opening = plan.inputs().iter().rev().map(|stored| async move {
            throttle.before_request(stored.size.min(walkeep_core::segment::TAIL_LEN)).await;
            timeline.open(bucket, *stored).await
        });
        let opening = opening.map(|opening| opening.boxed()).collect::<Vec<_>>();
        let segments: Vec<_> = stream::iter(opening).buffered(OPEN_CONCURRENCY).try_collect().await?;
        let newest = segments.first().ok_or_else(|| Error::not_found("an input of a compaction"))?;
        let end = newest.key().end();
        let commit = newest.commits().last().copied().filter(|commit| commit.frame_no == end);
        let commit = commit.ok_or_else(|| {
            Error::corrupt(
                newest.path(),
                0,
                format!("a segment that ends with the commit {end}"),
                "none there",
            )
        })?;
        let page_size = newest.index().footer().header.page_size;
        for segment in &segments {
            let found = segment.index().footer().header.page_size;
            if found != page_size {
                return Err(Error::corrupt(segment.path(), 12, format!("page size {page_size}"), found));
            }
        }
        let layers = Layer::stack(segments.into_iter().map(Arc::new).collect(), &commit);
        let smallest = layers.iter().map(|layer| layer.smallest).min().unwrap_or_default();
        let winners = merge(&layers, commit.size_after);
        let seed = timeline.manifest().hash_seed();
        let inputs =
            Self { layers, winners, commit, smallest: smallest.min(commit.size_after), page_size, seed };
        if plan.output().start() <= timeline.manifest().base(end) {
            inputs.check_state()?;
        }
        Ok(inputs)
    }

    /// How many images the output has.
    pub(super) fn frame_count(&self) -> usize {
        self.winners.iter().map(Vec::len).sum()
    }

    /// Of an image of the whole database: do the hashes of its pages give the recorded state? Each image is checked
    /// against its hash when it is read.
    fn check_state(&self) -> Result<()> {
        let mut folded = self.seed.size(self.commit.size_after);
        for (layer, winners) in self.layers.iter().zip(&self.winners) {
            let hashes = layer.segment.index().hashes();
            for position in winners {
                folded ^= hashes.get(*position as usize).map_or(0, |hash| hash.0);
            }
        }
        match self.commit.state {
            Some(recorded) if recorded != StateChecksum(folded) => {
                let newest =
                    self.layers.first().map_or_else(String::new, |layer| layer.segment.path().to_string());
                let expected = format!("state checksum {recorded} for frame {}", self.commit.frame_no);
                let found = format!("{} from the images that its segments hold", StateChecksum(folded));
                Err(Error::corrupt(newest, 0, expected, found))
            }
            _ => Ok(()),
        }
    }
}
