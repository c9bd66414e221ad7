//! The header of a `-shm` file: how many frames of the log are committed, as the live connections see it.
//!
//! A commit becomes visible to readers when its writer updates this header, after the frames are in the log. A
//! capture that looked at the log alone could see a commit that its writer then takes back (its sync failed).
//!
//! Source: the SQLite documentation "WAL-mode File Format", "The WAL-Index Header".

use std::fs::File;
use std::io;

use walkeep::core::PageCount;

use crate::wal_header::{Checksum, Salts, checksum, read_at};

/// Two copies of the header, one behind the other: a reader that finds them different met a writer half-way.
const COPY_LEN: usize = 48;

/// What live connections hold to be the committed log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WalIndexHeader {
    pub(crate) salts: Salts,
    pub(crate) frames: u64,
    /// The size of the database after the last of these frames.
    pub(crate) size: PageCount,
    /// The sums after the last of these frames.
    pub(crate) checksum: Checksum,
}

/// How many frames of the log are in the database file.
///
/// # Errors
///
/// The operating system's.
pub(crate) fn backfilled(shm: &File) -> io::Result<u64> {
    let mut bytes = [0; 4];
    read_at(shm, 2 * COPY_LEN as u64, &mut bytes)?;
    Ok(u64::from(u32::from_ne_bytes(bytes)))
}

impl WalIndexHeader {
    /// Reads the header; `None` when it is not valid (yet).
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn read(shm: &File) -> io::Result<Option<Self>> {
        let mut bytes = [0; 2 * COPY_LEN];
        let len = read_at(shm, 0, &mut bytes)?;
        Ok(bytes.get(..len).and_then(Self::parse))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (first, second) = bytes.split_at_checked(COPY_LEN)?;
        let initialized = first.get(12) == Some(&1);
        // In the byte order of the machine: the file is shared memory.
        let word = |at: usize| first.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        let sum = checksum(first.get(..40)?, cfg!(target_endian = "big"), (0, 0));
        let valid = first == second && initialized && sum == (word(40)?, word(44)?);
        let salts = first.get(32..40)?.try_into().ok()?;
        valid.then_some(Self {
            salts,
            frames: u64::from(word(16)?),
            size: PageCount(word(20)?),
            checksum: (word(24)?, word(28)?),
        })
    }
}
