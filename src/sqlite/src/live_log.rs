//! The log of a database that is in use: exactly the frames that its live connections hold to be committed.
//!
//! Invariants: every frame up to the count in the `-shm` header is there and chains, and the last one leaves the size
//! of the database that the header says. A log that ends earlier is damaged: what stands behind the damage may be in
//! the database file already, so that no earlier state can be had either, and the capture is refused.

use std::io;
use std::path::Path;
use std::sync::Arc;

use walkeep::core::{Error, Result};

use crate::descriptors;
use crate::wal::Wal;
use crate::wal_index::WalIndexHeader;

/// How often the header and the log are read before they are taken for what they are. A header may be met half-way
/// through a change, and a log may begin anew between the two: that can happen once under our read transaction.
const ATTEMPTS: u32 = 5;

/// Reads the log at `path` that belongs to the `-shm`. `pause` is called between attempts.
///
/// `None` when there is no valid header, or no log: look again later.
///
/// # Errors
///
/// `Corrupt` when the log does not hold what the header says; `Io`.
pub(crate) fn read(
    path: &Path,
    shm: &std::fs::File,
    page_size: walkeep::core::PageSize,
    pause: impl Fn(),
) -> Result<Option<Wal>> {
    let failed = |error: io::Error| Error::io(format!("read {}", path.display()), error);
    let mut damage = None;
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            pause();
        }
        damage = None;
        let Some(live) = WalIndexHeader::read(shm).map_err(failed)? else {
            continue;
        };
        let Some(file) = descriptors::open(path).map_err(failed)? else {
            continue;
        };
        // With no frames, the file may still have the header and frames of the round before.
        let wal = Wal::scan(Arc::clone(&file), page_size, live.frames).map_err(failed)?;
        if live.frames == 0 || is_whole(&wal, &live) {
            return Ok(Some(wal));
        }
        damage = Some(damaged(path, &wal, &live));
    }
    damage.map_or(Ok(None), Err)
}

fn is_whole(wal: &Wal, live: &WalIndexHeader) -> bool {
    wal.salts() == Some(live.salts) && wal.frames() == live.frames && wal.size_after() == Some(live.size)
}

fn damaged(path: &Path, wal: &Wal, live: &WalIndexHeader) -> Error {
    const REMEDY: &str = "the application may have more in memory than is on disk: make a copy of it with the \
                          application or with sqlite3 (VACUUM INTO), check that with PRAGMA integrity_check, and \
                          replace the database and its log by it";
    let committed = format!("the log of {} committed frames that the open connections use", live.frames);
    let found = if wal.salts() != Some(live.salts) {
        "the header of no log, or of another one".to_string()
    } else if wal.frames() < live.frames {
        format!("the chain of checksums broken behind frame {}", wal.frames())
    } else {
        "a last commit with another size of the database".to_string()
    };
    Error::corrupt(path.display(), wal.end(), committed, format!("{found}; {REMEDY}"))
}
