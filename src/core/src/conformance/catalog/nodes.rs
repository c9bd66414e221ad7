//! Nodes: registered, heard of, drained, removed.

use std::collections::BTreeMap;

use super::{create, missing, must, namespace, node_id, refused, register, taken};
use crate::catalog::Catalog;

/// A node is registered with what is said of it, heard of, drained, listed, and removed once it has nothing.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn nodes_come_and_go(catalog: &dyn Catalog) {
    let id = node_id("nodes-a");
    missing(catalog.node(&id));
    missing(catalog.heartbeat(&id));
    missing(catalog.set_draining(&id, true));
    let labels = BTreeMap::from([("zone".to_string(), "1".to_string())]);
    let node = must(catalog.register_node(&id, "a:1", &labels));
    assert_eq!((node.address.as_str(), &node.labels, node.draining), ("a:1", &labels, false));
    assert_eq!(must(catalog.node(&id)), node);
    assert!(must(catalog.heartbeat(&id)).heartbeat >= node.heartbeat);
    assert!(must(catalog.set_draining(&id, true)).draining);
    assert!(must(catalog.heartbeat(&id)).draining, "a sign of life changes nothing else");
    assert!(must(catalog.node(&id)).draining);
    assert!(!must(catalog.set_draining(&id, false)).draining);

    for name in ["nodes-c", "nodes-b", "nodes-e", "nodes-d"] {
        register(catalog, name);
    }
    let list = |after: &str, limit| {
        let page = must(catalog.nodes(Some(&node_id(after)), limit));
        page.into_iter().map(|node| node.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list("nodes-a", 3), ["nodes-b", "nodes-c", "nodes-d"]);
    assert_eq!(list("nodes-d", 1), ["nodes-e"]);
    assert!(must(catalog.nodes(None, usize::MAX)).len() >= 5);

    create(catalog, "nodes-ns");
    let assigned = must(catalog.assign(&namespace("nodes-ns"), &id, None));
    assert!(refused(catalog.remove_node(&id)).contains("nodes-ns"), "it says what stands with it");
    must(catalog.release(&namespace("nodes-ns"), assigned.generation));
    assert!(must(catalog.remove_node(&id)));
    assert!(!must(catalog.remove_node(&id)), "removing it again is done already");
    missing(catalog.node(&id));
}

/// A name is one address's: the same one may come again, another one is refused.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn nodes_share_no_name(catalog: &dyn Catalog) {
    let (id, labels) = (node_id("nodes-twice"), BTreeMap::new());
    let first = must(catalog.register_node(&id, "a:1", &labels));
    let again = must(catalog.register_node(&id, "a:1", &labels));
    assert_eq!((again.created, again.updated), (first.created, first.updated), "a node that started anew");
    taken(catalog.register_node(&id, "b:1", &labels));
    assert_eq!(must(catalog.node(&id)).address, "a:1");
    refused(catalog.register_node(&node_id("nodes-bad"), "", &labels));
    missing(catalog.node(&node_id("nodes-bad")));
}
