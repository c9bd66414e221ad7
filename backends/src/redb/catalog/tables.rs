//! What a shard of a catalog holds.
//!
//! | table | key | value |
//! |---|---|---|
//! | `catalog_meta` | `format`, `changes.records`, `changes.positions` | a number |
//! | `catalog_identity` | `identity`, in shard 0 alone | [`CatalogIdentity`] |
//! | `catalog_nodes` | node | [`Node`] |
//! | `catalog_namespaces` | namespace | [`NamespaceRecord`] |
//! | `catalog_segments` | namespace, segment | its length, and when it was stored plus 1 (0: not known) |
//! | `catalog_assignments` | namespace | [`Assignment`] |
//! | `catalog_assigned` | node, namespace | nothing: which assignments a node has |
//! | `catalog_groups` | namespace, group | [`FollowerGroup`] |
//! | `catalog_positions` | namespace, group, member | [`FollowerPosition`] |

use redb::WriteTransaction;
use walkeep_core::catalog::{
    Assignment, CatalogIdentity, CatalogPart, FollowerGroup, FollowerPosition, NamespaceRecord, Node,
};
use walkeep_core::{Error, GroupName, Namespace, Result};

use super::super::failure::Step;
use super::key;
use super::table::{Numbers, Source, Table};

pub(super) const META: Table<Numbers<1>> = Table::new("catalog_meta");
pub(super) const IDENTITY: Table<CatalogIdentity> = Table::new("catalog_identity");
pub(super) const NODES: Table<Node> = Table::new("catalog_nodes");
pub(super) const NAMESPACES: Table<NamespaceRecord> = Table::new("catalog_namespaces");
pub(super) const SEGMENTS: Table<Numbers<2>> = Table::new("catalog_segments");
pub(super) const ASSIGNMENTS: Table<Assignment> = Table::new("catalog_assignments");
pub(super) const ASSIGNED: Table<Numbers<0>> = Table::new("catalog_assigned");
pub(super) const GROUPS: Table<FollowerGroup> = Table::new("catalog_groups");
pub(super) const POSITIONS: Table<FollowerPosition> = Table::new("catalog_positions");

pub(super) const IDENTITY_KEY: &[u8] = b"identity";
const FORMAT_KEY: &[u8] = b"format";
const FORMAT: u64 = 1;

const fn changes_key(part: CatalogPart) -> &'static [u8] {
    match part {
        CatalogPart::Records => b"changes.records",
        CatalogPart::Positions => b"changes.positions",
    }
}

/// Makes all tables of a shard.
pub(super) fn make(transaction: &WriteTransaction) -> Step<()> {
    META.make(transaction)?;
    IDENTITY.make(transaction)?;
    NODES.make(transaction)?;
    NAMESPACES.make(transaction)?;
    SEGMENTS.make(transaction)?;
    ASSIGNMENTS.make(transaction)?;
    ASSIGNED.make(transaction)?;
    GROUPS.make(transaction)?;
    POSITIONS.make(transaction)?;
    META.put(transaction, FORMAT_KEY, &Numbers([FORMAT]))
}

/// Refuses tables of another format. The tables must be there.
pub(super) fn check_format(transaction: &impl Source, name: &str) -> Step<()> {
    match META.get(transaction, FORMAT_KEY)? {
        Some(Numbers([FORMAT])) => Ok(()),
        Some(Numbers([other])) => {
            let why = format!("this version of Walkeep reads format {FORMAT}; use a newer one");
            Err(Error::invalid(format!("catalog {name} of format {other}"), why).into())
        }
        None => Err(Error::corrupt(name, 0, "the format of a catalog", "none").into()),
    }
}

/// How often a part was changed.
pub(super) fn changes(transaction: &impl Source, part: CatalogPart) -> Step<u64> {
    Ok(META.get(transaction, changes_key(part))?.map_or(0, |Numbers([changes])| changes))
}

/// Counts a change.
pub(super) fn count_change(transaction: &WriteTransaction, part: CatalogPart) -> Step<()> {
    let changes = changes(transaction, part)?;
    let next = changes.checked_add(1);
    let next = next.ok_or_else(|| Error::Exhausted { what: "all changes of a catalog are used".into() })?;
    META.put(transaction, changes_key(part), &Numbers([next]))
}

/// A namespace that must be there.
pub(super) fn present(transaction: &impl Source, namespace: &Namespace) -> Step<NamespaceRecord> {
    let found = NAMESPACES.get(transaction, namespace.as_str().as_bytes())?;
    Ok(found.ok_or_else(|| Error::not_found(format!("namespace {:?} in the catalog", namespace.as_str())))?)
}

/// A group that must be there.
pub(super) fn present_group(
    transaction: &impl Source,
    namespace: &Namespace,
    group: &GroupName,
) -> Step<FollowerGroup> {
    present(transaction, namespace)?;
    let found = GROUPS.get(transaction, &key::of(&[namespace.as_str()], group.as_str()))?;
    Ok(found
        .ok_or_else(|| Error::not_found(format!("group {group} of namespace {namespace} in the catalog")))?)
}

/// Writes an assignment, and what says which node has it.
pub(super) fn put_assignment(
    transaction: &WriteTransaction,
    before: Option<&Assignment>,
    assignment: &Assignment,
) -> Step<()> {
    let namespace = assignment.namespace.as_str();
    if let Some(node) = before.and_then(|before| before.node.as_ref()) {
        ASSIGNED.remove(transaction, &key::of(&[node.as_str()], namespace))?;
    }
    if let Some(node) = &assignment.node {
        ASSIGNED.put(transaction, &key::of(&[node.as_str()], namespace), &Numbers([]))?;
    }
    ASSIGNMENTS.put(transaction, namespace.as_bytes(), assignment)
}

/// A name from a key, which was checked when it was written.
pub(super) fn namespace_of(name: &[u8]) -> Result<Namespace> {
    let name = std::str::from_utf8(name)
        .map_err(|error| Error::corrupt("catalog table catalog_assigned", 0, "a namespace", error))?;
    Namespace::new(name)
}
