//! Files that a pattern matches, and that are not replicated.

use std::fmt;
use std::path::{Path, PathBuf};

use walkeep_sqlite::Probe;

use super::place::Place;

/// A file that a pattern matches, and that is not replicated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeftOut {
    pub(crate) path: PathBuf,
    pub(crate) why: Why,
    /// The pattern's entry.
    pub(crate) place: Place,
}

/// Why a file is left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// It is a log, an index or a journal that SQLite keeps beside a database.
    SideFile,
    /// There is nothing in it yet.
    Empty,
    /// It is a directory, a pipe or the like.
    NotAFile,
    /// It is of another kind.
    Foreign,
    /// It has gone, or is a symbolic link to nothing.
    Gone,
}

impl Why {
    /// Why a file of this kind is left out; `None` if it is replicated.
    pub(crate) fn of(path: &Path, probe: &Probe) -> Option<Self> {
        match probe {
            Probe::Database { .. } => None,
            Probe::Missing => Some(Self::Gone),
            Probe::NotAFile => Some(Self::NotAFile),
            Probe::Empty | Probe::Foreign(_) if is_beside_a_database(path) => Some(Self::SideFile),
            Probe::Empty => Some(Self::Empty),
            Probe::Foreign(_) => Some(Self::Foreign),
        }
    }
}

fn is_beside_a_database(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    ["-wal", "-shm", "-journal"].iter().any(|suffix| name.ends_with(suffix))
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SideFile => "a file that SQLite keeps beside a database",
            Self::Empty => "empty; picked up when there is a database in it",
            Self::NotAFile => "not a file",
            Self::Foreign => "not a SQLite database, or an encrypted one",
            Self::Gone => "gone, or a symbolic link to nothing",
        })
    }
}
