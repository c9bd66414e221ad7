//! All into one: the simplest strategy, for a history that has ended, or to make one file of it.

use walkeep_core::{Result, UnixMillis};

use super::plan::{CompactionPlan, Reason};
use super::strategy::{Strategy, chains, merge_group};
use crate::timeline::Timeline;

/// Merges everything into one image of the database, whatever is promised.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;

impl Strategy for Identity {
    fn plan(&self, timeline: &Timeline, _now: UnixMillis, inputs_max: usize) -> Result<Vec<CompactionPlan>> {
        let chains = chains(timeline)?;
        Ok(chains.iter().flat_map(|chain| merge_group(timeline, chain, inputs_max, Reason::All)).collect())
    }
}
