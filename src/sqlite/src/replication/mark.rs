//! A read mark: a read transaction that keeps the log from being written over.
//!
//! What it holds (`docs/decisions/0011` has the measurements):
//!
//! - taken while not everything is in the database file, it keeps the log from beginning anew at all;
//! - taken when everything is, it lets the log begin anew once: but then the database file is not written until the
//!   mark ends, so that the log cannot begin anew a second time.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use walkeep::core::Result;

use super::connection::{begin_read, end, failed};
use crate::hold::locked;
use crate::wal_index::{WalIndexHeader, backfilled};

/// How often the header of the `-shm` is read before the database counts as locked.
const ATTEMPTS: u32 = 500;
const PAUSE: Duration = Duration::from_millis(2);

/// A read transaction, and the log as it was just after it began.
#[derive(Debug)]
pub(super) struct Mark {
    connection: Option<Connection>,
    /// The log after the transaction began: at least what it sees.
    pub(super) header: WalIndexHeader,
    /// Frames of that round that it sees for sure: others may have come while it began.
    pub(super) sees: u64,
    /// Whether every frame of `header` is in the database file, which then has nothing beyond them.
    pub(super) all_in_file: bool,
    /// Whether the log may begin anew while the mark is held, once.
    pub(super) may_restart: bool,
}

impl Mark {
    /// Takes a mark at the end of the log.
    ///
    /// # Errors
    ///
    /// `Exhausted` while the database is locked; `Io`, `Invalid`.
    pub(super) fn take(path: &Path, connection: Connection, shm: &File) -> Result<Self> {
        let io = failed("read the -shm of", path);
        let before = WalIndexHeader::read(shm).map_err(io)?;
        begin_read(path, &connection)?;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(PAUSE);
            }
            let Some(header) = WalIndexHeader::read(shm).map_err(io)? else { continue };
            let in_file = backfilled(shm).map_err(io)?;
            if WalIndexHeader::read(shm).map_err(io)? != Some(header) {
                continue;
            }
            // Frames are only added to a round, and only more of them come into the file.
            let before = before.filter(|before| before.salts == header.salts);
            let held = before.is_some_and(|before| in_file < before.frames);
            return Ok(Self {
                connection: Some(connection),
                header,
                sees: before.map_or(0, |before| before.frames),
                all_in_file: in_file >= header.frames,
                may_restart: !held,
            });
        }
        Err(locked(path, "its -shm does not settle"))
    }

    /// Ends it, and gives the connection back.
    pub(super) fn end(mut self) -> Option<Connection> {
        let connection = self.connection.take();
        if let Some(connection) = &connection {
            end(connection);
        }
        connection
    }
}
