//! What one compaction will do, as data.
//!
//! Invariants of a plan: its inputs join, in order, each behind the one before; they have one base (no change of the
//! page size between them); the output's end, time and epoch are those of the newest input, its level is one above the
//! highest; no segment of the same range is stored yet.

use std::fmt;

use serde::{Serialize, Serializer};
use walkeep_core::segment::TAIL_LEN;
use walkeep_core::{Error, Result, SegmentKey};

use crate::stored_segment::StoredSegment;
use crate::timeline::Timeline;

/// What one request for page images brings about, for the estimate.
const FETCH_ESTIMATE: u64 = 1 << 20;

/// Why segments are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// They are of one minute that is over.
    Minute,
    /// They are of one hour that is over.
    Hour,
    /// They are of one day that is over.
    Day,
    /// There are many of them, and each costs a restore a request.
    Many,
    /// What stands above the newest image of the whole database costs a restore more than another image would.
    Image,
    /// All is merged into one.
    All,
    /// They are too small for what stands behind them: sizes are kept doubling.
    Doubling,
    /// The caller chose them.
    Asked,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Minute => "they are of one minute that is over",
            Self::Hour => "they are of one hour that is over",
            Self::Day => "they are of one day that is over",
            Self::Many => "they are many, and each costs a restore a request",
            Self::Image => "reading them costs a restore more than an image of the whole database would",
            Self::All => "everything is merged",
            Self::Doubling => "the newer ones are more than half as large as the older ones",
            Self::Asked => "they were chosen",
        })
    }
}

/// One compaction: which segments become which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CompactionPlan {
    /// The segments to merge, oldest first.
    #[serde(serialize_with = "names")]
    inputs: Vec<StoredSegment>,
    #[serde(serialize_with = "name")]
    output: SegmentKey,
    bytes_in: u64,
    requests: u64,
    why: Reason,
}

impl CompactionPlan {
    /// The compaction of segments of a timeline, oldest first.
    ///
    /// # Errors
    ///
    /// `Invalid` naming both segments where two do not join, or are of different page sizes; and when there is nothing
    /// to compact: no inputs, one that is compacted already, or a segment of this range is stored.
    pub fn new(timeline: &Timeline, inputs: Vec<StoredSegment>, why: Reason) -> Result<Self> {
        let (Some(first), Some(last)) = (inputs.first(), inputs.last()) else {
            return Err(Error::invalid("a compaction without inputs", "name the segments to merge"));
        };
        if let Some(unknown) = inputs.iter().find(|input| !timeline.segments().contains(input)) {
            let why = "no such segment is stored, or it does not count";
            return Err(Error::invalid(format!("compacting {}", unknown.key), why));
        }
        for (older, newer) in inputs.iter().zip(inputs.iter().skip(1)) {
            check_joins(timeline, &older.key, &newer.key)?;
        }
        if last.is_inherited() {
            let why = "a fork shares it with its parent, whose compactor merges it";
            return Err(Error::invalid(format!("compacting up to {}", last.key), why));
        }
        if inputs.len() == 1 && first.key.level() > 0 {
            let why = "it holds one image a page already; name others to merge it with";
            return Err(Error::invalid(format!("compacting {} alone", first.key), why));
        }
        let (start, end) = (first.key.start(), last.key.end());
        let alike = |other: &&StoredSegment| (other.key.start(), other.key.end()) == (start, end);
        if let Some(there) = timeline.segments().iter().find(alike).filter(|_| inputs.len() > 1) {
            let what = format!("compacting frames {start} to {end}");
            return Err(Error::invalid(what, format!("{} holds them already", there.key)));
        }
        let level = inputs.iter().map(|input| input.key.level()).max().unwrap_or(0);
        let level = level.saturating_add(1).min(SegmentKey::LEVEL_MAX);
        let output = SegmentKey::new(last.key.epoch(), start, end, last.key.time(), level)?;
        let bytes_in = inputs.iter().map(|input| input.size).sum();
        let requests = inputs.iter().map(requests).sum::<u64>() + 1;
        Ok(Self { inputs, output, bytes_in, requests, why })
    }

    /// The segments to merge, oldest first.
    #[must_use]
    pub fn inputs(&self) -> &[StoredSegment] {
        &self.inputs
    }

    /// The segment that they become.
    #[must_use]
    pub const fn output(&self) -> &SegmentKey {
        &self.output
    }

    /// The lengths of the inputs together: what is read at most.
    #[must_use]
    pub const fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// About how many requests it takes.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// Why.
    #[must_use]
    pub const fn why(&self) -> Reason {
        self.why
    }
}

/// Refuses two inputs between which frames are missing, or that stand in another order, or on different bases.
fn check_joins(timeline: &Timeline, older: &SegmentKey, newer: &SegmentKey) -> Result<()> {
    let refused = |why: &str| Err(Error::invalid(format!("merging {older} with {newer}"), why));
    if older.start() >= newer.start() || older.end() >= newer.end() {
        return refused("the second must begin and end behind the first");
    }
    if older.end().next().is_none_or(|next| next < newer.start()) {
        return refused("they do not join: the frames between them are in neither");
    }
    if timeline.manifest().base(newer.end()) > older.start() {
        return refused("the page size changes between them");
    }
    Ok(())
}

/// About how many requests reading a segment takes: its end, which brings all of a small one, and its blocks.
const fn requests(input: &StoredSegment) -> u64 {
    1 + input.size.saturating_sub(TAIL_LEN).div_ceil(FETCH_ESTIMATE)
}

fn name<S: Serializer>(key: &SegmentKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(key)
}

fn names<S: Serializer>(inputs: &[StoredSegment], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(inputs.iter().map(|input| input.key.to_string()))
}
