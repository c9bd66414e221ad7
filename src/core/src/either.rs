//! A choice of one: a backend, or a storage, that is one of two kinds, chosen when the program starts.
//!
//! Invariants:
//!
//! - every call goes to the one side there is, unchanged;
//! - a configuration for the other side is refused as `Invalid` before anything is asked of a store.
//!
//! The types are static, and nest: `Either<A, Either<B, C>>` is a choice of three. For kinds that only the running
//! program knows see [`DynBackend`](crate::DynBackend). It is not a mirror: it never writes to both.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use crate::backend::{Backend, ByteRange, Leftovers, ObjectMeta};
use crate::body::Body;
use crate::error::{Error, Result};
use crate::object_path::ObjectPath;
use crate::unix_millis::UnixMillis;

/// One of two.
///
/// Of two backends it is a backend, of two storages a [`Storage`](crate::Storage); its configuration is then one of their
/// two configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first.
    Left(A),
    /// The second.
    Right(B),
}

impl<A, B> Either<A, B> {
    /// The first, if it is that one.
    pub const fn left(&self) -> Option<&A> {
        match self {
            Self::Left(left) => Some(left),
            Self::Right(_) => None,
        }
    }

    /// The second, if it is that one.
    pub const fn right(&self) -> Option<&B> {
        match self {
            Self::Left(_) => None,
            Self::Right(right) => Some(right),
        }
    }

    /// The first, as the configuration of a call to that side.
    pub(crate) fn for_left(config: Option<&Self>) -> Result<Option<&A>> {
        config.map(|config| config.left().ok_or_else(|| wrong_side("second", "first"))).transpose()
    }

    /// The second, as the configuration of a call to that side.
    pub(crate) fn for_right(config: Option<&Self>) -> Result<Option<&B>> {
        config.map(|config| config.right().ok_or_else(|| wrong_side("first", "second"))).transpose()
    }

    /// As [`Either::for_left`], of one that is given away.
    pub(crate) fn into_left(config: Option<Self>) -> Result<Option<A>> {
        config
            .map(|config| match config {
                Self::Left(left) => Ok(left),
                Self::Right(_) => Err(wrong_side("second", "first")),
            })
            .transpose()
    }

    /// As [`Either::for_right`], of one that is given away.
    pub(crate) fn into_right(config: Option<Self>) -> Result<Option<B>> {
        config
            .map(|config| match config {
                Self::Left(_) => Err(wrong_side("first", "second")),
                Self::Right(right) => Ok(right),
            })
            .transpose()
    }
}

fn wrong_side(given: &str, is: &str) -> Error {
    Error::invalid(
        format!("a configuration for the {given} of two kinds"),
        format!("this one is of the {is} kind: give a configuration of that kind, or none"),
    )
}

/// A listing that could not begin.
pub(crate) fn refused<'a, T: Send + 'a>(error: Error) -> BoxStream<'a, Result<T>> {
    stream::iter([Err(error)]).boxed()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<A: Backend, B: Backend> Backend for Either<A, B> {
    type Config = Either<A::Config, B::Config>;

    fn default_config(&self) -> Self::Config {
        match self {
            Self::Left(left) => Either::Left(left.default_config()),
            Self::Right(right) => Either::Right(right.default_config()),
        }
    }

    async fn put_new(&self, config: Option<&Self::Config>, path: &ObjectPath, body: Body) -> Result<()> {
        match self {
            Self::Left(left) => left.put_new(Either::for_left(config)?, path, body).await,
            Self::Right(right) => right.put_new(Either::for_right(config)?, path, body).await,
        }
    }

    async fn get(&self, config: Option<&Self::Config>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        match self {
            Self::Left(left) => left.get(Either::for_left(config)?, path, range).await,
            Self::Right(right) => right.get(Either::for_right(config)?, path, range).await,
        }
    }

    fn list<'a>(
        &'a self,
        config: Option<&'a Self::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        let listing = match self {
            Self::Left(left) => {
                Either::for_left(config).map(|config| left.list(config, prefix, after, limit))
            }
            Self::Right(right) => {
                Either::for_right(config).map(|config| right.list(config, prefix, after, limit))
            }
        };
        listing.unwrap_or_else(refused)
    }

    fn list_directories<'a>(
        &'a self,
        config: Option<&'a Self::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        let listing = match self {
            Self::Left(left) => {
                Either::for_left(config).map(|config| left.list_directories(config, prefix, after, limit))
            }
            Self::Right(right) => {
                Either::for_right(config).map(|config| right.list_directories(config, prefix, after, limit))
            }
        };
        listing.unwrap_or_else(refused)
    }

    async fn delete(&self, config: Option<&Self::Config>, paths: &[ObjectPath]) -> Result<()> {
        match self {
            Self::Left(left) => left.delete(Either::for_left(config)?, paths).await,
            Self::Right(right) => right.delete(Either::for_right(config)?, paths).await,
        }
    }

    async fn leftovers(
        &self,
        config: Option<&Self::Config>,
        prefix: &ObjectPath,
        before: UnixMillis,
        delete: bool,
    ) -> Result<Leftovers> {
        match self {
            Self::Left(left) => left.leftovers(Either::for_left(config)?, prefix, before, delete).await,
            Self::Right(right) => right.leftovers(Either::for_right(config)?, prefix, before, delete).await,
        }
    }
}
