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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use rusqlite::Connection;
    use walkeep::core::PageSize;

    use super::*;

    /// Copies of the `-wal` and the `-shm` of a database in use, to be changed at will.
    fn copies(directory: &Path) -> (std::path::PathBuf, std::fs::File) {
        let connection = Connection::open(directory.join("a.db")).unwrap();
        connection
            .execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t (a); INSERT INTO t VALUES (1)")
            .unwrap();
        let (wal, shm) = (directory.join("copy-wal"), directory.join("copy-shm"));
        std::fs::copy(directory.join("a.db-wal"), &wal).unwrap();
        std::fs::copy(directory.join("a.db-shm"), &shm).unwrap();
        (wal, std::fs::OpenOptions::new().read(true).write(true).open(shm).unwrap())
    }

    /// Changes a byte, and says what it was.
    fn put(shm: &std::fs::File, offset: u64, byte: u8) -> u8 {
        let mut old = [0];
        shm.read_exact_at(&mut old, offset).unwrap();
        shm.write_all_at(&[byte], offset).unwrap();
        old[0]
    }

    #[test]
    fn a_header_met_half_way_is_read_again_and_never_taken_for_no_bound() {
        let directory = tempfile::tempdir().unwrap();
        let (wal, shm) = copies(directory.path());
        let whole = read(&wal, &shm, PageSize::DEFAULT, || panic!("no need to wait")).unwrap().unwrap();
        assert!(whole.frames() > 1);
        // The first copy has one frame less than the second, and a sum that is not right.
        let frames = u8::try_from(whole.frames()).unwrap();
        for offset in [16, 48 + 16, 44, 12] {
            let old = put(&shm, offset, frames - 1);
            assert!(old != frames - 1);
            assert!(read(&wal, &shm, PageSize::DEFAULT, || {}).unwrap().is_none(), "byte {offset}");
            let healed = read(&wal, &shm, PageSize::DEFAULT, || {
                put(&shm, offset, old);
            });
            assert_eq!(healed.unwrap().unwrap().frames(), whole.frames(), "byte {offset}");
        }
    }

    #[test]
    fn a_log_that_is_not_what_the_header_counts_is_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let (wal, shm) = copies(directory.path());
        let mut header = [0; 48];
        shm.read_exact_at(&mut header, 0).unwrap();
        // One more frame, another size, other salts: each with its sum.
        for offset in [16, 20, 32] {
            let mut other = header;
            other[offset] += 1;
            let (a, b) = crate::wal_header::checksum(&other[..40], cfg!(target_endian = "big"), (0, 0));
            other[40..44].copy_from_slice(&a.to_ne_bytes());
            other[44..].copy_from_slice(&b.to_ne_bytes());
            shm.write_all_at(&[other, other].concat(), 0).unwrap();
            let error = read(&wal, &shm, PageSize::DEFAULT, || {}).unwrap_err();
            assert!(matches!(error, Error::Corrupt(_)), "byte {offset}: {error}");
        }
    }
}
