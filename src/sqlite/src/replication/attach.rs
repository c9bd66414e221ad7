//! Taking hold of a database, and going on from where its capture ended.
//!
//! In order, each only if the one before does not prove that nothing is missing:
//!
//! 1. the log still has the frame at which the capture ended: on from there. If the database file was written since, this
//!    is believed only if the database is what the log leads to: another file may have been copied over it;
//! 2. the log has begun anew once since, and the frames behind that place are still to be read: those first, then the new
//!    round. Believed only if the database then is what they lead to, page by page, and if the last of them is known to have
//!    been committed;
//! 3. the database is compared with the last known state, page by page: what differs becomes one commit, marked as
//!    discontinuous.
//!
//! Invariant: whatever the way, the state that is recorded for the last commit is that of the database at the mark.

use walkeep::core::{CommitKind, Error, PageHash, PageHashTable, PageNo, PageSize, Result};

use super::capturer::{Capturer, record};
use super::connection::failed;
use super::fall_back::{FallBack, Way};
use super::increment::{Increment, Pages};
use super::live_database::LiveDatabase;
use super::state::SpoolFile;
use crate::images::{ImageAt, Images};
use crate::snapshot::Snapshot;
use crate::wal_header::{Salts, follows};
use crate::wal_position::WalPosition;
use crate::wal_transactions::{Bounds, Round, WalTransaction};

/// How the log goes on from a position.
enum Continuation {
    /// It still has the position.
    Next,
    /// It has begun anew once; these are the transactions that were behind the position.
    OldTail(Vec<WalTransaction>),
    /// That cannot be told, and why.
    Lost(String),
}

/// Everything, in one reading: logs are bounded by checkpoints.
const ALL: Bounds = Bounds { frames: None, bytes_max: u64::MAX };

/// The salts of a log that nobody has written to.
const NO_SALTS: Salts = [0; 8];

impl Capturer {
    /// Takes hold of the database. If commits were missed, says how the capture goes on.
    ///
    /// # Errors
    ///
    /// As [`LiveDatabase::open`]; `Invalid` when the page size has changed: open the namespace for it.
    pub(super) fn attach(&mut self) -> Result<Option<FallBack>> {
        let live = LiveDatabase::open(&self.database, self.options.busy_timeout)?;
        self.attach_to(live, None)
    }

    /// The same with a database that is held already. `lost` says why the position does not count.
    pub(super) fn attach_to(&mut self, live: LiveDatabase, lost: Option<String>) -> Result<Option<FallBack>> {
        if live.page_size() != self.head.page_size {
            let (now, before) = (live.page_size(), self.head.page_size);
            let why = format!("its pages have {now} bytes, and had {before}: it has to be opened again");
            return Err(Error::Unknown { what: format!("capturing {}: {why}", live.path().display()) });
        }
        let continuation = match lost {
            Some(why) => Continuation::Lost(why),
            None => self.continuation(&live)?,
        };
        self.live = Some(live);
        let lost = match continuation {
            Continuation::Next if !self.file_written || self.leads_to_database()? => return Ok(None),
            Continuation::Next => {
                "the database is not what its log continues: was a file copied over it?".into()
            }
            Continuation::OldTail(transactions) => match self.adopt_old_tail(transactions)? {
                // Without transactions there nothing was missed.
                Some((count, fall_back)) => return Ok((count > 0).then_some(fall_back)),
                None => {
                    "the log began anew, and what was left of it did not lead to the state of the database"
                        .into()
                }
            },
            Continuation::Lost(why) => why,
        };
        self.adopt_difference(lost)
    }

