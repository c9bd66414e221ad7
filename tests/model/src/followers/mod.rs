//! A third model: followers of a log whose commits are all stored, while it is collected.
//!
//! Job: show that positions do not go back, that a collection leaves what a follower within its cap still needs, and that one
//! past it is told so before it could miss a commit. Callers acknowledge, several for one member; the first member polls; a
//! collection raises the frontier and deletes; somebody deletes the group and creates it again. A create may land at once,
//! unheard, or at any later time; anybody may stop anywhere, which here is the same as never going on.
//!
//! Invariants: as of the other models, finite and without clock or chance. [`rules::Rules`] takes rules away.
//!
//! What it is not: epochs, compactions, or several groups. That a commit which an opening may cut off is not delivered is shown
//! by the reader of the protocol's model; that a damaged acknowledgement is an error, by tests.

pub mod caller;
pub mod collector;
pub mod keeper;
pub mod manifest;
pub mod poller;
pub mod rules;
pub mod scene;
pub mod state;

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model, Property};

use self::caller::{Caller, CallerStep};
use self::collector::CollectorStep;
use self::keeper::KeeperStep;
use self::poller::Poller;
use self::rules::Rules;
use self::scene::Scene;
use self::state::{Fault, Flight, State};

/// Followers with some rules and some bounds.
#[derive(Clone, Copy, Debug)]
pub struct Following {
    /// The rules that are kept.
    pub rules: Rules,
    /// How far to search.
    pub scene: Scene,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A commit is stored.
    Commit,
    /// A caller takes a step.
    Caller(usize, CallerStep),
    /// The poller does.
    Poller,
    /// The collection does.
    Collector(CollectorStep),
    /// Whoever deletes and creates the group does.
    Keeper(KeeperStep),
    /// A request lands late.
    Land(Flight),
}

impl Model for Following {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::first(&self.scene)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.left.writes > 0 {
            actions.push(Action::Commit);
        }
        for at in 0..state.callers.len() {
            let mut steps = Vec::new();
            caller::steps(&self.rules, state, at, &mut steps);
            actions.extend(steps.into_iter().map(|step| Action::Caller(at, step)));
        }
        if poller::can_go(state) {
            actions.push(Action::Poller);
        }
        let mut steps = Vec::new();
        collector::steps(&self.rules, state, &mut steps);
        actions.extend(steps.into_iter().map(Action::Collector));
        let mut steps = Vec::new();
        keeper::steps(&self.rules, state, &mut steps);
        actions.extend(steps.into_iter().map(Action::Keeper));
        actions.extend(state.flights.iter().cloned().map(Action::Land));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let (rules, mut next) = (&self.rules, state.clone());
        match action {
            Action::Commit => {
                next.left.writes -= 1;
                next.durable += 1;
                next.raw |= 1 << next.durable;
            }
            Action::Caller(at, step) => caller::take(rules, &mut next, at, step)?,
            Action::Poller => poller::take(rules, &mut next),
            Action::Collector(step) => collector::take(rules, &mut next, step)?,
            Action::Keeper(step) => keeper::take(rules, &mut next, step)?,
            Action::Land(flight) => {
                next.flights.remove(&flight);
                next.land(rules, flight);
            }
        }
        next.judge(rules, self.scene.cap);
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn keeps(state: &State, fault: Fault) -> bool {
            !state.faults.contains(&fault)
        }
        vec![
            Property::always(FORWARD, |_, state: &State| keeps(state, Fault::WentBack)),
            Property::always(ANSWERED, |_, state: &State| keeps(state, Fault::AnsweredLost)),
            Property::always(OWN, |_, state: &State| keeps(state, Fault::NotItsOwn)),
            Property::always(DURABLE, |_, state: &State| keeps(state, Fault::BeyondDurable)),
            Property::always(NEEDED, |_, state: &State| keeps(state, Fault::NeededGone)),
            Property::always(MARKED, |_, state: &State| keeps(state, Fault::NotMarked)),
            Property::always(NOTHING_PASSED_OVER, |_, state: &State| keeps(state, Fault::PassedOver)),
            Property::always(MEANT, |_, state: &State| keeps(state, Fault::WrongGroup)),
            Property::sometimes(COLLECTED, |_, state: &State| state.raw & 0b10 == 0),
            Property::sometimes(EVICTED, |_, state: &State| {
                state.manifest.group.as_ref().is_some_and(|group| group.evicted > 0)
            }),
            Property::sometimes(TOLD, |_, state: &State| state.poller == Poller::Told),
            Property::sometimes(RACED, |_, state: &State| {
                state.callers.iter().filter(|caller| matches!(caller, Caller::Creating { .. })).count() > 1
            }),
            Property::sometimes(REBORN, |_, state: &State| {
                let group = state.manifest.group.as_ref();
                group.is_some_and(|group| group.generation > 1 && !group.members.is_empty())
            }),
            Property::sometimes(LEFT_OVER, |_, state: &State| {
                let generation = state.manifest.group.as_ref().map(|group| group.generation);
                state.acknowledged.iter().any(|object| Some(object.generation) < generation)
            }),
        ]
    }
}

/// A promise.
pub const FORWARD: &str = "a position does not go back";
/// Another.
pub const ANSWERED: &str = "what was answered as acknowledged is";
/// Another.
pub const OWN: &str = "a position is one that its own life has acknowledged";
/// Another.
pub const DURABLE: &str = "no position is beyond the durable frame";
/// Another.
pub const NEEDED: &str = "what a follower within its cap needs is kept, and promised";
/// Another.
pub const MARKED: &str = "a group that the frontier has passed is marked";
/// Another.
pub const NOTHING_PASSED_OVER: &str = "no poll passes over a commit in silence";
/// Another.
pub const MEANT: &str = "only the group that was meant is deleted";

/// A path that must be reached.
pub const COLLECTED: &str = "a collection deletes";
/// Another.
pub const EVICTED: &str = "a group is past its cap";
/// Another.
pub const TOLD: &str = "a poll is told that commits are gone";
/// Another.
pub const RACED: &str = "two callers acknowledge at once";
/// Another.
pub const REBORN: &str = "a member joins a group that was deleted and created again";
/// Another.
pub const LEFT_OVER: &str = "an acknowledgement outlives its group";

/// What a search found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Distinct states visited.
    pub states: usize,
    /// Promises that were broken.
    pub broken: BTreeSet<&'static str>,
    /// Paths that were reached.
    pub reached: BTreeSet<&'static str>,
}

/// Visits every state, or until this promise is broken.
#[must_use]
pub fn search(following: Following, until_broken: Option<&'static str>) -> Outcome {
    let until = until_broken.map_or(HasDiscoveries::All, |promise| HasDiscoveries::AnyOf([promise].into()));
    let checker = following.checker().finish_when(until).spawn_bfs().join();
    let is_failure = |name: &&'static str| following.property(name).expectation.discovery_is_failure();
    let (broken, reached) = checker.discoveries().into_keys().partition(is_failure);
    Outcome { states: checker.unique_state_count(), broken, reached }
}
