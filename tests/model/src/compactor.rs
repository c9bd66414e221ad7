//! The compactor.
//!
//! Job: list, read the manifest, join two segments (or thin one), publish one object.
//!
//! Invariants: it deletes nothing. Its PUT may be lost and land much later, when the inputs are long gone.
//!
//! Not here: strategies. Every pair of joining inputs is tried; more inputs are several runs.

use crate::guards::Guards;
use crate::manifest::{Manifest, Standing};
use crate::segment::Segment;
use crate::state::State;
use crate::store::Delivery;

/// Where a compaction stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compactor {
    /// Not compacting.
    #[default]
    Idle,
    /// Has a listing.
    Listed(Vec<Segment>),
    /// Has a manifest and no listing: the forbidden order.
    HasManifest(Manifest),
    /// Has its output, not yet sent.
    Planned(Segment),
}

/// What a compactor may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompactorStep {
    /// The first of its two reads.
    Start,
    /// The second read, and this output chosen.
    Plan(Segment),
    /// Send the output.
    Publish(Delivery),
}

/// The steps open to the compactor.
pub fn steps(guards: &Guards, state: &State, out: &mut Vec<CompactorStep>) {
    match &state.compactor {
        Compactor::Idle => {
            if state.left.compactions > 0 {
                out.push(CompactorStep::Start);
            }
        }
        Compactor::Listed(segments) => plans(guards, state, segments, &state.store.manifest, out),
        Compactor::HasManifest(manifest) => plans(guards, state, &state.store.segments, manifest, out),
        Compactor::Planned(_) => {
            out.extend(
                state.maintenance_deliveries().iter().map(|&delivery| CompactorStep::Publish(delivery)),
            );
        }
    }
}

/// Takes a step.
pub fn take(guards: &Guards, state: &mut State, step: CompactorStep) {
    match step {
        CompactorStep::Start => {
            state.left.compactions -= 1;
            state.compactor = if guards.compactor_lists_before_manifest {
                Compactor::Listed(state.store.segments.clone())
            } else {
                Compactor::HasManifest(state.store.manifest.clone())
            };
        }
        CompactorStep::Plan(output) => state.compactor = Compactor::Planned(output),
        CompactorStep::Publish(delivery) => {
            if let Compactor::Planned(output) = std::mem::take(&mut state.compactor) {
                state.send_put(output, delivery);
            }
        }
    }
}

/// All outputs that the rules allow from a listing and a manifest.
fn plans(
    guards: &Guards,
    state: &State,
    segments: &[Segment],
    manifest: &Manifest,
    out: &mut Vec<CompactorStep>,
) {
    if guards.compaction_not_while_pending && manifest.is_pending() {
        return;
    }
    let allowed = |segment: &&Segment| match manifest.standing(segment) {
        Standing::Valid => true,
        Standing::Fenced => !guards.compaction_inputs_valid,
        Standing::Unknown => false,
    };
    let inputs: Vec<Segment> = segments.iter().filter(allowed).copied().collect();
    for older in &inputs {
        if state.left.thinning && !older.is_thinned && older.start < older.end {
            out.push(CompactorStep::Plan(merged(guards, manifest, older, older)));
        }
        for newer in &inputs {
            let in_order = older.start < newer.start && older.end < newer.end;
            let joins = older.end + 1 >= newer.start;
            if in_order && (joins || !guards.compaction_inputs_join) {
                out.push(CompactorStep::Plan(merged(guards, manifest, older, newer)));
            }
        }
    }
}

/// The output for two inputs; the same one twice is thinned.
fn merged(guards: &Guards, manifest: &Manifest, older: &Segment, newer: &Segment) -> Segment {
    let mut tags = older.tags;
    for frame in newer.start..=newer.end {
        tags.set(frame, newer.tags.get(frame));
    }
    let epoch = if guards.compaction_epoch_of_last_input { newer.epoch } else { manifest.last_epoch() };
    let level = if guards.compaction_raises_level { older.level.max(newer.level) + 1 } else { newer.level };
    Segment { epoch, start: older.start, end: newer.end, level, is_thinned: true, tags }
}
