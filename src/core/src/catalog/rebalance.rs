//! Where namespaces go whose node is going or gone.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Assignment, Generation, NodeId, NodeStatus};
use crate::error::{Error, Result};
use crate::namespace::Namespace;

/// A namespace that is to be given to another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Move {
    /// The namespace.
    pub namespace: Namespace,
    /// Who has it now; nobody, after it was released.
    pub from: Option<NodeId>,
    /// Who is to have it.
    pub to: NodeId,
    /// The generation of its assignment that this was planned over: if it is another by then, the move is void.
    pub over: Generation,
}

/// Plans to give away what stands with nodes that are not up, or that are not known any more.
///
/// Each such namespace goes to the node with the fewest, counting what was planned before; among equals to the first by
/// name. What stands with a node that is up is not moved, so that the same plan made again is empty once it is carried
/// out. The plan does not depend on the order of what is given here.
///
/// # Errors
///
/// `Unavailable` when something is to be moved and no node is up.
pub fn plan_rebalance(nodes: &BTreeMap<NodeId, NodeStatus>, assignments: &[Assignment]) -> Result<Vec<Move>> {
    let up = nodes.iter().filter(|(_, status)| **status == NodeStatus::Up);
    let mut loads = up.map(|(node, _)| (node, 0_u64)).collect::<BTreeMap<_, _>>();
    let mut homeless = Vec::new();
    for assignment in assignments {
        match assignment.node.as_ref().and_then(|node| loads.get_mut(node)) {
            Some(load) => *load += 1,
            None => homeless.push(assignment),
        }
    }
    homeless.sort_by(|a, b| a.namespace.cmp(&b.namespace));
    let mut moves = Vec::with_capacity(homeless.len());
    let mut queue =
        loads.into_iter().map(|(node, load)| (load, node)).collect::<std::collections::BTreeSet<_>>();
    for assignment in homeless {
        let Some((load, node)) = queue.pop_first() else {
            let what = format!("no node is up to take namespace {}", assignment.namespace);
            return Err(Error::Unavailable { what, source: None });
        };
        queue.insert((load + 1, node));
        moves.push(Move {
            namespace: assignment.namespace.clone(),
            from: assignment.node.clone(),
            to: node.clone(),
            over: assignment.generation,
        });
    }
    Ok(moves)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::epoch::Epoch;
    use crate::unix_millis::UnixMillis;

    fn assignment(namespace: usize, node: Option<usize>) -> Assignment {
        Assignment {
            namespace: Namespace::new(format!("ns{namespace:03}")).unwrap(),
            node: node.map(id),
            generation: Generation(namespace as u64 + 1),
            epoch: None,
            epoch_max: Epoch::default(),
            created: UnixMillis(0),
            updated: UnixMillis(0),
        }
    }

    fn id(node: usize) -> NodeId {
        NodeId::new(format!("node{node}")).unwrap()
    }

    fn status() -> impl Strategy<Value = NodeStatus> {
        prop_oneof![Just(NodeStatus::Up), Just(NodeStatus::Draining), Just(NodeStatus::Down)]
    }

    fn loads(nodes: &BTreeMap<NodeId, NodeStatus>, assignments: &[Assignment]) -> Vec<usize> {
        let up = nodes.iter().filter(|(_, status)| **status == NodeStatus::Up);
        let has = |node| assignments.iter().filter(|one| one.node.as_ref() == Some(node)).count();
        up.map(|(node, _)| has(node)).collect()
    }

    proptest! {
        #[test]
        fn everything_ends_with_a_node_that_is_up_and_nothing_else_moves(
            statuses in prop::collection::vec(status(), 0..6),
            owners in prop::collection::vec(prop::option::of(0_usize..8), 0..60),
            rotate in 0_usize..60,
        ) {
            let nodes = statuses.iter().enumerate().map(|(n, status)| (id(n), *status)).collect::<BTreeMap<_, _>>();
            let mut assignments =
                owners.iter().enumerate().map(|(n, owner)| assignment(n, *owner)).collect::<Vec<_>>();
            let is_up = |node: Option<&NodeId>| {
                node.and_then(|node| nodes.get(node)).is_some_and(|status| *status == NodeStatus::Up)
            };
            let homeless = assignments.iter().filter(|one| !is_up(one.node.as_ref())).count();
            let planned = plan_rebalance(&nodes, &assignments);
            if homeless > 0 && !nodes.values().any(|status| *status == NodeStatus::Up) {
                let refused = matches!(planned, Err(Error::Unavailable { .. }));
                prop_assert!(refused);
                return Ok(());
            }
            let moves = planned.unwrap();
            prop_assert_eq!(moves.len(), homeless);
            let before = loads(&nodes, &assignments);
            let mut turned = assignments.clone();
            let turn = rotate % turned.len().max(1);
            turned.rotate_left(turn);
            prop_assert_eq!(&plan_rebalance(&nodes, &turned).unwrap(), &moves);
            for planned in &moves {
                let one = assignments.iter_mut().find(|one| one.namespace == planned.namespace).unwrap();
                prop_assert!(!is_up(one.node.as_ref()));
                prop_assert_eq!((&one.node, one.generation), (&planned.from, planned.over));
                one.node = Some(planned.to.clone());
            }
            prop_assert!(assignments.iter().all(|one| is_up(one.node.as_ref())));
            prop_assert_eq!(plan_rebalance(&nodes, &assignments).unwrap(), Vec::new());
            // Nobody was given one who had more than somebody else has now.
            let after = loads(&nodes, &assignments);
            let least = after.iter().min().copied().unwrap_or_default();
            for (had, has) in before.iter().zip(&after) {
                prop_assert!(had == has || *has <= least + 1, "{before:?} became {after:?}");
            }
        }
    }
}
