//! A collection, as far as followers are concerned.
//!
//! Job: list, read the manifest, then the positions, choose a frontier, publish it, delete.
//!
//! Invariants: what is deleted is fixed before the publish. Everything before the frontier goes at once: what stays of it for
//! other reasons is no follower's.
//!
//! Not here: retention. The frontier may be any end that followers let it be.

use super::manifest::{Acknowledgement, Frame, Group, Manifest};
use super::rules::Rules;
use super::state::{Delivery, Flight, State};

/// Where a collection stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Collector {
    /// Not collecting.
    Idle,
    /// Reads positions next, and chooses.
    HasManifest {
        /// The manifest that was read.
        manifest: Manifest,
        /// Where the log ended.
        end: Frame,
    },
    /// Publishes next.
    Planned {
        /// What to publish.
        publish: Manifest,
        /// Acknowledgements that do not count: they go then.
        leftovers: Vec<Acknowledgement>,
    },
    /// Deletes.
    Deleting {
        /// Everything before this goes.
        frontier: Frame,
        /// So do these.
        leftovers: Vec<Acknowledgement>,
        /// What is to be published afterwards, in the forbidden order.
        publish_after: Option<Manifest>,
    },
}

/// What a collection may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CollectorStep {
    /// List, and read the manifest.
    Start,
    /// Read the positions, and choose this frontier.
    Plan(Frame),
    /// Create the manifest.
    Publish(Delivery),
    /// Delete.
    Delete,
}

/// The steps open to a collection.
pub(super) fn steps(rules: &Rules, state: &State, out: &mut Vec<CollectorStep>) {
    match &state.collector {
        Collector::Idle if state.left.collections > 0 => out.push(CollectorStep::Start),
        Collector::Idle => {}
        Collector::HasManifest { manifest, end } => {
            let limit = limit(rules, state, manifest, *end).min(*end).max(manifest.frontier);
            out.extend((manifest.frontier..=limit).map(CollectorStep::Plan));
        }
        Collector::Planned { .. } => {
            out.extend(state.deliveries().iter().copied().map(CollectorStep::Publish));
        }
        Collector::Deleting { .. } => out.push(CollectorStep::Delete),
    }
}

/// Takes a step.
pub(super) fn take(rules: &Rules, state: &mut State, step: CollectorStep) -> Option<()> {
    state.collector = match (state.collector.clone(), step) {
        (Collector::Idle, CollectorStep::Start) => {
            state.left.collections -= 1;
            Collector::HasManifest { manifest: state.manifest.clone(), end: state.durable }
        }
        (Collector::HasManifest { manifest, .. }, CollectorStep::Plan(frontier)) => {
            plan(rules, state, &manifest, frontier)
        }
        (Collector::Planned { publish, leftovers }, CollectorStep::Publish(delivery)) => {
            let frontier = publish.frontier;
            let heard = state.send(rules, Flight::Manifest(publish.clone()), delivery);
            match heard || state.manifest == publish || !rules.lost_publish_starts_over {
                true => Collector::Deleting { frontier, leftovers, publish_after: None },
                false => Collector::Idle,
            }
        }
        (Collector::Deleting { frontier, leftovers, publish_after }, CollectorStep::Delete) => {
            state.raw &= !((1_u8 << frontier) - 1);
            state.acknowledged.retain(|object| !leftovers.contains(object));
            if let Some(publish) = publish_after {
                state.land(rules, Flight::Manifest(publish));
            }
            Collector::Idle
        }
        _ => return None,
    };
    Some(())
}

/// How far the frontier may rise.
fn limit(rules: &Rules, state: &State, manifest: &Manifest, end: Frame) -> Frame {
    let Some(group) = manifest.group.as_ref().filter(|_| rules.frontier_waits) else { return end };
    let floor = match state.left.cap {
        None => 0,
        Some(cap) if rules.cap_is_a_floor => end.saturating_sub(cap),
        Some(_) => end,
    };
    slowest(rules, state, group).unwrap_or(end).max(floor)
}

/// How far the slowest member of a group has come; `None`: it holds nothing.
fn slowest(rules: &Rules, state: &State, group: &Group) -> Option<Frame> {
    let members = state.members(rules, group);
    let positions = members.iter().map(|(member, joined)| state.position_of(rules, *member, *joined));
    let slowest = if rules.slowest_counts { positions.min() } else { positions.max() };
    slowest.or_else(|| rules.empty_group_holds.then_some(group.from))
}

fn plan(rules: &Rules, state: &State, manifest: &Manifest, frontier: Frame) -> Collector {
    let leftovers = leftovers(rules, state, manifest);
    if frontier == manifest.frontier {
        return match leftovers.is_empty() {
            true => Collector::Idle,
            false => Collector::Deleting { frontier, leftovers, publish_after: None },
        };
    }
    let mut publish = manifest.next();
    publish.frontier = frontier;
    if let Some(group) = &mut publish.group {
        let is_passed = slowest(rules, state, group).is_some_and(|slowest| slowest < frontier);
        if is_passed && rules.passed_is_marked {
            group.evicted = frontier;
        }
    }
    if rules.published_first {
        return Collector::Planned { publish, leftovers };
    }
    Collector::Deleting { frontier, leftovers, publish_after: Some(publish) }
}

/// The acknowledgements that do not count: all but the largest of each member, and those of lives that are over.
fn leftovers(rules: &Rules, state: &State, manifest: &Manifest) -> Vec<Acknowledgement> {
    let members = manifest.group.as_ref().map(|group| state.members(rules, group)).unwrap_or_default();
    let goes = |object: &&Acknowledgement| {
        let life = members.get(&object.member).filter(|joined| joined.generation == object.generation);
        match life {
            Some(joined) => object.frame < state.position_of(rules, object.member, *joined),
            None => object.generation <= manifest.version || !rules.newer_lives_kept,
        }
    };
    state.acknowledged.iter().filter(goes).copied().collect()
}
