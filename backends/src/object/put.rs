//! Creating objects: in one request, or in parts.
//!
//! Invariants:
//!
//! - one request is create-only at the server: of many creates of a name one wins;
//! - an own create whose answer was lost, and which then meets its own object, is told apart from a foreign one by
//!   reading back;
//! - **parts are not create-only.** The name is looked at before the parts are sent and again before they are put
//!   together, but between the second look and the end another writer can come. Only bodies beyond 64 MiB are sent in
//!   parts; these are segments, whose names say what they hold, and whose safety does not rest on it (the protocol
//!   rests on manifests, which are small).

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload};
use walkeep_core::{Body, Error, ObjectPath, Random, Result};

use super::config::Client;
use super::failure::{Failure, Kind};
use super::retry::{Tried, attempts};
use crate::blocking::blocking;

/// How many parts are on their way at once; each is held in memory.
const PARTS_AT_ONCE: usize = 4;

/// The most parts that stores take.
const PARTS_MAX: u64 = 10_000;

/// Creates an object.
pub(super) async fn put_new(
    client: &Client,
    random: &dyn Random,
    path: &ObjectPath,
    body: &Body,
) -> Result<()> {
    if body.len() > client.multipart_from {
        return Upload { client, random, path, location: client.location(path)?, body }.run().await;
    }
    let location = client.location(path)?;
    let bytes = read(body, 0, body.len()).await?;
    let Tried { outcome, maybe_done_before } = attempts(client.timeout, random, |budget| {
        let payload = PutPayload::from(bytes.clone());
        let options = PutOptions::from(PutMode::Create);
        let request = client.objects.put_opts(&location, payload, options);
        async move { budget.wait(body.len(), request).await }
    })
    .await;
    match outcome {
        Ok(_) => Ok(()),
        Err(failure) if failure.kind == Kind::AlreadyExists && maybe_done_before => {
            ours(client, random, path, &location, &bytes).await
        }
        Err(failure) => Err(failure.into_error(&client.describe("put", path), path.as_str())),
    }
}

/// After an attempt whose answer was lost: whether the object that is there is the one that was sent.
async fn ours(
    client: &Client,
    random: &dyn Random,
    path: &ObjectPath,
    location: &Path,
    sent: &Bytes,
) -> Result<()> {
    let tried = attempts(client.timeout, random, |budget| async move {
        let found = budget.wait(0, client.objects.get(location)).await?;
        if found.meta.size != sent.len() as u64 {
            return Ok(false);
        }
        Ok(budget.wait(found.meta.size, found.bytes()).await? == *sent)
    })
    .await;
    match tried.outcome {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::AlreadyExists { what: path.to_string() }),
        Err(Failure { why, .. }) => Err(Error::Unknown {
            what: format!(
                "{}: the answer was lost, and reading back failed: {why}",
                client.describe("put", path)
            ),
        }),
    }
}

/// Bytes of a body; a source may block, and is read where that is allowed.
async fn read(body: &Body, offset: u64, len: u64) -> Result<Bytes> {
    let too_large = |_| Error::Exhausted { what: "a part of the body is larger than memory".into() };
    let (from, count) =
        (usize::try_from(offset).map_err(too_large)?, usize::try_from(len).map_err(too_large)?);
    match body {
        Body::Bytes(bytes) => Ok(bytes.slice(from..from + count)),
        Body::Source(source) => {
            let source = source.clone();
            let work = move || {
                let mut bytes = vec![0; count];
                let read = source.read_exact_at(offset, &mut bytes);
                read.map_err(|error| Error::io("read the body of an object", error))?;
                Ok(Bytes::from(bytes))
            };
            blocking(work).await
        }
    }
}

/// An upload in parts.
struct Upload<'a> {
    client: &'a Client,
    random: &'a dyn Random,
    path: &'a ObjectPath,
    location: Path,
    body: &'a Body,
}

