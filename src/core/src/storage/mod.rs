//! What a database server holds: a [`Storage`] takes sealed segments and gives databases back.
//!
//! A server opens a namespace, seals segments under the [`LogHead`] that it got, hands them over with
//! [`Storage::store`], and checkpoints its database no further than [`Storage::durable_frame_no`].
//!
//! Implementations are in the crate `walkeep` (`AsyncStorage`, `NoStorage`, `TestStorage`); [`Either`](crate::Either)
//! of two storages is a storage, and so is one without its type ([`DynStorage`]).
//!
//! # Coming from libsql-wal
//!
//! | there | here |
//! |---|---|
//! | `store(meta, segment, config, on_store)` | [`Storage::store`]; the segment carries what the request's `meta` said |
//! | `durable_frame_no(namespace, config)` | [`Storage::durable_frame_no`], which tells "nothing" and "unbounded" apart |
//! | `restore(file, namespace, options, config)` | [`Storage::restore`], to any [`RestoreTarget`], at any [`RestorePoint`] |
//! | `find_segment(.., FindSegmentReq::EndFrameNoLessThan)` | [`Storage::find_segment`] with [`FindSegment::EndingAtOrBefore`] |
//! | `find_segment(.., FindSegmentReq::Timestamp)` | [`Storage::find_segment`] with [`FindSegment::Time`] |
//! | `fetch_segment_index` | [`Storage::fetch_segment_index`] |
//! | `fetch_segment_data` | [`Storage::fetch_segment_data`], a [`SegmentReader`] that checks what it reads |
//! | `list_segments(namespace, until, config)` | [`Storage::list_segments`] |
//! | `shutdown()` | [`Storage::shutdown`], with a deadline, saying what is left |
//! | `SegmentInfo { key, size, created_at }` | [`SegmentInfo`] |
//! | `created_at` of a store request | the time of the segment's last commit, `key.time()` |
//! | `OnStoreCallback` | [`OnStored`], which is told of failures too |
//! | `config: Option<Config>` everywhere | the same, everywhere |
//!
//! There is no equivalent of [`Storage::open`] and [`Storage::subscribe`] there: it has no fencing.

mod either;
mod erased;

use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

pub use self::erased::DynStorage;
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
use crate::unix_millis::UnixMillis;

/// Told once what became of a segment: its last frame, which is durable now, or why it is not.
///
/// Calls for one namespace, also when it is opened again, come one after the other, in the order of `store`. A panic in one is contained.
pub type OnStored = Box<dyn FnOnce(Result<FrameNo>) -> BoxFuture<'static, ()> + Send>;

/// How far a database may be checkpointed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durable {
    /// Nothing is stored.
    Nothing,
    /// A restore can reach this frame.
    Until(FrameNo),
    /// Nothing will be stored, and nothing is waited for: a database may be checkpointed as far as it likes.
    Unbounded,
}

impl Durable {
    /// Whether a database may be checkpointed up to this frame.
    #[must_use]
    pub fn covers(&self, frame: FrameNo) -> bool {
        match self {
            Self::Nothing => false,
            Self::Until(durable) => frame <= *durable,
            Self::Unbounded => true,
        }
    }
}

/// Which stored segment to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindSegment {
    /// The newest confirmed one that ends at or before this frame; of several with that end, the widest.
    EndingAtOrBefore(FrameNo),
    /// The one to read this frame from: the rawest that holds it.
    Containing(FrameNo),
    /// The one that holds the last commit at or before this time.
    Time(UnixMillis),
}

/// A stored segment in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its name: range, time, epoch, level.
    pub key: SegmentKey,
    /// The length of the object in bytes.
    pub size: u64,
}

impl SegmentInfo {
    /// When its last commit was recorded.
    #[must_use]
    pub const fn created_at(&self) -> UnixMillis {
        self.key.time()
    }
}

/// A segment that was queued and is not known to be stored when a storage ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftSegment {
    /// The namespace.
    pub namespace: Namespace,
    /// Its frames.
    pub frames: RangeInclusive<FrameNo>,
    /// Why it was not stored, if it was tried.
    pub why: Option<String>,
}

/// The page images of a stored segment, each checked when it is read.
#[async_trait]
pub trait SegmentReader: Debug + Send + Sync {
    /// What the segment holds.
    fn index(&self) -> &SegmentIndex;

    /// The image at a position (see [`SegmentIndex::pages`]).
    ///
    /// # Errors
    ///
    /// `Invalid` for a position that the segment does not have; `Corrupt`, `NotFound`, `Unavailable`.
    async fn image(&self, position: u32) -> Result<Bytes>;
}

