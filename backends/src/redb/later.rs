//! The rows of one commit that are written later, and those whose time has come: the writing side of [`Recent`].
//!
//! When more rows wait than may, a *round* begins: each commit writes twice as many as it brings, in the order of their paths, so that no
//! commit takes long and neighbours come into a page together. At its end the mark moves to where the round began.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use redb::{Table, WriteTransaction};

use super::failure::Step;
use super::fronts::is_beside;
use super::recent::{self, Change, MARK, MARKS_TABLE, Recent, Round, Written};
use super::row::Row;
use super::writing::Objects;

/// A round takes at most this many commits.
const ROUND_COMMITS: usize = 64;

/// What a commit knows of rows that are not in the table.
pub(super) struct Later<'t> {
    marks: Table<'t, &'static str, &'static [u8]>,
    mark: u64,
    /// Those of earlier commits.
    recent: &'t Recent,
    rows_max: usize,
    /// Those of this one.
    new: BTreeMap<Box<str>, Row>,
    /// Whether those of earlier commits are in the table.
    all_written: bool,
}

impl<'t> Later<'t> {
    pub(super) fn begin(
        transaction: &'t WriteTransaction,
        recent: &'t Recent,
        rows_max: usize,
    ) -> Step<Self> {
        let marks = transaction.open_table(MARKS_TABLE)?;
        let mark = recent::mark(Some(&marks))?;
        Ok(Self { marks, mark, recent, rows_max, new: BTreeMap::new(), all_written: false })
    }

    /// The first pack whose rows need not be in the table.
    pub(super) const fn mark(&self) -> u64 {
        self.mark
    }

    /// The row of an object, if it is not in the table.
    pub(super) fn get(&self, path: &str) -> Option<Row> {
        let earlier = || self.recent.get(path).filter(|_| !self.all_written);
        self.new.get(path).copied().or_else(earlier)
    }

    /// Whether the object before this one, of those that are not in the table, is in the same directory.
    pub(super) fn follows(&self, path: &str) -> bool {
        let new = self.new.range::<str, _>((Bound::Unbounded, Bound::Excluded(path))).next_back();
        let new = new.map(|(before, _)| &**before);
        [new, self.recent.last_before(path)].into_iter().flatten().any(|before| is_beside(before, path))
    }

    pub(super) fn put(&mut self, path: &str, row: Row) {
        self.new.insert(path.into(), row);
    }

    fn set_mark(&mut self, mark: u64) -> Step<()> {
        self.mark = mark;
        self.marks.insert(MARK, &*recent::encode_mark(mark))?;
        Ok(())
    }

    /// Writes all rows; all packs are before this number.
    pub(super) fn write_all(&mut self, objects: &mut Objects<'_>, number: u64) -> Step<()> {
        if !self.all_written {
            for (path, row) in self.recent.behind(None) {
                objects.insert(path, &*row.encode(path))?;
            }
        }
        for (path, row) in std::mem::take(&mut self.new) {
            objects.insert(&*path, &*row.encode(&path))?;
        }
        self.all_written = true;
        self.set_mark(number)
    }

    /// Writes the rows whose time has come; `stored` are the numbers of the packs of this commit.
    pub(super) fn finish(mut self, objects: &mut Objects<'_>, stored: Range<u64>) -> Step<Change> {
        let none_waits = self.new.is_empty() && (self.all_written || self.recent.is_empty());
        if none_waits && self.mark < stored.end {
            // What was moved into new packs has its row in the table, and need not be read back.
            self.set_mark(stored.end)?;
        }
        if self.all_written {
            return Ok(Change { new: self.new, written: Written::All, ..Change::default() });
        }
        let full = self.recent.len() + self.new.len() > self.rows_max;
        let begun = || full.then_some(Round { last: None, mark: stored.start });
        let Some(mut round) = self.recent.round().cloned().or_else(begun) else {
            return Ok(Change { new: self.new, ..Change::default() });
        };
        let count = (2 * self.new.len()).max(self.rows_max / ROUND_COMMITS).max(1);
        let mut written = Vec::new();
        let mut rows = self.recent.behind(round.last.as_deref());
        for (path, row) in rows.by_ref().take(count) {
            objects.insert(path, &*row.encode(path))?;
            written.push(Box::<str>::from(path));
        }
        let over = rows.next().is_none();
        drop(rows);
        if over {
            self.set_mark(round.mark)?;
        } else {
            round.last = written.last().cloned().or(round.last);
        }
        let round = (!over).then_some(round);
        Ok(Change { new: self.new, written: Written::These(written), round, ..Change::default() })
    }
}
