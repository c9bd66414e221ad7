//! The reader.
//!
//! Job: list, read the manifest, chain, and tell the user which frames are restore points.
//!
//! Invariants: it remembers nothing between reads. A hole or an empty answer tells the user nothing (a real reader
//! lists again); only what is returned is judged.
//!
//! Not here: fetching objects. A segment deleted after the listing is a 404, after which a reader starts again, so the
//! content of the listing is the content that counts.

use crate::chain::{self, Reading};
use crate::content::Frame;
use crate::faults::Fault;
use crate::guards::Guards;
use crate::manifest::Manifest;
use crate::segment::Segment;
use crate::state::State;

/// Where a read stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reader {
    /// Not reading.
    #[default]
    Idle,
    /// Has a listing.
    Listed {
        /// The listing.
        segments: Vec<Segment>,
        /// The last frame that was acknowledged at that time.
        acknowledged: Frame,
    },
    /// Has a manifest and no listing: the forbidden order.
    HasManifest {
        /// The manifest.
        manifest: Manifest,
        /// The last frame that was acknowledged at that time.
        acknowledged: Frame,
    },
}

/// What a reader may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReaderStep {
    /// The first of its two requests.
    Start,
    /// The second, and the answer.
    Finish,
}

/// The steps open to the reader.
pub fn steps(state: &State) -> Option<ReaderStep> {
    match state.reader {
        Reader::Idle => (state.left.reads > 0).then_some(ReaderStep::Start),
        Reader::Listed { .. } | Reader::HasManifest { .. } => Some(ReaderStep::Finish),
    }
}

/// Takes a step.
pub fn take(guards: &Guards, state: &mut State, step: ReaderStep) {
    match step {
        ReaderStep::Start => start(guards, state),
        ReaderStep::Finish => match std::mem::take(&mut state.reader) {
            Reader::Idle => {}
            Reader::Listed { segments, acknowledged } => {
                let manifest = state.store.manifest.clone();
                answer(guards, state, &segments, &manifest, acknowledged);
            }
            Reader::HasManifest { manifest, acknowledged } => {
                let segments = state.store.segments.clone();
                answer(guards, state, &segments, &manifest, acknowledged);
            }
        },
    }
}

fn start(guards: &Guards, state: &mut State) {
    state.left.reads -= 1;
    let acknowledged = state.acknowledged.last();
    state.reader = if guards.reader_lists_before_manifest {
        Reader::Listed { segments: state.store.segments.clone(), acknowledged }
    } else {
        Reader::HasManifest { manifest: state.store.manifest.clone(), acknowledged }
    };
}

fn answer(
    guards: &Guards,
    state: &mut State,
    segments: &[Segment],
    manifest: &Manifest,
    acknowledged: Frame,
) {
    let usable = chain::usable(segments, manifest, guards);
    let Reading::Reached(history) = chain::latest(&usable, guards) else { return };
    let begin = manifest.last_begun().and_then(|entry| entry.begin).unwrap_or(1);
    if history.end + 1 < begin && guards.reader_reaches_last_begin {
        return;
    }
    state.events.note_if(history.mixed, Fault::MixReturned);
    state.events.note_if(history.end < acknowledged, Fault::DurableWentBack);
    let confirmed_end = if manifest.is_pending() && guards.pending_frames_unconfirmed {
        history.end.min(begin - 1)
    } else {
        history.end
    };
    for frame in 1..=confirmed_end {
        let (before, now) = (state.confirmed.get(frame), history.tags.get(frame));
        state.events.note_if(before != 0 && before != now, Fault::ConfirmedLost);
        state.confirmed.set(frame, now);
    }
}
