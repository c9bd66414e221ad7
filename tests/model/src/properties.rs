//! The properties, by name.
//!
//! Job: one `always` per promise, one `sometimes` per path that a search should reach.
//!
//! Invariants: the names are constants, so that a test cannot ask for one that does not exist. Which `sometimes` a
//! search must reach depends on its bounds and stands in the test.
//!
//! Not here: how a fault is noticed.

use stateright::Property;

use crate::content::FRAMES_MAX;
use crate::faults::Fault;
use crate::manifest::Standing;
use crate::model::Protocol;
use crate::reader::Reader;
use crate::state::State;

/// No frame is acknowledged twice with different content.
pub const ACKNOWLEDGED_ONCE: &str = "no frame is acknowledged twice with different content";
/// Acknowledged frames stay in the history.
pub const ACKNOWLEDGED_KEPT: &str = "acknowledged frames stay in the history";
/// Confirmed frames stay in the history.
pub const CONFIRMED_KEPT: &str = "confirmed frames stay in the history";
/// Promised points that retention keeps can be restored.
pub const POINTS_KEPT: &str = "restore points from the frontier on, and those kept before it, stay exact";
/// Pinned points can be restored.
pub const PINS_KEPT: &str = "pinned points can be restored";
/// Valid segments reach down to frame 1.
pub const NO_HOLE: &str = "the history has no hole";
/// Valid segments agree.
pub const ONE_HISTORY: &str = "all valid segments share one history";
/// A read never mixes.
pub const NO_MIX_RETURNED: &str = "a reader never returns a mix";
/// A restore is exact or refused.
pub const EXACT: &str = "an answered restore is exact";
/// A read never finds less than was acknowledged.
pub const DURABLE_FORWARD: &str = "the durable frame never goes back";
/// The frontier lies inside the history.
pub const FRONTIER_INSIDE: &str = "the frontier stays inside the history";
/// Epochs begin above what was acknowledged.
pub const BEGINS_ABOVE: &str = "no epoch begins at or below an acknowledged frame";

/// A second epoch has begun.
pub const TAKEN_OVER: &str = "a take-over happens";
/// A fenced segment is in the store.
pub const FENCED_EXISTS: &str = "a fenced segment exists";
/// A PUT landed after its epoch was overtaken.
pub const LATE_PUT: &str = "a late PUT lands after a take-over";
/// A manifest create landed late.
pub const LATE_CREATE: &str = "a late manifest create lands";
/// The end of a history of the greatest length was acknowledged.
pub const ALL_ACKNOWLEDGED: &str = "the last frame is acknowledged";
/// A reader has listed and an epoch is pending.
pub const READ_WHILE_PENDING: &str = "a reader meets a pending epoch";
/// An acknowledged frame lies in the part that a pending epoch makes unconfirmed.
pub const ACKNOWLEDGED_UNCONFIRMED: &str = "an acknowledged frame is unconfirmed for a while";
/// A reader has confirmed something.
pub const CONFIRMED: &str = "a reader confirms a frame";
/// A compacted segment is in the store.
pub const COMPACTED: &str = "a compaction is published";
/// GC has deleted.
pub const COLLECTED: &str = "gc deletes an object";
/// GC has deleted, and a fenced epoch's segments can have been among it.
pub const COLLECTED_AFTER_LATE_PUT: &str = "gc deletes after a late PUT landed";
/// The frontier has moved.
pub const FRONTIER_RAISED: &str = "gc raises the frontier";
/// A point before the frontier is kept, and another one is not.
pub const THINNED: &str = "gc keeps one of two points before the frontier";
/// A pin has expired.
pub const EXPIRED: &str = "gc drops a pin that has expired";
/// A pin exists.
pub const PINNED: &str = "a pin is published";
/// An opener has stopped at a hole.
pub const STOPPED: &str = "an opener stops at a hole";

/// All properties.
pub fn all() -> Vec<Property<Protocol>> {
    let mut properties = promises();
    properties.extend(paths());
    properties
}

