//! One commit of a shard of a store: what is put and deleted, with the tables open once for all of it.
//!
//! Invariants:
//!
//! - an object's row and its bytes go in one transaction, and come in one unless its row is written later;
//! - small objects go into packs, if the set is of version 2 or newer; others have chunks of their own;
//! - the rows of small objects are written later in a set of version 3 ([`Recent`]), all others at once;
//! - what a pack holds of deleted objects is less than what is alive in it, or the pack is written anew.

use std::collections::BTreeSet;

use redb::{ReadableTable, Table, WriteTransaction};
use walkeep_core::shards::ShardLayout;
use walkeep_core::{Body, Error, ObjectPath, Result, UnixMillis};

use super::checked;
use super::failure::{Failure, Step};
use super::fronts::NewFronts;
use super::later::Later;
use super::objects::{CHUNK_LEN, CHUNKS, CHUNKS_TABLE, Neighbours, OBJECTS_TABLE, chunk_key};
use super::open_shard::Rows;
use super::packs::{self, DATE_LEN, NewPack, PACKS_TABLE, Record};
use super::recent::Change;
use super::row::{Row, Whereabouts};

pub(super) type Objects<'t> = Table<'t, &'static str, &'static [u8]>;
type Chunks<'t> = Table<'t, (&'static str, u32), &'static [u8]>;

/// The tables of a shard, in a transaction that writes.
pub(super) struct Writing<'t> {
    objects: Objects<'t>,
    chunks: Chunks<'t>,
    /// `None` where no packs are written.
    packs: Option<Packs<'t>>,
    /// `None` where rows are written at once.
    later: Option<Later<'t>>,
    fronts: NewFronts<'t>,
}

struct Packs<'t> {
    table: Table<'t, u64, &'static [u8]>,
    new: NewPack,
    /// The number of the new one.
    number: u64,
    /// What it was at the beginning.
    first: u64,
    /// Those of which something was deleted.
    loosened: BTreeSet<u64>,
    /// Whether they say when their objects were stored.
    dated: bool,
}

impl Packs<'_> {
    /// Appends an object to the new pack, or begins another one if it has no room.
    fn append(
        &mut self,
        path: &str,
        body: &Body,
        record_len: usize,
        stored: UnixMillis,
    ) -> Step<Result<Whereabouts>> {
        if !self.new.has_room(record_len + if self.dated { DATE_LEN } else { 0 }) {
            self.store()?;
        }
        if self.dated {
            self.new.date(stored);
        }
        let number = self.number;
        Ok(self.new.append(path, body).map(|offset| Whereabouts::Pack { number, offset }))
    }

    fn store(&mut self) -> Step<()> {
        if !self.new.is_empty() {
            self.table.insert(self.number, self.new.seal(self.number))?;
            self.new.clear();
            let next = self.number.checked_add(1);
            self.number = next.ok_or_else(|| Error::Exhausted { what: "the numbers of packs".into() })?;
        }
        Ok(())
    }
}

impl<'t> Writing<'t> {
    /// Opens the tables of a shard in a set of this version, whose rows that are not written yet are these.
    pub(super) fn begin(
        transaction: &'t WriteTransaction,
        version: u32,
        rows: Rows<'t>,
        rows_max: usize,
    ) -> Step<Self> {
        let objects = transaction.open_table(OBJECTS_TABLE)?;
        let chunks = transaction.open_table(CHUNKS_TABLE)?;
        let later = if version >= ShardLayout::ROWS_LATER {
            Some(Later::begin(transaction, rows.recent, rows_max)?)
        } else {
            None
        };
        let packs = if version >= ShardLayout::PACKED {
            let table = transaction.open_table(PACKS_TABLE)?;
            let next = table.last()?.map_or(0, |(last, _)| last.value().saturating_add(1));
            // What is before the mark is not read back: no new pack may be there, also when the last ones are gone.
            let number = later.as_ref().map_or(next, |later| next.max(later.mark()));
            let (new, loosened) = (NewPack::new(), BTreeSet::new());
            Some(Packs { table, new, number, first: number, loosened, dated: later.is_some() })
        } else {
            None
        };
        Ok(Self { objects, chunks, packs, later, fronts: rows.fronts })
    }

