//! What a manifest promises to keep: every commit from the frontier on, the points that retention kept before it, and
//! the pins.
//!
//! Invariants: kept points lie before the frontier, in order; the frontier never goes back.

use serde::{Deserialize, Serialize};

use super::{Manifest, Slowest};
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::name::PinName;
use crate::retention::Retention;
use crate::unix_millis::UnixMillis;

/// A restore point with a name, kept until it is unpinned or expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The last frame of its commit.
    pub frame: FrameNo,
    /// The commit's time.
    pub time: UnixMillis,
    /// When it was pinned.
    pub created: UnixMillis,
    /// From when on it no longer holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<UnixMillis>,
}

impl Pin {
    /// Whether it no longer holds at `now`.
    #[must_use]
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// A commit before the frontier that retention keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptPoint {
    /// The last frame of the commit.
    pub frame: FrameNo,
    /// Its time.
    pub time: UnixMillis,
    /// It is known to have been the newest commit from `time` until before this: equal to `time` where that is not known.
    pub until: UnixMillis,
}

impl KeptPoint {
    /// Whether it is known to have been the newest commit at `time`.
    #[must_use]
    pub fn was_newest_at(&self, time: UnixMillis) -> bool {
        (self.time..self.until).contains(&time)
    }
}

impl Manifest {
    /// The pins, by name.
    #[must_use]
    pub const fn pins(&self) -> &std::collections::BTreeMap<PinName, Pin> {
        &self.pins
    }

    /// What retention the user has written down; `None`: every commit is kept for ever.
    #[must_use]
    pub const fn retention(&self) -> Option<&Retention> {
        self.retention.as_ref()
    }

    /// The frame from which on every commit is kept.
    #[must_use]
    pub fn frontier(&self) -> FrameNo {
        self.frontier.unwrap_or(FrameNo::FIRST)
    }

    /// The commits before the frontier that are kept, oldest first.
    #[must_use]
    pub fn kept(&self) -> &[KeptPoint] {
        &self.kept
    }

    /// Whether the commit that ends with `frame` is promised to users: retention keeps it, or a pin does.
    #[must_use]
    pub fn promises(&self, frame: FrameNo) -> bool {
        frame >= self.frontier()
            || self.kept.binary_search_by_key(&frame, |kept| kept.frame).is_ok()
            || self.pins.values().any(|pin| pin.frame == frame)
    }

    /// The commits with names or kept by retention, ascending: the restore points of users, but for those from the frontier
    /// on.
    #[must_use]
    pub fn points(&self) -> Vec<FrameNo> {
        let kept = self.kept.iter().map(|kept| kept.frame);
        let mut points = kept.chain(self.pins.values().map(|pin| pin.frame)).collect::<Vec<_>>();
        points.sort_unstable();
        points.dedup();
        points
    }

    /// The frames before the frontier that something needs, ascending: kept points, pins and the begins of forks.
    #[must_use]
    pub fn held(&self) -> Vec<FrameNo> {
        let kept = self.kept.iter().map(|kept| kept.frame);
        let pins = self.pins.values().map(|pin| pin.frame);
        let forks = self.children.iter().map(|child| child.frame);
        let mut held = kept.chain(pins).chain(forks).collect::<Vec<_>>();
        held.sort_unstable();
        held.dedup();
        held
    }

    /// The next version, with a pin.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` for a name that is taken; `Invalid` for a namespace that is not there or a point that is not
    /// promised; `Unavailable` while an epoch is pending.
    pub fn with_pin(&self, name: PinName, pin: Pin) -> Result<Self> {
        self.refuse_change("pinning in")?;
        if self.pins.contains_key(&name) {
            return Err(Error::AlreadyExists { what: format!("pin {name}") });
        }
        self.refuse_unpromised(pin.frame)?;
        let mut next = self.successor()?;
        next.pins.insert(name, pin);
        Ok(next)
    }

    /// The next version, without a pin.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Invalid` for a namespace that is not there; `Unavailable` while an epoch is pending.
    pub fn without_pin(&self, name: &PinName) -> Result<Self> {
        self.refuse_change("unpinning in")?;
        let mut next = self.successor()?;
        match next.pins.remove(name) {
            Some(_) => Ok(next),
            None => Err(Error::not_found(format!("pin {name}"))),
        }
    }

    /// The next version, with another retention; `None` keeps everything from here on.
    ///
    /// # Errors
    ///
    /// `Invalid` for a namespace that is not there; `Unavailable` while an epoch is pending.
    pub fn with_retention(&self, retention: Option<Retention>) -> Result<Self> {
        self.refuse_change("setting the retention of")?;
        let mut next = self.successor()?;
        next.retention = retention;
        Ok(next)
    }

