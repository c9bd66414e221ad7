//! Rows of small objects that were stored lately: they are in memory until many of them are written into the table at once, neighbours
//! together. Until then the packs are their log: opening a shard reads the rows back from them.
//!
//! Invariants (sets of version 3):
//!
//! - the *mark* is a pack's number. All objects of packs before it have their rows in the table; those of the packs from it on are
//!   all alive, and their rows here or, after an unfinished round, in both places and alike;
//! - a deletion of what is in a pack from the mark on first writes all rows, and sets the mark behind all packs ([`Writing`]);
//! - what is here is never newer than a transaction that was begun while it was looked at ([`Shard::read_rows`]).
//!
//! [`Writing`]: super::writing::Writing
//! [`Shard::read_rows`]: super::shard::Shard

use std::collections::BTreeMap;
use std::ops::Bound;

use redb::{ReadTransaction, ReadableTable, TableDefinition};
use walkeep_core::Error;

use super::checked;
use super::failure::Step;
use super::fronts::Moved;
use super::objects::existing;
use super::packs::{self, PACKS_TABLE};
use super::row::{Row, Whereabouts};

/// The name of the table of the mark, which is in its checksum.
const MARKS: &str = "marks";

type MarksDefinition = TableDefinition<'static, &'static str, &'static [u8]>;

pub(super) const MARKS_TABLE: MarksDefinition = TableDefinition::new(MARKS);

/// The key of the mark.
pub(super) const MARK: &str = "rows are written before pack";

/// The mark, as it is stored.
pub(super) fn encode_mark(mark: u64) -> Vec<u8> {
    checked::wrap(MARKS, MARK.as_bytes(), &mark.to_le_bytes())
}

/// The stored mark; 0 where none was ever set.
pub(super) fn mark(marks: Option<&impl ReadableTable<&'static str, &'static [u8]>>) -> Step<u64> {
    let Some(marks) = marks else { return Ok(0) };
    let Some(stored) = marks.get(MARK)? else { return Ok(0) };
    let content = checked::unwrap("the mark of the rows", MARKS, MARK.as_bytes(), stored.value())?;
    let content = <[u8; 8]>::try_from(content);
    let content =
        content.map_err(|_| Error::corrupt("the mark of the rows", 0, "a number", "something else"))?;
    Ok(u64::from_le_bytes(content))
}

/// A round of writing rows into the table, in the order of their paths, a part with each commit.
#[derive(Clone, Debug)]
pub(super) struct Round {
    /// The last path that was written.
    pub(super) last: Option<Box<str>>,
    /// The mark once it is over.
    pub(super) mark: u64,
}

/// The rows that are not in the table yet.
#[derive(Debug, Default)]
pub(super) struct Recent {
    rows: BTreeMap<Box<str>, Row>,
    round: Option<Round>,
}

/// What a commit makes of them.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// New ones.
    pub(super) new: BTreeMap<Box<str>, Row>,
    /// Which of the old ones are in the table now.
    pub(super) written: Written,
    /// The round, if it is not over.
    pub(super) round: Option<Round>,
    /// Where directories begin that have something new.
    pub(super) fronts: Moved,
}

/// Which of the rows a commit has written into the table.
#[derive(Debug, Default)]
pub(super) enum Written {
    #[default]
    None,
    These(Vec<Box<str>>),
    /// All, and some may be deleted or changed there.
    All,
}

impl Recent {
    /// The rows that a shard was left with, read back from its packs.
    ///
    /// # Errors
    ///
    /// `Corrupt` when such a pack is damaged: nobody could tell what is in it.
    pub(super) fn load(transaction: &ReadTransaction) -> Step<Self> {
        let mut rows = BTreeMap::new();
        let mark = mark(existing(transaction.open_table(MARKS_TABLE))?.as_ref())?;
        let Some(packs) = existing(transaction.open_table(PACKS_TABLE))? else { return Ok(Self::default()) };
        for entry in packs.range(mark..)? {
            let (number, stored) = entry?;
            let number = number.value();
            let content = packs::open(&format!("pack {number}"), number, stored.value())?;
            for (record, stored) in packs::dated(content) {
                let whereabouts = Whereabouts::Pack { number, offset: record.offset };
                let row = Row { len: record.body.len() as u64, stored, whereabouts };
                rows.insert(record.path.into(), row);
            }
        }
        Ok(Self { rows, round: None })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn get(&self, path: &str) -> Option<Row> {
        self.rows.get(path).copied()
    }

    pub(super) fn round(&self) -> Option<&Round> {
        self.round.as_ref()
    }

    /// In the order of their paths, strictly behind `after`.
    pub(super) fn behind<'a>(&'a self, after: Option<&str>) -> impl Iterator<Item = (&'a str, Row)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.rows.range::<str, _>((from, Bound::Unbounded)).map(|(path, row)| (&**path, *row))
    }

    /// The first path that is not before `from`.
    pub(super) fn first_from(&self, from: &str) -> Option<&str> {
        self.rows.range::<str, _>((Bound::Included(from), Bound::Unbounded)).next().map(|(path, _)| &**path)
    }

    /// The last path that is before this one.
    pub(super) fn last_before(&self, path: &str) -> Option<&str> {
        self.rows
            .range::<str, _>((Bound::Unbounded, Bound::Excluded(path)))
            .next_back()
            .map(|(path, _)| &**path)
    }

    /// Follows a commit, once it is durable.
    pub(super) fn apply(&mut self, change: Change) {
        match change.written {
            Written::None => {}
            Written::These(paths) => {
                for path in paths {
                    self.rows.remove(&path);
                }
            }
            Written::All => self.rows.clear(),
        }
        self.round = change.round;
        self.rows.extend(change.new);
    }
}

impl Change {
    /// Whether what was known before the commit must not be used after it.
    pub(super) fn outdates(&self) -> bool {
        matches!(self.written, Written::All)
    }
}
