//! A storage that is one of two kinds.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::{Durable, FindSegment, LeftSegment, OnStored, SegmentInfo, SegmentReader, Storage};
use crate::either::{Either, refused};
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

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<A: Storage, B: Storage> Storage for Either<A, B> {
    type Config = Either<A::Config, B::Config>;

    async fn open(
        &self,
        namespace: &Namespace,
        page_size: PageSize,
        config: Option<&Self::Config>,
    ) -> Result<LogHead> {
        match self {
            Self::Left(left) => left.open(namespace, page_size, Either::for_left(config)?).await,
            Self::Right(right) => right.open(namespace, page_size, Either::for_right(config)?).await,
        }
    }

    fn store(
        &self,
        namespace: &Namespace,
        segment: SealedSegment,
        config: Option<Self::Config>,
        on_stored: OnStored,
    ) -> Result<()> {
        match self {
            Self::Left(left) => left.store(namespace, segment, Either::into_left(config)?, on_stored),
            Self::Right(right) => right.store(namespace, segment, Either::into_right(config)?, on_stored),
        }
    }

    async fn durable_frame_no(
        &self,
        namespace: &Namespace,
        config: Option<&Self::Config>,
    ) -> Result<Durable> {
        match self {
            Self::Left(left) => left.durable_frame_no(namespace, Either::for_left(config)?).await,
            Self::Right(right) => right.durable_frame_no(namespace, Either::for_right(config)?).await,
        }
    }

    async fn restore(
        &self,
        to: &mut dyn RestoreTarget,
        namespace: &Namespace,
        at: RestorePoint,
        config: Option<&Self::Config>,
    ) -> Result<Restored> {
        match self {
            Self::Left(left) => left.restore(to, namespace, at, Either::for_left(config)?).await,
            Self::Right(right) => right.restore(to, namespace, at, Either::for_right(config)?).await,
        }
    }

    async fn find_segment(
        &self,
        namespace: &Namespace,
        find: FindSegment,
        config: Option<&Self::Config>,
    ) -> Result<SegmentKey> {
        match self {
            Self::Left(left) => left.find_segment(namespace, find, Either::for_left(config)?).await,
            Self::Right(right) => right.find_segment(namespace, find, Either::for_right(config)?).await,
        }
    }

    async fn fetch_segment_index(
        &self,
        namespace: &Namespace,
        key: &SegmentKey,
        config: Option<&Self::Config>,
    ) -> Result<SegmentIndex> {
        match self {
            Self::Left(left) => left.fetch_segment_index(namespace, key, Either::for_left(config)?).await,
            Self::Right(right) => right.fetch_segment_index(namespace, key, Either::for_right(config)?).await,
        }
    }

    async fn fetch_segment_data(
        &self,
        namespace: &Namespace,
        key: &SegmentKey,
        config: Option<&Self::Config>,
    ) -> Result<Box<dyn SegmentReader>> {
        match self {
            Self::Left(left) => left.fetch_segment_data(namespace, key, Either::for_left(config)?).await,
            Self::Right(right) => right.fetch_segment_data(namespace, key, Either::for_right(config)?).await,
        }
    }

    fn list_segments<'a>(
        &'a self,
        namespace: &'a Namespace,
        until: Option<FrameNo>,
        config: Option<&'a Self::Config>,
    ) -> BoxStream<'a, Result<SegmentInfo>> {
        let listing = match self {
            Self::Left(left) => {
                Either::for_left(config).map(|config| left.list_segments(namespace, until, config))
            }
            Self::Right(right) => {
                Either::for_right(config).map(|config| right.list_segments(namespace, until, config))
            }
        };
        listing.unwrap_or_else(refused)
    }

    fn subscribe(&self, namespace: &Namespace) -> Result<BoxStream<'static, FrameNo>> {
        match self {
            Self::Left(left) => left.subscribe(namespace),
            Self::Right(right) => right.subscribe(namespace),
        }
    }

    async fn shutdown(&self, within: Duration) -> Vec<LeftSegment> {
        match self {
            Self::Left(left) => left.shutdown(within).await,
            Self::Right(right) => right.shutdown(within).await,
        }
    }
}
