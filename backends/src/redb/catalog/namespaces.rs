//! Namespaces, and what goes with them.

use redb::WriteTransaction;
use walkeep_core::catalog::{CatalogPart, Deleted, NamespaceChange, NamespaceRecord, NamespaceSettings};
use walkeep_core::{Error, Namespace, UnixMillis};

use super::key;
use super::tables::{ASSIGNED, ASSIGNMENTS, GROUPS, NAMESPACES, POSITIONS, SEGMENTS, count_change, present};
use crate::redb::failure::Step;

pub(super) fn create(
    transaction: &WriteTransaction,
    namespace: &Namespace,
    settings: &NamespaceSettings,
    now: UnixMillis,
) -> Step<NamespaceRecord> {
    let name = namespace.as_str().as_bytes();
    if NAMESPACES.get(transaction, name)?.is_some() {
        let what = format!("namespace {:?} in the catalog", namespace.as_str());
        return Err(Error::AlreadyExists { what }.into());
    }
    let record = NamespaceRecord::new(namespace, settings, now)?;
    NAMESPACES.put(transaction, name, &record)?;
    count_change(transaction, CatalogPart::Records)?;
    Ok(record)
}

pub(super) fn update(
    transaction: &WriteTransaction,
    namespace: &Namespace,
    change: &NamespaceChange,
    now: UnixMillis,
) -> Step<NamespaceRecord> {
    let before = present(transaction, namespace)?;
    let record = before.apply(change, now)?;
    if record != before {
        NAMESPACES.put(transaction, namespace.as_str().as_bytes(), &record)?;
        count_change(transaction, CatalogPart::Records)?;
    }
    Ok(record)
}

pub(super) fn delete(transaction: &WriteTransaction, namespace: &Namespace) -> Step<Deleted> {
    let name = namespace.as_str();
    let existed = NAMESPACES.remove(transaction, name.as_bytes())?;
    let assignment = ASSIGNMENTS.get(transaction, name.as_bytes())?;
    if let Some(assignment) = &assignment {
        ASSIGNMENTS.remove(transaction, name.as_bytes())?;
        if let Some(node) = &assignment.node {
            ASSIGNED.remove(transaction, &key::of(&[node.as_str()], name))?;
        }
    }
    let below = key::below(&[name]);
    let deleted = Deleted {
        existed,
        segments: SEGMENTS.remove_below(transaction, &below)?,
        groups: GROUPS.remove_below(transaction, &below)?,
        positions: POSITIONS.remove_below(transaction, &below)?,
        assigned: assignment.is_some_and(|assignment| assignment.node.is_some()),
    };
    if deleted != Deleted::default() {
        count_change(transaction, CatalogPart::Records)?;
    }
    if deleted.positions > 0 {
        count_change(transaction, CatalogPart::Positions)?;
    }
    Ok(deleted)
}
