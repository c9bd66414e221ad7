//! What a store of objects must do, and nothing more: a [`Backend`] knows bytes, not segments.
//!
//! Write one against this crate alone, and prove it with the conformance suite (feature `conformance`).

use std::fmt::Debug;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::Serialize;

use crate::body::Body;
use crate::error::Result;
use crate::object_path::ObjectPath;
use crate::unix_millis::UnixMillis;

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its key.
    pub path: ObjectPath,
    /// Its length in bytes.
    pub size: u64,
    /// When it was stored, by the clock of the store; `None` where the store does not say.
    pub modified: Option<UnixMillis>,
}

/// What uploads that were never finished have left behind: no objects, but they take room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Leftovers {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Which bytes of an object to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// All of it.
    Full,
    /// From the first offset up to, not including, the second.
    Bounded(Range<u64>),
    /// From an offset to the end.
    From(u64),
    /// The last so many bytes; the whole object when it is shorter.
    Suffix(u64),
}

impl ByteRange {
    /// The offsets this range means in an object of `len` bytes, cut to the object.
    #[must_use]
    pub fn resolve(&self, len: u64) -> Range<u64> {
        let range = match *self {
            Self::Full => 0..len,
            Self::Bounded(Range { start, end }) => start..end,
            Self::From(start) => start..len,
            Self::Suffix(last) => len.saturating_sub(last)..len,
        };
        let end = range.end.min(len);
        range.start.min(end)..end
    }
}

/// A store of immutable objects under ordered keys.
///
/// Each call takes a configuration (`None` = [`Backend::default_config`]), so that one process can keep its tenants
/// in different places.
#[async_trait]
pub trait Backend: Debug + Send + Sync + 'static {
    /// Where objects are: a bucket, a directory.
    type Config: Clone + Debug + Send + Sync + 'static;

    /// The configuration that `None` stands for.
    fn default_config(&self) -> Self::Config;

    /// Creates an object, whole or not at all, unless one of this name exists. It is durable when this returns.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when an object of this name is there (perhaps from a lost reply to this very call: compare
    /// contents before drawing conclusions). `Unavailable`: the object may or may not be there now, or appear later;
    /// reading tells. `Unknown`: reading does not tell, because the object may be there and not stay (a sync failed).
    ///
    /// # Cancel safety
    ///
    /// After a cancelled call the object may or may not be there, or appear later.
    async fn put_new(&self, config: Option<&Self::Config>, path: &ObjectPath, body: Body) -> Result<()>;

    /// The bytes of an object in a range, cut to the object: fewer than asked when the object ends before.
    ///
    /// Contents are not checked here: callers check them against Walkeep's own checksums.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    async fn get(&self, config: Option<&Self::Config>, path: &ObjectPath, range: ByteRange) -> Result<Bytes>;

    /// The objects below `prefix/`, in key order, strictly behind `after`, at most `limit`.
    ///
    /// `after` need not exist. Objects whose keys are not valid [`ObjectPath`]s are left out.
    ///
    /// # Errors
    ///
    /// The stream ends at its first error. An empty listing is not an error.
    fn list<'a>(
        &'a self,
        config: Option<&'a Self::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>>;

    /// The names of the "directories" directly below `prefix/` that hold at least one object, in order of
    /// `{name}/`, at most `limit` of those strictly behind the name `after`.
    ///
    /// # Errors
    ///
    /// The stream ends at its first error.
    fn list_directories<'a>(
        &'a self,
        config: Option<&'a Self::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>>;

    /// Deletes objects; one that is not there is done already. Durable when this returns.
    ///
    /// # Errors
    ///
    /// After an error each of the objects may or may not be gone.
    async fn delete(&self, config: Option<&Self::Config>, paths: &[ObjectPath]) -> Result<()>;

    /// What uploads of objects below `prefix/` have left behind that were last written to before `before`, by the clock of the
    /// store, and were not finished; with `delete` it is deleted. An upload that still goes on then fails as `Unavailable`.
    ///
    /// By default nothing: for stores that leave nothing behind, or clean up by rules of their own.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    async fn leftovers(
        &self,
        config: Option<&Self::Config>,
        prefix: &ObjectPath,
        before: UnixMillis,
        delete: bool,
    ) -> Result<Leftovers> {
        let _ = (config, prefix, before, delete);
        Ok(Leftovers::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_object() {
        assert_eq!(ByteRange::Full.resolve(10), 0..10);
        assert_eq!(ByteRange::Bounded(2..20).resolve(10), 2..10);
        assert_eq!(ByteRange::Bounded(12..20).resolve(10), 10..10);
        assert_eq!(ByteRange::From(4).resolve(10), 4..10);
        assert_eq!(ByteRange::From(11).resolve(10), 10..10);
        assert_eq!(ByteRange::Suffix(3).resolve(10), 7..10);
        assert_eq!(ByteRange::Suffix(30).resolve(10), 0..10);
    }
}
