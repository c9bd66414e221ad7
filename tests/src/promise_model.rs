//! What a namespace promises, told apart from the engine: by the plainest reading of what a user was told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use walkeep::core::{FrameNo, Manifest, Period, Retention, UnixMillis};

/// What a namespace promises.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promises {
    /// From here on every commit.
    pub frontier: u64,
    /// Kept points before it, and their times.
    pub kept: BTreeMap<u64, u64>,
    /// Pins: their frames, and when they expire.
    pub pins: BTreeMap<String, (u64, Option<u64>)>,
    /// What the user has asked for.
    pub retention: Option<Retention>,
}

impl Promises {
    /// Everything from this frame on.
    #[must_use]
    pub fn from(frontier: FrameNo) -> Self {
        Self { frontier: frontier.get(), ..Self::default() }
    }

    /// Whether a commit is a restore point.
    #[must_use]
    pub fn hold(&self, frame: FrameNo) -> bool {
        let frame = frame.get();
        frame >= self.frontier
            || self.kept.contains_key(&frame)
            || self.pins.values().any(|(pinned, _)| *pinned == frame)
    }

    /// What is left after a collection at `now`, of the ends of stored segments: frames and times, oldest first.
    #[must_use]
    pub fn collected(&self, ends: &[(u64, u64)], now: u64) -> Self {
        self.collected_up_to(u64::MAX, ends, now)
    }

    /// The same where followers keep the frontier from passing a frame.
    #[must_use]
    pub fn collected_up_to(&self, limit: u64, ends: &[(u64, u64)], now: u64) -> Self {
        let mut next = self.clone();
        next.pins.retain(|_, (_, expires)| expires.is_none_or(|expires| expires > now));
        let Some(retention) = &self.retention else { return next };
        for (frame, time) in ends {
            if *frame <= limit && now.saturating_sub(*time) > retention.keep_all_ms() {
                next.frontier = next.frontier.max(*frame);
            }
        }
        let mut candidates = self.kept.clone();
        candidates.extend(ends.iter().copied().filter(|(frame, _)| *frame >= self.frontier));
        let mut kept = BTreeSet::new();
        for tier in retention.tiers() {
            let span = match tier.each {
                Period::Hour => 3_600_000,
                Period::Day | Period::Month => 86_400_000,
            };
            let mut last = BTreeMap::new();
            for (frame, time) in &candidates {
                last.insert(time / span, (*frame, *time));
            }
            let young = last.values().filter(|(_, time)| now.saturating_sub(*time) <= tier.for_ms);
            kept.extend(young.map(|(frame, _)| *frame));
        }
        candidates.retain(|frame, _| kept.contains(frame) && *frame < next.frontier);
        next.kept = candidates;
        next
    }

    /// Whether a manifest says the same.
    #[must_use]
    pub fn are_those_of(&self, manifest: &Manifest) -> bool {
        let kept = manifest.kept().iter().map(|kept| (kept.frame.get(), kept.time.get()));
        let pins = manifest
            .pins()
            .iter()
            .map(|(name, pin)| (name.to_string(), (pin.frame.get(), pin.expires.map(UnixMillis::get))));
        manifest.frontier().get() == self.frontier
            && kept.collect::<BTreeMap<_, _>>() == self.kept
            && pins.collect::<BTreeMap<_, _>>() == self.pins
            && manifest.retention() == self.retention.as_ref()
    }
}

/// A retention of some hours and days.
///
/// # Panics
///
/// When it makes no sense.
#[must_use]
pub fn retention(all_hours: u64, hourly_hours: Option<u64>, daily_hours: Option<u64>) -> Retention {
    let tier =
        |each, hours: Option<u64>| hours.map(|hours| walkeep::core::Tier { each, for_ms: hours * 3_600_000 });
    let tiers = [tier(Period::Hour, hourly_hours), tier(Period::Day, daily_hours)];
    Retention::new(Duration::from_secs(all_hours * 3600), tiers.into_iter().flatten().collect()).unwrap()
}
