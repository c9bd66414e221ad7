//! Groups of followers and the positions of their members.

use redb::WriteTransaction;
use walkeep_core::catalog::{Ack, CatalogPart, FollowerGroup, FollowerPosition};
use walkeep_core::{Error, GroupName, MemberName, Namespace, UnixMillis};

use super::key;
use super::table::Source;
use super::tables::{GROUPS, POSITIONS, count_change, present, present_group};
use crate::redb::failure::Step;

fn key_of(namespace: &Namespace, group: &GroupName, member: &MemberName) -> Vec<u8> {
    key::of(&[namespace.as_str(), group.as_str()], member.as_str())
}

pub(super) fn create(
    transaction: &WriteTransaction,
    namespace: &Namespace,
    group: &GroupName,
    now: UnixMillis,
) -> Step<FollowerGroup> {
    present(transaction, namespace)?;
    let key = key::of(&[namespace.as_str()], group.as_str());
    if GROUPS.get(transaction, &key)?.is_some() {
        let what = format!("group {group} of namespace {namespace} in the catalog");
        return Err(Error::AlreadyExists { what }.into());
    }
    let created = FollowerGroup::new(namespace, group, now);
    GROUPS.put(transaction, &key, &created)?;
    count_change(transaction, CatalogPart::Records)?;
    Ok(created)
}

pub(super) fn groups(
    transaction: &impl Source,
    namespace: &Namespace,
    after: Option<&GroupName>,
    limit: usize,
) -> Step<Vec<FollowerGroup>> {
    present(transaction, namespace)?;
    let below = key::below(&[namespace.as_str()]);
    let after = after.map(|after| key::of(&[namespace.as_str()], after.as_str()));
    GROUPS.list(transaction, &below, after.as_deref(), limit)
}

pub(super) fn delete(
    transaction: &WriteTransaction,
    namespace: &Namespace,
    group: &GroupName,
) -> Step<Option<u64>> {
    present(transaction, namespace)?;
    if !GROUPS.remove(transaction, &key::of(&[namespace.as_str()], group.as_str()))? {
        return Ok(None);
    }
    let below = key::below(&[namespace.as_str(), group.as_str()]);
    let removed = POSITIONS.remove_below(transaction, &below)?;
    count_change(transaction, CatalogPart::Records)?;
    if removed > 0 {
        count_change(transaction, CatalogPart::Positions)?;
    }
    Ok(Some(removed))
}

/// Checks and writes in one step.
pub(super) fn ack(transaction: &WriteTransaction, ack: &Ack<'_>, now: UnixMillis) -> Step<FollowerPosition> {
    present_group(transaction, ack.namespace, ack.group)?;
    let key = key_of(ack.namespace, ack.group, ack.member);
    let before = POSITIONS.get(transaction, &key)?;
    let position = ack.advance(before.as_ref(), now)?;
    if before.as_ref() != Some(&position) {
        POSITIONS.put(transaction, &key, &position)?;
        count_change(transaction, CatalogPart::Positions)?;
    }
    Ok(position)
}

pub(super) fn position(
    transaction: &impl Source,
    namespace: &Namespace,
    group: &GroupName,
    member: &MemberName,
) -> Step<Option<FollowerPosition>> {
    present_group(transaction, namespace, group)?;
    POSITIONS.get(transaction, &key_of(namespace, group, member))
}

pub(super) fn positions(
    transaction: &impl Source,
    namespace: &Namespace,
    group: &GroupName,
    after: Option<&MemberName>,
    limit: usize,
) -> Step<Vec<FollowerPosition>> {
    present_group(transaction, namespace, group)?;
    let below = key::below(&[namespace.as_str(), group.as_str()]);
    let after = after.map(|after| key_of(namespace, group, after));
    POSITIONS.list(transaction, &below, after.as_deref(), limit)
}

pub(super) fn delete_member(
    transaction: &WriteTransaction,
    namespace: &Namespace,
    group: &GroupName,
    member: &MemberName,
) -> Step<bool> {
    present_group(transaction, namespace, group)?;
    let removed = POSITIONS.remove(transaction, &key_of(namespace, group, member))?;
    if removed {
        count_change(transaction, CatalogPart::Positions)?;
    }
    Ok(removed)
}
