//! Captures the transactions of one database, one by one, into the spool. It blocks; it knows nothing of the store.
//!
//! Invariants:
//!
//! - `table`, `last` and `position` are those of one commit: the newest one that was read;
//! - what was read and is not sealed yet waits in `pending`, and the log keeps it: the older mark is released only when
//!   nothing waits;
//! - before the log may begin anew, everything captured is durable on local disk, or stored.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use walkeep::Handles;
use walkeep::core::{
    Commit, CommitKind, Error, FrameNo, LogHead, PageHash, PageHashTable, PageNo, Result, SegmentId,
    UnixMillis,
};

use super::connection::failed;
use super::increment::{Increment, Pages};
use super::live_database::{LiveDatabase, not_held};
use super::options::ReplicationOptions;
use super::state::{Position, SpoolFile, StateDirectory, TableFile};
use crate::hold::beside;
use crate::images::ImageAt;
use crate::wal_header::follows;
use crate::wal_position::WalPosition;
use crate::wal_transactions::{Bounds, Round, WalTransaction};

/// A clock that is set by a second now and then is none to warn of.
const CLOCK_BEHIND_MAX_MS: u64 = 1000;

/// Captures one database.
#[derive(Debug)]
pub(super) struct Capturer {
    pub(super) database: PathBuf,
    pub(super) live: Option<LiveDatabase>,
    pub(super) state: Arc<StateDirectory>,
    pub(super) options: ReplicationOptions,
    pub(super) handles: Handles,
    /// What segments are sealed for.
    pub(super) head: LogHead,
    pub(super) table: PageHashTable,
    pub(super) table_file: Option<TableFile>,
    pub(super) last: Option<Commit>,
    /// The place behind `last`; `None` when it is not known.
    pub(super) position: Option<WalPosition>,
    /// Whether the table is an empty one although there are commits: their page size was another one.
    pub(super) starts_over: bool,
    /// Whether the database file may have been written since the position was recorded, when it is taken hold of.
    pub(super) file_written: bool,
    pub(super) pending: VecDeque<Increment>,
    /// What is not known to be stored, oldest first.
    pub(super) spool: VecDeque<SpoolFile>,
    /// Whether it was said that the clock is behind.
    pub(super) clock_warned: bool,
    /// What is stored and could not be removed from the spool yet, oldest first.
    pub(super) leftover: Vec<SpoolFile>,
    /// Whether a sync has failed in this process: then only what is stored counts as durable.
    pub(super) sync_failed: Arc<AtomicBool>,
    /// Transactions captured since the start.
    pub(super) transactions: u64,
    pub(super) frames: u64,
}

/// What came of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Captured {
    /// Everything that was committed when it began.
    All,
    /// The spool is full.
    SpoolFull,
}

impl Capturer {
    /// Captures what was committed. Sealed segments are added to the spool.
    ///
    /// # Errors
    ///
    /// `Exhausted` when the disk is full; `Corrupt` when the log is damaged; `Io`. Nothing is lost: call it again.
    pub(super) fn capture(&mut self) -> Result<Captured> {
        if self.drain()? == Captured::SpoolFull {
            return Ok(Captured::SpoolFull);
        }
        let live = self.live_mut()?;
        if live.look()? == Some(live.mark().header) {
            return Ok(Captured::All);
        }
        live.leap()?;
        self.drain()
    }

    /// Captures everything up to the mark. The mark before ends then.
    pub(super) fn drain(&mut self) -> Result<Captured> {
        loop {
            while !self.pending.is_empty() {
                self.seal_next()?;
            }
            if self.spool_is_full() {
                return Ok(Captured::SpoolFull);
            }
            if !self.read_next()? {
                break;
            }
        }
        if self.live()?.mark().may_restart {
            // What only the mark before keeps in the log is durable before that ends.
            self.sync()?;
        }
        self.live_mut()?.release();
        Ok(Captured::All)
    }

    pub(super) fn live_mut(&mut self) -> Result<&mut LiveDatabase> {
        self.live.as_mut().ok_or_else(not_held)
    }

    pub(super) fn live(&self) -> Result<&LiveDatabase> {
        self.live.as_ref().ok_or_else(not_held)
    }

    /// Whether what waits is more than may. The first segment does not count: whatever its size, it has to be there.
    fn spool_is_full(&self) -> bool {
        let behind_first = self.spool.iter().skip(1).map(|file| file.segment.summary.len);
        behind_first.sum::<u64>() >= self.options.spool_bytes_max
    }

    /// Bytes of segments in the spool.
    pub(super) fn spool_bytes(&self) -> u64 {
        self.spool.iter().map(|file| file.segment.summary.len).sum()
    }

    /// The length of the log up to the mark.
    pub(super) fn wal_bytes(&self) -> u64 {
        self.live.as_ref().map_or(0, |live| {
            let frames = live.mark().header.frames;
            if frames == 0 { 0 } else { live.offset(frames) }
        })
    }

