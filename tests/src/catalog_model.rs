//! What a catalog must hold after some calls, as plain maps, and the calls.
//!
//! The model shares nothing with the catalog but the names of things. It answers each call with `true` (done) or `false`
//! (refused), and keeps what is then to be seen from outside.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use walkeep::core::catalog::{
    Ack, Catalog, Generation, ListedSegments, NamespaceChange, NamespaceSettings, NamespaceState, NodeId,
    SegmentRecord,
};
use walkeep::core::{Epoch, Error, FrameNo, GroupName, LogId, MemberName, Namespace, SegmentKey, UnixMillis};

/// A call. Things are numbered, few enough to meet again and again.
#[derive(Clone, Debug)]
pub enum Call {
    /// Creates a namespace.
    Create(u8),
    /// Changes its state: 0 active, 1 closed, 2 tombstone.
    SetState(u8, u8),
    /// Deletes it.
    Delete(u8),
    /// Makes its registry hold these segments of one frame.
    Sync(u8, BTreeSet<u64>),
    /// Registers a node at one of two addresses.
    Register(u8, u8),
    /// Has it drain or not.
    Drain(u8, bool),
    /// Removes it.
    RemoveNode(u8),
    /// Assigns a namespace to a node, perhaps over a generation.
    Assign(u8, u8, Option<u64>),
    /// Confirms a generation with an epoch and one of two logs.
    Confirm(u8, u64, u32, u8),
    /// Releases a generation.
    Release(u8, u64),
    /// Creates a group.
    CreateGroup(u8, u8),
    /// Deletes it.
    DeleteGroup(u8, u8),
    /// Acknowledges a frame where another one is durable.
    Ack(u8, u8, u8, u64, u64),
    /// Forgets a member.
    DeleteMember(u8, u8, u8),
}

/// Calls that all are done, and leave something in every table.
#[must_use]
pub fn calls_for_every_table() -> Vec<Call> {
    vec![
        Call::Create(0),
        Call::Create(1),
        Call::Register(0, 0),
        Call::Assign(0, 0, None),
        Call::Confirm(0, 1, 1, 0),
        Call::Sync(0, (1..6).collect()),
        Call::CreateGroup(0, 0),
        Call::Ack(0, 0, 0, 3, 5),
        Call::Ack(0, 0, 1, 4, 5),
    ]
}

/// Any call, of few names.
pub fn any_call() -> impl Strategy<Value = Call> {
    let (ns, one) = (0..4_u8, 0..3_u8);
    let (node, group, member) = (one.clone(), one.clone(), one);
    let generation = 0..5_u64;
    prop_oneof![
        3 => ns.clone().prop_map(Call::Create),
        1 => (ns.clone(), 0..2_u8).prop_map(|(ns, state)| Call::SetState(ns, state)),
        1 => (ns.clone(), Just(2_u8)).prop_map(|(ns, state)| Call::SetState(ns, state)),
        1 => ns.clone().prop_map(Call::Delete),
        2 => (ns.clone(), prop::collection::btree_set(1..9_u64, 0..6)).prop_map(|(ns, ends)| Call::Sync(ns, ends)),
        2 => (node.clone(), 0..2_u8).prop_map(|(node, address)| Call::Register(node, address)),
        1 => (node.clone(), any::<bool>()).prop_map(|(node, draining)| Call::Drain(node, draining)),
        1 => node.clone().prop_map(Call::RemoveNode),
        3 => (ns.clone(), node, prop::option::of(generation.clone()))
            .prop_map(|(ns, node, over)| Call::Assign(ns, node, over)),
        2 => (ns.clone(), generation.clone(), 0..4_u32, 0..2_u8)
            .prop_map(|(ns, generation, epoch, log)| Call::Confirm(ns, generation, epoch, log)),
        1 => (ns.clone(), generation).prop_map(|(ns, generation)| Call::Release(ns, generation)),
        3 => (ns.clone(), group.clone()).prop_map(|(ns, group)| Call::CreateGroup(ns, group)),
        1 => (ns.clone(), group.clone()).prop_map(|(ns, group)| Call::DeleteGroup(ns, group)),
        5 => (ns.clone(), group.clone(), member.clone(), 1..9_u64, 0..9_u64)
            .prop_map(|(ns, group, member, frame, durable)| Call::Ack(ns, group, member, frame, durable)),
        1 => (ns, group, member).prop_map(|(ns, group, member)| Call::DeleteMember(ns, group, member)),
    ]
}

