//! What must be true of every state.
//!
//! Job: read the store as a reader would at this very moment, and compare with everything promised so far.
//!
//! Invariants: it looks at store, promises and guards only, never at what an actor is about to do.
//!
//! Not here: faults of events, which are noted where they happen.

use crate::chain::{self, History, Reading};
use crate::content::{FRAMES_MAX, Tags};
use crate::faults::{Fault, Faults};
use crate::guards::Guards;
use crate::segment::Segment;
use crate::state::State;

/// The faults of a state.
pub fn judge(guards: &Guards, state: &State) -> Faults {
    let mut faults = Faults::default();
    let manifest = &state.store.manifest;
    let usable = chain::usable(&state.store.segments, manifest, guards);
    let latest = match chain::latest(&usable, guards) {
        Reading::Reached(history) => Some(history),
        Reading::Empty => None,
        Reading::Unreachable => {
            faults.note_if(true, Fault::Hole);
            None
        }
    };
    faults.note_if(latest.is_some_and(|history| history.mixed), Fault::HistoryMixed);
    faults.note_if(is_missing(&state.acknowledged, latest), Fault::AcknowledgedLost);
    faults.note_if(is_missing(&state.confirmed, latest), Fault::ConfirmedLost);
    let end = latest.map_or(0, |history| history.end);
    faults.note_if(manifest.frontier > end.max(1), Fault::FrontierAhead);
    judge_points(guards, state, &usable, &mut faults);
    faults
}

fn judge_points(guards: &Guards, state: &State, usable: &[Segment], faults: &mut Faults) {
    let manifest = &state.store.manifest;
    for point in 1..=FRAMES_MAX {
        let promised = state.acknowledged.get(point) != 0 || state.confirmed.get(point) != 0;
        let reading = chain::at(usable, point, guards);
        let exact = match reading {
            Reading::Reached(history) => {
                faults.note_if(history.inexact || history.mixed, Fault::Inexact);
                !history.inexact
                    && agrees(&state.acknowledged.up_to(point), &history)
                    && agrees(&state.confirmed.up_to(point), &history)
            }
            Reading::Empty | Reading::Unreachable => false,
        };
        faults.note_if(promised && manifest.is_kept(point) && !exact, Fault::PointLost);
        faults.note_if(manifest.is_pinned(point) && !exact, Fault::PinLost);
    }
}

/// Whether anything promised is not in the history.
fn is_missing(promised: &Tags, history: Option<History>) -> bool {
    history.map_or(promised.last() != 0, |history| !agrees(promised, &history))
}

fn agrees(promised: &Tags, history: &History) -> bool {
    (1..=FRAMES_MAX).all(|frame| promised.get(frame) == 0 || promised.get(frame) == history.tags.get(frame))
}