    fn continuation(&self, live: &LiveDatabase) -> Result<Continuation> {
        let lost = |why: &str| Ok(Continuation::Lost(why.to_string()));
        let Some(position) = self.position else { return lost("it is not known where the capture ended") };
        let header = live.mark().header;
        let io = failed("read the log of", live.path());
        let round = Round::open(live.log(), live.page_size(), self.head.hash_seed).map_err(io)?;
        if header.salts == position.salts {
            let held = match &round {
                Some(round) => header.frames >= position.frame && round.holds(&position).map_err(io)?,
                // A log that was made anew has no salts before its first frame: then it could be any.
                None => position.frame == 0 && header.frames == 0 && header.salts != NO_SALTS,
            };
            if held {
                return Ok(Continuation::Next);
            }
            if header.salts == NO_SALTS {
                return lost(
                    "the log is empty, and may have been removed and made anew since the capture ended",
                );
            }
            return lost("the log ends before the place where the capture ended (a power loss?)");
        }
        let Some(round) = round.filter(|round| round.salts() == header.salts) else {
            return lost("the log was removed or emptied since the capture ended");
        };
        if !follows(position.salts, round.salts()) {
            return lost("the log began anew more than once since the capture ended");
        }
        if header.frames > position.frame {
            return lost("the log began anew since the capture ended, and has overwritten what followed");
        }
        Ok(Continuation::OldTail(round.read(&position, ALL).map_err(io)?))
    }

    /// Whether the database is what the transactions behind the position lead to, page by page.
    fn leads_to_database(&self) -> Result<bool> {
        let live = self.live()?;
        let Some(position) = self.position else { return Ok(false) };
        let io = failed("read the log of", live.path());
        let (mut table, mut last) = (self.table.clone(), self.last);
        if let Some(round) = Round::open(live.log(), live.page_size(), self.head.hash_seed).map_err(io)? {
            let bounds = Bounds { frames: Some(live.mark().header.frames), bytes_max: u64::MAX };
            let mut increment = Increment::new(position);
            for transaction in round.read(&position, bounds).map_err(io)? {
                let time = self.time_behind(last);
                record((&mut table, &mut last), &mut increment, transaction, time)?;
            }
        }
        Ok(table_of(&live.snapshot()?, &table)?.state() == table.state())
    }

    /// Takes transactions of the old round, if they and the new round lead to what the database is; how many.
    fn adopt_old_tail(&mut self, tail: Vec<WalTransaction>) -> Result<Option<(usize, FallBack)>> {
        let live = self.live()?;
        let header = live.mark().header;
        let io = failed("read the log of", live.path());
        let Some(round) = Round::open(live.log(), live.page_size(), self.head.hash_seed).map_err(io)? else {
            return Ok(None);
        };
        let count = tail.len();
        let (mut table, mut last) = (self.table.clone(), self.last);
        let begin = WalPosition::start(header.salts);
        let mut increment = Increment::new(begin);
        let mut doubtful = Vec::new();
        for transaction in tail {
            let rows = transaction.rows.iter().filter(|(page, ..)| transaction.size_after.contains(*page));
            let changed = rows.filter(|(page, _, hash)| table.get(*page) != *hash);
            doubtful = changed.map(|(page, _, hash)| (*page, *hash)).collect();
            let time = self.time_behind(last);
            record((&mut table, &mut last), &mut increment, transaction, time)?;
        }
        let bounds = Bounds { frames: Some(header.frames), bytes_max: u64::MAX };
        let (mut then, mut then_last) = (table.clone(), last);
        let mut rest = Increment::new(begin);
        for transaction in round.read(&begin, bounds).map_err(io)? {
            let is_again = |row: &(PageNo, PageHash)| {
                transaction.rows.iter().any(|(page, _, hash)| (*page, *hash) == *row)
            };
            doubtful.retain(|row| !is_again(row));
            let time = self.time_behind(then_last);
            record((&mut then, &mut then_last), &mut rest, transaction, time)?;
        }
        if count > 0 && !is_any_in_file(&live.images(), &table, live.page_size(), &doubtful) {
            return Ok(None);
        }
        if table_of(&live.snapshot()?, &then)?.state() != then.state() {
            return Ok(None);
        }
        let sealed: Option<SpoolFile> = match self.seal(&increment) {
            // A writer has overwritten what was read just now.
            Err(Error::Corrupt(_)) => return Ok(None),
            sealed => sealed?,
        };
        let why = format!(
            "the log began anew while nobody captured; {count} transactions of the round before were still there"
        );
        (self.table, self.last, self.position) = (table, last, Some(begin));
        self.transactions += count as u64;
        if let Some(file) = sealed {
            self.frames += increment.frames();
            self.spool.push_back(file);
            self.update_table_file(&increment.pages());
        }
        Ok(Some((count, self.fall_back(Way::OldTail, why))))
    }

