//! A caller who does not give up: what fails as unavailable is tried again, and an object that exists after a reply was
//! lost is compared, as callers of [`Backend::put_new`] must.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use walkeep::core::{Backend, Body, ByteRange, Error, ObjectMeta, ObjectPath, Result};

const ATTEMPTS: usize = 200;

/// A backend as a persistent caller sees it.
#[derive(Debug)]
pub struct Persistent<B>(pub B);

/// Makes a call until it does not fail as unavailable.
macro_rules! persist {
    ($call:expr) => {{
        let mut outcome = $call.await;
        for _ in 1..ATTEMPTS {
            if !matches!(outcome, Err(Error::Unavailable { .. })) {
                break;
            }
            outcome = $call.await;
        }
        outcome
    }};
}

fn content(body: &Body) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(body.len()).unwrap()];
    body.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

#[async_trait]
impl<B: Backend> Backend for Persistent<B> {
    type Config = B::Config;

    fn default_config(&self) -> B::Config {
        self.0.default_config()
    }

    async fn put_new(&self, config: Option<&B::Config>, path: &ObjectPath, body: Body) -> Result<()> {
        let mut lost = false;
        for _ in 0..ATTEMPTS {
            match self.0.put_new(config, path, body.clone()).await {
                Err(Error::Unavailable { .. }) => lost = true,
                Err(Error::AlreadyExists { what }) if lost => {
                    let there = self.get(config, path, ByteRange::Full).await?;
                    return if there == content(&body) { Ok(()) } else { Err(Error::AlreadyExists { what }) };
                }
                outcome => return outcome,
            }
        }
        Err(Error::Unavailable { what: format!("{path}, again and again"), source: None })
    }

    async fn get(&self, config: Option<&B::Config>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        persist!(self.0.get(config, path, range.clone()))
    }

    fn list<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        let listing =
            async move { persist!(self.0.list(config, prefix, after, limit).try_collect::<Vec<_>>()) };
        stream::once(listing).map_ok(|items| stream::iter(items.into_iter().map(Ok))).try_flatten().boxed()
    }

    fn list_directories<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        let listing = async move {
            persist!(self.0.list_directories(config, prefix, after, limit).try_collect::<Vec<_>>())
        };
        stream::once(listing).map_ok(|items| stream::iter(items.into_iter().map(Ok))).try_flatten().boxed()
    }

    async fn delete(&self, config: Option<&B::Config>, paths: &[ObjectPath]) -> Result<()> {
        persist!(self.0.delete(config, paths))
    }
}