fn promises() -> Vec<Property<Protocol>> {
    fn holds(state: &State, fault: Fault) -> bool {
        !state.events.has(fault) && !state.judged.has(fault)
    }
    vec![
        Property::always(ACKNOWLEDGED_ONCE, |_, state: &State| holds(state, Fault::AcknowledgedTwice)),
        Property::always(ACKNOWLEDGED_KEPT, |_, state: &State| holds(state, Fault::AcknowledgedLost)),
        Property::always(CONFIRMED_KEPT, |_, state: &State| holds(state, Fault::ConfirmedLost)),
        Property::always(POINTS_KEPT, |_, state: &State| holds(state, Fault::PointLost)),
        Property::always(PINS_KEPT, |_, state: &State| holds(state, Fault::PinLost)),
        Property::always(NO_HOLE, |_, state: &State| holds(state, Fault::Hole)),
        Property::always(ONE_HISTORY, |_, state: &State| holds(state, Fault::HistoryMixed)),
        Property::always(NO_MIX_RETURNED, |_, state: &State| holds(state, Fault::MixReturned)),
        Property::always(EXACT, |_, state: &State| holds(state, Fault::Inexact)),
        Property::always(DURABLE_FORWARD, |_, state: &State| holds(state, Fault::DurableWentBack)),
        Property::always(FRONTIER_INSIDE, |_, state: &State| holds(state, Fault::FrontierAhead)),
        Property::always(BEGINS_ABOVE, |_, state: &State| holds(state, Fault::BegunBelowAcknowledged)),
    ]
}

fn paths() -> Vec<Property<Protocol>> {
    fn any_fenced(state: &State) -> bool {
        let manifest = &state.store.manifest;
        state.store.segments.iter().any(|segment| manifest.standing(segment) == Standing::Fenced)
    }
    vec![
        Property::sometimes(TAKEN_OVER, |_, state: &State| {
            state.store.manifest.last_begun().is_some_and(|entry| entry.epoch > 1)
        }),
        Property::sometimes(FENCED_EXISTS, |_, state: &State| any_fenced(state)),
        Property::sometimes(LATE_PUT, |_, state: &State| state.late_put_landed),
        Property::sometimes(LATE_CREATE, |_, state: &State| state.late_create_landed),
        Property::sometimes(ALL_ACKNOWLEDGED, |model: &Protocol, state: &State| {
            state.acknowledged.last() == model.bounds.frames.min(FRAMES_MAX)
        }),
        Property::sometimes(READ_WHILE_PENDING, |_, state: &State| {
            matches!(state.reader, Reader::Listed { .. }) && state.store.manifest.is_pending()
        }),
        Property::sometimes(ACKNOWLEDGED_UNCONFIRMED, |_, state: &State| {
            let manifest = &state.store.manifest;
            let begin = manifest.last_begun().and_then(|entry| entry.begin);
            manifest.is_pending() && begin.is_some_and(|begin| begin <= state.acknowledged.last())
        }),
        Property::sometimes(CONFIRMED, |_, state: &State| state.confirmed.last() > 0),
        Property::sometimes(COMPACTED, |_, state: &State| {
            state.store.segments.iter().any(|segment| segment.level > 0)
        }),
        Property::sometimes(COLLECTED, |_, state: &State| state.collector.has_deleted),
        Property::sometimes(COLLECTED_AFTER_LATE_PUT, |_, state: &State| {
            state.collector.has_deleted && state.late_put_landed
        }),
        Property::sometimes(FRONTIER_RAISED, |_, state: &State| state.store.manifest.frontier > 1),
        Property::sometimes(THINNED, |_, state: &State| {
            let manifest = &state.store.manifest;
            let kept = (1..manifest.frontier).filter(|point| manifest.is_kept(*point)).count();
            kept > 0 && kept + 1 < usize::from(manifest.frontier)
        }),
        Property::sometimes(EXPIRED, |_, state: &State| state.collector.has_expired),
        Property::sometimes(PINNED, |_, state: &State| state.store.manifest.pins != 0),
        Property::sometimes(STOPPED, |_, state: &State| {
            state.writers.iter().any(|writer| writer.phase == crate::writer::Phase::StoppedAtHole)
        }),
    ]
}