    /// Makes what differs from the last known state one commit.
    fn adopt_difference(&mut self, why: String) -> Result<Option<FallBack>> {
        let live = self.live()?;
        let end = live.end();
        let snapshot = live.snapshot()?;
        let whole = self.last.is_none() || self.starts_over;
        let pages = difference(&snapshot, &self.table, whole)?;
        let changed = !pages.rows.is_empty();
        let mut increment = Increment::new(end);
        let kind = if self.last.is_none() { CommitKind::Snapshot } else { CommitKind::Discontinuous };
        let (time, before) = (self.time(), self.last.map(|last| last.frame_no));
        increment.push(before, &mut self.table, pages, time, kind)?;
        if let Some(commit) = increment.last() {
            self.last = Some(*commit);
        }
        self.position = Some(end);
        self.pending.push_back(increment);
        self.starts_over = false;
        let way = if whole { Way::Whole } else { Way::Difference };
        Ok(changed.then(|| self.fall_back(way, why)))
    }

    fn fall_back(&self, way: Way, why: String) -> FallBack {
        FallBack { way, why, time: self.handles.clock.now() }
    }
}

/// Whether the last transaction of a round was committed, and is not one that its writer left there when it was killed
/// before it could say so: such a one is never copied into the database file. Its `images` are those that no other
/// transaction has written. That the states agree in the end is not enough: what came behind may have hidden it.
fn is_any_in_file(
    files: &Images,
    table: &PageHashTable,
    page_size: PageSize,
    images: &[(PageNo, PageHash)],
) -> bool {
    let mut image = vec![0; page_size.bytes()];
    images.iter().any(|(page, hash)| {
        let at = ImageAt::Database(page.file_offset(page_size));
        files.read(at, &mut image).is_ok() && table.seed().page(*page, &image) == *hash
    })
}

/// The hashes of a snapshot's pages, with the seed of another table.
pub(super) fn table_of(snapshot: &Snapshot, like: &PageHashTable) -> Result<PageHashTable> {
    let mut table = PageHashTable::new(like.seed());
    table.resize(snapshot.size);
    snapshot.for_each_page(|page, image| {
        table.set(page, like.seed().page(page, image));
        Ok(())
    })?;
    Ok(table)
}

/// The pages that differ from a table: all that are not zeros, for an empty one. At least one if the size differs, or if
/// there must be one in any case.
pub(super) fn difference(snapshot: &Snapshot, table: &PageHashTable, in_any_case: bool) -> Result<Pages> {
    let (seed, size) = (table.seed(), snapshot.size);
    let mut rows = Vec::new();
    snapshot.for_each_page(|page, image| {
        let hash = seed.page(page, image);
        // Beyond the old size the old hash is that of zeros, which a page that comes back has too.
        if hash != table.get(page) {
            rows.push((page, snapshot.place(page), hash));
        }
        Ok(())
    })?;
    if rows.is_empty() && (in_any_case || size != table.size()) {
        let mut image = vec![0; snapshot.page_size.bytes()];
        let place = snapshot.place(PageNo::FIRST);
        snapshot.read(place, &mut image)?;
        rows.push((PageNo::FIRST, place, seed.page(PageNo::FIRST, &image)));
    }
    Ok(Pages { rows, size_after: size })
}