    /// The next version, as a garbage collection publishes it before it deletes anything: the frontier, and what is
    /// kept before it. Pins that expired by `now` are gone. `slowest` says how far the slowest member of each group of
    /// followers is: where the frontier passes it, the group is marked.
    ///
    /// # Errors
    ///
    /// `Invalid` when the frontier would go back, kept points would come back, or a group without a cap would lose
    /// commits.
    pub fn collect(
        &self,
        frontier: FrameNo,
        kept: Vec<KeptPoint>,
        slowest: &Slowest,
        now: UnixMillis,
    ) -> Result<Self> {
        if self.is_pending() {
            self.refuse_change("collecting")?;
        }
        let refuse = |why: &str| Err(Error::invalid(format!("a frontier at frame {frontier}"), why));
        if frontier < self.frontier() {
            return refuse("it does not go back");
        }
        if !kept.iter().all(|point| self.promises(point.frame)) {
            return refuse("what was dropped cannot be kept again");
        }
        let mut next = self.successor()?;
        next.frontier = (frontier > FrameNo::FIRST).then_some(frontier);
        next.kept = kept;
        next.pins.retain(|_, pin| !pin.is_expired(now));
        next.evict(self.frontier(), slowest)?;
        next.check().map_err(|why| Error::invalid("a collected manifest", why))?;
        Ok(next)
    }

    pub(super) fn refuse_unpromised(&self, frame: FrameNo) -> Result<()> {
        if self.promises(frame) {
            return Ok(());
        }
        Err(Error::invalid(
            format!("frame {frame}"),
            "retention does not keep it, so that it may be gone any time",
        ))
    }

    pub(super) fn check_promises(&self) -> Result<(), String> {
        if !self.kept.iter().map(|kept| kept.frame).is_sorted_by(|a, b| a < b) {
            return Err("kept points do not rise".into());
        }
        if self.kept.last().is_some_and(|last| last.frame >= self.frontier()) {
            return Err("a kept point is not before the frontier".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HashSeed, LogId, Nonce, PageSize};

    fn frame(n: u64) -> FrameNo {
        FrameNo::new(n).unwrap()
    }

    fn new() -> Manifest {
        let manifest = Manifest::create(LogId(1), HashSeed(2), PageSize::DEFAULT, Nonce(3));
        manifest.begin(FrameNo::FIRST, UnixMillis(0)).unwrap()
    }

    fn kept(n: u64) -> KeptPoint {
        KeptPoint { frame: frame(n), time: UnixMillis(n), until: UnixMillis(n) }
    }

    fn pin(n: u64, expires: Option<u64>) -> Pin {
        let (time, created) = (UnixMillis(n), UnixMillis(n));
        Pin { frame: frame(n), time, created, expires: expires.map(UnixMillis) }
    }

    #[test]
    fn what_a_collection_dropped_is_not_promised_and_does_not_come_back() {
        let manifest = new().collect(frame(10), vec![kept(3)], &Slowest::new(), UnixMillis(0)).unwrap();
        let promised = |n| manifest.promises(frame(n));
        assert!(promised(3) && promised(10) && promised(11) && !promised(2) && !promised(9));
        assert!(
            manifest.collect(frame(9), Vec::new(), &Slowest::new(), UnixMillis(0)).is_err(),
            "the frontier went back"
        );
        assert!(
            manifest.collect(frame(12), vec![kept(9)], &Slowest::new(), UnixMillis(0)).is_err(),
            "a point came back"
        );
        assert!(
            manifest.collect(frame(12), vec![kept(3), kept(12)], &Slowest::new(), UnixMillis(0)).is_err()
        );
        assert!(manifest.collect(frame(12), vec![kept(3), kept(11)], &Slowest::new(), UnixMillis(0)).is_ok());
    }

    #[test]
    fn a_pin_holds_until_it_expires_or_is_taken_away() {
        let name = PinName::new("release").unwrap();
        let manifest = new().with_pin(name.clone(), pin(4, Some(100))).unwrap();
        assert!(matches!(manifest.with_pin(name.clone(), pin(5, None)), Err(Error::AlreadyExists { .. })));
        let collected = manifest.collect(frame(10), Vec::new(), &Slowest::new(), UnixMillis(99)).unwrap();
        assert!(collected.promises(frame(4)) && collected.held() == [frame(4)]);
        assert!(
            !manifest
                .collect(frame(10), Vec::new(), &Slowest::new(), UnixMillis(100))
                .unwrap()
                .promises(frame(4))
        );
        assert!(!collected.without_pin(&name).unwrap().promises(frame(4)));
        assert!(new().without_pin(&name).is_err());
    }

    #[test]
    fn what_is_not_promised_cannot_be_pinned() {
        let manifest = new().collect(frame(10), vec![kept(3)], &Slowest::new(), UnixMillis(0)).unwrap();
        let name = || PinName::new("a").unwrap();
        assert!(manifest.with_pin(name(), pin(4, None)).is_err());
        assert!(manifest.with_pin(name(), pin(3, None)).is_ok());
    }
}
