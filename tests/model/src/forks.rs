//! A second, smaller model: a parent and one name that is forked from it, by two who do so at once, while the parent is
//! deleted, and the fork is detached or deleted.
//!
//! Job: show that a fork that is there is listed by its parent, so that nothing deletes what it reads. A create may land
//! at once, unheard, or at any later time; anybody may stop anywhere, which here is the same as never going on.
//!
//! Invariants: as of the other model, finite and without clock or chance. [`Rules`] takes rules away.
//!
//! What it is not: epochs, segments one by one, or chains of forks. Unlinking is one step: it reads the newest manifest
//! and creates the next, again until it succeeds.

use std::collections::{BTreeMap, BTreeSet};

use stateright::{Checker, HasDiscoveries, Model, Property};

/// The rules, each as a switch.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The parent lists a fork before its manifest is created. Without: after.
    pub listed_first: bool,
    /// Whoever takes a fork that is not there out of the list takes the version of its manifest before. Without: not.
    pub aborted_first: bool,
    /// That version is the one behind what was there before the fork was listed. Without: behind what is there now.
    pub version_from_before: bool,
    /// What a deleted parent stored stays while forks are listed. Without: it goes.
    pub kept_for_forks: bool,
    /// The tombstone comes before the look at the list. Without: after it.
    pub tombstone_first: bool,
    /// A fork stays listed until its manifest names no parent. Without: it leaves the list first.
    pub detached_before_unlinked: bool,
}

impl Rules {
    /// The protocol.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            listed_first: true,
            aborted_first: true,
            version_from_before: true,
            kept_for_forks: true,
            tombstone_first: true,
            detached_before_unlinked: true,
        }
    }
}

/// The log of a fork: one for each forker.
type Log = u8;
type Version = u8;

/// A manifest of the name that is forked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fork {
    /// It needs the parent.
    There(Log),
    /// It stands alone.
    Detached(Log),
    /// It was deleted.
    Tombstone(Log),
    /// It did not come about.
    Aborted,
}

/// A manifest of the parent.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parent {
    forks: BTreeSet<Log>,
    deleted: bool,
}

/// A create that may still land.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flight {
    /// Of the parent.
    Parent(Version, Parent),
    /// Of the fork.
    Fork(Version, Fork),
}

/// How a create is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// It is carried out if it can be, and the answer says so.
    Heard,
    /// The same, and the answer is lost.
    Unheard,
    /// The answer is lost, and it may be carried out later.
    Late,
}

/// Where somebody stands who forks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Forker {
    Idle,
    Looked(Version),
    Planned(Version, Version, Parent),
    Linked(Version),
    Unsure(Version),
    TakingBack,
    Reclaiming(Log),
    Unlinking(Log),
    Done,
}

/// Where the one who deletes the parent stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Remover {
    Idle,
    Looking,
    Reclaiming(Log),
    Unlinking(Log),
    Deleting,
    Done,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    parent: BTreeMap<Version, Parent>,
    fork: BTreeMap<Version, Fork>,
    /// Whether what the parent stored is there.
    stored: bool,
    flights: BTreeSet<Flight>,
    forkers: Vec<Forker>,
    remover: Remover,
    /// What the fork's own end has still to take out of the list.
    leaving: Option<Log>,
    lost_left: u8,
    ends_left: u8,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A forker takes its next step; creates are delivered like this.
    Forker(usize, Delivery),
    /// The remover does.
    Remover(Delivery),
    /// The fork that is there is detached (its image is stored), or deleted.
    End(bool),
    /// Whoever ended it takes it out of the list.
    Leave,
    /// A create lands.
    Land(Flight),
}

/// The protocol with these rules.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The rules that are kept.
    pub rules: Rules,
    /// How many answers may be lost.
    pub lost: u8,
}

impl State {
    fn newest(&self) -> (Version, Parent) {
        self.parent.last_key_value().map(|(version, parent)| (*version, parent.clone())).unwrap_or_default()
    }

    fn newest_fork(&self) -> (Version, Option<Fork>) {
        self.fork.last_key_value().map_or((0, None), |(version, fork)| (*version, Some(*fork)))
    }

