//! One commit of a shard of a store: what is put and deleted, with the tables open once for all of it.
//!
//! Invariants:
//!
//! - an object's row and its bytes come and go in one transaction;
//! - small objects go into packs, if the set is of version 2; others have chunks of their own;
//! - what a pack holds of deleted objects is less than what is alive in it, or the pack is written anew.

use std::collections::BTreeSet;

use redb::{ReadableTable, Table, WriteTransaction};
use walkeep_core::{Body, Error, ObjectPath, Result, UnixMillis};

use super::checked;
use super::failure::{Failure, Step};
use super::objects::{CHUNK_LEN, CHUNKS, CHUNKS_TABLE, OBJECTS_TABLE, check_neighbours, chunk_key};
use super::packs::{self, NewPack, PACKS_TABLE, Record};
use super::row::{Row, Whereabouts};

type Objects<'t> = Table<'t, &'static str, &'static [u8]>;
type Chunks<'t> = Table<'t, (&'static str, u32), &'static [u8]>;

/// The tables of a shard, in a transaction that writes.
pub(super) struct Writing<'t> {
    objects: Objects<'t>,
    chunks: Chunks<'t>,
    /// `None` where no packs are written.
    packs: Option<Packs<'t>>,
}

struct Packs<'t> {
    table: Table<'t, u64, &'static [u8]>,
    new: NewPack,
    /// The number of the new one.
    number: u64,
    /// Those of which something was deleted.
    loosened: BTreeSet<u64>,
}

impl Packs<'_> {
    /// Appends an object to the new pack, or begins another one if it has no room.
    fn append(&mut self, path: &str, body: &Body, record_len: usize) -> Step<Result<Whereabouts>> {
        if !self.new.has_room(record_len) {
            self.store()?;
        }
        let number = self.number;
        Ok(self.new.append(path, body).map(|offset| Whereabouts::Pack { number, offset }))
    }

    fn store(&mut self) -> Step<()> {
        if !self.new.is_empty() {
            let new = std::mem::replace(&mut self.new, NewPack::new());
            self.table.insert(self.number, &*new.seal(self.number))?;
            let next = self.number.checked_add(1);
            self.number = next.ok_or_else(|| Error::Exhausted { what: "the numbers of packs".into() })?;
        }
        Ok(())
    }
}

impl<'t> Writing<'t> {
    /// Opens the tables; `packed` is whether small objects go into packs.
    pub(super) fn begin(transaction: &'t WriteTransaction, packed: bool) -> Step<Self> {
        let objects = transaction.open_table(OBJECTS_TABLE)?;
        let chunks = transaction.open_table(CHUNKS_TABLE)?;
        let packs = if packed {
            let table = transaction.open_table(PACKS_TABLE)?;
            let number = table.last()?.map_or(0, |(last, _)| last.value().saturating_add(1));
            Some(Packs { table, new: NewPack::new(), number, loosened: BTreeSet::new() })
        } else {
            None
        };
        Ok(Self { objects, chunks, packs })
    }

    /// Creates an object, unless there is one of this name. What is wrong with its body is the inner result, and leaves
    /// nothing behind.
    pub(super) fn put_new(&mut self, path: &ObjectPath, body: &Body, now: UnixMillis) -> Step<Result<()>> {
        let path = path.as_str();
        match check_neighbours(&self.objects, path) {
            Ok(false) => {}
            Ok(true) => return Ok(Err(Error::AlreadyExists { what: path.into() })),
            // Damage beside this object is the concern of no other one in the same commit.
            Err(Failure::Own(error)) => return Ok(Err(error)),
            Err(failure) => return Err(failure),
        }
        let whereabouts = match (&mut self.packs, packs::record_len(path, body)) {
            (Some(packs), Some(record_len)) => packs.append(path, body, record_len)?,
            _ => self.put_chunks(path, body)?,
        };
        let whereabouts = match whereabouts {
            Ok(whereabouts) => whereabouts,
            Err(error) => return Ok(Err(error)),
        };
        let row = Row { len: body.len(), stored: now, whereabouts };
        self.objects.insert(path, &*row.encode(path))?;
        Ok(Ok(()))
    }

