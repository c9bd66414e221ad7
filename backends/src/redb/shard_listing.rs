//! What is listed in one shard: the rows of the table and those that are not there yet, as one.

use std::cmp::Ordering;
use std::ops::Bound;

use redb::{ReadTransaction, ReadableTable};
use walkeep_core::{ObjectMeta, ObjectPath, Result};

use super::failure::Step;
use super::objects::{OBJECTS_TABLE, existing, group_of};
use super::row::Row;
use super::shard::Shard;

/// At most `limit` objects below `prefix`, in key order, strictly behind `after` (a key, or the prefix itself).
pub(super) fn list(shard: &Shard, prefix: &ObjectPath, after: &str, limit: usize) -> Result<Vec<ObjectMeta>> {
    shard.read_rows(
        |recent| {
            let rows = recent.behind(Some(after)).take_while(|(path, _)| path.starts_with(prefix.as_str()));
            let found = rows.filter_map(|(path, row)| meta(prefix, path, row).transpose()).take(limit);
            found.collect::<Result<Vec<_>>>()
        },
        |transaction, recent| {
            let written = list_table(transaction, prefix, after, limit)?;
            Ok(merge(written, recent?, |a, b| a.path.cmp(&b.path), limit))
        },
    )
}

/// What is listed of a row, if it is below the prefix.
fn meta(prefix: &ObjectPath, path: &str, row: Row) -> Result<Option<ObjectMeta>> {
    let meta = ObjectMeta { path: ObjectPath::new(path)?, size: row.len, modified: Some(row.stored) };
    Ok(meta.path.below(prefix).is_some().then_some(meta))
}

fn list_table(
    transaction: &ReadTransaction,
    prefix: &ObjectPath,
    after: &str,
    limit: usize,
) -> Step<Vec<ObjectMeta>> {
    let Some(objects) = existing(transaction.open_table(OBJECTS_TABLE))? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in objects.range::<&str>((Bound::Excluded(after), Bound::Unbounded))? {
        if found.len() == limit {
            break;
        }
        let (path, row) = entry?;
        let path = path.value();
        // The order and the checksum of what is behind the end of the prefix are not looked at.
        if !path.starts_with(prefix.as_str()) {
            break;
        }
        found.extend(meta(prefix, path, Row::decode(path, row.value())?)?);
    }
    Ok(found)
}

/// Two lists in order as one, at most `limit`. What is in both is taken once.
fn merge<T>(a: Vec<T>, b: Vec<T>, order: impl Fn(&T, &T) -> Ordering, limit: usize) -> Vec<T> {
    if b.is_empty() {
        return a;
    }
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    let next = std::iter::from_fn(|| match (a.peek(), b.peek()) {
        (Some(first), Some(second)) => match order(first, second) {
            Ordering::Less => a.next(),
            Ordering::Greater => b.next(),
            Ordering::Equal => {
                b.next();
                a.next()
            }
        },
        (Some(_), None) => a.next(),
        (None, _) => b.next(),
    });
    next.take(limit).collect()
}

/// The names of the directories directly below `prefix` that hold an object, at most `limit` behind the name `after`, in
/// order of `{name}/`. One look-up for each.
pub(super) fn directories(
    shard: &Shard,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>> {
    shard.read_rows(
        |recent| {
            let first = |from: &str| Ok(recent.first_from(from).map(str::to_string));
            directories_of(first, prefix, after, limit)
        },
        |transaction, recent| {
            let objects = existing(transaction.open_table(OBJECTS_TABLE))?;
            let check = |path: &str, row: &[u8]| Row::decode(path, row).map(drop);
            let first = |from: &str| first_in_table(objects.as_ref(), from, check);
            let written = directories_of(first, prefix, after, limit)?;
            let order = |a: &String, b: &String| a.bytes().chain([b'/']).cmp(b.bytes().chain([b'/']));
            Ok(merge(written, recent?, order, limit))
        },
    )
}

/// The first path that is not before `from`, once `check` has seen it and its row.
fn first_in_table(
    objects: Option<&impl ReadableTable<&'static str, &'static [u8]>>,
    from: &str,
    check: impl FnOnce(&str, &[u8]) -> Result<()>,
) -> Step<Option<String>> {
    let Some(objects) = objects else { return Ok(None) };
    let Some(entry) = objects.range(from..)?.next() else { return Ok(None) };
    let (path, row) = entry?;
    check(path.value(), row.value())?;
    Ok(Some(path.value().to_string()))
}

fn directories_of(
    mut first: impl FnMut(&str) -> Step<Option<String>>,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Step<Vec<String>> {
    let lead = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    // The character behind '/': what is in the directory `name` lies before `name0`.
    let behind = |name: &str| format!("{lead}{name}0");
    let mut from = after.map_or_else(|| lead.clone(), behind);
    let mut found = Vec::new();
    while found.len() < limit {
        let Some(path) = first(&from)? else { break };
        let Some(rest) = path.strip_prefix(&lead) else { break };
        from = match rest.split_once('/') {
            Some((name, _)) => {
                found.push(name.to_string());
                behind(name)
            }
            None => format!("{path}\0"),
        };
    }
    Ok(found)
}

/// Hands every group of a shard to `see`, one look-up for each; one may come twice.
pub(super) fn each_group(shard: &Shard, see: &mut dyn FnMut(&str)) -> Result<()> {
    shard.read_rows(
        |recent| groups_of(|from| Ok(recent.first_from(from).map(str::to_string))),
        |transaction, recent| {
            let objects = existing(transaction.open_table(OBJECTS_TABLE))?;
            let written = groups_of(|from| first_in_table(objects.as_ref(), from, |_, _| Ok(())))?;
            written.iter().chain(&recent?).for_each(|group| see(group));
            Ok(())
        },
    )
}

fn groups_of(mut first: impl FnMut(&str) -> Step<Option<String>>) -> Step<Vec<String>> {
    let (mut from, mut found) = (String::new(), Vec::new());
    while let Some(path) = first(&from)? {
        let group = group_of(&path);
        found.push(group.to_string());
        // An object that is named like a group stands before what is in it.
        from = if path == group { format!("{path}\0") } else { format!("{group}0") };
    }
    Ok(found)
}