/// What is known of the owner of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    node: Option<String>,
    generation: u64,
    epoch: Option<u32>,
    epoch_max: u32,
}

/// What is known of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    state: u8,
    log: Option<u8>,
    segments: BTreeSet<u64>,
    owner: Option<Owner>,
    groups: BTreeMap<String, BTreeMap<String, u64>>,
}

/// What a catalog must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    namespaces: BTreeMap<String, Known>,
    nodes: BTreeMap<String, (u8, bool)>,
}

fn ns_name(ns: u8) -> String {
    // Strung together with what follows, some of these would be alike.
    ["shop", "shop-a", "a", "shop.a"][usize::from(ns)].to_string()
}

fn group_name(group: u8) -> String {
    ["a", "a-a", "b"][usize::from(group)].to_string()
}

fn member_name(member: u8) -> String {
    ["a", "b", "a-b"][usize::from(member)].to_string()
}

fn node_name(node: u8) -> String {
    ["n", "n:1", "m"][usize::from(node)].to_string()
}

impl Model {
    /// Makes a call, and says whether it is to be done.
    pub fn call(&mut self, call: &Call) -> bool {
        match call {
            Call::Create(ns) => {
                let vacant = !self.namespaces.contains_key(&ns_name(*ns));
                if vacant {
                    self.namespaces.insert(ns_name(*ns), Known::default());
                }
                vacant
            }
            Call::Delete(ns) => {
                self.namespaces.remove(&ns_name(*ns));
                true
            }
            Call::Register(node, address) => {
                self.nodes.entry(node_name(*node)).or_insert((*address, false)).0 == *address
            }
            Call::Drain(node, draining) => {
                self.nodes.get_mut(&node_name(*node)).map(|node| node.1 = *draining).is_some()
            }
            Call::RemoveNode(node) => {
                let name = node_name(*node);
                let mut owners =
                    self.namespaces.values().filter_map(|known| known.owner.as_ref()?.node.as_ref());
                let idle = owners.all(|owner| *owner != name);
                if idle {
                    self.nodes.remove(&name);
                }
                idle
            }
            Call::SetState(ns, _)
            | Call::Sync(ns, _)
            | Call::Assign(ns, ..)
            | Call::Confirm(ns, ..)
            | Call::Release(ns, _)
            | Call::CreateGroup(ns, _)
            | Call::DeleteGroup(ns, _)
            | Call::Ack(ns, ..)
            | Call::DeleteMember(ns, ..) => {
                let nodes = &self.nodes;
                self.namespaces.get_mut(&ns_name(*ns)).is_some_and(|known| known.call(call, nodes))
            }
        }
    }
}