/// Keeps the logs of many databases.
///
/// Each call takes a configuration (`None` = the storage's own), so that one process can keep its tenants in
/// different places.
#[async_trait]
pub trait Storage: Debug + Send + Sync + 'static {
    /// Where segments are: a bucket, a directory.
    type Config: Clone + Debug + Send + Sync + 'static;

    /// Becomes the writer of a namespace, creating it if it is new; the writer before is fenced. Segments that were
    /// queued here for the namespace are given up: their callbacks are told `Fenced`, or `Unknown` if they were being
    /// stored. Until it is opened again, `config` is what no configuration means for [`Storage::store`] and
    /// [`Storage::durable_frame_no`].
    ///
    /// # Errors
    ///
    /// `Fenced` when another one opened it at the same time; `Corrupt` when stored segments have a hole;
    /// `Invalid` after [`Storage::shutdown`]; `Unavailable`; `Unknown`.
    ///
    /// # Cancel safety
    ///
    /// A cancelled opening fences the writer before, and leaves a claim that the next opening settles.
    async fn open(
        &self,
        namespace: &Namespace,
        page_size: PageSize,
        config: Option<&Self::Config>,
    ) -> Result<LogHead>;

    /// Takes the next segment of a namespace, and returns at once: it is stored whether or not anyone waits, in
    /// order, and tried again for as long as the storage lives. `on_stored` is told once it is durable. If its bytes
    /// turn out not to be what was sealed, nothing is put, all that wait are told `Corrupt` (`Io` if a file is gone), and
    /// the namespace has to be opened again: the database still has what was not stored.
    ///
    /// A configuration must lead to the store in which the namespace was opened; whether its manifest is there is looked
    /// at, so that another store is refused, but a copy of the store is not told from it.
    ///
    /// Idempotent: a segment that is stored or queued already is done, and its callback is told so.
    ///
    /// # Errors
    ///
    /// `Invalid`, with both ranges, for one that leaves a gap or overlaps what was taken before; for a namespace that
    /// is not open, and after [`Storage::shutdown`]. `Fenced` after another writer took over; `Corrupt` or `Io` after a
    /// segment before it was damaged here. `Exhausted` when the
    /// queue is full: keep the segment, and hand it over again when a callback was told of an earlier one. After an
    /// error `on_stored` is not called. That other bytes of the same frames are stored already is found out later,
    /// and told to `on_stored`.
    fn store(
        &self,
        namespace: &Namespace,
        segment: SealedSegment,
        config: Option<Self::Config>,
        on_stored: OnStored,
    ) -> Result<()>;

    /// How far a restore can reach, and a database may be checkpointed. It never goes back while the namespace is open
    /// here; elsewhere, what an opening under way may yet cut off does not count.
    ///
    /// # Errors
    ///
    /// `Unreachable` when segments before the newest are missing; `Unavailable`, `Corrupt`.
    async fn durable_frame_no(&self, namespace: &Namespace, config: Option<&Self::Config>)
    -> Result<Durable>;

    /// Writes a database as it was at a restore point, proven. The target's owner publishes it.
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown namespace; `Unreachable`; `Corrupt`; errors of the target; `Unavailable`.
    ///
    /// # Cancel safety
    ///
    /// A cancelled call leaves the target unfinished.
    async fn restore(
        &self,
        to: &mut dyn RestoreTarget,
        namespace: &Namespace,
        at: RestorePoint,
        config: Option<&Self::Config>,
    ) -> Result<Restored>;

    /// Finds one segment, without reading the history.
    ///
    /// # Errors
    ///
    /// `Unreachable` when there is none; `NotFound` for an unknown namespace; `Unavailable`, `Corrupt`.
    async fn find_segment(
        &self,
        namespace: &Namespace,
        find: FindSegment,
        config: Option<&Self::Config>,
    ) -> Result<SegmentKey>;

    /// Fetches what a segment holds, without its images. Of a segment that a fork shares a part of that is all that the
    /// object holds: frames behind the key's end are not this namespace's.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Corrupt`, `Unavailable`.
    async fn fetch_segment_index(
        &self,
        namespace: &Namespace,
        key: &SegmentKey,
        config: Option<&Self::Config>,
    ) -> Result<SegmentIndex>;

    /// Opens a segment for reading its images.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Corrupt`, `Unavailable`.
    async fn fetch_segment_data(
        &self,
        namespace: &Namespace,
        key: &SegmentKey,
        config: Option<&Self::Config>,
    ) -> Result<Box<dyn SegmentReader>>;

    /// The valid segments of a namespace, newest first, down to the one that holds `until` (`None`: all).
    ///
    /// # Errors
    ///
    /// The stream ends at its first error.
    fn list_segments<'a>(
        &'a self,
        namespace: &'a Namespace,
        until: Option<FrameNo>,
        config: Option<&'a Self::Config>,
    ) -> BoxStream<'a, Result<SegmentInfo>>;

    /// The durable frame of a namespace that is open here, now and whenever it rises. Ends when the namespace is
    /// closed: by another writer, because it was deleted, or by [`Storage::shutdown`]. What happens elsewhere is heard of
    /// when the next segment is stored.
    ///
    /// # Errors
    ///
    /// `Invalid` for a namespace that is not open.
    fn subscribe(&self, namespace: &Namespace) -> Result<BoxStream<'static, FrameNo>>;

    /// Takes no more segments, stores what is queued for as long as `within` allows, and says what is left. What is
    /// left is told to the callbacks as `Unknown`: it may or may not be stored.
    async fn shutdown(&self, within: Duration) -> Vec<LeftSegment>;
}