    fn land(&mut self, flight: Flight) -> bool {
        match flight {
            Flight::Parent(version, parent) if self.newest().0 + 1 == version => {
                self.parent.insert(version, parent).is_none()
            }
            Flight::Fork(version, fork) if self.newest_fork().0 + 1 == version => {
                self.fork.insert(version, fork).is_none()
            }
            _ => false,
        }
    }

    /// Sends a create. Whether it is known to have succeeded.
    fn send(&mut self, flight: Flight, delivery: Delivery) -> bool {
        match delivery {
            Delivery::Heard => self.land(flight),
            Delivery::Unheard => {
                self.lost_left -= 1;
                self.land(flight);
                false
            }
            Delivery::Late => {
                self.lost_left -= 1;
                self.flights.insert(flight);
                false
            }
        }
    }

    fn unlink(&mut self, log: Log) {
        let (version, mut parent) = self.newest();
        if parent.forks.remove(&log) {
            self.parent.insert(version + 1, parent);
        }
    }

    /// Looks after a fork that is listed: `Some` says whether it may leave the list now; `None` that this is not
    /// settled yet.
    fn reclaim(&mut self, log: Log, rules: &Rules, delivery: Delivery) -> Option<bool> {
        let (version, newest) = self.newest_fork();
        match newest {
            Some(Fork::There(other)) => Some(other != log),
            Some(Fork::Detached(_)) => Some(true),
            Some(Fork::Tombstone(other)) if other == log => Some(true),
            Some(Fork::Tombstone(_) | Fork::Aborted) | None if !rules.aborted_first => Some(true),
            Some(Fork::Tombstone(_) | Fork::Aborted) | None => {
                self.send(Flight::Fork(version + 1, Fork::Aborted), delivery).then_some(true)
            }
        }
    }

    fn forker(&mut self, at: usize, rules: &Rules, delivery: Delivery) -> Option<()> {
        let log = Log::try_from(at).ok()?;
        let next = match self.forkers.get(at)?.clone() {
            Forker::Idle => match self.newest_fork() {
                (_, Some(Fork::There(_) | Fork::Detached(_))) => Forker::Done,
                (version, _) if rules.listed_first => Forker::Looked(version),
                (version, _) => Forker::Linked(version),
            },
            Forker::Looked(before) => {
                let (version, mut parent) = self.newest();
                match parent.forks.first().copied() {
                    _ if parent.forks.contains(&log) => Forker::Linked(before),
                    _ if parent.deleted => Forker::Done,
                    Some(other) => Forker::Reclaiming(other),
                    None => {
                        parent.forks.insert(log);
                        Forker::Planned(before, version + 1, parent)
                    }
                }
            }
            Forker::Planned(before, version, parent) => {
                match self.send(Flight::Parent(version, parent), delivery) {
                    true if rules.listed_first => Forker::Linked(before),
                    true => Forker::Done,
                    false => Forker::Looked(before),
                }
            }
            Forker::Linked(before) => {
                let behind = if rules.version_from_before { before } else { self.newest_fork().0 };
                match self.send(Flight::Fork(behind + 1, Fork::There(log)), delivery) {
                    true if rules.listed_first => Forker::Done,
                    true => Forker::Looked(before),
                    false => Forker::Unsure(before),
                }
            }
            Forker::Unsure(before) => match self.newest_fork() {
                (_, Some(Fork::There(other) | Fork::Detached(other) | Fork::Tombstone(other)))
                    if other == log =>
                {
                    Forker::Done
                }
                (version, _) if version > before => Forker::TakingBack,
                _ => Forker::Linked(before),
            },
            Forker::TakingBack => {
                self.unlink(log);
                Forker::Done
            }
            Forker::Reclaiming(other) => match self.reclaim(other, rules, delivery) {
                Some(true) => Forker::Unlinking(other),
                Some(false) => Forker::Done,
                None => Forker::Reclaiming(other),
            },
            Forker::Unlinking(other) => {
                self.unlink(other);
                Forker::Idle
            }
            Forker::Done => return None,
        };
        *self.forkers.get_mut(at)? = next;
        Some(())
    }

