//! GC.
//!
//! Job: list, read the manifest, choose what stays promised and the victims, publish, delete one by one.
//!
//! Invariants: the victims are fixed before the publish and deleted in any order, at any later moment, or not at all.
//! A publish without an answer deletes nothing.
//!
//! Not here: retention as users write it, and clocks. The frontier may be any frame from the old one to the end of the
//! history, any promised points before it may be kept, and pins may expire at any moment.

use crate::chain::{self, Reading};
use crate::content::Frame;
use crate::guards::Guards;
use crate::manifest::{Manifest, Standing};
use crate::segment::Segment;
use crate::state::State;
use crate::store::Delivery;

/// GC and its past.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Collector {
    /// Where the run stands.
    pub phase: Phase,
    /// Whether any run has deleted anything.
    pub has_deleted: bool,
    /// Whether any run has dropped a pin.
    pub has_expired: bool,
}

/// What is to stay promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Choice {
    /// From here on everything.
    pub frontier: Frame,
    /// Bit n is set when frame n, before it, is kept.
    pub kept: u8,
    /// Whether pins expire.
    pub expires: bool,
}

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not collecting.
    #[default]
    Idle,
    /// Has a listing.
    Listed(Vec<Segment>),
    /// Has a manifest and no listing: the forbidden order.
    HasManifest(Manifest),
    /// Knows what it wants.
    Planned {
        /// The manifest to publish.
        publish: Manifest,
        /// What to delete.
        victims: Vec<Segment>,
    },
    /// Deleting.
    Deleting {
        /// What is left to delete.
        victims: Vec<Segment>,
        /// What is to be published afterwards, in the forbidden order.
        publish_after: Option<Manifest>,
    },
}

/// What GC may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CollectorStep {
    /// The first of its two reads.
    Start,
    /// The second read, and the choice.
    Plan(Choice),
    /// Create the manifest.
    Publish(Delivery),
    /// Instead of publishing: read the manifest again, and go on if it is the same.
    LookAgain,
    /// Delete this victim.
    Delete(Segment),
    /// Publish after all was deleted.
    PublishAfter,
}

/// The steps open to GC.
pub fn steps(guards: &Guards, state: &State, out: &mut Vec<CollectorStep>) {
    match &state.collector.phase {
        Phase::Idle => {
            if state.left.collections > 0 {
                out.push(CollectorStep::Start);
            }
        }
        Phase::Listed(segments) => choices(guards, state, segments, &state.store.manifest, out),
        Phase::HasManifest(manifest) => choices(guards, state, &state.store.segments, manifest, out),
        Phase::Planned { .. } if guards.gc_publish_before_delete => {
            out.extend(
                state.maintenance_deliveries().iter().map(|&delivery| CollectorStep::Publish(delivery)),
            );
        }
        Phase::Planned { .. } => out.push(CollectorStep::LookAgain),
        Phase::Deleting { victims, publish_after } => {
            out.extend(victims.iter().copied().map(CollectorStep::Delete));
            if victims.is_empty() && publish_after.is_some() {
                out.push(CollectorStep::PublishAfter);
            }
        }
    }
}

/// Takes a step.
pub fn take(guards: &Guards, state: &mut State, step: CollectorStep) {
    let phase = std::mem::take(&mut state.collector.phase);
    state.collector.phase = match (phase, step) {
        (Phase::Idle, CollectorStep::Start) => {
            state.left.collections -= 1;
            if guards.gc_lists_before_manifest {
                Phase::Listed(state.store.segments.clone())
            } else {
                Phase::HasManifest(state.store.manifest.clone())
            }
        }
        (Phase::Listed(segments), CollectorStep::Plan(choice)) => {
            plan(guards, &segments, &state.store.manifest, choice)
        }
        (Phase::HasManifest(manifest), CollectorStep::Plan(choice)) => {
            plan(guards, &state.store.segments, &manifest, choice)
        }
        (Phase::Planned { publish, victims }, CollectorStep::Publish(delivery)) => {
            let expires = publish.pins != state.store.manifest.pins;
            let published = state.send_create(publish, delivery);
            state.collector.has_expired |= published && expires;
            let goes_on = published || !guards.gc_lost_publish_starts_over;
            if goes_on { deleting(victims, None) } else { Phase::Idle }
        }
        (Phase::Planned { publish, victims }, CollectorStep::LookAgain) => {
            let unchanged = state.store.manifest.version + 1 == publish.version;
            if unchanged { deleting(victims, Some(publish)) } else { Phase::Idle }
        }
        (Phase::Deleting { mut victims, publish_after }, CollectorStep::Delete(victim)) => {
            victims.retain(|other| *other != victim);
            state.collector.has_deleted |= state.store.segments.contains(&victim);
            state.store.delete(&victim);
            deleting(victims, publish_after)
        }
        (Phase::Deleting { publish_after: Some(publish), .. }, CollectorStep::PublishAfter) => {
            state.create(publish);
            Phase::Idle
        }
        (phase, _) => phase,
    };
}

