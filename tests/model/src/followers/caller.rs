//! Somebody who acknowledges for a member. Two may do so at once.
//!
//! Job: look at the manifest, join, list, create, delete what is smaller.
//!
//! Invariant: it remembers nothing from one acknowledgement to the next.

use super::manifest::{Acknowledgement, Frame, Joined, Manifest, Member, Version};
use super::rules::Rules;
use super::state::{Delivery, Flight, State};

/// Where an acknowledgement stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// None is asked for.
    Idle,
    /// Reads the manifest next.
    Asked(Frame),
    /// Creates the manifest in which the member joins.
    Joining {
        /// What is to be acknowledged.
        frame: Frame,
        /// The manifest.
        publish: Manifest,
    },
    /// Lists next.
    Joined {
        /// What is to be acknowledged.
        frame: Frame,
        /// In which life.
        life: Life,
    },
    /// Creates the acknowledgement.
    Creating {
        /// What is to be acknowledged.
        frame: Frame,
        /// In which life.
        life: Life,
        /// What was listed, all of it smaller.
        smaller: Vec<Frame>,
    },
    /// Was answered, and deletes what is smaller.
    Tidying {
        /// In which life.
        life: Life,
        /// What goes.
        smaller: Vec<Frame>,
    },
}

/// The life that an acknowledgement is made in, and that of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Life {
    joined: Joined,
    group: Version,
}

/// What a caller may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallerStep {
    /// Acknowledge this frame.
    Ask(Frame),
    /// Go on; a create is delivered like this.
    Go(Delivery),
}

/// The steps open to a caller.
pub(super) fn steps(rules: &Rules, state: &State, at: usize, out: &mut Vec<CallerStep>) {
    match state.callers.get(at) {
        None => {}
        Some(Caller::Idle) => {
            let last = if rules.acknowledged_is_durable { state.durable } else { state.durable + 1 };
            if state.asks_left.get(at).is_some_and(|left| *left > 0) {
                out.extend((1..=last).map(CallerStep::Ask));
            }
        }
        Some(Caller::Joining { .. } | Caller::Creating { .. }) => {
            out.extend(state.deliveries().iter().copied().map(CallerStep::Go));
        }
        Some(Caller::Asked(_) | Caller::Joined { .. } | Caller::Tidying { .. }) => {
            out.push(CallerStep::Go(Delivery::Heard));
        }
    }
}

/// Takes a step.
pub(super) fn take(rules: &Rules, state: &mut State, at: usize, step: CallerStep) -> Option<()> {
    let member = *state.left.callers.get(at)?;
    let next = match (state.callers.get(at)?.clone(), step) {
        (Caller::Idle, CallerStep::Ask(frame)) => {
            *state.asks_left.get_mut(at)? -= 1;
            Caller::Asked(frame)
        }
        (Caller::Asked(frame), _) => look(rules, state, member, frame),
        (Caller::Joining { frame, publish }, CallerStep::Go(delivery)) => {
            let group = publish.group.as_ref()?;
            let life = Life { joined: *group.members.get(&member)?, group: group.generation };
            let heard = state.send(rules, Flight::Manifest(publish), delivery);
            match heard || !rules.lost_join_is_looked_up {
                true => Caller::Joined { frame, life },
                false => Caller::Asked(frame),
            }
        }
        (Caller::Joined { frame, life }, _) => list(rules, state, member, frame, life),
        (Caller::Creating { frame, life, smaller }, CallerStep::Go(delivery)) => {
            create(rules, state, Creation { member, frame, life, smaller }, delivery)
        }
        (Caller::Tidying { life, smaller }, _) => {
            delete(state, member, life, &smaller);
            Caller::Idle
        }
        (Caller::Idle | Caller::Joining { .. } | Caller::Creating { .. }, _) => return None,
    };
    *state.callers.get_mut(at)? = next;
    Some(())
}

/// Reads the manifest: whether the member has joined, or may.
fn look(rules: &Rules, state: &State, member: Member, frame: Frame) -> Caller {
    let manifest = &state.manifest;
    let Some(group) = &manifest.group else { return Caller::Idle };
    if let Some(joined) = group.members.get(&member) {
        return Caller::Joined { frame, life: Life { joined: *joined, group: group.generation } };
    }
    let may_begin = manifest.leads_on_from(frame) || !rules.begins_behind_frontier;
    if frame < group.from || !may_begin {
        return Caller::Idle;
    }
    if !rules.member_stands_in_manifest {
        let joined = Joined { generation: group.generation, frame: 0 };
        return Caller::Joined { frame, life: Life { joined, group: group.generation } };
    }
    let mut publish = manifest.next();
    let joined = Joined { generation: publish.version, frame };
    if let Some(group) = &mut publish.group {
        group.members.insert(member, joined);
    }
    Caller::Joining { frame, publish }
}

/// Lists what the member has acknowledged.
fn list(rules: &Rules, state: &mut State, member: Member, frame: Frame, life: Life) -> Caller {
    let frames = state.frames_of(rules, member, life.joined.generation);
    let largest = frames.iter().copied().max().unwrap_or_default();
    if frame < largest || frame < life.joined.frame {
        return Caller::Idle;
    }
    if frame == largest || frame == life.joined.frame {
        let answered = Acknowledgement { member, generation: life.joined.generation, frame };
        state.note_answered(answered, life.group);
        return Caller::Idle;
    }
    Caller::Creating { frame, life, smaller: frames }
}

struct Creation {
    member: Member,
    frame: Frame,
    life: Life,
    smaller: Vec<Frame>,
}

fn create(rules: &Rules, state: &mut State, creation: Creation, delivery: Delivery) -> Caller {
    let Creation { member, frame, life, smaller } = creation;
    if !rules.smaller_go_afterwards {
        delete(state, member, life, &smaller);
    }
    let new = Acknowledgement { member, generation: life.joined.generation, frame };
    state.note_sent(new);
    let heard = state.send(rules, Flight::Acknowledgement(new), delivery);
    let is_unknown = delivery != Delivery::Heard;
    if !heard && (!is_unknown || rules.unknown_is_sent_again) {
        return Caller::Joined { frame, life };
    }
    state.note_answered(new, life.group);
    if smaller.is_empty() { Caller::Idle } else { Caller::Tidying { life, smaller } }
}

fn delete(state: &mut State, member: Member, life: Life, frames: &[Frame]) {
    let goes = |object: &Acknowledgement| {
        object.member == member
            && object.generation == life.joined.generation
            && frames.contains(&object.frame)
    };
    state.acknowledged.retain(|object| !goes(object));
}
