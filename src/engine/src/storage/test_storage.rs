//! Storages for tests of what uses one: one that keeps, over any backend, and one that only says so.
//!
//! ```
//! use walkeep::backends::Memory;
//! use walkeep::core::{Namespace, PageSize, Storage};
//! use walkeep::storage::{Durable, test_storage};
//!
//! # tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
//! let shop: Namespace = "shop".parse()?;
//! for storage in [test_storage::keeping(Memory::new(), walkeep::Handles::system())?, test_storage::forgetting()] {
//!     storage.open(&shop, PageSize::DEFAULT, None).await?;
//!     assert_eq!(storage.durable_frame_no(&shop, None).await?, Durable::Nothing);
//! }
//! # Ok::<(), walkeep::Error>(()) }).expect("an example that works");
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use walkeep_backends::Memory;
use walkeep_core::segment::SegmentIndex;
use walkeep_core::storage::{Durable, FindSegment, LeftSegment, OnStored, SegmentInfo, SegmentReader};
use walkeep_core::{
    Backend, Either, FrameNo, LogHead, Namespace, PageSize, RestorePoint, RestoreTarget, Restored, Result,
    SealedSegment, SegmentKey, Storage,
};

use super::async_storage::AsyncStorage;
use super::no_storage::NoStorage;
use super::options::StorageOptions;
use crate::writer::Handles;

/// A storage for tests; made by [`keeping`] or [`forgetting`].
pub type TestStorage<B = Memory> = Either<AsyncStorage<B>, Forgetting>;

/// One that keeps everything in `backend`: over a map in memory, or one that fails and lies (`Faulty`). It is the real
/// storage, with pauses and bounds that a test can wait for.
///
/// # Errors
///
/// None today: options are checked where they are made.
pub fn keeping<B: Backend>(backend: B, handles: Handles) -> Result<TestStorage<B>> {
    let options = StorageOptions {
        attempt_timeout_ms: 2000,
        back_off_first_ms: 5,
        back_off_max_ms: 100,
        ..StorageOptions::default()
    };
    AsyncStorage::new(Arc::new(backend), options, handles).map(Either::Left)
}

/// One that says it stored, and keeps nothing.
#[must_use]
pub fn forgetting() -> TestStorage {
    Either::Right(Forgetting::default())
}

/// Says that everything is stored, and keeps nothing but how far that goes.
#[derive(Debug, Default)]
pub struct Forgetting {
    nothing: NoStorage,
    durable: Mutex<BTreeMap<Namespace, FrameNo>>,
}

impl Forgetting {
    fn durable(&self) -> MutexGuard<'_, BTreeMap<Namespace, FrameNo>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Storage for Forgetting {
    type Config = ();

    async fn open(&self, namespace: &Namespace, page_size: PageSize, config: Option<&()>) -> Result<LogHead> {
        self.nothing.open(namespace, page_size, config).await
    }

    fn store(
        &self,
        namespace: &Namespace,
        segment: SealedSegment,
        config: Option<()>,
        on_stored: OnStored,
    ) -> Result<()> {
        let end = segment.summary.key.end();
        self.durable()
            .entry(namespace.clone())
            .and_modify(|durable| *durable = end.max(*durable))
            .or_insert(end);
        self.nothing.store(namespace, segment, config, on_stored)
    }

    async fn durable_frame_no(&self, namespace: &Namespace, _: Option<&()>) -> Result<Durable> {
        Ok(self.durable().get(namespace).map_or(Durable::Nothing, |end| Durable::Until(*end)))
    }

    async fn restore(
        &self,
        to: &mut dyn RestoreTarget,
        namespace: &Namespace,
        at: RestorePoint,
        config: Option<&()>,
    ) -> Result<Restored> {
        self.nothing.restore(to, namespace, at, config).await
    }

    async fn find_segment(
        &self,
        namespace: &Namespace,
        find: FindSegment,
        config: Option<&()>,
    ) -> Result<SegmentKey> {
        self.nothing.find_segment(namespace, find, config).await
    }

    async fn fetch_segment_index(
        &self,
        namespace: &Namespace,
        key: &SegmentKey,
        config: Option<&()>,
    ) -> Result<SegmentIndex> {
        self.nothing.fetch_segment_index(namespace, key, config).await
    }

    async fn fetch_segment_data(
        &self,
        namespace: &Namespace,
        key: &SegmentKey,
        config: Option<&()>,
    ) -> Result<Box<dyn SegmentReader>> {
        self.nothing.fetch_segment_data(namespace, key, config).await
    }

    fn list_segments<'a>(
        &'a self,
        namespace: &'a Namespace,
        until: Option<FrameNo>,
        config: Option<&'a ()>,
    ) -> BoxStream<'a, Result<SegmentInfo>> {
        self.nothing.list_segments(namespace, until, config)
    }

    fn subscribe(&self, namespace: &Namespace) -> Result<BoxStream<'static, FrameNo>> {
        self.nothing.subscribe(namespace)
    }

    async fn shutdown(&self, within: Duration) -> Vec<LeftSegment> {
        self.nothing.shutdown(within).await
    }
}
