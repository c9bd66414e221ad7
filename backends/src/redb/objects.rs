//! The objects of a store in one shard: two tables, and what is written into and read from them.
//!
//! - `objects`: the path → the object's length, the length of its chunks and when it was stored;
//! - `chunks`: the path and the chunk's number → the chunk. Many chunks, so that a range is read without the rest.
//!
//! Invariant: an object's row and all its chunks come and go in one transaction.

use std::ops::{Bound, Range};

use bytes::{Bytes, BytesMut};
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};
use walkeep_core::{Body, ByteRange, Error, ObjectMeta, ObjectPath, Result, UnixMillis};

use super::checked;
use super::failure::{Failure, Step};

const OBJECTS: &str = "objects";
const CHUNKS: &str = "chunks";

type ObjectsDefinition = TableDefinition<'static, &'static str, &'static [u8]>;
type ChunksDefinition = TableDefinition<'static, (&'static str, u32), &'static [u8]>;

const OBJECTS_TABLE: ObjectsDefinition = TableDefinition::new(OBJECTS);
const CHUNKS_TABLE: ChunksDefinition = TableDefinition::new(CHUNKS);

/// The length of a chunk, in bytes: with its key and its checksum it fits the 64 KiB that redb gives it.
const CHUNK_LEN: u32 = 62 << 10;

/// What stands in the table of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    len: u64,
    chunk_len: u32,
    stored: UnixMillis,
}

const ROW_LEN: usize = 20;

impl Row {
    fn encode(self) -> [u8; ROW_LEN] {
        let mut bytes = [0; ROW_LEN];
        let (len, rest) = bytes.split_at_mut(8);
        let (chunk_len, stored) = rest.split_at_mut(4);
        len.copy_from_slice(&self.len.to_le_bytes());
        chunk_len.copy_from_slice(&self.chunk_len.to_le_bytes());
        stored.copy_from_slice(&self.stored.get().to_le_bytes());
        bytes
    }

    /// The row of an object, once its checksum held.
    fn decode(path: &str, stored: &[u8]) -> Result<Self> {
        let content = checked::unwrap(path, OBJECTS, path.as_bytes(), stored)?;
        let unknown = || Error::corrupt(path, 0, "a row of an object", format!("{} bytes", content.len()));
        let (len, rest) = content.split_first_chunk::<8>().ok_or_else(unknown)?;
        let (chunk_len, rest) = rest.split_first_chunk::<4>().ok_or_else(unknown)?;
        let (stored, rest) = rest.split_first_chunk::<8>().ok_or_else(unknown)?;
        let row = Self {
            len: u64::from_le_bytes(*len),
            chunk_len: u32::from_le_bytes(*chunk_len),
            stored: UnixMillis(u64::from_le_bytes(*stored)),
        };
        if rest.is_empty() && row.chunk_len > 0 { Ok(row) } else { Err(unknown()) }
    }
}

fn chunk_key(path: &str, number: u32) -> Vec<u8> {
    [path.as_bytes(), &number.to_be_bytes()].concat()
}

/// The table, or `None` while nothing was ever written.
fn existing<T>(opened: Result<T, TableError>) -> Step<Option<T>> {
    match opened {
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

/// Creates an object, unless there is one of this name. What is wrong with its body is the inner result, and leaves nothing
/// behind.
pub(super) fn put_new(
    transaction: &WriteTransaction,
    path: &ObjectPath,
    body: &Body,
    now: UnixMillis,
) -> Step<Result<()>> {
    let path = path.as_str();
    let mut objects = transaction.open_table(OBJECTS_TABLE)?;
    if objects.get(path)?.is_some() {
        return Ok(Err(Error::AlreadyExists { what: path.into() }));
    }
    match check_neighbours(&objects, path) {
        // Damage beside this object is the concern of no other one in the same commit.
        Err(Failure::Own(error)) => return Ok(Err(error)),
        checked => checked?,
    }
    let mut chunks = transaction.open_table(CHUNKS_TABLE)?;
    if let Err(error) = put_chunks(&mut chunks, path, body)? {
        remove_chunks(&mut chunks, path)?;
        return Ok(Err(error));
    }
    let row = Row { len: body.len(), chunk_len: CHUNK_LEN, stored: now };
    objects.insert(path, &*checked::wrap(OBJECTS, path.as_bytes(), &row.encode()))?;
    Ok(Ok(()))
}

fn put_chunks(
    chunks: &mut Table<'_, (&'static str, u32), &'static [u8]>,
    path: &str,
    body: &Body,
) -> Step<Result<()>> {
    let mut buffer = Vec::new();
    let mut offset = 0;
    let mut number = 0_u32;
    while offset < body.len() {
        let len = (body.len() - offset).min(CHUNK_LEN.into());
        buffer.resize(usize::try_from(len).unwrap_or_default(), 0);
        if let Err(error) = body.read_exact_at(offset, &mut buffer) {
            return Ok(Err(Error::io(format!("read the body of {path}"), error)));
        }
        chunks.insert((path, number), &*checked::wrap(CHUNKS, &chunk_key(path, number), &buffer))?;
        let Some(next) = number.checked_add(1) else {
            return Ok(Err(Error::Exhausted { what: format!("{path} is larger than a store can hold") }));
        };
        (number, offset) = (next, offset + len);
    }
    Ok(Ok(()))
}

fn remove_chunks(chunks: &mut Table<'_, (&'static str, u32), &'static [u8]>, path: &str) -> Step<()> {
    Ok(chunks.retain_in((path, 0)..=(path, u32::MAX), |_, _| false)?)
}

