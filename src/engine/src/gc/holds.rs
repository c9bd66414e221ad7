//! What followers still need: how far the frontier may rise.
//!
//! Invariants: a group holds every commit behind its slowest member, as long as its cap allows; positions are read after
//! the manifest, and only rise, so that an old reading keeps more.

use std::fmt;

use serde::Serialize;
use walkeep_core::manifest::{Cap, Group, Slowest};
use walkeep_core::{FrameNo, GroupName, Manifest, MemberName, Namespace, Result, UnixMillis};

use super::plan::{Reason, Verdict};
use super::thinning::End;
use crate::bucket::Bucket;
use crate::followers::{Acknowledged, Position};
use crate::timeline::Timeline;

/// What a group keeps the frontier from passing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// The group.
    pub group: GroupName,
    /// Its slowest member; none has joined yet if there is none.
    pub member: Option<MemberName>,
    /// How far that has come; none: it begins before the first frame.
    pub position: Option<FrameNo>,
    /// The frontier may not pass this frame.
    pub until: FrameNo,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, member, position, .. } = self;
        match member {
            Some(member) => write!(f, "follower {member} of group {group}")?,
            None => write!(f, "group {group} of followers, which nobody has joined,")?,
        }
        match position {
            Some(frame) => write!(f, " is at frame {frame}"),
            None => f.write_str(" is before the first frame"),
        }
    }
}

/// The followers of a namespace, as a collection sees them.
pub(super) struct Holds {
    /// How far each group has come.
    pub(super) slowest: Slowest,
    /// What the slowest of all needs.
    pub(super) lowest: Option<Hold>,
    acknowledged: Acknowledged,
}

impl Holds {
    /// Reads how far each follower has come. The manifest was read before.
    pub(super) async fn read(
        bucket: &Bucket,
        timeline: &Timeline,
        ends: &[End],
        now: UnixMillis,
    ) -> Result<Self> {
        let manifest = timeline.manifest();
        let acknowledged = Acknowledged::list(bucket, timeline.namespace()).await?;
        let (mut slowest, mut lowest) = (Slowest::new(), None::<Hold>);
        for (name, group) in manifest.followers() {
            let positions = acknowledged.positions(bucket, timeline.namespace(), manifest, name).await?;
            let (member, position) = last_of(group, positions);
            slowest.insert(name.clone(), position);
            let until = position.unwrap_or(FrameNo::FIRST).max(floor(group.cap(), timeline, ends, now));
            if lowest.as_ref().is_none_or(|lowest| until < lowest.until) {
                lowest = Some(Hold { group: name.clone(), member, position, until });
            }
        }
        Ok(Self { slowest, lowest, acknowledged })
    }

    /// The frontier may not pass this frame.
    pub(super) fn limit(&self) -> FrameNo {
        self.lowest.as_ref().map_or(FrameNo::MAX, |lowest| lowest.until)
    }

    /// What becomes of acknowledgements: of each reader the largest stays, and all that the manifest may not know yet.
    pub(super) fn verdicts(
        &self,
        bucket: &Bucket,
        namespace: &Namespace,
        manifest: &Manifest,
        is_old: impl Fn(Option<UnixMillis>) -> bool,
    ) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for (reader, objects) in self.acknowledged.readers() {
            let group = manifest.followers().get(&reader.group);
            let member = group.and_then(|group| group.members.get(&reader.member));
            let is_current = member.is_some_and(|member| member.generation == reader.generation);
            for (at, object) in objects.iter().enumerate() {
                let why = match () {
                    () if reader.generation > manifest.version() => Reason::New,
                    () if is_current && at == 0 => Reason::Position,
                    () if is_old(object.modified) => Reason::OldPosition,
                    () => Reason::Young,
                };
                if let Some(path) = bucket.layout().acknowledgement(namespace, reader, object.frame) {
                    verdicts.push(Verdict::new(path, object.size, why));
                }
            }
        }
        verdicts
    }
}

/// The slowest member; where none has joined, where the group begins.
fn last_of(group: &Group, positions: Vec<Position>) -> (Option<MemberName>, Option<FrameNo>) {
    let slowest = positions.into_iter().min_by_key(|position| position.frame);
    slowest.map_or((None, group.from), |slowest| (Some(slowest.member), Some(slowest.frame)))
}

/// The frame up to which a cap lets go: of the newest end that is older than its age, or behind which raw segments have no
/// more bytes than it allows.
fn floor(cap: Cap, timeline: &Timeline, ends: &[End], now: UnixMillis) -> FrameNo {
    let old = cap.age_ms.and_then(|age| {
        let cut_off = now.get().saturating_sub(age);
        ends.iter().rev().find(|end| end.time.get() < cut_off).map(|end| end.frame)
    });
    let full = cap.bytes.and_then(|mut left| {
        let raw = timeline.segments().iter().filter(|segment| segment.key.level() == 0);
        raw.map(|segment| (segment.key.end(), segment.size)).find_map(|(end, size)| {
            let fits = left.checked_sub(size);
            left = fits.unwrap_or_default();
            fits.is_none().then_some(end)
        })
    });
    old.max(full).unwrap_or(FrameNo::FIRST)
}
