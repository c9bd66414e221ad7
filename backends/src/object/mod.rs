//! Object stores: Amazon S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage, and one in memory.
//!
//! Invariants:
//!
//! - an object of up to 64 MiB is created with one create-only request: of many creates of a name one wins, if the
//!   server keeps to the protocol. Larger ones are sent in parts, which is **not** create-only (see `put`);
//! - every call ends within the bound of its [`ObjectLocation`], and what may pass is repeated until then, in one place;
//! - an error says what was wrong: the credentials, the bucket, the connection, the time; and never shows a secret.
//!
//! It does not check what it reads: Walkeep's own checksums do. It does not look whether a server honours create-only
//! requests: whoever relies on them probes for it.
//!
//! Parts of an upload that was cancelled stay in the store: set a rule of the bucket that removes unfinished uploads.

mod answer;
mod config;
mod credentials;
mod failure;
mod listing;
mod location;
mod put;
mod retry;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::{GetOptions, GetRange, ObjectStoreExt};
use walkeep_core::{Backend, Body, ByteRange, ObjectMeta, ObjectPath, Random, Result};

use self::config::Client;
pub use self::config::ObjectConfig;
pub use self::credentials::{Credentials, Secret};
use self::failure::{Failure, Kind};
use self::listing::Listing;
pub use self::location::{FORMS, ObjectLocation, SETTINGS, Service};
use self::retry::attempts;
use crate::os::SystemRandom;

/// How many objects are deleted with one request at most.
const DELETES_AT_ONCE: usize = 1000;

/// An object store as a [`Backend`].
///
/// Calls must be made in a tokio runtime with time and I/O.
#[derive(Debug)]
pub struct Object {
    config: ObjectConfig,
    random: Arc<dyn Random>,
}

impl Object {
    /// A store in this bucket by default.
    #[must_use]
    pub fn new(config: ObjectConfig) -> Self {
        Self::with_random(config, Arc::new(SystemRandom))
    }

    /// As [`Object::new`], with the source of randomness for pauses between repetitions.
    #[must_use]
    pub fn with_random(config: ObjectConfig, random: Arc<dyn Random>) -> Self {
        Self { config, random }
    }

    fn client<'a>(&'a self, config: Option<&'a ObjectConfig>) -> &'a Client {
        &config.unwrap_or(&self.config).client
    }

    /// The bytes of a range that need not be cut to the object first.
    async fn read(
        &self,
        client: &Client,
        path: &ObjectPath,
        range: Option<GetRange>,
    ) -> Result<Bytes, Failure> {
        let location =
            client.location(path).map_err(|error| Failure::new(Kind::Refused, error.to_string()))?;
        let (location, range) = (&location, &range);
        let tried = attempts(client.timeout, &*self.random, |budget| async move {
            let options = GetOptions { range: range.clone(), ..GetOptions::default() };
            let found = budget.wait(0, client.objects.get_opts(location, options)).await?;
            let len = found.range.end - found.range.start;
            budget.wait(len, found.bytes()).await
        });
        tried.await.outcome
    }

    /// The same for a range that must be cut to the object first: empty ones, and what a store cannot be asked.
    async fn read_cut(
        &self,
        client: &Client,
        path: &ObjectPath,
        range: &ByteRange,
    ) -> Result<Bytes, Failure> {
        let location =
            client.location(path).map_err(|error| Failure::new(Kind::Refused, error.to_string()))?;
        let location = &location;
        let tried = attempts(client.timeout, &*self.random, |budget| async move {
            budget.wait(0, client.objects.head(location)).await
        });
        let cut = range.resolve(tried.await.outcome?.size);
        if cut.is_empty() {
            return Ok(Bytes::new());
        }
        self.read(client, path, Some(GetRange::Bounded(cut))).await
    }

    async fn delete_some(&self, client: &Client, paths: &[ObjectPath]) -> Result<()> {
        let locations = paths.iter().map(|path| client.location(path)).collect::<Result<Vec<_>>>()?;
        let locations = &locations;
        let tried = attempts(client.timeout, &*self.random, |budget| async move {
            let all = stream::iter(locations.clone().into_iter().map(Ok)).boxed();
            let deleted = client.objects.delete_stream(all).map(|deleted| match deleted {
                // Done already.
                Err(object_store::Error::NotFound { .. }) => Ok(()),
                deleted => deleted.map(drop),
            });
            budget.wait(0, deleted.try_collect::<()>()).await
        });
        let count = paths.len();
        tried.await.outcome.map_err(|failure| {
            let first = paths.first().map(ObjectPath::as_str).unwrap_or_default();
            failure.into_error(&client.describe(&format!("delete {count} objects from"), first), first)
        })
    }
}

#[async_trait]
impl Backend for Object {
    type Config = ObjectConfig;

    fn default_config(&self) -> ObjectConfig {
        self.config.clone()
    }

    async fn put_new(&self, config: Option<&ObjectConfig>, path: &ObjectPath, body: Body) -> Result<()> {
        let client = self.client(config);
        put::put_new(client, &*self.random, path, &body).await.map_err(|error| client.scrubbed(error))
    }

    async fn get(&self, config: Option<&ObjectConfig>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        let client = self.client(config);
        let asked = match &range {
            _ if client.exact_ranges => None,
            ByteRange::Full => Some(None),
            ByteRange::Bounded(bounds) if bounds.start < bounds.end => {
                Some(Some(GetRange::Bounded(bounds.clone())))
            }
            ByteRange::From(offset) => Some(Some(GetRange::Offset(*offset))),
            ByteRange::Suffix(last) if client.suffix_ranges && *last > 0 => {
                Some(Some(GetRange::Suffix(*last)))
            }
            ByteRange::Bounded(_) | ByteRange::Suffix(_) => None,
        };
        let outcome = match asked {
            Some(asked) => match self.read(client, path, asked).await {
                // Servers differ in what they say to a range that begins at the end of an object.
                Err(failure) if failure.kind == Kind::Unreadable && range != ByteRange::Full => {
                    self.read_cut(client, path, &range).await
                }
                outcome => outcome,
            },
            None => self.read_cut(client, path, &range).await,
        };
        match outcome {
            Ok(bytes) => Ok(bytes),
            Err(failure) if failure.kind == Kind::NoSuchRange => Ok(Bytes::new()),
            Err(failure) => {
                Err(client.scrubbed(failure.into_error(&client.describe("get", path), path.as_str())))
            }
        }
    }

    fn list<'a>(
        &'a self,
        config: Option<&'a ObjectConfig>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        let client = self.client(config);
        let listing = Listing { client, random: &*self.random, prefix };
        let found =
            async move { listing.objects(after, limit).await.map_err(|error| client.scrubbed(error)) };
        stream::once(found).map_ok(|items| stream::iter(items.into_iter().map(Ok))).try_flatten().boxed()
    }

    fn list_directories<'a>(
        &'a self,
        config: Option<&'a ObjectConfig>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        let client = self.client(config);
        let listing = Listing { client, random: &*self.random, prefix };
        let found =
            async move { listing.directories(after, limit).await.map_err(|error| client.scrubbed(error)) };
        stream::once(found).map_ok(|items| stream::iter(items.into_iter().map(Ok))).try_flatten().boxed()
    }

    async fn delete(&self, config: Option<&ObjectConfig>, paths: &[ObjectPath]) -> Result<()> {
        let client = self.client(config);
        for some in paths.chunks(DELETES_AT_ONCE) {
            self.delete_some(client, some).await.map_err(|error| client.scrubbed(error))?;
        }
        Ok(())
    }
}
