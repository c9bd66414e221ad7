//! Everything at one moment, and what must be true of it.
//!
//! Invariants: `State::judge` looks at what is stored and what was promised, never at what somebody is about to do. What was
//! promised to a life of a member ([`Life`]) is forgotten with it.

use std::collections::{BTreeMap, BTreeSet};

use super::caller::Caller;
use super::collector::Collector;
use super::keeper::Keeper;
use super::manifest::{Acknowledgement, Frame, Group, Joined, Manifest, Member, Version};
use super::poller::Poller;
use super::rules::Rules;
use super::scene::Scene;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A position went back.
    WentBack,
    /// What was answered as acknowledged is not.
    AnsweredLost,
    /// A position is one that nobody acknowledged in that life of the member.
    NotItsOwn,
    /// A position is beyond the durable frame.
    BeyondDurable,
    /// What a follower within its cap needs is gone, or not promised any more.
    NeededGone,
    /// The frontier has passed a follower, and its group is not marked.
    NotMarked,
    /// A poll was answered without a commit behind the position.
    PassedOver,
    /// A group was deleted that nobody wanted to delete.
    WrongGroup,
}

/// What was promised to one life of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Life {
    /// The position as it was seen last.
    seen: Frame,
    /// The largest frame that was answered as acknowledged.
    answered: Frame,
    /// The largest frame that was sent.
    sent: Frame,
}

/// A request that may still land.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flight {
    /// Of a manifest.
    Manifest(Manifest),
    /// Of an acknowledgement.
    Acknowledgement(Acknowledgement),
}

/// How a create is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// It is carried out if it can be, and the answer says so.
    Heard,
    /// The same, and the answer is lost.
    Unheard,
    /// The answer is lost, and it may be carried out later.
    Late,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(super) manifest: Manifest,
    /// The newest commit.
    pub(super) durable: Frame,
    /// Bit n is set when the segment of commit n is there as it was stored.
    pub(super) raw: u8,
    pub(super) acknowledged: Vec<Acknowledgement>,
    pub(super) flights: BTreeSet<Flight>,
    pub(super) callers: Vec<Caller>,
    pub(super) asks_left: Vec<u8>,
    pub(super) poller: Poller,
    pub(super) collector: Collector,
    pub(super) keeper: Keeper,
    /// What is left of the budgets.
    pub(super) left: Scene,
    pub(super) lives: BTreeMap<(Member, Version), Life>,
    pub(super) faults: BTreeSet<Fault>,
}

impl State {
    pub(super) fn first(scene: &Scene) -> Self {
        Self {
            manifest: Manifest::first(),
            durable: scene.commits,
            raw: (1..=scene.commits).fold(0, |raw, commit| raw | 1 << commit),
            acknowledged: Vec::new(),
            flights: BTreeSet::new(),
            callers: scene.callers.iter().map(|_| Caller::Idle).collect(),
            asks_left: scene.callers.iter().map(|_| scene.asks).collect(),
            poller: Poller::Idle,
            collector: Collector::Idle,
            keeper: Keeper::Idle,
            left: *scene,
            lives: BTreeMap::new(),
            faults: BTreeSet::new(),
        }
    }

