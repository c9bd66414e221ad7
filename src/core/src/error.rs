//! Errors, sorted by what the caller can do about them.
//!
//! Every error says what was wrong, where, and what to do. Log an error where it is handled, not where it passes.

use std::fmt;
use std::ops::RangeInclusive;

use crate::frame_no::FrameNo;
use crate::unix_millis::UnixMillis;

/// The result of every fallible call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, by what the caller can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such object or namespace.
    #[error("{what} does not exist")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// A create-only write met something that is already there. It says nothing about who wrote it.
    #[error("{what} already exists")]
    AlreadyExists {
        /// What is already there.
        what: String,
    },
    /// There is no such restore point. Choose another one.
    #[error("{0}")]
    Unreachable(Box<Unreachable>),
    /// Stored data is damaged, or is not what its name says.
    #[error("{0}")]
    Corrupt(Box<Corruption>),
    /// The store did not answer, or answered that it cannot now. Trying again may help.
    #[error("the store is unavailable: {what}")]
    Unavailable {
        /// What was tried, and what came back.
        what: String,
        /// The underlying error.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A quota, a limit or a disk is full.
    #[error("{what}")]
    Exhausted {
        /// What is full, with figures and the remedy.
        what: String,
    },
    /// Another writer has taken over this namespace. Stop writing.
    #[error("namespace {namespace} was taken over by another writer (epoch {ours} is ours, {theirs})")]
    Fenced {
        /// The namespace.
        namespace: String,
        /// The epoch that this writer held.
        ours: u32,
        /// What stands in its place.
        theirs: String,
    },
    /// The call is wrong in itself: a bad name, a wrong setting, a format that this version does not know.
    #[error("{what} is refused: {why}")]
    Invalid {
        /// What was wrong.
        what: String,
        /// The rule, or what to do.
        why: String,
    },
    /// The outcome could not be found out: it may or may not have happened.
    #[error("the outcome is unknown: {what}")]
    Unknown {
        /// What may or may not have happened, and how to find out.
        what: String,
    },
    /// A local file (not the store) could not be read or written.
    #[error("{what}: {source}")]
    Io {
        /// The operation and the path.
        what: String,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// An `Invalid`.
    pub fn invalid(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), why: why.into() }
    }

    /// A `NotFound`.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    /// An `Unavailable` with its cause.
    pub fn unavailable(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { what: what.into(), source: Some(source.into()) }
    }

    /// An `Io` with the operation and the path; a full disk becomes `Exhausted`.
    pub fn io(what: impl fmt::Display, source: std::io::Error) -> Self {
        if matches!(
            source.kind(),
            std::io::ErrorKind::StorageFull
                | std::io::ErrorKind::QuotaExceeded
                | std::io::ErrorKind::FileTooLarge
        ) {
            return Self::Exhausted { what: format!("{what}: {source}") };
        }
        Self::Io { what: what.to_string(), source }
    }

    /// A `Corrupt`: what was expected at an offset of an object, and what was found there.
    pub fn corrupt(
        object: impl fmt::Display,
        offset: u64,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        Self::Corrupt(Box::new(Corruption {
            object: object.to_string(),
            offset,
            expected: expected.to_string(),
            found: found.to_string(),
        }))
    }

    /// The same error for another listener. What stands behind it is kept as text.
    #[must_use]
    pub fn again(&self) -> Self {
        match self {
            Self::NotFound { what } => Self::NotFound { what: what.clone() },
            Self::AlreadyExists { what } => Self::AlreadyExists { what: what.clone() },
            Self::Unreachable(unreachable) => Self::Unreachable(unreachable.clone()),
            Self::Corrupt(corruption) => Self::Corrupt(corruption.clone()),
            Self::Unavailable { what, source } => Self::Unavailable {
                what: what.clone(),
                source: source.as_ref().map(|source| source.to_string().into()),
            },
            Self::Exhausted { what } => Self::Exhausted { what: what.clone() },
            Self::Fenced { namespace, ours, theirs } => {
                Self::Fenced { namespace: namespace.clone(), ours: *ours, theirs: theirs.clone() }
            }
            Self::Invalid { what, why } => Self::Invalid { what: what.clone(), why: why.clone() },
            Self::Unknown { what } => Self::Unknown { what: what.clone() },
            Self::Io { what, source } => Self::Io {
                what: what.clone(),
                source: std::io::Error::new(source.kind(), source.to_string()),
            },
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Damage in a stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// The object's path, or the file's.
    pub object: String,
    /// The offset in the object where the damaged part begins, in bytes.
    pub offset: u64,
    /// What should stand there.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

impl Corruption {
    /// What to do about it.
    pub const REMEDY: &'static str = "restore the object from a copy of the store, or restore to a point that does \
                                      not need it; `walkeep verify --deep` lists all damage";
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, offset, expected, found } = self;
        write!(f, "{object} is damaged at offset {offset}: expected {expected}, found {found}")
    }
}