impl Known {
    fn call(&mut self, call: &Call, nodes: &BTreeMap<String, (u8, bool)>) -> bool {
        match call {
            Call::SetState(_, state) => {
                let follows = self.state != 2 || *state == 2;
                if follows {
                    self.state = *state;
                }
                follows
            }
            Call::Sync(_, ends) => {
                self.segments.clone_from(ends);
                true
            }
            Call::Assign(_, node, over) => {
                let name = node_name(*node);
                let takes = nodes.get(&name).is_some_and(|node| !node.1);
                let generation = self.owner.as_ref().map_or(0, |owner| owner.generation);
                if self.state == 2 || !takes || over.is_some_and(|over| over != generation) {
                    return false;
                }
                let epoch_max = self.owner.as_ref().map_or(0, |owner| owner.epoch_max);
                self.owner =
                    Some(Owner { node: Some(name), generation: generation + 1, epoch: None, epoch_max });
                true
            }
            Call::Confirm(_, generation, epoch, log) => {
                let Some(owner) = &mut self.owner else { return false };
                let same_log = self.log.is_none_or(|known| known == *log);
                if owner.node.is_none()
                    || owner.generation != *generation
                    || *epoch < owner.epoch_max
                    || !same_log
                {
                    return false;
                }
                (owner.epoch, owner.epoch_max, self.log) = (Some(*epoch), *epoch, Some(*log));
                true
            }
            Call::Release(_, generation) => match &mut self.owner {
                Some(owner) if owner.node.is_some() && owner.generation == *generation => {
                    (owner.node, owner.epoch, owner.generation) = (None, None, generation + 1);
                    true
                }
                // It was released already.
                Some(owner) => owner.node.is_none() && owner.generation == generation + 1,
                None => false,
            },
            Call::CreateGroup(_, group) => {
                let vacant = !self.groups.contains_key(&group_name(*group));
                self.groups.entry(group_name(*group)).or_default();
                vacant
            }
            Call::DeleteGroup(_, group) => {
                self.groups.remove(&group_name(*group));
                true
            }
            Call::Ack(_, group, member, frame, durable) => {
                let Some(members) = self.groups.get_mut(&group_name(*group)) else { return false };
                let before = members.get(&member_name(*member)).copied().unwrap_or_default();
                if *frame == before {
                    return true;
                }
                let rises = *frame > before && frame <= durable;
                if rises {
                    members.insert(member_name(*member), *frame);
                }
                rises
            }
            Call::DeleteMember(_, group, member) => {
                let members = self.groups.get_mut(&group_name(*group));
                members.map(|members| members.remove(&member_name(*member))).is_some()
            }
            _ => unreachable!("no call of a namespace"),
        }
    }

    fn of(catalog: &dyn Catalog, namespace: &Namespace) -> Self {
        let record = catalog.namespace(namespace).unwrap();
        let state = match record.state {
            NamespaceState::Active => 0,
            NamespaceState::Closed => 1,
            NamespaceState::Tombstone => 2,
        };
        let segments = catalog.segments(namespace, None, usize::MAX).unwrap();
        assert!(segments.iter().all(|one| *one == segment(one.key.end().get())), "{segments:?}");
        let owner = catalog.assignment(namespace).unwrap().map(|one| Owner {
            node: one.node.map(|node| node.to_string()),
            generation: one.generation.get(),
            epoch: one.epoch.map(Epoch::get),
            epoch_max: one.epoch_max.get(),
        });
        let groups = catalog.groups(namespace, None, usize::MAX).unwrap().into_iter().map(|group| {
            let positions = catalog.positions(namespace, &group.group, None, usize::MAX).unwrap();
            let positions = positions.into_iter().map(|one| (one.member.to_string(), one.frame_no.get()));
            (group.group.to_string(), positions.collect())
        });
        Self {
            state,
            log: record.log_id.map(|log| u8::try_from(log.0).unwrap()),
            segments: segments.iter().map(|one| one.key.end().get()).collect(),
            owner,
            groups: groups.collect(),
        }
    }
}

/// What a catalog shows from outside. Checks that its lists agree with one another.
///
/// # Panics
///
/// When they do not, and when a call fails.
#[must_use]
pub fn seen(catalog: &dyn Catalog) -> Model {
    let namespaces = catalog.namespaces("", None, usize::MAX).unwrap();
    let namespaces = namespaces.into_iter().map(|one| {
        let known = Known::of(catalog, &one.namespace);
        (one.namespace.to_string(), known)
    });
    let namespaces = namespaces.collect::<BTreeMap<_, _>>();
    let nodes = catalog.nodes(None, usize::MAX).unwrap();
    for node in &nodes {
        let owned = namespaces.iter().filter(|(_, known)| {
            known.owner.as_ref().and_then(|owner| owner.node.as_deref()) == Some(node.id.as_str())
        });
        let owned = owned.map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        let assigned = catalog.assignments_of(&node.id, None, usize::MAX).unwrap();
        let assigned = assigned.iter().map(|one| one.namespace.as_str()).collect::<Vec<_>>();
        assert_eq!(assigned, owned, "what node {} has", node.id);
    }
    let nodes = nodes.into_iter().map(|node| {
        let address = u8::from(node.address == "second:1");
        (node.id.to_string(), (address, node.draining))
    });
    Model { namespaces, nodes: nodes.collect() }
}

