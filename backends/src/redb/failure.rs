//! What may go wrong in a transaction, until it is an [`Error`] by what the caller can do.

use std::io::ErrorKind;

use redb::{
    CommitError, CompactionError, DatabaseError, SavepointError, StorageError, TableError, TransactionError,
};
use walkeep_core::Error;

/// The result of a step in a transaction: `?` takes redb's errors and Walkeep's.
pub type Step<T> = Result<T, Failure>;

/// What went wrong in a step of a transaction.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// An error of Walkeep's own; it passes unchanged.
    Own(Error),
    /// The database's, before anything was committed.
    Database(Box<redb::Error>),
    /// That of a commit.
    Commit(CommitError),
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        Self::Commit(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

macro_rules! database_errors {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Database(Box::new(error.into()))
            }
        })*
    };
}

database_errors!(
    redb::Error,
    CompactionError,
    DatabaseError,
    SavepointError,
    StorageError,
    TableError,
    TransactionError
);

impl Failure {
    /// Whether the database may go on being used after it.
    pub(super) fn is_harmless(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    /// The error for the caller; `what` is what was tried, and where.
    pub(super) fn into_error(self, what: &str) -> Error {
        match self {
            Self::Own(error) => error,
            Self::Database(error) => from_database(what, *error),
            Self::Commit(error) => from_database(what, error.into()),
        }
    }
}

fn from_database(what: &str, error: redb::Error) -> Error {
    let sound = "a sound database";
    match error {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
            Error::unavailable(format!("{what}: another process has it open"), error)
        }
        redb::Error::Io(source) => match source.kind() {
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => Error::corrupt(what, 0, sound, source),
            _ => Error::io(what, source),
        },
        redb::Error::Corrupted(found) => Error::corrupt(what, 0, sound, found),
        redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableIsNotMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. } => Error::invalid(
            format!("{what}: {error}"),
            "it was written by another program, or a newer version",
        ),
        redb::Error::UpgradeRequired(version) => Error::invalid(
            format!("{what}: redb's file format {version}"),
            "it is older than this version of Walkeep reads",
        ),
        redb::Error::ValueTooLarge(len) => {
            Error::invalid(format!("{what}: a value of {len} bytes"), "it is larger than redb takes")
        }
        other => Error::io(what, std::io::Error::other(other)),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn errors_are_sorted_by_what_the_caller_can_do() {
        let sorted = |error: redb::Error| Failure::from(error).into_error("write shard 3 of /x");
        let io = |kind: ErrorKind| sorted(redb::Error::Io(io::Error::from(kind)));
        assert!(matches!(sorted(redb::Error::DatabaseAlreadyOpen), Error::Unavailable { .. }));
        assert!(matches!(io(ErrorKind::StorageFull), Error::Exhausted { .. }));
        assert!(matches!(io(ErrorKind::PermissionDenied), Error::Io { .. }));
        assert!(matches!(io(ErrorKind::UnexpectedEof), Error::Corrupt(_)));
        assert!(matches!(sorted(redb::Error::Corrupted("a page".into())), Error::Corrupt(_)));
        assert!(matches!(sorted(redb::Error::PreviousIo), Error::Io { .. }));
        let own = Failure::from(Error::not_found("x")).into_error("write");
        assert!(matches!(own, Error::NotFound { .. }), "{own}");
        assert!(io(ErrorKind::StorageFull).to_string().contains("shard 3 of /x"));
    }
}
