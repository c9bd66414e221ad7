//! No storage: for databases that need not be kept anywhere else, in servers that always hold a [`Storage`].
//!
//! Everything is durable at once, so a database may be checkpointed as far as it likes; nothing can be read back.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use walkeep_core::segment::SegmentIndex;
use walkeep_core::storage::{Durable, FindSegment, LeftSegment, OnStored, SegmentInfo, SegmentReader};
use walkeep_core::{
    Epoch, Error, FrameNo, HashSeed, LogHead, LogId, Namespace, PageSize, RestorePoint, RestoreTarget,
    Restored, Result, SealedSegment, SegmentKey, Storage, UnixMillis,
};

use super::callbacks::CallbacksByNamespace;

/// Keeps nothing.
#[derive(Debug, Default)]
pub struct NoStorage {
    callbacks: CallbacksByNamespace,
}

fn nothing<T>(namespace: &Namespace) -> Result<T> {
    let what = format!("reading namespace {namespace}");
    Err(Error::invalid(what, "this server was set up without a storage, so nothing is kept to read back"))
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Storage for NoStorage {
    type Config = ();

    /// The same head for every namespace and every start: a local log always fits it.
    async fn open(&self, _: &Namespace, page_size: PageSize, _: Option<&()>) -> Result<LogHead> {
        Ok(LogHead {
            log_id: LogId(0),
            hash_seed: HashSeed(0),
            epoch: Epoch(1),
            page_size,
            durable: None,
            time_floor: UnixMillis(0),
            unbounded: true,
        })
    }

    /// Calls back at once, on the tokio runtime in which this must be called.
    fn store(
        &self,
        namespace: &Namespace,
        segment: SealedSegment,
        _: Option<()>,
        on_stored: OnStored,
    ) -> Result<()> {
        self.callbacks.call(namespace, on_stored, Ok(segment.summary.key.end()));
        Ok(())
    }

    async fn durable_frame_no(&self, _: &Namespace, _: Option<&()>) -> Result<Durable> {
        Ok(Durable::Unbounded)
    }

    async fn restore(
        &self,
        _: &mut dyn RestoreTarget,
        namespace: &Namespace,
        _: RestorePoint,
        _: Option<&()>,
    ) -> Result<Restored> {
        nothing(namespace)
    }

    async fn find_segment(
        &self,
        namespace: &Namespace,
        _: FindSegment,
        _: Option<&()>,
    ) -> Result<SegmentKey> {
        nothing(namespace)
    }

    async fn fetch_segment_index(
        &self,
        namespace: &Namespace,
        _: &SegmentKey,
        _: Option<&()>,
    ) -> Result<SegmentIndex> {
        nothing(namespace)
    }

    async fn fetch_segment_data(
        &self,
        namespace: &Namespace,
        _: &SegmentKey,
        _: Option<&()>,
    ) -> Result<Box<dyn SegmentReader>> {
        nothing(namespace)
    }

    fn list_segments<'a>(
        &'a self,
        namespace: &'a Namespace,
        _: Option<FrameNo>,
        _: Option<&'a ()>,
    ) -> BoxStream<'a, Result<SegmentInfo>> {
        stream::iter([nothing(namespace)]).boxed()
    }

    fn subscribe(&self, namespace: &Namespace) -> Result<BoxStream<'static, FrameNo>> {
        nothing(namespace)
    }

    async fn shutdown(&self, _: Duration) -> Vec<LeftSegment> {
        Vec::new()
    }
}
