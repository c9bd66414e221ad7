//! The objects of a store in one shard: the tables, and what is read from them.
//!
//! - `objects`: the path → the object's [`Row`];
//! - `chunks`: the path and the chunk's number → the chunk. Many chunks, so that a range is read without the rest;
//! - `packs`: a number → many small objects ([`packs`]);
//! - `marks`: which packs have all their rows in `objects` ([`recent`](super::recent)).
//!
//! They are written by [`Writing`](super::writing::Writing).

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError};
use walkeep_core::{ByteRange, Error, ObjectPath, Result};

use super::checked;
use super::failure::Step;
use super::fronts::is_beside;
use super::packs::{self, PACKS_TABLE, Record};
use super::row::{OBJECTS, Row, Whereabouts};
use super::shard::Shard;

pub(super) const CHUNKS: &str = "chunks";

type ObjectsDefinition = TableDefinition<'static, &'static str, &'static [u8]>;
type ChunksDefinition = TableDefinition<'static, (&'static str, u32), &'static [u8]>;

pub(super) const OBJECTS_TABLE: ObjectsDefinition = TableDefinition::new(OBJECTS);
pub(super) const CHUNKS_TABLE: ChunksDefinition = TableDefinition::new(CHUNKS);

/// The length of a chunk, in bytes: with its key and its checksum it fits the 64 KiB that redb gives it.
pub(super) const CHUNK_LEN: u32 = 62 << 10;

pub(super) fn chunk_key(path: &str, number: u32) -> Vec<u8> {
    [path.as_bytes(), &number.to_be_bytes()].concat()
}

/// The table, or `None` while nothing was ever written.
pub(super) fn existing<T>(opened: Result<T, TableError>) -> Step<Option<T>> {
    match opened {
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

/// The row of an object in the table.
fn find(transaction: &ReadTransaction, path: &str) -> Step<Row> {
    let missing = || Error::not_found(path);
    let objects = existing(transaction.open_table(OBJECTS_TABLE))?.ok_or_else(missing)?;
    let Some(row) = objects.get(path)? else {
        Neighbours::check(&objects, path)?;
        return Err(missing().into());
    };
    Ok(Row::decode(path, row.value())?)
}

/// The bytes of an object in a range, each chunk checked.
pub(super) fn get(shard: &Shard, path: &ObjectPath, range: &ByteRange) -> Result<Bytes> {
    let path = path.as_str();
    shard.read_rows(
        |recent| recent.get(path),
        |transaction, recent| {
            let row = recent.map_or_else(|| find(transaction, path), Ok)?;
            get_of_row(transaction, path, row, range)
        },
    )
}

fn get_of_row(transaction: &ReadTransaction, path: &str, row: Row, range: &ByteRange) -> Step<Bytes> {
    let range = range.resolve(row.len);
    match row.whereabouts {
        _ if range.is_empty() => Ok(Bytes::new()),
        Whereabouts::Chunks(chunk_len) => get_chunks(transaction, path, row.len, chunk_len, range),
        Whereabouts::Pack { number, offset } => {
            get_packed(transaction, path, row.len, (number, offset), &range)
        }
    }
}

fn get_packed(
    transaction: &ReadTransaction,
    path: &str,
    len: u64,
    (number, offset): (u64, u32),
    range: &Range<u64>,
) -> Step<Bytes> {
    let lost = || Error::corrupt(path, 0, format!("pack {number}"), "none");
    let packs = existing(transaction.open_table(PACKS_TABLE))?.ok_or_else(lost)?;
    let stored = packs.get(number)?.ok_or_else(lost)?;
    let record = Record::at(packs::open(path, number, stored.value())?, offset);
    let record = record.filter(|record| record.path == path && record.body.len() as u64 == len);
    let other = || Error::corrupt(path, offset.into(), format!("it in pack {number}"), "something else");
    let body = record.ok_or_else(other)?.body;
    Ok(Bytes::copy_from_slice(body.get(part(range, 0, len)).unwrap_or_default()))
}

fn get_chunks(
    transaction: &ReadTransaction,
    path: &str,
    len: u64,
    chunk_len: u32,
    range: Range<u64>,
) -> Step<Bytes> {
    let chunks = existing(transaction.open_table(CHUNKS_TABLE))?
        .ok_or_else(|| Error::corrupt(path, 0, "chunks", "none"))?;
    let chunk_len = u64::from(chunk_len);
    let number = |offset: u64| u32::try_from(offset / chunk_len).unwrap_or(u32::MAX);
    let (first, last) = (number(range.start), number(range.end - 1));
    let mut found = BytesMut::new();
    for number in first..=last {
        let offset = u64::from(number) * chunk_len;
        let lost = || Error::corrupt(path, offset, "a chunk", "none");
        let chunk = chunks.get((path, number))?.ok_or_else(lost)?;
        let chunk = checked::unwrap(path, CHUNKS, &chunk_key(path, number), chunk.value())?;
        let expected = chunk_len.min(len - offset);
        if chunk.len() as u64 != expected {
            let found = format!("one of {}", chunk.len());
            return Err(Error::corrupt(path, offset, format!("a chunk of {expected} bytes"), found).into());
        }
        found.extend_from_slice(chunk.get(part(&range, offset, expected)).unwrap_or_default());
    }
    Ok(found.freeze())
}

/// Which part of a chunk at an offset lies in a range.
fn part(range: &Range<u64>, offset: u64, len: u64) -> Range<usize> {
    let within = |at: u64| usize::try_from(at.saturating_sub(offset).min(len)).unwrap_or(usize::MAX);
    within(range.start)..within(range.end)
}

/// What is in the table where a name would stand.
pub(super) enum Neighbours {
    /// It is there.
    Itself,
    /// It is not there; whether the name before it is in the same directory.
    Others { follows: bool },
}

impl Neighbours {
    /// Looks whether a name is there. That it is not may also come from a flipped bit in a key. The key that was flipped stands next to
    /// where it is looked for, if not in another page, and the checksum of its value tells.
    pub(super) fn check(objects: &impl ReadableTable<&'static str, &'static [u8]>, path: &str) -> Step<Self> {
        if let Some(behind) = objects.range(path..)?.next() {
            let (behind, row) = behind?;
            if behind.value() == path {
                return Ok(Self::Itself);
            }
            Row::decode(behind.value(), row.value())?;
        }
        let Some(before) = objects.range(..path)?.next_back() else {
            return Ok(Self::Others { follows: false });
        };
        let (before, row) = before?;
        Row::decode(before.value(), row.value())?;
        Ok(Self::Others { follows: is_beside(before.value(), path) })
    }
}

/// What an object is kept with: the first two components of its path, `namespaces/{name}`.
pub(super) fn group_of(path: &str) -> &str {
    let second = path.split_once('/').and_then(|(first, rest)| rest.find('/').map(|at| first.len() + 1 + at));
    second.and_then(|end| path.get(..end)).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_two_components() {
        for (path, group) in
            [("a", "a"), ("a/b", "a/b"), ("a/b/c", "a/b"), ("namespaces/shop/segments/x", "namespaces/shop")]
        {
            assert_eq!(group_of(path), group);
        }
    }
}
