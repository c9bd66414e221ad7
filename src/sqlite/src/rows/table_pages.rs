//! Which pages of a database belong to which table, so that a table none of whose pages were written need not be read.
//!
//! Invariants:
//!
//! - all pages of a table are known, or nothing is: also the overflow pages, which SQLite finds by walking the table
//!   (`dbstat`);
//! - a page belongs to one table. A file in which two have one is damaged, and nothing is known of it.
//!
//! A table changes only where one of its own pages is written: what joins it, or leaves it, is named by one of them. So
//! what is known of the database before a commit says which tables it can have changed, and only these are walked again.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, Statement};

use super::database::Database;

/// The pages that may differ between two databases.
#[derive(Debug)]
pub(super) struct Written {
    /// Those that were written.
    pub(super) pages: Vec<u32>,
    /// Those beyond it were cut off in between, whatever stands there now.
    pub(super) smallest_size: u32,
}

/// Which pages belong to which table.
#[derive(Debug, Default)]
pub(super) struct TablePages {
    /// The number of the table that page 1 belongs to, page 2, and so on; 0: none, or an index.
    owners: Vec<u32>,
    numbers: BTreeMap<String, u32>,
}

impl TablePages {
    /// The pages of these tables; `None` where that cannot be told.
    pub(super) fn of<'a>(database: &Database, tables: impl Iterator<Item = &'a String>) -> Option<Self> {
        Self::default().walked(database, tables)
    }

    /// The tables that have pages among these.
    pub(super) fn touched(&self, written: &Written) -> BTreeSet<&str> {
        let beyond = self.owners.iter().skip(written.smallest_size as usize);
        let at = |page: &u32| self.owners.get(page.checked_sub(1)? as usize);
        let numbers = written.pages.iter().filter_map(at).chain(beyond).collect::<BTreeSet<_>>();
        let names = self.numbers.iter().filter(|(_, number)| numbers.contains(number));
        names.map(|(name, _)| name.as_str()).collect()
    }

    /// The same, where only these tables changed, among all that are there.
    pub(super) fn after(
        mut self,
        database: &Database,
        changed: &[&String],
        is_there: impl Fn(&str) -> bool,
    ) -> Option<Self> {
        let goes = |name: &String| changed.contains(&name) || !is_there(name);
        let gone = self.numbers.iter().filter(|(name, _)| goes(name)).map(|(_, number)| *number);
        let gone = gone.collect::<BTreeSet<_>>();
        self.numbers.retain(|_, number| !gone.contains(number));
        self.owners.iter_mut().filter(|owner| gone.contains(owner)).for_each(|owner| *owner = 0);
        self.walked(database, changed.iter().copied())
    }

    fn walked<'a>(mut self, database: &Database, tables: impl Iterator<Item = &'a String>) -> Option<Self> {
        let mut walk = walk(&database.connection).ok()?;
        for table in tables {
            let number = self.numbers.values().max().map_or(1, |last| last + 1);
            self.numbers.insert(table.clone(), number);
            self.walk(&mut walk, table, number).ok().flatten()?;
        }
        Some(self)
    }

    /// Notes the pages of a table; `None` where it is damaged.
    fn walk(&mut self, walk: &mut Statement<'_>, table: &str, number: u32) -> rusqlite::Result<Option<()>> {
        let mut pages = walk.query([table])?;
        while let Some(page) = pages.next()? {
            if page.get_ref(1)?.as_str()? == "corrupted" {
                return Ok(None);
            }
            let at = page.get::<_, u32>(0)?.saturating_sub(1) as usize;
            if at >= self.owners.len() {
                self.owners.resize(at + 1, 0);
            }
            match self.owners.get_mut(at) {
                Some(owner @ 0) => *owner = number,
                _ => return Ok(None),
            }
        }
        Ok(Some(()))
    }
}

/// A statement that walks one table. No table of the file can pass itself off as what it asks.
fn walk(connection: &Connection) -> rusqlite::Result<Statement<'_>> {
    connection.execute_batch("CREATE VIRTUAL TABLE IF NOT EXISTS temp.walkeep_pages USING dbstat(main)")?;
    connection.prepare("SELECT pageno, pagetype FROM temp.walkeep_pages WHERE name = ?1")
}
