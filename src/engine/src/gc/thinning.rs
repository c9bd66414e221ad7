//! Which restore points retention keeps: a calculation, without a store.
//!
//! - The *frontier* is the frame from which on every commit is kept: the newest stored end that is older than `keep_all`,
//!   but never before the frontier that was published, and never behind what followers still need. That end is what the database was when the time that `keep_all` asks
//!   for began: so every time in it is answered, however long nothing was written.
//! - Before it, points are thinned out: of the ends of segments in each period of the calendar (UTC) the last one is kept, as
//!   long as the tier lasts; of a period that reaches the frontier that is not before it. So a point that is kept stays kept
//!   until it is too old. Only ends of stored segments are considered, whose times stand in their names: a commit inside a
//!   segment is kept as long as all are.
//!
//! Invariant: what is kept was promised before: a point that was dropped does not come back.

use walkeep_core::manifest::KeptPoint;
use walkeep_core::{FrameNo, Manifest, Period, UnixMillis};

/// A commit at which a stored segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) frame: FrameNo,
    pub(super) time: UnixMillis,
}

/// What retention keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thinned {
    pub(super) frontier: FrameNo,
    /// The points before it, oldest first; `until` of new ones is not known yet.
    pub(super) kept: Vec<KeptPoint>,
}