    fn put_chunks(&mut self, path: &str, body: &Body) -> Step<Result<Whereabouts>> {
        let mut buffer = Vec::new();
        let mut offset = 0;
        let mut number = 0_u32;
        while offset < body.len() {
            let len = (body.len() - offset).min(CHUNK_LEN.into());
            buffer.resize(usize::try_from(len).unwrap_or_default(), 0);
            if let Err(error) = body.read_exact_at(offset, &mut buffer) {
                self.remove_chunks(path)?;
                return Ok(Err(Error::io(format!("read the body of {path}"), error)));
            }
            let value = checked::wrap(CHUNKS, &chunk_key(path, number), &buffer);
            self.chunks.insert((path, number), &*value)?;
            let Some(next) = number.checked_add(1) else {
                self.remove_chunks(path)?;
                let what = format!("{path} is larger than a store can hold");
                return Ok(Err(Error::Exhausted { what }));
            };
            (number, offset) = (next, offset + len);
        }
        Ok(Ok(Whereabouts::Chunks(CHUNK_LEN)))
    }

    fn remove_chunks(&mut self, path: &str) -> Step<()> {
        Ok(self.chunks.retain_in((path, 0)..=(path, u32::MAX), |_, _| false)?)
    }

    /// Deletes an object; one that is not there is done already.
    pub(super) fn delete(&mut self, path: &ObjectPath) -> Step<()> {
        let path = path.as_str();
        let row = self.objects.remove(path)?.map(|row| Row::decode(path, row.value()));
        match (row, &mut self.packs) {
            (Some(Ok(Row { whereabouts: Whereabouts::Pack { number, .. }, .. })), Some(packs)) => {
                packs.loosened.insert(number);
                Ok(())
            }
            // Whatever its row says, or whether it can be read.
            _ => self.remove_chunks(path),
        }
    }

    /// Stores what is left to store. Without it the transaction must not be committed.
    pub(super) fn finish(mut self) -> Step<()> {
        let Some(packs) = &mut self.packs else { return Ok(()) };
        packs.store()?;
        for number in std::mem::take(&mut packs.loosened) {
            tidy(&mut self.objects, packs, number)?;
        }
        packs.store()
    }
}

/// Removes a pack of which less than half is alive; what is goes to the new one.
fn tidy(objects: &mut Objects<'_>, packs: &mut Packs<'_>, number: u64) -> Step<()> {
    let Some(stored) = packs.table.get(number)?.map(|stored| stored.value().to_vec()) else { return Ok(()) };
    let content = match packs::open("a pack", number, &stored) {
        Ok(content) => content,
        Err(error) => {
            tracing::warn!(number, %error, "a damaged pack is left as it is");
            return Ok(());
        }
    };
    let mut alive = Vec::new();
    for record in packs::records(content) {
        let row = objects.get(record.path)?.map(|row| Row::decode(record.path, row.value()));
        match row {
            Some(Ok(row)) if row.whereabouts == (Whereabouts::Pack { number, offset: record.offset }) => {
                alive.push((record, row));
            }
            Some(Err(error)) => {
                tracing::warn!(number, %error, "a pack with a damaged row is left as it is");
                return Ok(());
            }
            _ => {}
        }
    }
    if alive.iter().map(|(record, _)| record.len()).sum::<usize>() * 2 >= content.len() {
        return Ok(());
    }
    for (record, row) in alive {
        let Record { path, body, .. } = record;
        let moved = packs.append(path, &Body::from(body.to_vec()), record.len())??;
        objects.insert(path, &*Row { whereabouts: moved, ..row }.encode(path))?;
    }
    packs.table.remove(number)?;
    Ok(())
}
