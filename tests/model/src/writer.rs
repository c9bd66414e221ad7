//! The writer process: down, opening, or open.
//!
//! Job: the phases of a writer, which steps each allows, and crashing.
//!
//! Invariants: a process that lost the log goes down and may open again, with a new open number; requests that it left
//! in flight stay in flight. Writers are interchangeable, so number i opens first only after number i − 1 has.
//!
//! Not here: the rules of opening (`opening`) and of storing (`storing`).

pub mod opening;
pub mod storing;

use crate::content::{Epoch, Frame, Tags};
use crate::guards::Guards;
use crate::manifest::{Entry, Manifest};
use crate::state::State;
use crate::store::Delivery;
use opening::Found;
use storing::Session;

/// A writer process and its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Writer {
    /// What it is doing.
    pub phase: Phase,
    /// Whether it has ever opened.
    pub has_opened: bool,
    /// The local log, which survives a crash. Kept only where it can make a difference: while the rule that compares
    /// it is off.
    pub local: Tags,
}

/// What a writer is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing.
    #[default]
    Down,
    /// About to claim, on top of the manifest that it has read.
    Claiming {
        /// The manifest to build on.
        base: Manifest,
        /// The number of this open.
        open: u8,
        /// What it listed, if it (wrongly) listed first.
        found: Option<Found>,
    },
    /// The claim failed or was not answered.
    ClaimUnsure {
        /// The epoch that was to be claimed.
        epoch: Epoch,
        /// The number of this open.
        open: u8,
        /// As in `Claiming`.
        found: Option<Found>,
    },
    /// Has the pending entry; about to list.
    Claimed {
        /// The manifest with the entry.
        newest: Manifest,
        /// The number of this open.
        open: u8,
    },
    /// Knows where the log ends; about to begin.
    Listed {
        /// The manifest to build on.
        newest: Manifest,
        /// The number of this open.
        open: u8,
        /// The end of the log.
        found: Found,
    },
    /// The begin failed or was not answered.
    BeginUnsure {
        /// The claimed epoch.
        epoch: Epoch,
        /// The number of this open.
        open: u8,
        /// The end of the log.
        found: Found,
    },
    /// Storing.
    Open(Session),
    /// Stopped at a hole, which a person must look at.
    StoppedAtHole,
}

/// What a writer may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriterStep {
    /// Read the newest manifest in order to claim.
    Open,
    /// Create the claim.
    Claim(Delivery),
    /// Look up what became of the claim.
    LookUpClaim,
    /// List the segments.
    List,
    /// Create the begin.
    Begin(Delivery),
    /// Look up what became of the begin.
    LookUpBegin,
    /// PUT a segment ending at this frame.
    Put(Frame, Delivery),
    /// PUT an unknown segment again.
    Repeat(Delivery),
    /// PUT other content from the same start up to this frame, instead of repeating.
    Recut(Frame, Delivery),
    /// PUT the segment after an unknown one.
    Overtake,
    /// Look for a newer manifest.
    Check,
    /// Die.
    Crash,
}

/// The nonce of an open.
pub fn nonce(guards: &Guards, open: u8) -> u8 {
    if guards.fresh_nonce { open } else { 1 }
}

/// Whether an entry was made by this open.
pub fn is_mine(guards: &Guards, entry: &Entry, epoch: Epoch, open: u8) -> bool {
    entry.epoch == epoch && entry.nonce == nonce(guards, open)
}

/// The steps open to a writer.
pub fn steps(guards: &Guards, state: &State, index: usize, out: &mut Vec<WriterStep>) {
    let Some(writer) = state.writers.get(index) else { return };
    match &writer.phase {
        Phase::Down => {
            let before = index.checked_sub(1).and_then(|previous| state.writers.get(previous));
            let in_turn = before.is_none_or(|previous| previous.has_opened);
            if state.left.opens > 0 && in_turn {
                out.push(WriterStep::Open);
            }
            return;
        }
        Phase::StoppedAtHole => return,
        Phase::Claiming { .. } => {
            out.extend(state.deliveries().iter().map(|&delivery| WriterStep::Claim(delivery)));
        }
        Phase::ClaimUnsure { .. } => out.push(WriterStep::LookUpClaim),
        Phase::Claimed { .. } => out.push(WriterStep::List),
        Phase::Listed { .. } => {
            out.extend(state.deliveries().iter().map(|&delivery| WriterStep::Begin(delivery)));
        }
        Phase::BeginUnsure { .. } => out.push(WriterStep::LookUpBegin),
        Phase::Open(session) => storing::steps(guards, state, session, out),
    }
    if state.left.crashes > 0 {
        out.push(WriterStep::Crash);
    }
}

/// Takes a step. False if it changes nothing.
pub fn take(guards: &Guards, state: &mut State, index: usize, step: WriterStep) -> bool {
    let Some(writer) = state.writers.get_mut(index) else { return false };
    let local = writer.local;
    let phase = std::mem::take(&mut writer.phase);
    let next = match (phase, step) {
        (_, WriterStep::Crash) => {
            state.left.crashes -= 1;
            Phase::Down
        }
        (Phase::Down, WriterStep::Open) => {
            writer.has_opened = true;
            opening::read_manifest(guards, state)
        }
        (Phase::Open(session), step) => storing::take(guards, state, session, step),
        (phase, step) => opening::take(guards, state, &local, phase, step),
    };
    let Some(writer) = state.writers.get_mut(index) else { return false };
    if let (Phase::Open(session), false) = (&next, guards.local_log_compared) {
        writer.local = session.local;
    }
    writer.phase = next;
    true
}