/// Deletes an object; one that is not there is done already.
pub(super) fn delete(transaction: &WriteTransaction, path: &ObjectPath) -> Step<()> {
    let path = path.as_str();
    transaction.open_table(OBJECTS_TABLE)?.remove(path)?;
    // Whatever its row says, or whether it can be read.
    remove_chunks(&mut transaction.open_table(CHUNKS_TABLE)?, path)
}

/// The bytes of an object in a range, each chunk checked.
pub(super) fn get(transaction: &ReadTransaction, path: &ObjectPath, range: &ByteRange) -> Step<Bytes> {
    let path = path.as_str();
    let missing = || Error::not_found(path);
    let objects = existing(transaction.open_table(OBJECTS_TABLE))?.ok_or_else(missing)?;
    let Some(row) = objects.get(path)? else {
        check_neighbours(&objects, path)?;
        return Err(missing().into());
    };
    let row = Row::decode(path, row.value())?;
    let range = range.resolve(row.len);
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    let chunks = existing(transaction.open_table(CHUNKS_TABLE))?
        .ok_or_else(|| Error::corrupt(path, 0, "chunks", "none"))?;
    let chunk_len = u64::from(row.chunk_len);
    let number = |offset: u64| u32::try_from(offset / chunk_len).unwrap_or(u32::MAX);
    let (first, last) = (number(range.start), number(range.end - 1));
    let mut found = BytesMut::new();
    for number in first..=last {
        let offset = u64::from(number) * chunk_len;
        let lost = || Error::corrupt(path, offset, "a chunk", "none");
        let chunk = chunks.get((path, number))?.ok_or_else(lost)?;
        let chunk = checked::unwrap(path, CHUNKS, &chunk_key(path, number), chunk.value())?;
        let expected = chunk_len.min(row.len - offset);
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

/// That a name is not there may also come from a flipped bit in a key. The key that was flipped stands next to where it is
/// looked for, if not in another page, and the checksum of its value tells.
fn check_neighbours(objects: &impl ReadableTable<&'static str, &'static [u8]>, path: &str) -> Step<()> {
    let neighbours = [objects.range(..path)?.next_back(), objects.range(path..)?.next()];
    for neighbour in neighbours.into_iter().flatten() {
        let (path, row) = neighbour?;
        Row::decode(path.value(), row.value())?;
    }
    Ok(())
}

/// At most `limit` objects below `prefix`, in key order, strictly behind `after` (a key, or the prefix itself).
pub(super) fn list(
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
        let row = Row::decode(path, row.value())?;
        let meta = ObjectMeta { path: ObjectPath::new(path)?, size: row.len, modified: Some(row.stored) };
        if meta.path.below(prefix).is_some() {
            found.push(meta);
        }
    }
    Ok(found)
}

/// The names of the directories directly below `prefix` that hold an object, at most `limit` behind the name `after`, in
/// order of `{name}/`. One look-up for each.
pub(super) fn directories(
    transaction: &ReadTransaction,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Step<Vec<String>> {
    let Some(objects) = existing(transaction.open_table(OBJECTS_TABLE))? else { return Ok(Vec::new()) };
    let lead = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    // The character behind '/': what is in the directory `name` lies before `name0`.
    let behind = |name: &str| format!("{lead}{name}0");
    let mut from = after.map_or_else(|| lead.clone(), behind);
    let mut found = Vec::new();
    while found.len() < limit {
        let Some(entry) = objects.range(&*from..)?.next() else { break };
        let (path, row) = entry?;
        let path = path.value();
        let Some(rest) = path.strip_prefix(&lead) else { break };
        Row::decode(path, row.value())?;
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

/// What an object is kept with: the first two components of its path, `namespaces/{name}`.
pub(super) fn group_of(path: &str) -> &str {
    let second = path.split_once('/').and_then(|(first, rest)| rest.find('/').map(|at| first.len() + 1 + at));
    second.and_then(|end| path.get(..end)).unwrap_or(path)
}

/// Hands every group of a shard to `see`, one look-up for each.
pub(super) fn each_group(transaction: &ReadTransaction, see: &mut dyn FnMut(&str)) -> Step<()> {
    let Some(objects) = existing(transaction.open_table(OBJECTS_TABLE))? else { return Ok(()) };
    let mut from = String::new();
    while let Some(entry) = objects.range(&*from..)?.next() {
        let path = entry?.0;
        let (path, group) = (path.value(), group_of(path.value()));
        see(group);
        // An object that is named like a group stands before what is in it.
        from = if path == group { format!("{path}\0") } else { format!("{group}0") };
    }
    Ok(())
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

    #[test]
    fn rows_read_back() {
        let row = Row { len: 5, chunk_len: 7, stored: UnixMillis(9) };
        let stored = checked::wrap(OBJECTS, b"x", &row.encode());
        assert_eq!(Row::decode("x", &stored).unwrap(), row);
        assert!(Row::decode("y", &stored).is_err());
        let nothing = Row { chunk_len: 0, ..row };
        assert!(Row::decode("x", &checked::wrap(OBJECTS, b"x", &nothing.encode())).is_err());
    }
}
