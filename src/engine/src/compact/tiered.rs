//! By age and by size: the default strategy.
//!
//! - What is of one minute, hour or day (in UTC) that is over becomes one segment, whose end is the last end of that
//!   time: what retention keeps of it. A point before the frontier that something needs ends a segment, so that what
//!   is older can go.
//! - Of segments of one level, a few dozens side by side are merged whatever their age: each costs a restore a request.
//! - When what stands above the newest image of the whole database costs a restore as much as another image would,
//!   everything is merged into one. A byte above counts as four of the image: its pages are scattered, and what they
//!   replace is read all the same. So a restore takes at most about half as long again as from one image, and a database is
//!   written again only after a quarter of it was stored.

use walkeep_core::{FrameNo, Result, SegmentKey, UnixMillis};

use super::plan::{CompactionPlan, Reason};
use super::strategy::{Strategy, chains, merge_group};
use crate::stored_segment::StoredSegment;
use crate::timeline::Timeline;

/// What a request is worth, in bytes that could be read in its time.
const REQUEST_COST: u64 = 128 << 10;

/// What a byte above an image is worth. Measured: scattered pages of half an image's bytes made a restore take twice as long.
const SCATTERED_COST: u64 = 4;

/// A chain that costs less than this is not worth an image.
const IMAGE_COST_MIN: u64 = 8 << 20;

/// So many segments of one level side by side are merged.
const MANY: usize = 32;

/// The spans of time, coarsest first, in milliseconds.
const PERIODS: [(u64, Reason); 3] =
    [(86_400_000, Reason::Day), (3_600_000, Reason::Hour), (60_000, Reason::Minute)];

/// Merges by age, by number, and into an image of the whole database when that pays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tiered;

impl Strategy for Tiered {
    fn plan(&self, timeline: &Timeline, now: UnixMillis, inputs_max: usize) -> Result<Vec<CompactionPlan>> {
        let frontier = timeline.manifest().frontier();
        let held = timeline.manifest().held();
        let held = held.into_iter().filter(|frame| *frame < frontier).collect::<Vec<_>>();
        let mut plans = Vec::new();
        for chain in chains(timeline)? {
            let images = image_pays(timeline, &chain);
            if images && chain.len() <= inputs_max {
                plans.append(&mut merge_group(timeline, &chain, inputs_max, Reason::Image));
                continue;
            }
            let mut thinned = below_image(timeline, &chain);
            for chain in &mut thinned {
                // What is promised commit by commit gains nothing from a second form below an image.
                chain.retain(|segment| segment.key.end() < frontier);
            }
            for chain in std::iter::once(&chain).chain(&thinned) {
                let above = chain.get(1..).unwrap_or_default();
                let parts = parts(above, &held).into_iter();
                plans.extend(parts.flat_map(|part| by_age(timeline, part, now, inputs_max, &PERIODS)));
            }
        }
        Ok(plans)
    }
}

/// The covers that an image hides: of the newest segment that ends before the oldest one of the chain, and so on down.
/// Of what is partly collected, nothing.
fn below_image(timeline: &Timeline, chain: &[StoredSegment]) -> Vec<Vec<StoredSegment>> {
    let mut found = Vec::new();
    let Some(mut bound) = chain.first().map(|image| image.key.end()) else { return found };
    let base = timeline.manifest().base(bound);
    let below = |bound: FrameNo| {
        timeline.segments().iter().map(|segment| segment.key.end()).find(|end| *end < bound && *end >= base)
    };
    while let Some(end) = below(bound) {
        match timeline.cover(end) {
            Ok(mut chain) => {
                bound = chain.last().map_or(base, |image| image.key.end());
                chain.reverse();
                found.push(chain);
            }
            Err(missing) => bound = *missing.start(),
        }
    }
    found
}

/// Whether reading what stands above the oldest segment of a chain costs more than an image of the database does. Its
/// oldest segment is the newest image that there is.
fn image_pays(timeline: &Timeline, chain: &[StoredSegment]) -> bool {
    let Some((image, above)) = chain.split_first() else { return false };
    let whole = image.key.start() <= timeline.manifest().base(image.key.end());
    let cost = |segment: &StoredSegment| segment.size.saturating_mul(SCATTERED_COST) + REQUEST_COST;
    let above = above.iter().map(cost).sum::<u64>();
    whole && above >= image.size.max(IMAGE_COST_MIN)
}

/// Cuts a chain where a point before the frontier is needed: behind the segment that ends there, or before the one that
/// holds it, which must stay anyway.
fn parts<'a>(chain: &'a [StoredSegment], held: &[FrameNo]) -> Vec<&'a [StoredSegment]> {
    let needed = |from: FrameNo, to: FrameNo| {
        let at = held.partition_point(|frame| *frame < from);
        held.get(at).is_some_and(|frame| *frame < to)
    };
    let together = |older: &StoredSegment, newer: &StoredSegment| {
        // The first that no longer counts as the older one's is its end: a cut there is right behind it.
        held.binary_search(&older.key.end()).is_err() && !needed(newer.key.start(), newer.key.end())
    };
    chain.chunk_by(together).collect()
}

/// Merges what is of one span of time that is over; the rest by finer spans, and what is left by number.
fn by_age(
    timeline: &Timeline,
    part: &[StoredSegment],
    now: UnixMillis,
    inputs_max: usize,
    periods: &[(u64, Reason)],
) -> Vec<CompactionPlan> {
    let Some(((millis, why), finer)) = periods.split_first() else {
        let of_one_level = part.chunk_by(|a, b| a.key.level() == b.key.level());
        let many = of_one_level.filter(|run| run.len() >= MANY);
        return many.flat_map(|run| merge_group(timeline, run, inputs_max, Reason::Many)).collect();
    };
    let number = |key: &SegmentKey| key.time().get() / millis;
    let mut plans = Vec::new();
    for span in part.chunk_by(|a, b| number(&a.key) == number(&b.key)) {
        let over = span.first().is_some_and(|segment| number(&segment.key) < now.get() / millis);
        if over {
            plans.append(&mut merge_group(timeline, span, inputs_max, *why));
        } else {
            plans.append(&mut by_age(timeline, span, now, inputs_max, finer));
        }
    }
    plans
}
