//! What a collection would do, as data: for every object whether it goes, and why.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use walkeep_core::manifest::{KeptPoint, Validity};
use walkeep_core::{
    FrameNo, GroupName, Leftovers, Manifest, MemberName, ObjectPath, PinName, SegmentKey, UnixMillis,
};

use super::holds::Hold;
use crate::stored_segment::StoredSegment;

/// Why an object stays or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It goes: this one covers it, and nothing that is needed lies in between.
    CoveredBy(SegmentKey),
    /// It goes: it is of a writer that lost its epoch.
    Fenced,
    /// It goes: a newer proof stands in its place.
    OldProof,
    /// It goes: its follower has acknowledged more since, or is gone.
    OldPosition,
    /// It stays: no wider segment covers it.
    NotCovered,
    /// It stays: this restore point, or fork, is read from it.
    Holds(FrameNo),
    /// It stays: every commit from the frontier on is kept.
    AllKept,
    /// It stays: retention would let it go, but a follower has not come so far yet.
    Follower {
        /// The group.
        group: GroupName,
        /// Its slowest member, if one has joined.
        member: Option<MemberName>,
    },
    /// It would go, but it, or what covers it, is younger than the grace time, or the store does not say how old it is.
    Young,
    /// It stays: its epoch is newer than the manifest that was read.
    UnknownEpoch,
    /// It stays: manifests are kept for ever.
    Manifest,
    /// It stays: it proves what is stored.
    Proof,
    /// It stays: it says how far a follower has come.
    Position,
    /// It stays for now: it tells the time of the store, and the next collection that changes anything deletes it.
    Probe,
    /// It stays: it was stored while this was looked at.
    New,
    /// It stays: Walkeep did not store it.
    Foreign,
}

impl Reason {
    const fn goes(&self) -> bool {
        matches!(self, Self::CoveredBy(_) | Self::Fenced | Self::OldProof | Self::OldPosition)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CoveredBy(key) => {
                write!(f, "covered by frames {} to {} (level {})", key.start(), key.end(), key.level())
            }
            Self::Fenced => f.write_str("of a writer that lost its epoch"),
            Self::OldProof => f.write_str("a newer proof stands in its place"),
            Self::OldPosition => f.write_str("its follower has gone on, or is gone"),
            Self::Position => f.write_str("it says how far a follower has come"),
            Self::Follower { group, member: Some(member) } => {
                write!(f, "follower {member} of group {group} has not come so far yet")
            }
            Self::Follower { group, member: None } => {
                write!(f, "group {group} of followers begins before it")
            }
            Self::NotCovered => f.write_str("nothing else has these frames"),
            Self::Holds(frame) => write!(f, "the point at frame {frame} needs it"),
            Self::AllKept => f.write_str("every commit of it is kept"),
            Self::Young => f.write_str("younger than the grace time, or what covers it is"),
            Self::UnknownEpoch => f.write_str("of an epoch newer than the manifest that was read"),
            Self::Manifest => f.write_str("manifests are kept for ever"),
            Self::Proof => f.write_str("it proves what is stored"),
            Self::Probe => f.write_str("the next collection that changes anything deletes it"),
            Self::New => f.write_str("it was stored just now"),
            Self::Foreign => f.write_str("its name is none of Walkeep's"),
        }
    }
}

/// What becomes of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The object.
    #[serde(serialize_with = "as_text")]
    pub path: ObjectPath,
    /// Its length in bytes.
    pub size: u64,
    /// Whether it goes.
    pub goes: bool,
    /// Why.
    pub why: Reason,
}

fn as_text<S: Serializer>(path: &ObjectPath, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(path)
}

impl Verdict {
    pub(super) fn new(path: ObjectPath, size: u64, why: Reason) -> Self {
        Self { path, size, goes: why.goes(), why }
    }
}

/// What a collection would do.
#[derive(Clone, Debug, Serialize)]
pub struct GcPlan {
    /// From this frame on every commit is kept.
    pub frontier: FrameNo,
    /// The points before it that are kept.
    pub kept: Vec<KeptPoint>,
    /// Pins that have expired.
    pub expired: Vec<PinName>,
    /// What keeps the frontier from rising to where retention would have it, if something does.
    pub held_by: Option<Hold>,
    /// Groups of followers that are past their cap: they lose commits before the frontier.
    pub evicted: Vec<GroupName>,
    /// What becomes of each object: segments first, the newest of them first.
    pub verdicts: Vec<Verdict>,
    /// What uploads that were never finished have left behind, which is no object: it goes.
    pub leftovers: Leftovers,
}

impl GcPlan {
    /// The objects that go.
    pub fn going(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts.iter().filter(|verdict| verdict.goes)
    }

