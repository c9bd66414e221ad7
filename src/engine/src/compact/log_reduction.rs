//! Few segments for any length of history: each at least twice as large as the next newer one.
//!
//! So a history of *n* bytes in segments of at least *s* has at most log2(n / s) + 1 of them, and each byte is written
//! again about as often.

use walkeep_core::{Result, UnixMillis};

use super::plan::{CompactionPlan, Reason};
use super::strategy::{Strategy, chains, merge_group};
use crate::stored_segment::StoredSegment;
use crate::timeline::Timeline;

/// Keeps the sizes of segments doubling, from the newest to the oldest.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogReduction;

impl Strategy for LogReduction {
    fn plan(&self, timeline: &Timeline, _now: UnixMillis, inputs_max: usize) -> Result<Vec<CompactionPlan>> {
        let chains = chains(timeline)?;
        let groups = chains.iter().flat_map(|chain| doubling(chain));
        Ok(groups.flat_map(|group| merge_group(timeline, &group, inputs_max, Reason::Doubling)).collect())
    }
}

/// Puts neighbours together until each group is at least twice as large as the next newer one.
fn doubling(chain: &[StoredSegment]) -> Vec<Vec<StoredSegment>> {
    let mut groups: Vec<(u64, Vec<StoredSegment>)> = Vec::new();
    for segment in chain {
        let mut newest = (segment.size, vec![*segment]);
        while let Some((size, mut group)) = groups.pop_if(|(size, _)| *size < newest.0.saturating_mul(2)) {
            group.append(&mut newest.1);
            newest = (size + newest.0, group);
        }
        groups.push(newest);
    }
    groups.into_iter().map(|(_, group)| group).collect()
}