    /// Bytes of the log that were committed and not captured yet; `None` when there is nothing new.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(super) fn unseen(&self) -> Result<Option<u64>> {
        let live = self.live()?;
        let Some(now) = live.look()? else { return Ok(Some(0)) };
        let all = self.position.is_some_and(|seen| seen.salts == now.salts && seen.frame >= now.frames);
        // What the mark sees is captured, unless it was taken just now. A round without frames has nothing to capture.
        let empty = now.frames == 0 && now == live.mark().header;
        if self.pending.is_empty() && (all || empty) {
            return Ok(None);
        }
        let seen = self.position.filter(|position| position.salts == now.salts).map_or(0, |seen| seen.frame);
        Ok(Some(now.frames.saturating_sub(seen) * live.frame_len()))
    }

    /// Reads the next transactions up to the mark; `false` when there are none.
    fn read_next(&mut self) -> Result<bool> {
        let live = self.live.as_ref().ok_or_else(not_held)?;
        let target = live.mark().header;
        let mut from = self.position.ok_or_else(not_held)?;
        if from.salts != target.salts {
            // A round without frames may be taken back: its writer died before the log had a header for it.
            if target.frames == 0 {
                return Ok(false);
            }
            if !live.may_have_restarted() || follows(target.salts, from.salts) {
                return Err(lost_hold(live));
            }
            from = WalPosition::start(target.salts);
        }
        if from.frame >= target.frames {
            return Ok(false);
        }
        let io = failed("read the log of", live.path());
        let round = Round::open(live.log(), live.page_size(), self.head.hash_seed).map_err(io)?;
        let round = round.filter(|round| round.salts() == from.salts);
        let round = round.ok_or_else(|| damaged(live, 0, "the header of no log, or of another one"))?;
        let bounds = Bounds { frames: Some(target.frames), bytes_max: self.options.seal_bytes };
        let transactions = round.read(&from, bounds).map_err(io)?;
        let Some((mut end, unsealed)) = transactions.last().map(|last| (last.end, last.unsealed)) else {
            return Err(damaged(live, from.frame, "a broken chain of checksums"));
        };
        let at_end = end.frame == target.frames;
        if at_end && unsealed {
            // From these the next frame goes on.
            end.checksum = target.checksum;
        }
        if at_end && end.checksum != target.checksum {
            return Err(damaged(live, end.frame, "another end of the chain of checksums"));
        }
        self.warn_of_the_clock();
        let mut increment = Increment::new(end);
        for transaction in transactions {
            self.transactions += 1;
            let time = self.time();
            let at = (&mut self.table, &mut self.last);
            record(at, &mut increment, transaction, time)?;
        }
        self.position = Some(end);
        self.pending.push_back(increment);
        Ok(true)
    }

    /// Says once that times are taken back to that of the newest commit.
    fn warn_of_the_clock(&mut self) {
        let (now, Some(last)) = (self.handles.clock.now(), self.last) else { return };
        let behind = last.time.get().saturating_sub(now.get());
        if behind > CLOCK_BEHIND_MAX_MS && !self.clock_warned {
            self.clock_warned = true;
            let database = self.database.display();
            tracing::warn!(%database, behind_ms = behind, "the clock is behind the newest commit, whose time the next ones get");
        }
    }

    /// The time of a commit that is recorded now: times do not fall.
    pub(super) fn time(&self) -> UnixMillis {
        self.time_behind(self.last)
    }

    /// The same behind a commit that is not recorded yet.
    pub(super) fn time_behind(&self, last: Option<Commit>) -> UnixMillis {
        let floor = last.map_or(self.head.time_floor, |last| last.time.max(self.head.time_floor));
        self.handles.clock.now().max(floor)
    }

    /// Seals what waits longest.
    fn seal_next(&mut self) -> Result<()> {
        let Some(increment) = self.pending.front() else { return Ok(()) };
        if let Some(file) = self.seal(increment)? {
            let pages = increment.pages();
            self.frames += increment.frames();
            self.spool.push_back(file);
            self.pending.pop_front();
            self.update_table_file(&pages);
        } else {
            self.pending.pop_front();
        }
        Ok(())
    }

    /// Seals transactions into a file; `None` when there are none.
    pub(super) fn seal(&self, increment: &Increment) -> Result<Option<SpoolFile>> {
        let Some(last) = increment.last() else { return Ok(None) };
        let live = self.live()?;
        let position = Position {
            log_id: self.head.log_id,
            page_size: self.head.page_size,
            commit: *last,
            wal: increment.end,
            database: live.identity()?,
        };
        let id = SegmentId::random(&*self.handles.random)?;
        let (images, compression) = (live.images(), self.options.compression);
        let sealed = self
            .state
            .add_to_spool(&position, |file| increment.seal(file, &images, &self.head, id, compression));
        sealed.map(Some)
    }

    /// Writes the hashes of the pages that were sealed. Without the file they are read from the store after a restart.
    pub(super) fn update_table_file(&mut self, pages: &[PageNo]) {
        // Only when the table is that of the newest segment.
        let (Some(last), true) = (self.last, self.pending.is_empty()) else { return };
        let log_id = self.head.log_id;
        let written = match &mut self.table_file {
            Some(file) => file.update(log_id, last.frame_no, &self.table, pages.iter().copied()),
            None => TableFile::create(&*self.state.directory, log_id, last.frame_no, &self.table)
                .map(|file| self.table_file = Some(file)),
        };
        if let Err(error) = written {
            tracing::debug!(%error, "the page hashes are not kept; they will be read from the store");
            self.table_file = None;
        }
    }

    /// A segment of the spool, and what is before it, is stored.
    ///
    /// # Errors
    ///
    /// `Io`: what stays is handed over again after a restart.
    pub(super) fn stored(&mut self, end: FrameNo) -> Result<()> {
        while let Some(file) = self.spool.pop_front_if(|file| file.end() <= end) {
            self.leftover.push(file);
        }
        // The last one has the position behind all of them: removing the others needs no room.
        while self.leftover.len() > 1 {
            let Some(file) = self.leftover.first() else { break };
            self.state.remove_from_spool(file)?;
            self.leftover.remove(0);
        }
        let Some(last) = self.leftover.first() else { return Ok(()) };
        self.state.set_position(&last.position, false)?;
        self.state.remove_from_spool(last)?;
        self.leftover.clear();
        Ok(())
    }

    /// Makes everything captured durable on local disk.
    ///
    /// # Errors
    ///
    /// `Unknown` when a sync failed. It is not tried again: from then on only the store makes anything durable, and
    /// until it has everything, this is `Exhausted`.
    pub(super) fn sync(&mut self) -> Result<()> {
        if self.sync_failed.load(Ordering::Relaxed) && !self.spool.is_empty() {
            let what = "a sync failed before: the log is kept until everything is stored".into();
            return Err(Error::Exhausted { what });
        }
        let synced = self.try_sync();
        self.sync_failed.fetch_or(synced.is_err(), Ordering::Relaxed);
        synced
    }

    fn try_sync(&mut self) -> Result<()> {
        let unsynced = self.spool.iter().any(|file| !file.synced);
        for file in self.spool.iter_mut().filter(|file| !file.synced) {
            self.state.sync_spool_file(file)?;
        }
        if unsynced { self.state.sync_names() } else { Ok(()) }
    }

    /// Makes everything durable, and where it goes on from as well.
    ///
    /// # Errors
    ///
    /// As [`Capturer::sync`].
    pub(super) fn sync_position(&mut self) -> Result<()> {
        self.sync()?;
        let stored = self.spool.is_empty().then_some(()).and(self.last).zip(self.position);
        let (Some((commit, wal)), true) = (stored, self.pending.is_empty()) else { return Ok(()) };
        let database = self.live()?.identity()?;
        let (log_id, page_size) = (self.head.log_id, self.head.page_size);
        let position = Position { log_id, page_size, commit, wal, database };
        self.state.set_position(&position, true)
    }

    /// Lets go of the database: the log may go on without us.
    pub(super) fn let_go(&mut self) {
        self.live = None;
        self.file_written = true;
    }
}

