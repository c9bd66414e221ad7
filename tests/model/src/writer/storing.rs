//! Storing: PUT, then look for a newer manifest, then acknowledge.
//!
//! Job: the rules by which an open writer makes frames durable.
//!
//! Invariants: at most one segment is unknown at a time; nothing above it is acknowledged. The check covers everything
//! that was stored when it was made, and acknowledging is one with it: what it promises is already true then, and a
//! later moment would only make the promise later.
//!
//! Not here: how the writer came to be open (`opening`).

use crate::content::{Epoch, Frame, RECUT, Tags};
use crate::guards::Guards;
use crate::manifest::Manifest;
use crate::segment::Segment;
use crate::state::State;
use crate::store::Delivery;
use crate::writer::{Phase, WriterStep, is_mine};

/// An open writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    /// The newest manifest that it has seen.
    pub version: u8,
    /// Its epoch.
    pub epoch: Epoch,
    /// The number of its open.
    pub open: u8,
    /// Everything up to here is stored.
    pub stored: Frame,
    /// Everything up to here is acknowledged or was there when it opened.
    pub acknowledged: Frame,
    /// The end of a segment that starts after `stored` and may or may not be stored.
    pub unknown: Option<Frame>,
    /// The end of a segment that (wrongly) overtook the unknown one; 0 if none did.
    pub overtaken_to: Frame,
    /// It (wrongly) looked for a newer manifest before the PUT.
    pub has_checked: bool,
    /// Its local log.
    pub local: Tags,
}

impl Session {
    /// A writer that has just begun after `end`.
    pub fn new(begun: &Manifest, open: u8, end: Frame, local: Tags) -> Self {
        Self {
            version: begun.version,
            epoch: begun.last_epoch(),
            open,
            stored: end,
            acknowledged: end,
            unknown: None,
            overtaken_to: 0,
            has_checked: false,
            local,
        }
    }
}

/// The steps open to an open writer.
pub fn steps(guards: &Guards, state: &State, session: &Session, out: &mut Vec<WriterStep>) {
    let ends = |after: Frame| {
        let last = state.left.frames.min(after + state.left.segment_frames_max);
        after + 1..=last
    };
    for &delivery in state.deliveries() {
        if session.unknown.is_some() {
            out.push(WriterStep::Repeat(delivery));
            if !guards.same_key_same_bytes_on_unknown {
                out.extend(ends(session.stored).map(|end| WriterStep::Recut(end, delivery)));
            }
        } else if guards.check_after_put || session.has_checked {
            out.extend(ends(session.stored).map(|end| WriterStep::Put(end, delivery)));
        }
    }
    let may_overtake = !guards.put_in_order && session.overtaken_to == 0;
    if may_overtake && session.unknown.is_some_and(|end| end < state.left.frames) {
        out.push(WriterStep::Overtake);
    }
    let wants_check = if guards.check_after_put {
        session.stored > session.acknowledged
    } else {
        !session.has_checked && session.unknown.is_none() && session.stored < state.left.frames
    };
    if wants_check {
        out.push(WriterStep::Check);
    }
}

/// Takes a step of storing.
pub fn take(guards: &Guards, state: &mut State, mut session: Session, step: WriterStep) -> Phase {
    match step {
        WriterStep::Put(end, delivery) => {
            let tag = session.open;
            write_local(&mut session, end, tag);
            put(guards, state, &mut session, end, delivery);
        }
        WriterStep::Recut(end, delivery) => {
            let tag = session.open + RECUT;
            write_local(&mut session, end, tag);
            put(guards, state, &mut session, end, delivery);
        }
        WriterStep::Repeat(delivery) => {
            if let Some(end) = session.unknown {
                put(guards, state, &mut session, end, delivery);
            }
        }
        WriterStep::Overtake => overtake(state, &mut session),
        WriterStep::Check => return check(guards, state, session),
        _ => {}
    }
    Phase::Open(session)
}

fn write_local(session: &mut Session, end: Frame, tag: u8) {
    for frame in session.stored + 1..=end {
        session.local.set(frame, tag);
    }
}

fn put(guards: &Guards, state: &mut State, session: &mut Session, end: Frame, delivery: Delivery) {
    let segment = Segment::cut(session.epoch, session.stored + 1, end, &session.local);
    let answered = state.send_put(segment, delivery);
    if answered || !guards.unknown_put_is_not_stored {
        session.stored = end.max(session.overtaken_to);
        session.unknown = None;
        session.overtaken_to = 0;
    } else {
        session.unknown = Some(end);
    }
    if answered && !guards.check_after_put {
        acknowledge(state, session);
        session.has_checked = false;
    }
}

/// Stores one frame above the unknown segment.
fn overtake(state: &mut State, session: &mut Session) {
    let Some(unknown) = session.unknown else { return };
    let end = unknown + 1;
    session.local.set(end, session.open);
    let segment = Segment::cut(session.epoch, end, end, &session.local);
    state.send_put(segment, Delivery::Answered);
    session.overtaken_to = end;
}

/// Absent: acknowledge. Present: only if the log is still ours.
fn check(guards: &Guards, state: &mut State, mut session: Session) -> Phase {
    let newest = &state.store.manifest;
    let decisive = if guards.pending_claim_fences { newest.table.last() } else { newest.last_begun() };
    let is_ours = newest.version == session.version
        || !guards.ownership_checked_on_new_manifest
        || decisive.is_some_and(|last| is_mine(guards, last, session.epoch, session.open));
    if !is_ours {
        return Phase::Down;
    }
    session.version = newest.version;
    if guards.check_after_put {
        acknowledge(state, &mut session);
    } else {
        session.has_checked = true;
    }
    Phase::Open(session)
}

fn acknowledge(state: &mut State, session: &mut Session) {
    for frame in session.acknowledged + 1..=session.stored {
        state.acknowledge(frame, session.local.get(frame));
    }
    session.acknowledged = session.stored;
}
