//! The names of a log's files: `{start:020}-{salt:016x}.{current|sealed|tmp}`.
//!
//! The salt is random, so that no name is ever used twice: a name whose directory could not be synced may vanish
//! in a power loss, even if a later sync of the directory succeeds.

use std::fmt;
use std::path::{Path, PathBuf};

use walkeep_core::files::EntryKind;
use walkeep_core::{Directory, Error, FrameNo, Random, Result};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FileKind {
    /// A segment that is, or was, appended to.
    Current,
    /// A sealed segment in the stored format.
    Sealed,
    /// One of the two while it is made. It counts for nothing.
    Temporary,
}

impl FileKind {
    const fn extension(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Sealed => "sealed",
            Self::Temporary => "tmp",
        }
    }
}

/// The name of a file, in order of its first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileName {
    pub(super) start: FrameNo,
    pub(super) kind: FileKind,
    pub(super) salt: u64,
}

impl FileName {
    /// A name that was never used.
    pub(super) fn fresh(start: FrameNo, kind: FileKind, random: &dyn Random) -> Result<Self> {
        let mut salt = [0; 8];
        random.fill(&mut salt)?;
        Ok(Self { start, kind, salt: u64::from_le_bytes(salt) })
    }

    pub(super) const fn with_kind(self, kind: FileKind) -> Self {
        Self { kind, ..self }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.to_string().into()
    }

    /// The names of all files of a log, in order. Other names are not its own and left alone.
    pub(super) fn list(directory: &dyn Directory) -> Result<Vec<Self>> {
        let entries = directory.entries(Path::new(""));
        let entries = entries.map_err(|error| Error::io("list the directory of the log", error))?;
        let files = entries.iter().filter(|entry| entry.kind == EntryKind::File);
        let mut names = files.filter_map(|entry| Self::parse(&entry.name)).collect::<Vec<_>>();
        names.sort_unstable();
        Ok(names)
    }

    fn parse(text: &str) -> Option<Self> {
        let (stem, extension) = text.split_once('.')?;
        let (start, salt) = stem.split_once('-')?;
        let kinds = [FileKind::Current, FileKind::Sealed, FileKind::Temporary];
        let name = Self {
            start: FrameNo::new(start.parse().ok()?)?,
            kind: kinds.into_iter().find(|kind| kind.extension() == extension)?,
            salt: u64::from_str_radix(salt, 16).ok()?,
        };
        // One name has one spelling.
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:016x}.{}", self.start.get(), self.salt, self.kind.extension())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        let start = FrameNo::new(7).unwrap();
        let name = FileName { start, kind: FileKind::Sealed, salt: 0xab };
        let text = name.to_string();
        assert_eq!(text, "00000000000000000007-00000000000000ab.sealed");
        assert_eq!(FileName::parse(&text), Some(name));
        let zero = text.replace('7', "0");
        for foreign in ["", "app.db", &text[1..], &text.to_uppercase(), &format!("{text}.bak"), &zero] {
            assert_eq!(FileName::parse(foreign), None, "{foreign}");
        }
    }
}