fn deleting(victims: Vec<Segment>, publish_after: Option<Manifest>) -> Phase {
    if victims.is_empty() && publish_after.is_none() {
        return Phase::Idle;
    }
    Phase::Deleting { victims, publish_after }
}

fn choices(
    guards: &Guards,
    state: &State,
    segments: &[Segment],
    manifest: &Manifest,
    out: &mut Vec<CollectorStep>,
) {
    if guards.gc_not_while_pending && manifest.is_pending() {
        return;
    }
    let usable = chain::usable(segments, manifest, guards);
    let Reading::Reached(history) = chain::latest(&usable, guards) else { return };
    let lowest = if guards.frontier_never_back { manifest.frontier } else { 1 };
    for frontier in lowest..=history.end {
        let can_be_kept = |point: &Frame| manifest.is_kept(*point) || !guards.dropped_stays_dropped;
        let before = (1..frontier).filter(can_be_kept).fold(0, |before: u8, point| before | 1 << point);
        let kept = (0..=before).filter(|kept| kept & !before == 0 && (state.left.keeps || *kept == 0));
        let may_expire = state.left.keeps && manifest.pins != 0;
        for kept in kept {
            out.push(CollectorStep::Plan(Choice { frontier, kept, expires: false }));
            if may_expire {
                out.push(CollectorStep::Plan(Choice { frontier, kept, expires: true }));
            }
        }
    }
}

fn plan(guards: &Guards, segments: &[Segment], manifest: &Manifest, choice: Choice) -> Phase {
    let mut publish = manifest.next();
    (publish.frontier, publish.kept) = (choice.frontier, choice.kept);
    if choice.expires {
        publish.pins = 0;
    }
    let victims: Vec<Segment> = segments
        .iter()
        .filter(|segment| is_deletable(guards, segment, segments, &publish))
        .copied()
        .collect();
    let drops_nothing = publish.promises_as(manifest);
    if victims.is_empty() && drops_nothing {
        return Phase::Idle;
    }
    let silently = !guards.gc_publishes_what_it_drops && choice.frontier == manifest.frontier;
    if silently || (!guards.gc_publishes_every_time && drops_nothing) {
        return deleting(victims, None);
    }
    Phase::Planned { publish, victims }
}

fn is_deletable(guards: &Guards, segment: &Segment, all: &[Segment], publish: &Manifest) -> bool {
    match publish.standing(segment) {
        Standing::Unknown if guards.segments_of_unknown_epoch_kept => return false,
        Standing::Unknown | Standing::Fenced => return true,
        Standing::Valid => {}
    }
    all.iter().any(|cover| {
        let counts = !guards.gc_cover_is_valid || publish.standing(cover) == Standing::Valid;
        let strictly = !cover.same_range(segment);
        counts
            && cover != segment
            && cover.covers(segment)
            && (strictly || !guards.gc_strict_cover)
            && !holds_protected(guards, segment, cover, publish)
    })
}

/// Whether a protected point p has X.start ≤ p < C.end.
fn holds_protected(guards: &Guards, segment: &Segment, cover: &Segment, publish: &Manifest) -> bool {
    let end = if guards.gc_protects_to_end_of_cover { cover.end } else { cover.end.min(segment.end + 1) };
    let protects = |point: Frame| {
        let kept = publish.is_kept(point) && (guards.kept_points_protect || point >= publish.frontier);
        kept || publish.is_pinned(point)
    };
    (segment.start..end).any(protects)
}
