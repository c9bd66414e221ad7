//! Storages without their type: for servers that choose one while they run.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::{Durable, FindSegment, LeftSegment, OnStored, SegmentInfo, SegmentReader, Storage};
use crate::either::refused;
use crate::erased::{AnyConfig, Erased};
use crate::error::Result;
use crate::frame_no::FrameNo;
use crate::log_head::LogHead;
use crate::namespace::Namespace;
use crate::page::PageSize;
use crate::restore_point::RestorePoint;
use crate::restore_target::{RestoreTarget, Restored};
use crate::sealed_segment::SealedSegment;
use crate::segment::SegmentIndex;
use crate::segment_key::SegmentKey;

/// A storage of any kind. Make one with [`Erased::shared_storage`].
pub type DynStorage = Arc<dyn Storage<Config = AnyConfig>>;

impl<S: Storage> Erased<S> {
    /// Hides the type of a storage's configurations, and its own type as well.
    pub fn shared_storage(inner: S) -> DynStorage {
        Arc::new(Self::new(inner))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Storage> Storage for Erased<S> {
    type Config = AnyConfig;

    async fn open(
        &self,
        namespace: &Namespace,
        page_size: PageSize,
        config: Option<&Self::Config>,
    ) -> Result<LogHead> {
        self.inner().open(namespace, page_size, AnyConfig::of(config)?).await
    }

    fn store(
        &self,
        namespace: &Namespace,
        segment: SealedSegment,
        config: Option<Self::Config>,
        on_stored: OnStored,
    ) -> Result<()> {
        let config = AnyConfig::of(config.as_ref())?.cloned();
        self.inner().store(namespace, segment, config, on_stored)
    }

    async fn durable_frame_no(
        &self,
        namespace: &Namespace,
        config: Option<&Self::Config>,
    ) -> Result<Durable> {
        self.inner().durable_frame_no(namespace, AnyConfig::of(config)?).await
    }

    async fn restore(
        &self,
        to: &mut dyn RestoreTarget,
        namespace: &Namespace,
        at: RestorePoint,
        config: Option<&Self::Config>,
    ) -> Result<Restored> {
        self.inner().restore(to, namespace, at, AnyConfig::of(config)?).await
    }

    async fn find_segment(
        &self,
        namespace: &Namespace,
        find: FindSegment,
        config: Option<&Self::Config>,
    ) -> Result<SegmentKey> {
        self.inner().find_segment(namespace, find, AnyConfig::of(config)?).await
    }

    async fn fetch_segment_index(
        &self,
        namespace: &Namespace,
        key: &SegmentKey,
        config: Option<&Self::Config>,
    ) -> Result<SegmentIndex> {
        self.inner().fetch_segment_index(namespace, key, AnyConfig::of(config)?).await
    }

    async fn fetch_segment_data(
        &self,
        namespace: &Namespace,
        key: &SegmentKey,
        config: Option<&Self::Config>,
    ) -> Result<Box<dyn SegmentReader>> {
        self.inner().fetch_segment_data(namespace, key, AnyConfig::of(config)?).await
    }

    fn list_segments<'a>(
        &'a self,
        namespace: &'a Namespace,
        until: Option<FrameNo>,
        config: Option<&'a Self::Config>,
    ) -> BoxStream<'a, Result<SegmentInfo>> {
        match AnyConfig::of(config) {
            Ok(config) => self.inner().list_segments(namespace, until, config),
            Err(error) => refused(error),
        }
    }

    fn subscribe(&self, namespace: &Namespace) -> Result<BoxStream<'static, FrameNo>> {
        self.inner().subscribe(namespace)
    }

    async fn shutdown(&self, within: Duration) -> Vec<LeftSegment> {
        self.inner().shutdown(within).await
    }
}

/// A shared storage is a storage: also one without its type.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Storage + ?Sized> Storage for Arc<S> {
    type Config = S::Config;

    async fn open(
        &self,
        namespace: &Namespace,
        page_size: PageSize,
        config: Option<&Self::Config>,
    ) -> Result<LogHead> {
        (**self).open(namespace, page_size, config).await
    }

    fn store(
        &self,
        namespace: &Namespace,
        segment: SealedSegment,
        config: Option<Self::Config>,
        on_stored: OnStored,
    ) -> Result<()> {
        (**self).store(namespace, segment, config, on_stored)
    }

    async fn durable_frame_no(
        &self,
        namespace: &Namespace,
        config: Option<&Self::Config>,
    ) -> Result<Durable> {
        (**self).durable_frame_no(namespace, config).await
    }

    async fn restore(
        &self,
        to: &mut dyn RestoreTarget,
        namespace: &Namespace,
        at: RestorePoint,
        config: Option<&Self::Config>,
    ) -> Result<Restored> {
        (**self).restore(to, namespace, at, config).await
    }

    async fn find_segment(
        &self,
        namespace: &Namespace,
        find: FindSegment,
        config: Option<&Self::Config>,
    ) -> Result<SegmentKey> {
        (**self).find_segment(namespace, find, config).await
    }

    async fn fetch_segment_index(
        &self,
        namespace: &Namespace,
        key: &SegmentKey,
        config: Option<&Self::Config>,
    ) -> Result<SegmentIndex> {
        (**self).fetch_segment_index(namespace, key, config).await
    }

    async fn fetch_segment_data(
        &self,
        namespace: &Namespace,
        key: &SegmentKey,
        config: Option<&Self::Config>,
    ) -> Result<Box<dyn SegmentReader>> {
        (**self).fetch_segment_data(namespace, key, config).await
    }

    fn list_segments<'a>(
        &'a self,
        namespace: &'a Namespace,
        until: Option<FrameNo>,
        config: Option<&'a Self::Config>,
    ) -> BoxStream<'a, Result<SegmentInfo>> {
        (**self).list_segments(namespace, until, config)
    }

    fn subscribe(&self, namespace: &Namespace) -> Result<BoxStream<'static, FrameNo>> {
        (**self).subscribe(namespace)
    }

    async fn shutdown(&self, within: Duration) -> Vec<LeftSegment> {
        (**self).shutdown(within).await
    }
}
