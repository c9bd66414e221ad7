//! Those who delete the group, and create it again under the same name.
//!
//! Invariant: a deletion that was not heard of is tried again until what was meant is gone.
//!
//! A creation is one step: it is decided by what the newest manifest says, and lands only on that one.

use super::manifest::{Frame, Group, Manifest, Version};
use super::rules::Rules;
use super::state::{Delivery, Fault, Flight, State};

/// Where a deletion stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Keeper {
    /// None is asked for.
    Idle,
    /// Reads the manifest next: whether this life of the group is still there.
    Looking(Version),
    /// Creates the manifest without it.
    Deleting {
        /// The life that is to go.
        meant: Version,
        /// The life that was found.
        found: Version,
        /// The manifest.
        publish: Manifest,
    },
}

/// What may be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeeperStep {
    /// Create a group whose positions begin here.
    Create(Frame),
    /// Delete the one that is there.
    Delete,
    /// Go on; a create is delivered like this.
    Go(Delivery),
}

/// The steps that are open.
pub(super) fn steps(rules: &Rules, state: &State, out: &mut Vec<KeeperStep>) {
    let manifest = &state.manifest;
    if manifest.group.is_none() && state.left.creates > 0 {
        let may_begin = |from: &Frame| manifest.leads_on_from(*from) || !rules.begins_behind_frontier;
        out.extend((0..=state.durable).filter(may_begin).map(KeeperStep::Create));
    }
    match &state.keeper {
        Keeper::Idle if manifest.group.is_some() && state.left.deletes > 0 => out.push(KeeperStep::Delete),
        Keeper::Idle => {}
        Keeper::Looking(_) => out.push(KeeperStep::Go(Delivery::Heard)),
        Keeper::Deleting { .. } => out.extend(state.deliveries().iter().copied().map(KeeperStep::Go)),
    }
}

/// Takes a step.
pub(super) fn take(rules: &Rules, state: &mut State, step: KeeperStep) -> Option<()> {
    state.keeper = match (state.keeper.clone(), step) {
        (keeper, KeeperStep::Create(from)) => {
            state.left.creates -= 1;
            let mut publish = state.manifest.next();
            let generation = publish.version;
            publish.group = Some(Group { generation, from, members: Default::default(), evicted: 0 });
            state.land(rules, Flight::Manifest(publish));
            keeper
        }
        (Keeper::Idle, KeeperStep::Delete) => {
            state.left.deletes -= 1;
            Keeper::Looking(state.manifest.group.as_ref()?.generation)
        }
        (Keeper::Looking(meant), _) => {
            let found = state.manifest.group.as_ref().map(|group| group.generation);
            match found.filter(|found| *found == meant || !rules.deletes_what_was_meant) {
                None => Keeper::Idle,
                Some(found) => {
                    let publish = Manifest { group: None, ..state.manifest.next() };
                    Keeper::Deleting { meant, found, publish }
                }
            }
        }
        (Keeper::Deleting { meant, found, publish }, KeeperStep::Go(delivery)) => {
            if state.send(rules, Flight::Manifest(publish), delivery) {
                if meant != found {
                    state.faults.insert(Fault::WrongGroup);
                }
                Keeper::Idle
            } else {
                Keeper::Looking(meant)
            }
        }
        _ => return None,
    };
    Some(())
}
