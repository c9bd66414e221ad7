//! Followers: named readers of a namespace's log, in groups, each with a position of its own.
//!
//! Here stands who they are and where they began; how far each has come since stands in objects of their own
//! ([`Acknowledgement`](crate::Acknowledgement)), because that changes all the time.
//!
//! Invariants:
//!
//! - a group begins, and a member joins, where every later commit was promised: at the frontier or behind it;
//! - each life of a group or a member has a generation of its own: the version of the manifest that it began in;
//! - the frontier passes the slowest member of a group only if the group has a cap, and then the group is marked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Manifest, ManifestVersion};
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::name::{GroupName, MemberName};
use crate::unix_millis::UnixMillis;

/// How far the slowest member of each group has come; `None`: it begins before the first frame.
pub type Slowest = BTreeMap<GroupName, Option<FrameNo>>;

/// How much is kept for a group at most. Without any limit, as much as it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cap {
    /// The bytes of raw segments behind its slowest member.
    pub bytes: Option<u64>,
    /// The age of commits, in milliseconds.
    pub age_ms: Option<u64>,
}

impl Cap {
    /// Whether it limits nothing.
    #[must_use]
    pub const fn is_unlimited(&self) -> bool {
        self.bytes.is_none() && self.age_ms.is_none()
    }
}

/// What a group lost because it was past its cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evicted {
    /// The frontier that passed its slowest member last.
    pub until: FrameNo,
    /// How many frames its slowest member lost that way so far.
    pub frames: u64,
}

/// A group of followers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The version of the manifest that created it.
    pub generation: ManifestVersion,
    /// When.
    pub created: UnixMillis,
    /// Where positions of members that have not joined yet begin; `None`: before the first frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<FrameNo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cap_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cap_age_ms: Option<u64>,
    /// Who has joined.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub members: BTreeMap<MemberName, Member>,
    /// What it lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evicted: Option<Evicted>,
}

/// A member of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The version of the manifest that it joined in.
    pub generation: ManifestVersion,
    /// When.
    pub created: UnixMillis,
    /// The frame that it acknowledged first.
    pub frame: FrameNo,
}

impl Group {
    /// How much is kept for it.
    #[must_use]
    pub const fn cap(&self) -> Cap {
        Cap { bytes: self.cap_bytes, age_ms: self.cap_age_ms }
    }
}

impl Manifest {
    /// The groups of followers.
    #[must_use]
    pub const fn followers(&self) -> &BTreeMap<GroupName, Group> {
        &self.followers
    }

    /// Whether every commit behind this position is promised, and the state at it too.
    #[must_use]
    pub fn leads_on_from(&self, position: Option<FrameNo>) -> bool {
        self.frontier() <= position.unwrap_or(FrameNo::FIRST)
    }

    /// The next version, with a group whose positions begin at `from`.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` for a name that is taken; `Invalid` for a namespace that is not there, or a position behind which
    /// commits are gone; `Unavailable` while an epoch is pending.
    pub fn with_group(
        &self,
        name: GroupName,
        from: Option<FrameNo>,
        cap: Cap,
        created: UnixMillis,
    ) -> Result<Self> {
        self.refuse_change("adding followers to")?;
        if self.followers.contains_key(&name) {
            return Err(Error::AlreadyExists { what: format!("group {name}") });
        }
        self.refuse_gone(from)?;
        let mut next = self.successor()?;
        let group = Group {
            generation: next.version,
            created,
            from,
            cap_bytes: cap.bytes,
            cap_age_ms: cap.age_ms,
            members: BTreeMap::new(),
            evicted: None,
        };
        next.followers.insert(name, group);
        Ok(next)
    }

    /// The next version, without a group: its members and what they acknowledged count no longer.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Invalid` for a namespace that is not there; `Unavailable` while an epoch is pending.
    pub fn without_group(&self, name: &GroupName) -> Result<Self> {
        self.refuse_change("removing followers of")?;
        let mut next = self.successor()?;
        next.followers.remove(name).ok_or_else(|| no_group(name))?;
        Ok(next)
    }

    /// The next version, in which a member has joined with its first acknowledgement.
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown group; `AlreadyExists` when it has joined; `Invalid` when commits behind the frame are
    /// gone, or it is before the beginning of the group; `Unavailable` while an epoch is pending.
    pub fn with_member(
        &self,
        group: &GroupName,
        member: MemberName,
        frame: FrameNo,
        created: UnixMillis,
    ) -> Result<Self> {
        self.refuse_change("joining followers of")?;
        let mut next = self.successor()?;
        let joined = next.followers.get_mut(group).ok_or_else(|| no_group(group))?;
        if joined.members.contains_key(&member) {
            return Err(Error::AlreadyExists { what: format!("member {member} of group {group}") });
        }
        if let Some(from) = joined.from.filter(|from| *from > frame) {
            let why = format!("group {group} begins at frame {from}: a position does not go back");
            return Err(Error::invalid(format!("acknowledging frame {frame}"), why));
        }
        self.refuse_gone(Some(frame))?;
        joined.members.insert(member, Member { generation: next.version, created, frame });
        Ok(next)
    }