/// Adds a transaction of the log to what is to be sealed, behind `last`.
pub(super) fn record(
    (table, last): (&mut PageHashTable, &mut Option<Commit>),
    increment: &mut Increment,
    transaction: WalTransaction,
    time: UnixMillis,
) -> Result<()> {
    let WalTransaction { rows, size_after, .. } = transaction;
    // Frames behind the end are of pages that the same transaction has cut off again.
    let mut pages: Vec<(PageNo, ImageAt, PageHash)> = rows
        .into_iter()
        .filter(|(page, ..)| size_after.contains(*page))
        .map(|(page, offset, hash)| (page, ImageAt::Log(offset), hash))
        .collect();
    if pages.is_empty() && size_after != table.size() {
        // A commit needs a frame, even if only the size changed.
        pages.push((PageNo::FIRST, ImageAt::Database(0), table.get(PageNo::FIRST)));
    }
    let frame_no = last.map(|last| last.frame_no);
    increment.push(frame_no, table, Pages { rows: pages, size_after }, time, CommitKind::Transaction)?;
    if let Some(commit) = increment.last() {
        *last = Some(*commit);
    }
    Ok(())
}

fn damaged(live: &LiveDatabase, frame: u64, found: &str) -> Error {
    let object = beside(live.path(), "-wal");
    let expected = "committed frames that the open connections use";
    let remedy = "the application may have more in memory than is on disk: make a copy of the database with it or with \
                  sqlite3 (VACUUM INTO), and check it";
    Error::corrupt(object.display(), live.offset(frame), expected, format!("{found}; {remedy}"))
}

fn lost_hold(live: &LiveDatabase) -> Error {
    Error::Unknown {
        what: format!(
            "the log of {} began anew although it was held: its locks do not work (a network file system?)",
            live.path().display()
        ),
    }
}