/// Applies the retention of a manifest to the ends of its segments, oldest first. The frontier does not rise beyond
/// `limit`.
pub(super) fn thin(manifest: &Manifest, ends: &[End], limit: FrameNo, now: UnixMillis) -> Thinned {
    let before = manifest.frontier();
    let kept = manifest.kept();
    let Some(retention) = manifest.retention() else {
        return Thinned { frontier: before, kept: kept.to_vec() };
    };
    let cut_off = now.get().saturating_sub(retention.keep_all_ms());
    let older = ends.iter().rev().find(|end| end.frame <= limit && end.time.get() < cut_off);
    let frontier = older.map_or(before, |end| end.frame.max(before));

    let new = ends.iter().filter(|end| end.frame >= before);
    let new = new.map(|end| KeptPoint { frame: end.frame, time: end.time, until: end.time });
    let candidates = kept.iter().copied().chain(new).collect::<Vec<_>>();
    let is_kept = |(at, point): (usize, &KeptPoint)| {
        retention.tiers().iter().any(|tier| {
            let age = now.get().saturating_sub(point.time.get());
            let next = candidates.get(at + 1);
            let is_last =
                next.is_none_or(|next| period(tier.each, next.time) != period(tier.each, point.time));
            is_last && age <= tier.for_ms
        })
    };
    let thinned = candidates.iter().enumerate().take_while(|(_, point)| point.frame < frontier);
    let kept = thinned.filter(|(at, point)| is_kept((*at, point)));
    Thinned { frontier, kept: kept.map(|(_, point)| *point).collect() }
}

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Which hour, day or month a time lies in.
fn period(each: Period, time: UnixMillis) -> u64 {
    match each {
        Period::Hour => time.get() / HOUR_MS,
        Period::Day => time.get() / DAY_MS,
        Period::Month => time.month(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use walkeep_core::manifest::Slowest;
    use walkeep_core::{HashSeed, LogId, Nonce, PageSize, Retention, Tier};

    use super::*;

    fn frame(n: u64) -> FrameNo {
        FrameNo::new(n).unwrap()
    }

    /// 2026-03-01T00:00:00Z.
    const MARCH: u64 = 1_772_323_200_000;

    fn manifest(keep_all_hours: u64, tiers: &[(Period, u64)]) -> Manifest {
        let manifest = Manifest::create(LogId(1), HashSeed(2), PageSize::DEFAULT, Nonce(3));
        let manifest = manifest.begin(FrameNo::FIRST, UnixMillis(0)).unwrap();
        let tiers = tiers.iter().map(|(each, days)| Tier { each: *each, for_ms: days * DAY_MS });
        let keep_all = Duration::from_secs(keep_all_hours * 3600);
        manifest.with_retention(Some(Retention::new(keep_all, tiers.collect()).unwrap())).unwrap()
    }

    /// An end each quarter of an hour: frame n is n quarters of an hour behind the begin of March.
    fn quarters(count: u64) -> Vec<End> {
        (1..=count).map(|n| End { frame: frame(n), time: UnixMillis(MARCH + n * HOUR_MS / 4) }).collect()
    }

    fn frames(thinned: &Thinned) -> Vec<u64> {
        thinned.kept.iter().map(|point| point.frame.get()).collect()
    }

    #[test]
    fn without_retention_everything_is_kept() {
        let manifest = manifest(1, &[]).with_retention(None).unwrap();
        let thinned = thin(&manifest, &quarters(50), FrameNo::MAX, UnixMillis(u64::MAX));
        assert_eq!(thinned, Thinned { frontier: frame(1), kept: Vec::new() });
    }

    #[test]
    fn near_everything_then_the_last_of_each_hour_then_of_each_day() {
        let manifest = manifest(2, &[(Period::Hour, 1), (Period::Day, 3)]);
        // Five days and two hours: frames 1 to 488.
        let ends = quarters(488);
        let now = ends.last().unwrap().time;
        let thinned = thin(&manifest, &ends, FrameNo::MAX, now);
        // An end that is exactly two hours old is kept with all that follow, and what the database was just before.
        assert_eq!(thinned.frontier, frame(479));
        // Quarter 4k begins hour k: the last of hour k is 4k + 3, that of day d is 96 d + 95.
        let hourly = (0..120).map(|hour| 4 * hour + 3).filter(|n| 488 - n <= 96);
        let daily = [95, 191, 287, 383, 479].into_iter().filter(|n| 488 - n <= 3 * 96);
        // That end is also the last of its hour and its day.
        let expected = daily.chain(hourly).filter(|n| *n < 479).collect::<std::collections::BTreeSet<u64>>();
        assert_eq!(frames(&thinned), expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn thinning_step_by_step_keeps_what_thinning_at_once_keeps() {
        let tiers = [(Period::Hour, 1), (Period::Day, 30), (Period::Month, 365)];
        let ends = quarters(96 * 70);
        let mut stepwise = manifest(2, &tiers);
        for until in (7..ends.len()).step_by(7) {
            let now = ends[until].time;
            let Thinned { frontier, kept } = thin(&stepwise, &ends[..=until], FrameNo::MAX, now);
            assert!(frontier >= stepwise.frontier());
            let lost = |point: &KeptPoint| !kept.contains(point) && now.get() - point.time.get() <= DAY_MS;
            assert!(!stepwise.kept().iter().any(lost), "a point went that is not too old");
            stepwise = stepwise.collect(frontier, kept, &Slowest::new(), now).unwrap();
        }
        let now = ends.last().unwrap().time;
        let last = thin(&stepwise, &ends, FrameNo::MAX, now);
        assert_eq!(last, thin(&manifest(2, &tiers), &ends, FrameNo::MAX, now));
        // Ends of March, of April and of each day of the last thirty.
        let times = last.kept.iter().map(|point| point.time.to_string()).collect::<Vec<_>>();
        assert!(times.iter().any(|time| time.starts_with("2026-03-31T23:45")), "{times:?}");
        assert!(times.iter().any(|time| time.starts_with("2026-04-30T23:45")), "{times:?}");
        assert!(!times.iter().any(|time| time.starts_with("2026-04-01")), "{times:?}");
    }

    #[test]
    fn the_newest_commit_is_kept_however_old_it_is() {
        let ends = quarters(5);
        let thinned = thin(&manifest(1, &[]), &ends, FrameNo::MAX, UnixMillis(MARCH * 2));
        assert_eq!((thinned.frontier, frames(&thinned)), (frame(5), Vec::new()));
        let none = thin(&manifest(1, &[]), &[], FrameNo::MAX, UnixMillis(MARCH));
        assert_eq!(none.frontier, frame(1));
    }

    #[test]
    fn the_frontier_waits_for_followers_and_goes_on_behind_them() {
        let manifest = manifest(2, &[(Period::Hour, 1)]);
        let (ends, now) = (quarters(100), quarters(100).last().unwrap().time);
        let free = thin(&manifest, &ends, FrameNo::MAX, now);
        assert_eq!(free.frontier, frame(91));
        let held = thin(&manifest, &ends, frame(50), now);
        assert_eq!(held.frontier, frame(50));
        assert_eq!(thin(&manifest, &ends, frame(1), now).frontier, FrameNo::FIRST);
        // What it was before does not go back.
        let collected = manifest.collect(frame(60), Vec::new(), &Slowest::new(), now).unwrap();
        assert_eq!(thin(&collected, &ends, frame(50), now).frontier, frame(60));
        let later = manifest.collect(held.frontier, held.kept, &Slowest::new(), now).unwrap();
        assert_eq!(thin(&later, &ends, FrameNo::MAX, now), free);
    }

    #[test]
    fn a_clock_that_went_back_brings_nothing_back() {
        let (manifest, ends) = (manifest(1, &[(Period::Hour, 7)]), quarters(96));
        let now = ends.last().unwrap().time;
        let Thinned { frontier, kept } = thin(&manifest, &ends, FrameNo::MAX, now);
        let collected = manifest.collect(frontier, kept.clone(), &Slowest::new(), now).unwrap();
        for earlier in [0, MARCH, now.get() - 10 * HOUR_MS] {
            let again = thin(&collected, &ends, FrameNo::MAX, UnixMillis(earlier));
            assert_eq!((again.frontier, &again.kept), (frontier, &kept), "{earlier}");
        }
    }
}