    /// The bytes of what goes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.going().map(|verdict| verdict.size).sum::<u64>().saturating_add(self.leftovers.bytes)
    }

    /// Whether it drops promises, which must be published first.
    #[must_use]
    pub fn changes(&self, manifest: &Manifest) -> bool {
        self.frontier != manifest.frontier() || self.kept != manifest.kept() || !self.expired.is_empty()
    }
}

/// Judges segments by the promises of a manifest.
pub(super) struct Judge<'a> {
    manifest: &'a Manifest,
    frontier: FrameNo,
    /// Where it would be without followers, and who holds it.
    free: Option<(FrameNo, Hold)>,
    /// The frames before the frontier that something needs, rising.
    held: Vec<FrameNo>,
    /// Valid segments that could cover others, and are old enough.
    covers: Vec<SegmentKey>,
    /// The same, younger ones included.
    all_covers: Vec<SegmentKey>,
    now: UnixMillis,
    grace: Duration,
}

impl<'a> Judge<'a> {
    /// By the promises of `manifest`, which is what would be published.
    pub(super) fn new(
        manifest: &'a Manifest,
        listed: &[StoredSegment],
        now: UnixMillis,
        grace: Duration,
    ) -> Self {
        let mut judge = Self {
            manifest,
            frontier: manifest.frontier(),
            free: None,
            held: manifest.held(),
            covers: Vec::new(),
            all_covers: Vec::new(),
            now,
            grace,
        };
        let valid = |segment: &&StoredSegment| manifest.validity(&segment.key) == Validity::Valid;
        // Only what begins before a frame ends behind it can cover another one.
        let wide = listed.iter().filter(valid).filter(|segment| segment.key.level() > 0);
        for segment in wide {
            judge.all_covers.push(segment.key);
            if judge.is_old(segment) {
                judge.covers.push(segment.key);
            }
        }
        judge
    }

    /// The same, which can tell what stays for followers alone: without them the frontier would be at `free`.
    pub(super) fn held_by(self, free: FrameNo, hold: Option<&Hold>) -> Self {
        Self { free: hold.map(|hold| (free, hold.clone())), ..self }
    }

    fn is_old(&self, segment: &StoredSegment) -> bool {
        self.is_past_grace(segment.modified)
    }

    /// Whether an object is older than the grace time.
    pub(super) fn is_past_grace(&self, modified: Option<UnixMillis>) -> bool {
        let grace = u64::try_from(self.grace.as_millis()).unwrap_or(u64::MAX);
        modified.is_some_and(|modified| modified.get().saturating_add(grace) <= self.now.get())
    }

    pub(super) fn judge(&self, segment: &StoredSegment) -> Reason {
        match self.manifest.validity(&segment.key) {
            Validity::UnknownEpoch | Validity::Unconfirmed => Reason::UnknownEpoch,
            Validity::Fenced if self.is_old(segment) => Reason::Fenced,
            Validity::Fenced => Reason::Young,
            Validity::Valid => self.judge_valid(segment),
        }
    }

    fn judge_valid(&self, segment: &StoredSegment) -> Reason {
        let key = &segment.key;
        let cover = self.covers.iter().find(|cover| covers(cover, key) && self.needs(key, cover).is_none());
        if let Some(cover) = cover {
            return if self.is_old(segment) { Reason::CoveredBy(*cover) } else { Reason::Young };
        }
        let mut young = self.all_covers.iter().filter(|cover| covers(cover, key));
        let mut why = Reason::NotCovered;
        if let Some(need) = young.clone().filter_map(|cover| self.needs(key, cover)).next() {
            why = need;
        }
        if young.any(|cover| self.needs(key, cover).is_none()) { Reason::Young } else { why }
    }

    /// What is needed of a segment although another one covers it: a point in front of the cover's end.
    fn needs(&self, key: &SegmentKey, cover: &SegmentKey) -> Option<Reason> {
        // A commit from the frontier on that the cover has merged away is read from it; and what reaches the frontier stays
        // even if there is none: that there is none is what the search for a time needs to know.
        let all_kept = |frontier: FrameNo| frontier.max(key.start()) < cover.end() || key.end() >= frontier;
        if all_kept(self.frontier) {
            let for_followers = self.free.as_ref().filter(|(free, _)| !all_kept(*free));
            return Some(for_followers.map_or(Reason::AllKept, |(_, hold)| Reason::Follower {
                group: hold.group.clone(),
                member: hold.member.clone(),
            }));
        }
        let at = self.held.partition_point(|frame| *frame < key.start());
        self.held.get(at).filter(|frame| **frame < cover.end()).map(|frame| Reason::Holds(*frame))
    }
}

/// Whether one segment has all frames of the other and more.
fn covers(cover: &SegmentKey, key: &SegmentKey) -> bool {
    let within = cover.start() <= key.start() && key.end() <= cover.end();
    within && (cover.start(), cover.end()) != (key.start(), key.end())
}