    fn remover(&mut self, rules: &Rules, delivery: Delivery) -> Option<()> {
        let bury = |state: &mut Self| {
            let (version, parent) = state.newest();
            state.parent.insert(version + 1, Parent { deleted: true, ..parent });
        };
        self.remover = match self.remover.clone() {
            Remover::Idle => {
                if rules.tombstone_first {
                    bury(self);
                }
                Remover::Looking
            }
            Remover::Looking => match self.newest().1.forks.first().copied() {
                Some(log) if rules.kept_for_forks => Remover::Reclaiming(log),
                _ => Remover::Deleting,
            },
            Remover::Reclaiming(log) => match self.reclaim(log, rules, delivery) {
                Some(true) => Remover::Unlinking(log),
                Some(false) => Remover::Done,
                None => Remover::Reclaiming(log),
            },
            Remover::Unlinking(log) => {
                self.unlink(log);
                Remover::Looking
            }
            Remover::Deleting => {
                if !rules.tombstone_first {
                    bury(self);
                }
                self.stored = false;
                Remover::Done
            }
            Remover::Done => return None,
        };
        Some(())
    }

    /// Ends the fork that is there.
    fn end(&mut self, detach: bool, rules: &Rules) -> Option<()> {
        let (version, Some(Fork::There(log))) = self.newest_fork() else { return None };
        self.ends_left -= 1;
        self.leaving = Some(log);
        if !rules.detached_before_unlinked {
            self.unlink(log);
            return Some(());
        }
        let ended = if detach { Fork::Detached(log) } else { Fork::Tombstone(log) };
        self.fork.insert(version + 1, ended);
        Some(())
    }

    fn leave(&mut self, rules: &Rules) -> Option<()> {
        let log = self.leaving.take()?;
        if rules.detached_before_unlinked {
            self.unlink(log);
        } else if let (version, Some(Fork::There(there))) = self.newest_fork()
            && there == log
        {
            self.fork.insert(version + 1, Fork::Detached(log));
        }
        Some(())
    }
}

impl Model for Family {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            parent: BTreeMap::from([(1, Parent::default())]),
            fork: BTreeMap::new(),
            stored: true,
            flights: BTreeSet::new(),
            forkers: vec![Forker::Idle, Forker::Idle],
            remover: Remover::Idle,
            leaving: None,
            lost_left: self.lost,
            ends_left: 1,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let deliveries = match state.lost_left {
            0 => &[Delivery::Heard][..],
            _ => &[Delivery::Heard, Delivery::Unheard, Delivery::Late],
        };
        for delivery in deliveries {
            actions.extend((0..state.forkers.len()).map(|at| Action::Forker(at, *delivery)));
            actions.push(Action::Remover(*delivery));
        }
        if state.ends_left > 0 && state.leaving.is_none() {
            actions.extend([Action::End(true), Action::End(false)]);
        }
        actions.push(Action::Leave);
        actions.extend(state.flights.iter().cloned().map(Action::Land));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Forker(at, delivery) => next.forker(at, &self.rules, delivery)?,
            Action::Remover(delivery) => next.remover(&self.rules, delivery)?,
            Action::End(detach) => next.end(detach, &self.rules)?,
            Action::Leave => next.leave(&self.rules)?,
            Action::Land(flight) => {
                next.flights.remove(&flight);
                next.land(flight);
            }
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(READABLE, |_, state: &State| {
                !matches!(state.newest_fork().1, Some(Fork::There(_))) || state.stored
            }),
            Property::sometimes(FORKED, |_, state: &State| {
                matches!(state.newest_fork().1, Some(Fork::There(1))) && state.newest().1.deleted
            }),
            Property::sometimes(GONE, |_, state: &State| !state.stored),
            Property::sometimes(ABORTED, |_, state: &State| state.newest_fork().1 == Some(Fork::Aborted)),
        ]
    }
}

/// The promise.
pub const READABLE: &str = "what a fork reads is stored";
/// A path that must be reached.
pub const FORKED: &str = "a fork outlives its parent";
/// Another.
pub const GONE: &str = "what a parent stored is deleted";
/// Another.
pub const ABORTED: &str = "a fork is kept from coming about";

/// How many states there are, whether the promise holds in all of them, and the paths that were reached.
#[must_use]
pub fn search(family: Family) -> (usize, bool, BTreeSet<&'static str>) {
    let checker = family.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let mut reached: BTreeSet<&'static str> = checker.discoveries().into_keys().collect();
    let holds = !reached.remove(READABLE);
    (checker.unique_state_count(), holds, reached)
}
