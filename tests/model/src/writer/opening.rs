//! Opening: claim pending, list, begin.
//!
//! Job: the rules by which a process becomes the writer.
//!
//! Invariants: every create that was not answered with success is looked up before anything is built on it. A lookup
//! trusts the nonce and nothing else.
//!
//! Not here: what happens once it is open (`storing`).

use crate::chain::{self, Reading};
use crate::content::{Epoch, Frame, Tags};
use crate::guards::Guards;
use crate::manifest::Manifest;
use crate::state::State;
use crate::store::Delivery;
use crate::writer::storing::Session;
use crate::writer::{Phase, WriterStep, is_mine, nonce};

/// Where an opener found the end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// The last frame.
    pub end: Frame,
    /// What the frames hold.
    pub tags: Tags,
}

/// Reads the newest manifest and chooses a nonce.
pub fn read_manifest(guards: &Guards, state: &mut State) -> Phase {
    state.left.opens -= 1;
    state.opens += 1;
    let open = state.opens;
    let base = state.store.manifest.clone();
    if guards.pending_claim_before_list {
        return Phase::Claiming { base, open, found: None };
    }
    match list(guards, state, &base) {
        Some(found) => Phase::Claiming { base, open, found: Some(found) },
        None => Phase::StoppedAtHole,
    }
}

/// Takes a step of opening.
pub fn take(guards: &Guards, state: &mut State, local: &Tags, phase: Phase, step: WriterStep) -> Phase {
    match (phase, step) {
        (Phase::Claiming { base, open, found }, WriterStep::Claim(delivery)) => {
            claim(guards, state, local, &base, open, found, delivery)
        }
        (Phase::ClaimUnsure { epoch, open, found }, WriterStep::LookUpClaim) => {
            look_up_claim(guards, state, local, epoch, open, found)
        }
        (Phase::Claimed { newest, open }, WriterStep::List) => match list(guards, state, &newest) {
            Some(found) => Phase::Listed { newest, open, found },
            None => Phase::StoppedAtHole,
        },
        (Phase::Listed { newest, open, found }, WriterStep::Begin(delivery)) => {
            begin(guards, state, local, &newest, open, found, delivery)
        }
        (Phase::BeginUnsure { epoch, open, found }, WriterStep::LookUpBegin) => {
            look_up_begin(guards, state, local, epoch, open, found)
        }
        (phase, _) => phase,
    }
}

fn claim(
    guards: &Guards,
    state: &mut State,
    local: &Tags,
    base: &Manifest,
    open: u8,
    found: Option<Found>,
    delivery: Delivery,
) -> Phase {
    let claim = base.with_claim(nonce(guards, open), found.map(|found| found.end + 1));
    let (epoch, newest) = (claim.last_epoch(), claim.clone());
    if !state.send_create(claim, delivery) {
        return Phase::ClaimUnsure { epoch, open, found };
    }
    match found {
        Some(found) => opened(guards, local, &newest, open, found),
        None => Phase::Claimed { newest, open },
    }
}

/// Mine and last: go on. Else start over, which takes a new open.
fn look_up_claim(
    guards: &Guards,
    state: &State,
    local: &Tags,
    epoch: Epoch,
    open: u8,
    found: Option<Found>,
) -> Phase {
    let newest = state.store.manifest.clone();
    let won = newest.table.last().is_some_and(|last| {
        is_mine(guards, last, epoch, open) || (!guards.claim_won_only_by_own_nonce && last.epoch == epoch)
    });
    match (won, found) {
        (false, _) => Phase::Down,
        (true, Some(found)) => opened(guards, local, &newest, open, found),
        (true, None) => Phase::Claimed { newest, open },
    }
}

/// The end of the log under a manifest; none when there is a hole below a valid segment, or when the manifest says that
/// the log was longer.
fn list(guards: &Guards, state: &State, manifest: &Manifest) -> Option<Found> {
    let usable = chain::usable(&state.store.segments, manifest, guards);
    let found = match chain::latest(&usable, guards) {
        Reading::Empty => Found { end: 0, tags: Tags::default() },
        Reading::Reached(history) => Found { end: history.end, tags: history.tags },
        Reading::Unreachable if guards.hole_stops_the_opener => return None,
        Reading::Unreachable => {
            let (end, tags) = chain::from_base(&usable);
            Found { end, tags }
        }
    };
    let begin = manifest.last_begun().and_then(|entry| entry.begin).unwrap_or(1);
    (found.end + 1 >= begin || !guards.opener_reaches_last_begin).then_some(found)
}

fn begin(
    guards: &Guards,
    state: &mut State,
    local: &Tags,
    newest: &Manifest,
    open: u8,
    found: Found,
    delivery: Delivery,
) -> Phase {
    let begun = newest.with_begin(found.end + 1);
    let created = state.send_create(begun.clone(), delivery);
    if created || !guards.lost_begin_is_looked_up {
        opened(guards, local, &begun, open, found)
    } else {
        Phase::BeginUnsure { epoch: begun.last_epoch(), open, found }
    }
}

/// Mine, last and begun: go on. Mine, last and pending: again on top of the newest. Else fenced.
fn look_up_begin(
    guards: &Guards,
    state: &State,
    local: &Tags,
    epoch: Epoch,
    open: u8,
    found: Found,
) -> Phase {
    let newest = state.store.manifest.clone();
    match newest.table.last() {
        Some(last) if is_mine(guards, last, epoch, open) && last.begin.is_some() => {
            opened(guards, local, &newest, open, found)
        }
        Some(last) if is_mine(guards, last, epoch, open) && guards.begin_frame_fixed_once_sent => {
            Phase::Listed { newest, open, found }
        }
        Some(last) if is_mine(guards, last, epoch, open) => Phase::Claimed { newest, open },
        _ => Phase::Down,
    }
}

/// The writer goes on from what it found, after putting its local log right.
fn opened(guards: &Guards, local: &Tags, begun: &Manifest, open: u8, found: Found) -> Phase {
    let trusts_local = !guards.local_log_compared && local.last() >= found.end;
    let history = if trusts_local { local.up_to(found.end) } else { found.tags.up_to(found.end) };
    Phase::Open(Session::new(begun, open, found.end, history))
}
