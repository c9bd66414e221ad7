//! What stands in the store: the manifest with its group, and acknowledgements.
//!
//! Not here: epochs, and more than one group.

use std::collections::BTreeMap;

/// A frame, and the commit that it ends: each commit has one. 0 stands for "before the first".
pub type Frame = u8;
/// The version of a manifest, and the name of a life that began with it.
pub type Version = u8;
/// The name of a member.
pub type Member = u8;

/// Where the life of a member began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Joined {
    /// The version that it joined in.
    pub generation: Version,
    /// The frame that it joined at.
    pub frame: Frame,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// The version that it was created in.
    pub generation: Version,
    /// Where positions begin.
    pub from: Frame,
    /// Who has joined.
    pub members: BTreeMap<Member, Joined>,
    /// The frontier that passed its slowest member last; 0: none has.
    pub evicted: Frame,
}

/// A manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Manifest {
    /// Its version.
    pub version: Version,
    /// From this frame on every commit is kept.
    pub frontier: Frame,
    /// The group, if it is there.
    pub group: Option<Group>,
}

/// The object of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acknowledgement {
    /// Whose it is.
    pub member: Member,
    /// The life that it was made in.
    pub generation: Version,
    /// How far it goes.
    pub frame: Frame,
}

impl Manifest {
    /// The first one: nothing was dropped, and a group begins before the first frame.
    pub(super) fn first() -> Self {
        let group = Group { generation: 1, from: 0, members: BTreeMap::new(), evicted: 0 };
        Self { version: 1, frontier: 1, group: Some(group) }
    }

    /// The next one, not yet changed.
    pub(super) fn next(&self) -> Self {
        Self { version: self.version + 1, ..self.clone() }
    }

    /// Whether every commit behind a position is promised, and the state at it too.
    pub(super) fn leads_on_from(&self, position: Frame) -> bool {
        self.frontier <= position.max(1)
    }
}