    /// Creates an object, unless there is one of this name. What is wrong with its body is the inner result, and leaves
    /// nothing behind.
    pub(super) fn put_new(&mut self, path: &ObjectPath, body: &Body, now: UnixMillis) -> Step<Result<()>> {
        let path = path.as_str();
        let follows = match self.look(path) {
            Ok(Neighbours::Others { follows }) => follows,
            Ok(Neighbours::Itself) => return Ok(Err(Error::AlreadyExists { what: path.into() })),
            // Damage beside this object is the concern of no other one in the same commit.
            Err(Failure::Own(error)) => return Ok(Err(error)),
            Err(failure) => return Err(failure),
        };
        if !follows {
            self.fronts.set(path);
        }
        let whereabouts = match (&mut self.packs, packs::record_len(path, body)) {
            (Some(packs), Some(record_len)) => packs.append(path, body, record_len, now)?,
            _ => self.put_chunks(path, body)?,
        };
        let whereabouts = match whereabouts {
            Ok(whereabouts) => whereabouts,
            Err(error) => return Ok(Err(error)),
        };
        let row = Row { len: body.len(), stored: now, whereabouts };
        match (&mut self.later, whereabouts) {
            (Some(later), Whereabouts::Pack { .. }) => later.put(path, row),
            _ => drop(self.objects.insert(path, &*row.encode(path))?),
        }
        Ok(Ok(()))
    }

    /// Looks whether a name is there, in the table and among the rows that are not in it.
    fn look(&self, path: &str) -> Step<Neighbours> {
        if self.fronts.leads(path) {
            return Ok(Neighbours::Others { follows: false });
        }
        let later = self.later.as_ref();
        if later.is_some_and(|later| later.get(path).is_some()) {
            return Ok(Neighbours::Itself);
        }
        let mut found = Neighbours::check(&self.objects, path)?;
        if let Neighbours::Others { follows } = &mut found {
            *follows |= later.is_some_and(|later| later.follows(path));
        }
        Ok(found)
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
        self.write_rows_before_deleting(path)?;
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

    /// Writes all rows if this object is in a pack that would be read back.
    fn write_rows_before_deleting(&mut self, path: &str) -> Step<()> {
        let Some(later) = &self.later else { return Ok(()) };
        let written = match later.get(path) {
            Some(row) => Some(Ok(row)),
            None => self.objects.get(path)?.map(|row| Row::decode(path, row.value())),
        };
        match written {
            Some(Ok(Row { whereabouts: Whereabouts::Pack { number, .. }, .. })) if number < later.mark() => {
                Ok(())
            }
            None | Some(Ok(Row { whereabouts: Whereabouts::Chunks(_), .. })) => Ok(()),
            // Also when nobody knows where it is.
            Some(_) => self.write_all_rows(),
        }
    }

    /// Writes the rows that wait.
    pub(super) fn write_all_rows(&mut self) -> Step<()> {
        let (Some(later), Some(packs)) = (&mut self.later, &mut self.packs) else { return Ok(()) };
        packs.store()?;
        later.write_all(&mut self.objects, packs.number)
    }

    /// Stores what is left to store, and says what becomes of the rows in memory. Without it the transaction must not be committed.
    pub(super) fn finish(mut self) -> Step<Change> {
        let fronts = self.fronts.finish();
        let Some(packs) = &mut self.packs else { return Ok(Change { fronts, ..Change::default() }) };
        packs.store()?;
        for number in std::mem::take(&mut packs.loosened) {
            tidy(&mut self.objects, packs, number)?;
        }
        packs.store()?;
        let stored = packs.first..packs.number;
        let change = match self.later {
            Some(later) => later.finish(&mut self.objects, stored)?,
            None => Change::default(),
        };
        Ok(Change { fronts, ..change })
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
        let moved = packs.append(path, &Body::from(body.to_vec()), record.len(), row.stored)??;
        objects.insert(path, &*Row { whereabouts: moved, ..row }.encode(path))?;
    }
    packs.table.remove(number)?;
    Ok(())
}