    /// The next version, without a member: what it acknowledged counts no longer.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Invalid` for a namespace that is not there; `Unavailable` while an epoch is pending.
    pub fn without_member(&self, group: &GroupName, member: &MemberName) -> Result<Self> {
        self.refuse_change("removing followers of")?;
        let mut next = self.successor()?;
        let left = next.followers.get_mut(group).ok_or_else(|| no_group(group))?;
        left.members.remove(member).ok_or_else(|| no_member(group, member))?;
        Ok(next)
    }

    fn refuse_gone(&self, position: Option<FrameNo>) -> Result<()> {
        if self.leads_on_from(position) {
            return Ok(());
        }
        let what = position.map_or_else(
            || "a position before the first frame".to_string(),
            |frame| format!("a position at frame {frame}"),
        );
        let frontier = self.frontier();
        let why =
            format!("commits behind it are gone; all commits behind frame {frontier} are kept: go on there");
        Err(Error::invalid(what, why))
    }

    /// Marks the groups whose slowest member a raised frontier has passed.
    pub(super) fn evict(&mut self, before: FrameNo, slowest: &Slowest) -> Result<()> {
        let frontier = self.frontier();
        if frontier == before {
            return Ok(());
        }
        for (name, group) in &mut self.followers {
            let refuse = |why: &str| Err(Error::invalid(format!("a frontier at frame {frontier}"), why));
            let Some(slowest) = slowest.get(name) else {
                return refuse(&format!("how far group {name} has come is not known"));
            };
            if *slowest >= Some(frontier) {
                continue;
            }
            if group.cap().is_unlimited() {
                return refuse(&format!("group {name} needs commits before it, and has no cap"));
            }
            // What it had lost before was counted then.
            let had = slowest.map_or(0, FrameNo::get).max(match before {
                FrameNo::FIRST => 0,
                before => before.get(),
            });
            let frames = group.evicted.map_or(0, |evicted| evicted.frames);
            let lost = frontier.get().saturating_sub(had);
            group.evicted = Some(Evicted { until: frontier, frames: frames.saturating_add(lost) });
        }
        Ok(())
    }

    pub(super) fn check_followers(&self) -> Result<(), String> {
        for (name, group) in &self.followers {
            if group.generation > self.version {
                return Err(format!("group {name} is newer than the manifest"));
            }
            let is_of_it = |member: &Member| {
                (group.generation..=self.version).contains(&member.generation)
                    && group.from.is_none_or(|from| from <= member.frame)
            };
            if !group.members.values().all(is_of_it) {
                return Err(format!("a member of group {name} does not belong to it"));
            }
            if group.evicted.is_some_and(|evicted| evicted.until > self.frontier()) {
                return Err(format!("group {name} lost commits behind the frontier"));
            }
        }
        Ok(())
    }
}

fn no_group(name: &GroupName) -> Error {
    Error::not_found(format!("group {name}"))
}

fn no_member(group: &GroupName, member: &MemberName) -> Error {
    Error::not_found(format!("member {member} of group {group}"))
}

#[cfg(test)]
mod tests {
    use super::super::codec;
    use super::*;
    use crate::{HashSeed, LogId, Nonce, PageSize};

    fn frame(n: u64) -> FrameNo {
        FrameNo::new(n).unwrap()
    }

    fn name() -> GroupName {
        GroupName::new("search").unwrap()
    }

    fn member() -> MemberName {
        MemberName::new("a").unwrap()
    }

    fn new() -> Manifest {
        let manifest = Manifest::create(LogId(1), HashSeed(2), PageSize::DEFAULT, Nonce(3));
        manifest.begin(FrameNo::FIRST, UnixMillis(0)).unwrap()
    }

    fn at(position: Option<u64>) -> Slowest {
        Slowest::from([(name(), position.map(frame))])
    }

    fn collect(manifest: &Manifest, frontier: u64, slowest: &Slowest) -> Result<Manifest> {
        manifest.collect(frame(frontier), Vec::new(), slowest, UnixMillis(0))
    }

    const CAP: Cap = Cap { bytes: Some(7), age_ms: None };