/// A commit near a restore point that cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its last frame.
    pub frame_no: FrameNo,
    /// When it was recorded.
    pub time: UnixMillis,
}

/// A restore point that cannot be reached, and what stands near it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unreachable {
    /// What was asked for.
    pub wanted: String,
    /// Why it cannot be had.
    pub why: String,
    /// The nearest restorable commit before it.
    pub before: Option<Neighbour>,
    /// The nearest restorable commit after it.
    pub after: Option<Neighbour>,
    /// The frames that are missing from the store.
    pub missing: Option<RangeInclusive<FrameNo>>,
    /// The ranges of frames whose commits can be restored.
    pub restorable: Vec<RangeInclusive<FrameNo>>,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be reached: {}", self.wanted, self.why)?;
        if let Some(missing) = &self.missing {
            write!(f, "; missing are frames {} to {}", missing.start(), missing.end())?;
        }
        if let Some(commit) = &self.before {
            write!(f, "; the commit before is frame {} of {}", commit.frame_no, commit.time)?;
        }
        if let Some(commit) = &self.after {
            write!(f, "; the commit after is frame {} of {}", commit.frame_no, commit.time)?;
        }
        for (i, range) in self.restorable.iter().enumerate() {
            let lead = if i == 0 { "; restorable are frames" } else { "," };
            write!(f, "{lead} {} to {}", range.start(), range.end())?;
        }
        Ok(())
    }
}

impl From<Unreachable> for Error {
    fn from(unreachable: Unreachable) -> Self {
        Self::Unreachable(Box::new(unreachable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_not_a_plain_io_error() {
        let full = Error::io("write x", std::io::ErrorKind::StorageFull.into());
        assert!(matches!(full, Error::Exhausted { .. }), "{full}");
        let other = Error::io("write x", std::io::ErrorKind::PermissionDenied.into());
        assert!(matches!(other, Error::Io { .. }), "{other}");
    }

    #[test]
    fn another_listener_hears_the_same() {
        let errors = [
            Error::not_found("x"),
            Error::unavailable("get x", std::io::Error::from(std::io::ErrorKind::TimedOut)),
            Error::corrupt("x", 7, "a", "b"),
            Error::io("write x", std::io::ErrorKind::PermissionDenied.into()),
            Error::Fenced { namespace: "x".into(), ours: 1, theirs: "2".into() },
        ];
        for error in errors {
            let again = error.again();
            assert_eq!(again.to_string(), error.to_string());
            assert_eq!(std::mem::discriminant(&again), std::mem::discriminant(&error));
        }
    }

    #[test]
    fn an_unreachable_point_names_what_is_missing() {
        let frame = |n| FrameNo::new(n).unwrap();
        let error = Error::from(Unreachable {
            wanted: "frame 5".into(),
            why: "a segment is missing".into(),
            missing: Some(frame(4)..=frame(6)),
            restorable: vec![frame(1)..=frame(3)],
            ..Unreachable::default()
        });
        assert_eq!(
            error.to_string(),
            "frame 5 cannot be reached: a segment is missing; missing are frames 4 to 6; restorable are frames 1 to 3"
        );
    }
}
