//! The model as the checker sees it: first state, actions, next states.
//!
//! Job: dispatch to the actors, and judge each new state.
//!
//! Invariants: an action that changes nothing gives no state. Which action comes next is up to the checker, so every
//! interleaving within the bounds is tried.
//!
//! Not here: any rule of the protocol.

use stateright::{Model, Property};

use crate::bounds::Bounds;
use crate::collector::{self, Collector, CollectorStep};
use crate::compactor::{self, Compactor, CompactorStep};
use crate::content::Tags;
use crate::faults::Faults;
use crate::guards::Guards;
use crate::judge::judge;
use crate::manifest::{Manifest, Standing};
use crate::pinner::{self, Pinner, PinnerStep};
use crate::properties;
use crate::reader::{self, Reader, ReaderStep};
use crate::segment::Segment;
use crate::state::State;
use crate::store::{Flight, Store};
use crate::writer::storing::Session;
use crate::writer::{self, Phase, Writer, WriterStep};

/// The protocol with some rules and some bounds.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// The rules that are kept.
    pub guards: Guards,
    /// How far to search.
    pub bounds: Bounds,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A writer takes a step.
    Writer(usize, WriterStep),
    /// The reader does.
    Reader(ReaderStep),
    /// The compactor does.
    Compactor(CompactorStep),
    /// GC does.
    Collector(CollectorStep),
    /// The pinner does.
    Pinner(PinnerStep),
    /// A request in flight takes effect.
    Land(Flight),
    /// The store loses an object.
    Lose(Segment),
}

impl Protocol {
    /// A log in which writer 0 is open and has stored and acknowledged `bounds.history`, or an empty one.
    fn first_state(&self) -> State {
        let mut state = State {
            store: Store::new(),
            writers: (0..self.bounds.writers).map(|_| Writer::default()).collect(),
            reader: Reader::default(),
            compactor: Compactor::default(),
            collector: Collector::default(),
            pinner: Pinner::default(),
            left: self.bounds,
            opens: 0,
            acknowledged: Tags::default(),
            confirmed: Tags::default(),
            events: Faults::default(),
            judged: Faults::default(),
            late_put_landed: false,
            late_create_landed: false,
        };
        if !self.bounds.history.is_empty() {
            self.write_history(&mut state);
        }
        state
    }

    fn write_history(&self, state: &mut State) {
        let open = 1;
        state.opens = open;
        let claim = Manifest::first().with_claim(writer::nonce(&self.guards, open), None);
        let begun = claim.with_begin(1);
        let (mut end, mut tags) = (0, Tags::default());
        for frames in self.bounds.history {
            let start = end + 1;
            end += frames;
            for frame in start..=end {
                tags.set(frame, open);
                state.acknowledged.set(frame, open);
            }
            state.store.put(Segment::cut(begun.last_epoch(), start, end, &tags));
        }
        if let Some(writer) = state.writers.first_mut() {
            writer.has_opened = true;
            writer.phase = Phase::Open(Session::new(&begun, open, end, tags));
            if !self.guards.local_log_compared {
                writer.local = tags;
            }
        }
        state.store.manifest = begun;
    }

    /// Objects that the store may lose: valid ones below the newest valid frame. The loss of the newest one cannot be
    /// seen by anybody who has only the store to look at.
    fn losable(state: &State) -> Vec<Segment> {
        if state.left.losses == 0 {
            return Vec::new();
        }
        let manifest = &state.store.manifest;
        let is_valid = |segment: &&Segment| manifest.standing(segment) == Standing::Valid;
        let valid: Vec<Segment> = state.store.segments.iter().filter(is_valid).copied().collect();
        let newest = valid.iter().map(|segment| segment.end).max().unwrap_or(0);
        valid.into_iter().filter(|segment| segment.end < newest).collect()
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.first_state()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let guards = &self.guards;
        let mut steps = Vec::new();
        for index in 0..state.writers.len() {
            writer::steps(guards, state, index, &mut steps);
            actions.extend(steps.drain(..).map(|step| Action::Writer(index, step)));
        }
        actions.extend(reader::steps(state).map(Action::Reader));
        let mut steps = Vec::new();
        compactor::steps(guards, state, &mut steps);
        actions.extend(steps.into_iter().map(Action::Compactor));
        let mut steps = Vec::new();
        collector::steps(guards, state, &mut steps);
        actions.extend(steps.into_iter().map(Action::Collector));
        let mut steps = Vec::new();
        pinner::steps(guards, state, &mut steps);
        actions.extend(steps.into_iter().map(Action::Pinner));
        let mut flights = state.store.flights.clone();
        flights.dedup();
        actions.extend(flights.into_iter().map(Action::Land));
        actions.extend(Self::losable(state).into_iter().map(Action::Lose));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let guards = &self.guards;
        let mut state = last.clone();
        match action {
            Action::Writer(index, step) => {
                if !writer::take(guards, &mut state, index, step) {
                    return None;
                }
            }
            Action::Reader(step) => reader::take(guards, &mut state, step),
            Action::Compactor(step) => compactor::take(guards, &mut state, step),
            Action::Collector(step) => collector::take(guards, &mut state, step),
            Action::Pinner(step) => pinner::take(&mut state, step),
            Action::Land(flight) => state.land(&flight),
            Action::Lose(segment) => {
                state.left.losses -= 1;
                state.store.delete(&segment);
            }
        }
        // A store that loses objects breaks promises by itself; then only what openers do about it is judged.
        if self.bounds.losses == 0 {
            state.judged = judge(guards, &state);
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
