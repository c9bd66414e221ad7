//! Named consumers of a namespace's log, and how far each of their members has come.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::namespace::Namespace;
use crate::unix_millis::UnixMillis;
use crate::{GroupName, MemberName};

/// A group of followers of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowerGroup {
    /// The namespace that it follows.
    pub namespace: Namespace,
    /// Its name.
    pub group: GroupName,
    /// When it was created.
    pub created: UnixMillis,
    /// When it was last changed.
    pub updated: UnixMillis,
}

impl FollowerGroup {
    /// A new group.
    #[must_use]
    pub fn new(namespace: &Namespace, group: &GroupName, now: UnixMillis) -> Self {
        Self { namespace: namespace.clone(), group: group.clone(), created: now, updated: now }
    }
}

/// How far a member of a group has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowerPosition {
    /// The namespace.
    pub namespace: Namespace,
    /// The group.
    pub group: GroupName,
    /// The member.
    pub member: MemberName,
    /// The last frame that it has acknowledged.
    pub frame_no: FrameNo,
    /// When it acknowledged for the first time.
    pub created: UnixMillis,
    /// When it acknowledged this frame.
    pub updated: UnixMillis,
}

/// What a member says: that it needs nothing up to and with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The namespace.
    pub namespace: &'a Namespace,
    /// The group.
    pub group: &'a GroupName,
    /// The member.
    pub member: &'a MemberName,
    /// The frame.
    pub frame_no: FrameNo,
    /// The last frame that is durable now, as far as the caller knows; `None`: nothing is.
    pub durable: Option<FrameNo>,
}

impl Ack<'_> {
    /// What an acknowledgement leaves behind, where `before` is what there was. The same frame again changes nothing.
    ///
    /// # Errors
    ///
    /// `Invalid` with both numbers, for a frame below the one that was acknowledged, and for one beyond what is durable.
    pub fn advance(&self, before: Option<&FollowerPosition>, now: UnixMillis) -> Result<FollowerPosition> {
        let refused = |why: String| {
            let Self { namespace, group, member, frame_no, .. } = self;
            let what = format!(
                "frame {frame_no} as the position of member {member} of group {group} of namespace {namespace}"
            );
            Err(Error::invalid(what, why))
        };
        if let Some(before) = before {
            if self.frame_no < before.frame_no {
                return refused(format!(
                    "frame {} is acknowledged already, and a position never goes back",
                    before.frame_no
                ));
            }
            if self.frame_no == before.frame_no {
                return Ok(before.clone());
            }
        }
        if self.durable.is_none_or(|durable| self.frame_no > durable) {
            let durable = self.durable.map_or(0, FrameNo::get);
            return refused(format!(
                "the last durable frame is {durable}, and nothing beyond it is kept yet"
            ));
        }
        Ok(FollowerPosition {
            namespace: self.namespace.clone(),
            group: self.group.clone(),
            member: self.member.clone(),
            frame_no: self.frame_no,
            created: before.map_or(now, |before| before.created),
            updated: before.map_or(now, |before| now.max(before.updated)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(before: Option<&FollowerPosition>, frame: u64, durable: u64) -> Result<FollowerPosition> {
        let (namespace, group, member) =
            ("shop".parse().unwrap(), "readers".parse().unwrap(), "one".parse().unwrap());
        let ack = Ack {
            namespace: &namespace,
            group: &group,
            member: &member,
            frame_no: FrameNo::new(frame).unwrap(),
            durable: FrameNo::new(durable),
        };
        ack.advance(before, UnixMillis(frame))
    }

    #[test]
    fn a_position_never_goes_back_and_the_refusal_names_both() {
        let seven = ack(None, 7, 9).unwrap();
        let error = ack(Some(&seven), 5, 9).unwrap_err().to_string();
        assert!(error.contains("frame 5") && error.contains("frame 7"), "{error}");
        assert_eq!(ack(Some(&seven), 8, 9).unwrap().frame_no.get(), 8);
    }

    #[test]
    fn the_same_again_changes_nothing() {
        let seven = ack(None, 7, 9).unwrap();
        assert_eq!(ack(Some(&seven), 7, 9).unwrap(), seven);
        assert_eq!(ack(Some(&seven), 7, 3).unwrap(), seven, "also when the caller knows less by now");
    }

    #[test]
    fn what_is_not_durable_is_not_acknowledged() {
        let error = ack(None, 7, 6).unwrap_err().to_string();
        assert!(error.contains("frame 7") && error.contains("frame is 6"), "{error}");
        assert!(ack(None, 1, 0).is_err());
    }
}
