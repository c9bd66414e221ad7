//! In which journal mode SQLite sees a replica.
//!
//! The header of a SQLite database says in two bytes whether it is in WAL mode. Whoever opens one that is, if only for
//! reading, makes a `-wal` and a `-shm` beside it, which belong to a name and not to a file: after a replica's file was
//! replaced, those of the old file would meet the new one. Shown in rollback mode, a file is read without any file
//! beside it. `docs/decisions/0012-replicas.md` has the whole of it.
//!
//! Invariant: the change can be undone from the page alone, so that the page's hash still proves it.

use walkeep_core::{File, HashSeed, PageHash, PageNo};

/// In which journal mode a replica is shown to SQLite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JournalMode {
    /// As it was stored, byte for byte: for databases that are not SQLite's, and for readers that open the file as
    /// immutable.
    #[default]
    AsStored,
    /// Of a SQLite database in WAL mode, bytes 18 and 19 say rollback mode (1 instead of 2). Everything else is as it
    /// was stored, and so is every other file.
    Rollback,
}

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Where the header says which version of SQLite's format writes and which reads the file.
const VERSIONS: std::ops::Range<usize> = 18..20;

const ROLLBACK: [u8; 2] = [1, 1];
const WAL: [u8; 2] = [2, 2];

impl JournalMode {
    /// Makes a file whose first page is as stored one that is shown in this mode.
    pub(super) fn show(self, file: &dyn File) -> std::io::Result<()> {
        let mut head = [0; VERSIONS.end];
        file.read_at(0, &mut head)?;
        if self == Self::Rollback && says(&head, WAL) {
            file.write_all_at(VERSIONS.start as u64, &ROLLBACK)?;
        }
        Ok(())
    }

    /// The hashes that the first page may have had as it was stored, by what is shown: one, two where it may have been
    /// changed, none where it is not as this mode shows any page.
    pub(super) fn hashes(self, seed: HashSeed, shown: &[u8]) -> Vec<PageHash> {
        let as_it_is = seed.page(PageNo::FIRST, shown);
        match self {
            Self::Rollback if says(shown, WAL) => Vec::new(),
            Self::Rollback if says(shown, ROLLBACK) => {
                let mut stored = shown.to_vec();
                for (place, byte) in stored.iter_mut().skip(VERSIONS.start).zip(WAL) {
                    *place = byte;
                }
                vec![as_it_is, seed.page(PageNo::FIRST, &stored)]
            }
            _ => vec![as_it_is],
        }
    }
}

fn says(page: &[u8], versions: [u8; 2]) -> bool {
    page.starts_with(MAGIC) && page.get(VERSIONS) == Some(&versions)
}