fn segment(end: u64) -> SegmentRecord {
    let frame = FrameNo::new(end).unwrap();
    let key = SegmentKey::new(Epoch(1), frame, frame, UnixMillis(end), 0).unwrap();
    SegmentRecord { key, size: end, stored: Some(UnixMillis(end * 2)) }
}

/// Makes a call on a catalog.
///
/// # Errors
///
/// What the catalog answered.
pub fn make(catalog: &dyn Catalog, call: &Call) -> Result<(), Error> {
    let ns = |ns: u8| Namespace::new(ns_name(ns)).unwrap();
    let node = |node: u8| NodeId::new(node_name(node)).unwrap();
    let group = |group: u8| GroupName::new(group_name(group)).unwrap();
    let member = |member: u8| MemberName::new(member_name(member)).unwrap();
    match call {
        Call::Create(one) => catalog.create_namespace(&ns(*one), &NamespaceSettings::default()).map(drop),
        Call::SetState(one, state) => {
            let states = [NamespaceState::Active, NamespaceState::Closed, NamespaceState::Tombstone];
            let state = Some(states[usize::from(*state)]);
            catalog.update_namespace(&ns(*one), &NamespaceChange { state, ..Default::default() }).map(drop)
        }
        Call::Delete(one) => catalog.delete_namespace(&ns(*one)).map(drop),
        Call::Sync(one, ends) => {
            let segments = ends.iter().rev().map(|end| segment(*end)).collect();
            let listed = ListedSegments { segments, ..ListedSegments::default() };
            catalog.sync_segments(&ns(*one), &listed).map(drop)
        }
        Call::Register(one, address) => {
            let address = ["first:1", "second:1"][usize::from(*address)];
            catalog.register_node(&node(*one), address, &BTreeMap::new()).map(drop)
        }
        Call::Drain(one, draining) => catalog.set_draining(&node(*one), *draining).map(drop),
        Call::RemoveNode(one) => catalog.remove_node(&node(*one)).map(drop),
        Call::Assign(one, to, over) => catalog.assign(&ns(*one), &node(*to), over.map(Generation)).map(drop),
        Call::Confirm(one, generation, epoch, log) => {
            let log = LogId(u128::from(*log));
            catalog.confirm(&ns(*one), Generation(*generation), Epoch(*epoch), log).map(drop)
        }
        Call::Release(one, generation) => catalog.release(&ns(*one), Generation(*generation)).map(drop),
        Call::CreateGroup(one, of) => catalog.create_group(&ns(*one), &group(*of)).map(drop),
        Call::DeleteGroup(one, of) => catalog.delete_group(&ns(*one), &group(*of)).map(drop),
        Call::Ack(one, of, who, frame, durable) => {
            let frame_no = FrameNo::new(*frame).unwrap();
            let (namespace, group, member) = (&ns(*one), &group(*of), &member(*who));
            let ack = Ack { namespace, group, member, frame_no, durable: FrameNo::new(*durable) };
            catalog.ack(&ack).map(drop)
        }
        Call::DeleteMember(one, of, who) => {
            catalog.delete_member(&ns(*one), &group(*of), &member(*who)).map(drop)
        }
    }
}

/// Whether an error says that the call was refused, and not that something failed.
#[must_use]
pub const fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::NotFound { .. } | Error::AlreadyExists { .. } | Error::Invalid { .. } | Error::Fenced { .. }
    )
}
