//! Running a search.
//!
//! Job: explore a protocol breadth first on one thread, and say what was found.
//!
//! Invariants: `exhaust` visits every state within the bounds; the others stop soon after a promise is broken. A
//! counterexample ends where its promise first breaks. Being found breadth first it is short, though the checker, which
//! looks at states in batches and keeps the last find, does not promise the shortest. Nothing depends on time.
//!
//! Not here: which protocols to search (the tests).

use std::collections::BTreeMap;

use stateright::{Checker, HasDiscoveries, Model, Path, Property};

use crate::model::{Action, Protocol};
use crate::state::State;

/// What a search found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Distinct states visited.
    pub states: usize,
    /// Broken promises, each with the actions that lead to it.
    pub failures: BTreeMap<&'static str, Vec<Action>>,
    /// Names of the paths that were reached.
    pub reached: Vec<&'static str>,
}

/// Visits every state.
pub fn exhaust(protocol: Protocol) -> Outcome {
    run(protocol, HasDiscoveries::All)
}

/// Visits states until a promise is broken.
pub fn first_failure(protocol: Protocol) -> Outcome {
    run(protocol, HasDiscoveries::AnyFailures)
}

/// Visits states until this promise is broken, whatever else breaks before.
pub fn first_failure_of(protocol: Protocol, promise: &'static str) -> Outcome {
    run(protocol, HasDiscoveries::AnyOf([promise].into()))
}

fn run(protocol: Protocol, until: HasDiscoveries) -> Outcome {
    let checker = protocol.checker().finish_when(until).spawn_bfs().join();
    let mut outcome =
        Outcome { states: checker.unique_state_count(), failures: BTreeMap::new(), reached: Vec::new() };
    for (name, path) in checker.discoveries() {
        let property = protocol.property(name);
        if property.expectation.discovery_is_failure() {
            outcome.failures.insert(name, up_to_failure(&protocol, &property, path));
        } else {
            outcome.reached.push(name);
        }
    }
    outcome.reached.sort_unstable();
    outcome
}

/// The actions of a path as far as the first state in which the promise is broken.
fn up_to_failure(
    protocol: &Protocol,
    promise: &Property<Protocol>,
    path: Path<State, Action>,
) -> Vec<Action> {
    let mut actions = Vec::new();
    for (state, action) in path.into_vec() {
        if !(promise.condition)(protocol, &state) {
            break;
        }
        actions.extend(action);
    }
    actions
}
