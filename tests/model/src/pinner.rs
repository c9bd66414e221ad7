//! Somebody who pins a restore point while GC works.
//!
//! Job: list, read the manifest, check that the point can be restored and is still protected, publish the pin by the
//! same kind of create that GC uses. A fork and the registration of a follower look the same from here.
//!
//! Invariants: a pin exists only once its manifest does; a lost create starts over (a new run).
//!
//! Not here: child namespaces, unpinning.

use crate::chain::{self, Reading};
use crate::content::Frame;
use crate::guards::Guards;
use crate::manifest::Manifest;
use crate::segment::Segment;
use crate::state::State;
use crate::store::Delivery;

/// Where a pin stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pinner {
    /// Not pinning.
    #[default]
    Idle,
    /// Has a listing.
    Listed(Vec<Segment>),
    /// Has the manifest to publish.
    Planned(Manifest),
}

/// What a pinner may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PinnerStep {
    /// List.
    Start,
    /// Read the manifest and choose this point.
    Plan(Frame),
    /// Create the manifest.
    Publish(Delivery),
}

/// The steps open to the pinner.
pub fn steps(guards: &Guards, state: &State, out: &mut Vec<PinnerStep>) {
    match &state.pinner {
        Pinner::Idle => {
            if state.left.pins > 0 {
                out.push(PinnerStep::Start);
            }
        }
        Pinner::Listed(segments) => {
            let manifest = &state.store.manifest;
            if manifest.is_pending() {
                return;
            }
            let usable = chain::usable(segments, manifest, guards);
            let can_be_pinned = |point: &Frame| {
                manifest.promises(*point) && matches!(chain::at(&usable, *point, guards), Reading::Reached(_))
            };
            out.extend((1..=state.left.frames).filter(can_be_pinned).map(PinnerStep::Plan));
        }
        Pinner::Planned(_) => {
            out.extend(state.maintenance_deliveries().iter().map(|&delivery| PinnerStep::Publish(delivery)));
        }
    }
}

/// Takes a step.
pub fn take(state: &mut State, step: PinnerStep) {
    match step {
        PinnerStep::Start => {
            state.left.pins -= 1;
            state.pinner = Pinner::Listed(state.store.segments.clone());
        }
        PinnerStep::Plan(point) => {
            let mut publish = state.store.manifest.next();
            publish.pins |= 1 << point;
            state.pinner = Pinner::Planned(publish);
        }
        PinnerStep::Publish(delivery) => {
            if let Pinner::Planned(publish) = std::mem::take(&mut state.pinner) {
                state.send_create(publish, delivery);
            }
        }
    }
}
