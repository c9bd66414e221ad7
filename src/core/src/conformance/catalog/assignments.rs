//! Assignments: who writes a namespace, and in which generation.

use super::{create, fenced, missing, must, namespace, node_id, refused, register};
use crate::catalog::{Catalog, Generation, NamespaceChange, NamespaceState};
use crate::epoch::Epoch;
use crate::ids::LogId;

/// Each change of owner is a new generation; what was planned over an old one is void.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn assignments_change_owners_and_never_go_back(catalog: &dyn Catalog) {
    create(catalog, "owned");
    let (name, a, b) = (namespace("owned"), node_id("owner-a"), node_id("owner-b"));
    register(catalog, "owner-a");
    register(catalog, "owner-b");
    assert_eq!(must(catalog.assignment(&name)), None);
    missing(catalog.release(&name, Generation(1)));
    missing(catalog.confirm(&name, Generation(1), Epoch(1), LogId(1)));
    let first = must(catalog.assign(&name, &a, Some(Generation::NONE)));
    assert_eq!((first.node.as_ref(), first.generation), (Some(&a), Generation(1)));
    assert_eq!(must(catalog.assignment(&name)), Some(first.clone()));
    fenced(catalog.assign(&name, &b, Some(Generation::NONE)));
    let second = must(catalog.assign(&name, &b, Some(first.generation)));
    fenced(catalog.release(&name, first.generation));
    assert_eq!(must(catalog.assignment(&name)), Some(second.clone()), "what is refused changes nothing");
    let free = must(catalog.release(&name, second.generation));
    assert_eq!((&free.node, free.generation), (&None, Generation(3)));
    assert_eq!(must(catalog.release(&name, second.generation)), free, "the same again changes nothing");
    assert_eq!(must(catalog.assign(&name, &a, None)).generation, Generation(4));
    assert_eq!(must(catalog.assignment(&name)).map(|one| one.created), Some(first.created));
}

/// What a node has is listed in order of names across all shards, and nothing that it lost.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn assignments_of_a_node_are_listed_in_pages(catalog: &dyn Catalog) {
    register(catalog, "lists-a");
    register(catalog, "lists-b");
    let (a, b) = (node_id("lists-a"), node_id("lists-b"));
    let names = (0..20).map(|n| format!("listed-{n:02}")).collect::<Vec<_>>();
    for name in names.iter().rev() {
        create(catalog, name);
        must(catalog.assign(&namespace(name), &a, None));
    }
    for name in names.iter().step_by(2) {
        must(catalog.assign(&namespace(name), &b, None));
    }
    for (node, odd) in [(&a, 1), (&b, 0)] {
        let expected = names.iter().enumerate().filter(|(n, _)| n % 2 == odd);
        let expected = expected.map(|(_, name)| name.as_str()).collect::<Vec<_>>();
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = must(catalog.assignments_of(node, after.as_ref(), 3));
            let Some(last) = page.last() else { break };
            assert!(page.len() <= 3 && page.iter().all(|one| one.node.as_ref() == Some(node)));
            after = Some(last.namespace.clone());
            listed.extend(page);
        }
        assert_eq!(listed.iter().map(|one| one.namespace.as_str()).collect::<Vec<_>>(), expected);
    }
    assert_eq!(must(catalog.assignments_of(&node_id("lists-nobody"), None, 9)), []);
}

/// An owner says with which epoch it opened the namespace, and which log it found there.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn owners_are_confirmed_with_their_epoch_and_log(catalog: &dyn Catalog) {
    create(catalog, "confirmed");
    let (name, node) = (namespace("confirmed"), node_id("confirmed-node"));
    register(catalog, "confirmed-node");
    let first = must(catalog.assign(&name, &node, None));
    assert_eq!(first.epoch, None);
    let confirmed = must(catalog.confirm(&name, first.generation, Epoch(3), LogId(7)));
    assert_eq!(confirmed.epoch, Some(Epoch(3)));
    assert_eq!(must(catalog.namespace(&name)).log_id, Some(LogId(7)), "the log is known by now");
    assert_eq!(must(catalog.confirm(&name, first.generation, Epoch(3), LogId(7))), confirmed);
    refused(catalog.confirm(&name, first.generation, Epoch(4), LogId(8)));
    assert_eq!(must(catalog.assignment(&name)), Some(confirmed), "what is refused changes nothing");
    let second = must(catalog.assign(&name, &node, None));
    fenced(catalog.confirm(&name, first.generation, Epoch(4), LogId(7)));
    fenced(catalog.confirm(&name, second.generation, Epoch(2), LogId(7)));
    assert_eq!(must(catalog.assignment(&name)), Some(second));
}

/// Unknown namespaces and nodes, deleted namespaces, and nodes that are to get nothing.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn what_cannot_be_assigned_is_refused(catalog: &dyn Catalog) {
    register(catalog, "refuses-a");
    create(catalog, "refused");
    let (name, node) = (namespace("refused"), node_id("refuses-a"));
    assert!(missing(catalog.assign(&namespace("refused-nobody"), &node, None)).contains("refused-nobody"));
    assert!(missing(catalog.assign(&name, &node_id("refuses-nobody"), None)).contains("refuses-nobody"));
    missing(catalog.assignment(&namespace("refused-nobody")));
    must(catalog.set_draining(&node, true));
    assert!(refused(catalog.assign(&name, &node, None)).contains("draining"));
    must(catalog.set_draining(&node, false));
    let gone = NamespaceChange { state: Some(NamespaceState::Tombstone), ..NamespaceChange::default() };
    must(catalog.update_namespace(&name, &gone));
    refused(catalog.assign(&name, &node, None));
    assert_eq!(must(catalog.assignment(&name)), None);
}