    /// How a create may be answered now.
    pub(super) const fn deliveries(&self) -> &'static [Delivery] {
        match self.left.lost {
            0 => &[Delivery::Heard],
            _ => &[Delivery::Heard, Delivery::Unheard, Delivery::Late],
        }
    }

    /// Sends a create. Whether it is known to have succeeded.
    pub(super) fn send(&mut self, rules: &Rules, flight: Flight, delivery: Delivery) -> bool {
        if delivery == Delivery::Heard {
            return self.land(rules, flight);
        }
        self.left.lost -= 1;
        if delivery == Delivery::Late {
            self.flights.insert(flight);
        } else {
            self.land(rules, flight);
        }
        false
    }

    /// Carries a create out, unless something has its name.
    pub(super) fn land(&mut self, rules: &Rules, flight: Flight) -> bool {
        match flight {
            Flight::Manifest(manifest) => {
                let is_next = manifest.version == self.manifest.version + 1;
                if is_next {
                    self.manifest = manifest;
                }
                is_next
            }
            Flight::Acknowledgement(new) => {
                let is_new = !self.acknowledged.contains(&new);
                if is_new {
                    self.acknowledged.push(new);
                }
                // In which order they landed matters only to whoever looks at it.
                if rules.largest_counts {
                    self.acknowledged.sort_unstable();
                }
                is_new
            }
        }
    }

    /// The frames that a life of a member has acknowledged, in the order in which they count.
    pub(super) fn frames_of(&self, rules: &Rules, member: Member, generation: Version) -> Vec<Frame> {
        let of = |object: &&Acknowledgement| {
            object.member == member && (object.generation == generation || !rules.counts_in_its_life)
        };
        self.acknowledged.iter().filter(of).map(|object| object.frame).collect()
    }

    /// The members of a group, and where their lives began.
    pub(super) fn members(&self, rules: &Rules, group: &Group) -> BTreeMap<Member, Joined> {
        if rules.member_stands_in_manifest {
            return group.members.clone();
        }
        let generation = group.generation;
        let of_group = self.acknowledged.iter().filter(|object| object.generation == generation);
        of_group.map(|object| (object.member, Joined { generation, frame: 0 })).collect()
    }

    /// How far a life of a member has come.
    pub(super) fn position_of(&self, rules: &Rules, member: Member, joined: Joined) -> Frame {
        let frames = self.frames_of(rules, member, joined.generation);
        let counts = if rules.largest_counts { frames.iter().max() } else { frames.last() };
        counts.map_or(joined.frame, |frame| joined.frame.max(*frame))
    }

    /// How far a member has come, by a manifest.
    pub(super) fn position(&self, rules: &Rules, group: &Group, member: Member) -> Frame {
        let joined = self.members(rules, group).get(&member).copied();
        joined.map_or(group.from, |joined| self.position_of(rules, member, joined))
    }

    /// An acknowledgement is sent.
    pub(super) fn note_sent(&mut self, sent: Acknowledgement) {
        let life = self.lives.entry((sent.member, sent.generation)).or_default();
        life.sent = life.sent.max(sent.frame);
    }

    /// A member is told that it has acknowledged a frame; `group` is the life of the group that it belongs to.
    pub(super) fn note_answered(&mut self, answered: Acknowledgement, group: Version) {
        if self.manifest.group.as_ref().is_some_and(|found| found.generation == group) {
            let life = self.lives.entry((answered.member, answered.generation)).or_default();
            life.answered = life.answered.max(answered.frame);
        }
    }

    /// Whether the segments of all commits behind a position are there, up to one.
    pub(super) fn has_all(raw: u8, position: Frame, end: Frame) -> bool {
        (position + 1..=end).all(|commit| raw & (1 << commit) != 0)
    }

    /// Notes what is wrong now.
    pub(super) fn judge(&mut self, rules: &Rules, cap: Option<Frame>) {
        let Some(group) = self.manifest.group.clone() else {
            self.lives.clear();
            return;
        };
        let members = self.members(rules, &group);
        // An answer may be wrong about somebody who has not joined.
        self.lives.retain(|(member, generation), life| {
            let lives = members.get(member).is_some_and(|joined| joined.generation == *generation);
            lives || life.answered > 0 && *generation > group.generation || *generation == group.generation
        });
        let mut found = Vec::new();
        for ((member, generation), life) in &mut self.lives {
            let joined = members.get(member).filter(|joined| joined.generation == *generation);
            if joined.is_none() && life.answered > 0 {
                found.push(Fault::AnsweredLost);
            }
        }
        for (member, joined) in &members {
            let position = self.position_of(rules, *member, *joined);
            let life = self.lives.entry((*member, joined.generation)).or_default();
            found.extend((position < life.seen).then_some(Fault::WentBack));
            found.extend((position < life.answered).then_some(Fault::AnsweredLost));
            found.extend((position > life.sent.max(joined.frame)).then_some(Fault::NotItsOwn));
            found.extend((position > self.durable).then_some(Fault::BeyondDurable));
            life.seen = life.seen.max(position);
            let is_passed = !self.manifest.leads_on_from(position);
            found.extend((is_passed && group.evicted <= position).then_some(Fault::NotMarked));
        }
        let mut positions = members
            .iter()
            .map(|(member, joined)| self.position_of(rules, *member, *joined))
            .collect::<Vec<_>>();
        if members.is_empty() {
            positions.push(group.from);
        }
        for position in positions {
            let is_within = cap.is_none_or(|cap| self.durable.saturating_sub(cap) <= position);
            let is_kept =
                self.manifest.leads_on_from(position) && Self::has_all(self.raw, position, self.durable);
            found.extend((is_within && !is_kept).then_some(Fault::NeededGone));
        }
        self.faults.extend(found);
    }
}