    #[test]
    fn a_group_without_a_cap_holds_the_frontier() {
        let manifest = new().with_group(name(), Some(frame(4)), Cap::default(), UnixMillis(5)).unwrap();
        assert!(collect(&manifest, 5, &at(Some(4))).unwrap_err().to_string().contains("no cap"));
        assert!(collect(&manifest, 2, &Slowest::new()).is_err(), "a position was not asked for");
        let collected = collect(&manifest, 9, &at(Some(9))).unwrap();
        assert_eq!(collected.followers()[&name()].evicted, None);
        assert_eq!(collect(&manifest, 1, &Slowest::new()).unwrap().frontier(), frame(1));
    }

    #[test]
    fn what_a_capped_group_loses_is_counted_once() {
        let manifest = new().with_group(name(), None, CAP, UnixMillis(5)).unwrap();
        let evicted = |manifest: &Manifest| manifest.followers()[&name()].evicted;
        let first = collect(&manifest, 5, &at(Some(2))).unwrap();
        assert_eq!(evicted(&first), Some(Evicted { until: frame(5), frames: 3 }));
        let second = collect(&first, 9, &at(Some(3))).unwrap();
        assert_eq!(evicted(&second), Some(Evicted { until: frame(9), frames: 7 }));
        let third = collect(&second, 20, &at(Some(20))).unwrap();
        assert_eq!(evicted(&third), evicted(&second));
        assert_eq!(evicted(&collect(&manifest, 5, &at(None)).unwrap()).unwrap().frames, 5);
    }

    #[test]
    fn who_joins_late_or_where_commits_are_gone_is_refused() {
        let manifest = new().with_group(name(), Some(frame(4)), CAP, UnixMillis(5)).unwrap();
        let early = manifest.with_member(&name(), member(), frame(3), UnixMillis(6)).unwrap_err();
        assert!(early.to_string().contains("begins at frame 4"), "{early}");
        let manifest = collect(&manifest, 9, &at(Some(4))).unwrap();
        let gone = manifest.with_member(&name(), member(), frame(8), UnixMillis(6)).unwrap_err();
        assert!(gone.to_string().contains("all commits behind frame 9 are kept"), "{gone}");
        let joined = manifest.with_member(&name(), member(), frame(9), UnixMillis(6)).unwrap();
        let again = joined.with_member(&name(), member(), frame(9), UnixMillis(6));
        assert!(matches!(again, Err(Error::AlreadyExists { .. })));
        let other = GroupName::new("other").unwrap();
        assert!(matches!(joined.without_group(&other), Err(Error::NotFound { .. })));
        assert!(matches!(
            joined.with_group(name(), None, CAP, UnixMillis(0)),
            Err(Error::AlreadyExists { .. })
        ));
        assert!(joined.with_group(other, None, CAP, UnixMillis(0)).is_err(), "the first frames are gone");
    }

    #[test]
    fn each_life_has_a_generation_of_its_own() {
        let life = |manifest: &Manifest| {
            let next = manifest.with_member(&name(), member(), frame(9), UnixMillis(6)).unwrap();
            (next.followers()[&name()].members[&member()].generation, next)
        };
        let (first, manifest) = life(&new().with_group(name(), None, CAP, UnixMillis(5)).unwrap());
        let manifest = manifest.without_member(&name(), &member()).unwrap();
        assert!(manifest.without_member(&name(), &member()).is_err());
        let (second, manifest) = life(&manifest);
        let manifest = manifest.without_group(&name()).unwrap();
        let (third, manifest) = life(&manifest.with_group(name(), None, CAP, UnixMillis(5)).unwrap());
        assert!(first < second && second < third);
        assert!(manifest.tombstone().unwrap().followers().is_empty());
    }

    #[test]
    fn groups_read_back_and_what_contradicts_the_manifest_is_corrupt() {
        let manifest = new().with_group(name(), Some(frame(4)), CAP, UnixMillis(5)).unwrap();
        let manifest = manifest.with_member(&name(), member(), frame(9), UnixMillis(6)).unwrap();
        let manifest = collect(&manifest, 10, &at(Some(9))).unwrap();
        let bytes = codec::encode(&manifest).unwrap();
        assert_eq!(codec::decode("m", manifest.version(), &bytes).unwrap(), manifest);
        let spoilt = |spoil: &dyn Fn(&mut Group)| {
            let mut manifest = manifest.clone();
            spoil(manifest.followers.get_mut(&name()).unwrap());
            let bytes = codec::encode(&manifest).unwrap();
            matches!(codec::decode("m", manifest.version(), &bytes), Err(Error::Corrupt(_)))
        };
        let later = ManifestVersion::new(99).unwrap();
        assert!(spoilt(&|group| group.generation = later));
        assert!(spoilt(&|group| group.members.get_mut(&member()).unwrap().generation = later));
        assert!(spoilt(&|group| group.from = Some(frame(10))));
        assert!(spoilt(&|group| group.evicted.as_mut().unwrap().until = frame(11)));
        assert!(!spoilt(&|_| ()));
    }
}
