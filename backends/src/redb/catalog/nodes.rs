//! Nodes.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use redb::WriteTransaction;
use walkeep_core::catalog::{Catalog, CatalogPart, Node, NodeId};
use walkeep_core::{Error, Result, UnixMillis};

use super::RedbCatalog;
use super::table::Source;
use super::tables::{NODES, count_change};
use crate::redb::failure::Step;

pub(super) fn present(transaction: &impl Source, id: &NodeId) -> Step<Node> {
    let found = NODES.get(transaction, id.as_str().as_bytes())?;
    Ok(found.ok_or_else(|| Error::not_found(format!("node {id} in the catalog")))?)
}

/// Writes a node. A sign of life alone is no change: it would have the node copied into the store each time.
fn put(transaction: &WriteTransaction, before: Option<&Node>, node: &Node) -> Step<()> {
    NODES.put(transaction, node.id.as_str().as_bytes(), node)?;
    if !before.is_some_and(|before| before.heard(node.heartbeat) == *node) {
        count_change(transaction, CatalogPart::Records)?;
    }
    Ok(())
}

pub(super) fn register(
    transaction: &WriteTransaction,
    id: &NodeId,
    address: &str,
    labels: &BTreeMap<String, String>,
    now: UnixMillis,
) -> Step<Node> {
    let before = NODES.get(transaction, id.as_str().as_bytes())?;
    let node = Node::register(before.as_ref(), id, address, labels, now)?;
    put(transaction, before.as_ref(), &node)?;
    Ok(node)
}

pub(super) fn heartbeat(transaction: &WriteTransaction, id: &NodeId, now: UnixMillis) -> Step<Node> {
    let before = present(transaction, id)?;
    let node = before.heard(now);
    put(transaction, Some(&before), &node)?;
    Ok(node)
}

pub(super) fn set_draining(
    transaction: &WriteTransaction,
    id: &NodeId,
    draining: bool,
    now: UnixMillis,
) -> Step<Node> {
    let before = present(transaction, id)?;
    let node = before.set_draining(draining, now);
    put(transaction, Some(&before), &node)?;
    Ok(node)
}

impl RedbCatalog {
    pub(super) fn remove_idle_node(&self, id: &NodeId) -> Result<bool> {
        // Nothing is assigned meanwhile. It guards no data: a panic elsewhere leaves nothing half done.
        let _alone = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(assigned) = self.assignments_of(id, None, 1)?.first() {
            let why = format!(
                "namespaces are assigned to it, {} first: assign them to others, or release them, before",
                assigned.namespace
            );
            return Err(Error::invalid(format!("removing node {id}"), why));
        }
        self.shard_of_node(id)?.write(|transaction| {
            let removed = NODES.remove(transaction, id.as_str().as_bytes())?;
            if removed {
                count_change(transaction, CatalogPart::Records)?;
            }
            Ok(removed)
        })
    }
}
