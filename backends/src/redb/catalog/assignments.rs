//! Who writes which namespace.

use std::sync::PoisonError;

use redb::WriteTransaction;
use walkeep_core::catalog::{Assignment, Catalog, CatalogPart, Generation, NamespaceChange, NodeId};
use walkeep_core::{Epoch, Error, LogId, Namespace, Result, UnixMillis};

use super::RedbCatalog;
use super::table::Source;
use super::tables::{ASSIGNED, ASSIGNMENTS, count_change, namespace_of, present, put_assignment};
use super::{key, merge, namespaces};
use crate::redb::failure::Step;

impl RedbCatalog {
    pub(super) fn assign_to(
        &self,
        namespace: &Namespace,
        node: &NodeId,
        over: Option<Generation>,
    ) -> Result<Assignment> {
        // The node stays until this is written. It guards no data: a panic elsewhere leaves nothing half done.
        let _together = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        let draining = self.node(node).map(|node| node.draining);
        self.write(namespace, |transaction| {
            present(transaction, namespace)?.refuse_tombstone("assigning")?;
            if draining? {
                let what = format!("assigning namespace {namespace} to node {node}");
                return Err(Error::invalid(what, "the node is draining: it gets no more").into());
            }
            let before = ASSIGNMENTS.get(transaction, namespace.as_str().as_bytes())?;
            let assignment = Assignment::assign(before.as_ref(), namespace, node, over, self.now())?;
            put(transaction, before.as_ref(), &assignment)?;
            Ok(assignment)
        })
    }

    pub(super) fn assigned_to(
        &self,
        node: &NodeId,
        after: Option<&Namespace>,
        limit: usize,
    ) -> Result<Vec<Assignment>> {
        let below = key::below(&[node.as_str()]);
        let after = after.map(|after| key::of(&[node.as_str()], after.as_str()));
        merge::pages(&self.shards, after.as_deref(), limit, |transaction, after, limit| {
            let rows = ASSIGNED.page(transaction, &below, after, limit)?;
            let mut assigned = Vec::with_capacity(rows.len());
            for (key, _) in rows {
                let name = namespace_of(key.get(below.len()..).unwrap_or_default())?;
                assigned.push((key, known(transaction, &name)?));
            }
            Ok(assigned)
        })
    }
}

/// An assignment that another table speaks of.
fn known(transaction: &impl Source, namespace: &Namespace) -> Step<Assignment> {
    let found = ASSIGNMENTS.get(transaction, namespace.as_str().as_bytes())?;
    Ok(found.ok_or_else(|| {
        let expected = format!("the assignment of namespace {namespace}");
        Error::corrupt("catalog table catalog_assignments", 0, expected, "none")
    })?)
}

/// An assignment of a namespace that must have one.
fn assigned(transaction: &impl Source, namespace: &Namespace) -> Step<Assignment> {
    present(transaction, namespace)?;
    let found = ASSIGNMENTS.get(transaction, namespace.as_str().as_bytes())?;
    Ok(found
        .ok_or_else(|| Error::not_found(format!("an assignment of namespace {namespace} in the catalog")))?)
}

fn put(transaction: &WriteTransaction, before: Option<&Assignment>, assignment: &Assignment) -> Step<()> {
    if before == Some(assignment) {
        return Ok(());
    }
    put_assignment(transaction, before, assignment)?;
    count_change(transaction, CatalogPart::Records)
}

pub(super) fn confirm(
    transaction: &WriteTransaction,
    namespace: &Namespace,
    generation: Generation,
    epoch: Epoch,
    log_id: LogId,
    now: UnixMillis,
) -> Step<Assignment> {
    let before = assigned(transaction, namespace)?;
    let confirmed = before.confirm(generation, epoch, now)?;
    let change = NamespaceChange { log_id: Some(log_id), ..NamespaceChange::default() };
    namespaces::update(transaction, namespace, &change, now)?;
    put(transaction, Some(&before), &confirmed)?;
    Ok(confirmed)
}

pub(super) fn release(
    transaction: &WriteTransaction,
    namespace: &Namespace,
    generation: Generation,
    now: UnixMillis,
) -> Step<Assignment> {
    let before = assigned(transaction, namespace)?;
    let released = before.release(generation, now)?;
    put(transaction, Some(&before), &released)?;
    Ok(released)
}