impl Upload<'_> {
    async fn run(&self) -> Result<()> {
        self.is_free().await?;
        let begun = attempts(self.client.timeout, self.random, |budget| async move {
            budget.wait(0, self.client.multipart.create_multipart(&self.location)).await
        });
        let id = begun.await.outcome.map_err(|failure| self.error(failure))?;
        let outcome = self.send_and_complete(&id).await;
        if outcome.is_err() {
            self.abort(&id).await;
        }
        outcome
    }

    async fn send_and_complete(&self, id: &String) -> Result<()> {
        let part_len = self.client.part_len.max(self.body.len().div_ceil(PARTS_MAX));
        let count = self.body.len().div_ceil(part_len);
        let parts = stream::iter(0..count).map(|nth| self.send(id, nth, part_len)).buffered(PARTS_AT_ONCE);
        let parts = parts.try_collect::<Vec<_>>().await?;
        self.is_free().await?;
        let parts = &parts;
        let Tried { outcome, maybe_done_before } =
            attempts(self.client.timeout, self.random, |budget| async move {
                let request = self.client.multipart.complete_multipart(&self.location, id, parts.clone());
                budget.wait(0, request).await
            })
            .await;
        match outcome {
            Ok(_) => Ok(()),
            // The upload is gone, since an attempt whose answer was lost has completed it.
            Err(failure) if failure.kind == Kind::NotFound && maybe_done_before => self.is_complete().await,
            Err(failure) if failure.kind == Kind::NotFound => Err(Error::Unavailable {
                what: format!(
                    "{}: the upload in parts is gone; was it cleaned up?",
                    self.client.describe("put", self.path)
                ),
                source: None,
            }),
            Err(failure) => Err(self.error(failure)),
        }
    }

    async fn send(&self, id: &String, nth: u64, part_len: u64) -> Result<PartId> {
        let offset = nth * part_len;
        let bytes = read(self.body, offset, part_len.min(self.body.len() - offset)).await?;
        let index = usize::try_from(nth).unwrap_or(usize::MAX);
        let sent = attempts(self.client.timeout, self.random, |budget| {
            let payload = PutPayload::from(bytes.clone());
            let request = self.client.multipart.put_part(&self.location, id, index, payload);
            async move { budget.wait(part_len, request).await }
        });
        sent.await.outcome.map_err(|failure| self.error(failure))
    }

    /// The length of the object that has the name now.
    async fn size(&self) -> Result<Option<u64>> {
        let tried = attempts(self.client.timeout, self.random, |budget| async move {
            budget.wait(0, self.client.objects.head(&self.location)).await
        });
        match tried.await.outcome {
            Ok(meta) => Ok(Some(meta.size)),
            Err(failure) if failure.kind == Kind::NotFound => Ok(None),
            Err(failure) => Err(self.error(failure)),
        }
    }

    async fn is_free(&self) -> Result<()> {
        match self.size().await? {
            None => Ok(()),
            Some(_) => Err(Error::AlreadyExists { what: self.path.to_string() }),
        }
    }

    async fn is_complete(&self) -> Result<()> {
        if self.size().await? == Some(self.body.len()) {
            return Ok(());
        }
        let what = self.client.describe("put", self.path);
        Err(Error::Unknown { what: format!("{what}: the upload in parts is gone, and so is the object") })
    }

    /// Parts that stay behind cost room until the bucket's own rules remove them.
    async fn abort(&self, id: &String) {
        let tried = attempts(self.client.timeout, self.random, |budget| async move {
            budget.wait(0, self.client.multipart.abort_multipart(&self.location, id)).await
        });
        if let Err(failure) = tried.await.outcome {
            tracing::warn!(path = %self.path, why = failure.why, "parts of an upload stay behind in the store");
        }
    }

    fn error(&self, failure: Failure) -> Error {
        failure.into_error(&self.client.describe("put", self.path), self.path.as_str())
    }
}
