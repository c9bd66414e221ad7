//! A queue in front of a backend: segments are stored in the background.
//!
//! Invariants: those of the [scheduler](super::scheduler) and of each [queue](super::queue). A segment that was taken is
//! stored even if the storage is dropped, for as long as the runtime lives. Segments in local files stay there until
//! their owner removes them: nothing that is queued is lost with the process, it has only to be handed over again.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, timeout_at};
use walkeep_core::segment::SegmentIndex;
use walkeep_core::storage::{Durable, FindSegment, LeftSegment, OnStored, SegmentInfo, SegmentReader};
use walkeep_core::{
    Backend, Epoch, Error, FrameNo, LogHead, Namespace, PageSize, Quota, RestorePoint, RestoreTarget,
    Restored, Result, SealedSegment, SegmentKey, Storage,
};

use super::options::StorageOptions;
use super::queue::{Phase, Queue};
use super::queue_status::QueueStatus;
use super::quota::{Standing, Total};
use super::segment_data::SegmentData;
use super::shared::{Shared, State};
use super::{scheduler, upload};
use crate::bucket::Bucket;
use crate::find;
use crate::restore::{RestoreOptions, RestorePlan};
use crate::stored_segment::OpenSegment;
use crate::timeline::Timeline;
use crate::view::View;
use crate::writer::{Handles, Writer};

/// How long callbacks may take beyond the deadline of a shutdown.
const GRACE: Duration = Duration::from_millis(500);

/// A deadline that is none.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Stores segments in a backend, in the background.
///
/// Each namespace takes one create and one cheap read for each object, and no listing, while it has no other writer.
pub struct AsyncStorage<B: Backend> {
    pub(super) shared: Arc<Shared<B>>,
    /// Gone once it has ended and somebody has seen that.
    scheduler: Mutex<Option<JoinHandle<()>>>,
    abort: AbortHandle,
}

impl<B: Backend> AsyncStorage<B> {
    /// A storage in the store that the backend gives. It works on the tokio runtime in which this is called.
    ///
    /// # Errors
    ///
    /// `Invalid`, as [`StorageOptions::check`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(backend: Arc<B>, options: StorageOptions, handles: Handles) -> Result<Self> {
        Self::with_buckets(move |config| Bucket::new(Arc::clone(&backend), config), options, handles)
    }

    /// The same, where `bucket` says how to call the store under a configuration (`None`: the default one).
    ///
    /// # Errors
    ///
    /// `Invalid`, as [`StorageOptions::check`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn with_buckets(
        bucket: impl Fn(Option<B::Config>) -> Result<Bucket> + Send + Sync + 'static,
        options: StorageOptions,
        handles: Handles,
    ) -> Result<Self> {
        options.check()?;
        let shared = Arc::new(Shared::new(Box::new(bucket), options, handles));
        let scheduler = tokio::spawn(scheduler::run(Arc::clone(&shared)));
        let abort = scheduler.abort_handle();
        Ok(Self { shared, scheduler: Mutex::new(Some(scheduler)), abort })
    }

    /// Where the queue of a namespace stands; `None` when it is not open here.
    #[must_use]
    pub fn status(&self, namespace: &Namespace) -> Option<QueueStatus> {
        let state = self.shared.state();
        let queue = state.queues.get(namespace)?;
        let Standing { quota, used, refused, refusals, total } = state.ledger.standing(namespace);
        Some(QueueStatus {
            quota,
            used,
            refusals,
            total,
            over_quota: refused.is_some() && queue.has_work(),
            epoch: queue.head.epoch,
            durable: queue.durable,
            segments: queue.len(),
            bytes: queue.segments().map(|segment| segment.summary.len).sum(),
            failures: queue.failures,
            last_error: queue.last_error.as_ref().map(ToString::to_string),
            closed: queue.phase == Phase::Closed,
        })
    }

    /// Sets what a namespace may take, now or when it is opened; `None`: what [`StorageOptions::quota`] says. What waits for
    /// room goes on at once if there is some now.
    pub fn set_quota(&self, namespace: &Namespace, quota: Option<Quota>) {
        self.shared.state().ledger.set_quota(namespace, quota);
        self.shared.hurry();
    }

    /// Sets how many bytes all namespaces that are open here may take together.
    ///
    /// See [`AsyncStorage::total`].
    pub fn set_total(&self, total_bytes_max: Option<NonZeroU64>) {
        self.shared.state().ledger.set_total(total_bytes_max);
        self.shared.hurry();
    }

    /// What all namespaces that are open here may take together, and take.
    pub fn total(&self) -> Total {
        self.shared.state().ledger.total()
    }

    pub(super) fn bucket(&self, config: Option<&B::Config>) -> Result<Bucket> {
        (self.shared.bucket)(config.cloned())
    }

    /// Waits until the scheduler has ended.
    async fn ended(&self) {
        let mut scheduler = self.scheduler.lock().await;
        if let Some(running) = scheduler.as_mut() {
            // An error is that it was aborted.
            let _ = running.await;
            *scheduler = None;
        }
    }

    /// Closes all queues; what they hold is left.
    fn leave(&self) -> Vec<LeftSegment> {
        let mut state = self.shared.state();
        let State { queues, left, memory_bytes, .. } = &mut *state;
        for (namespace, queue) in queues.iter_mut().filter(|(_, queue)| queue.phase != Phase::Closed) {
            let why = queue.last_error.as_ref().map(ToString::to_string);
            left.extend(queue.segments().map(|segment| LeftSegment {
                namespace: namespace.clone(),
                frames: segment.summary.key.start()..=segment.summary.key.end(),
                why: why.clone(),
            }));
            let error = if queue.has_work() {
                let because = why.map(|why| format!(": {why}")).unwrap_or_default();
                let what =
                    format!("a segment of {namespace} was left when the storage was shut down{because}");
                Error::Unknown { what }
            } else {
                was_shut_down(format!("storing in namespace {namespace}"))
            };
            queue.close(&error.again(), error);
        }
        *memory_bytes = 0;
        left.clone()
    }
}

fn was_shut_down(what: impl fmt::Display) -> Error {
    Error::invalid(what.to_string(), "the storage was shut down")
}

impl<B: Backend> fmt::Debug for AsyncStorage<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespaces = self.shared.state().queues.len();
        f.debug_struct("AsyncStorage").field("namespaces", &namespaces).finish_non_exhaustive()
    }
}

impl<B: Backend> Drop for AsyncStorage<B> {
    fn drop(&mut self) {
        // The scheduler goes on until nothing waits.
        self.shared.close();
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: Backend> Storage for AsyncStorage<B> {
    type Config = B::Config;

    async fn open(
        &self,
        namespace: &Namespace,
        page_size: PageSize,
        config: Option<&B::Config>,
    ) -> Result<LogHead> {
        if self.shared.state().closing {
            return Err(was_shut_down(format!("opening namespace {namespace}")));
        }
        let writer = Writer::open(&self.bucket(config)?, namespace, page_size, &self.shared.handles).await?;
        let head = writer.head().await?;
        let now = self.shared.handles.clock.now();
        let uncounted = self.shared.state().ledger.uncounted(namespace, now);
        let counted = match uncounted.contains(namespace) {
            true => Some(upload::count(writer.bucket(), namespace).await?),
            false => None,
        };
        let mut state = self.shared.state();
        if state.closing {
            return Err(was_shut_down(format!("opening namespace {namespace}")));
        }
        let fenced = |ours: Epoch, theirs: Epoch| Error::Fenced {
            namespace: namespace.to_string(),
            ours: ours.get(),
            theirs: format!("it was opened again by this storage, in epoch {theirs}"),
        };
        // Epochs of another log, in another store, say nothing about this one.
        let before = state.queues.get(namespace).map(|queue| queue.head);
        let before = before.filter(|before| before.log_id == head.log_id).map(|before| before.epoch);
        if let Some(newer) = before.filter(|before| *before > head.epoch) {
            return Err(fenced(head.epoch, newer));
        }
        let why = fenced(before.unwrap_or_default(), head.epoch);
        state.replace(namespace, Queue::new(head, writer.trying_once()), &why);
        if let Some(counted) = counted {
            state.ledger.count(namespace, &counted, now);
        }
        Ok(head)
    }

    fn store(
        &self,
        namespace: &Namespace,
        segment: SealedSegment,
        config: Option<B::Config>,
        on_stored: OnStored,
    ) -> Result<()> {
        let options = &self.shared.options;
        let mut state = self.shared.state();
        let what = || format!("segment {} of namespace {namespace}", segment.summary.key);
        if state.closing {
            return Err(was_shut_down(what()));
        }
        let memory = state.memory_bytes;
        let Some(queue) = state.queues.get_mut(namespace) else {
            return Err(Error::invalid(what(), "the namespace is not open: open it first"));
        };
        let (held, added) = (queue.len(), segment.body.memory_len());
        if held >= options.queue_segments_max {
            let what = format!("{} is not taken: {held} segments wait already (queue_segments_max)", what());
            return Err(Error::Exhausted { what });
        }
        // One of each namespace is taken in any case, so that nobody's waiting segments stop others for ever.
        let first = queue.memory_bytes() == 0;
        if added > 0 && !first && memory.saturating_add(added) > options.queue_memory_bytes_max {
            let max = options.queue_memory_bytes_max;
            let what = format!(
                "{} is not taken: waiting segments hold {memory} bytes of memory, and with its {added} more than {max} \
                 (queue_memory_bytes_max); segments in files do not count",
                what()
            );
            return Err(Error::Exhausted { what });
        }
        queue.take(namespace, segment, config, on_stored)?;
        // A pause goes on: its end makes the queue ready.
        let idle = queue.phase == Phase::Idle;
        state.memory_bytes += added;
        if idle {
            state.make_ready(namespace);
        }
        drop(state);
        self.shared.wake();
        Ok(())
    }

    async fn durable_frame_no(&self, namespace: &Namespace, config: Option<&B::Config>) -> Result<Durable> {
        if config.is_none()
            && let Some(queue) = self.shared.state().queues.get(namespace)
        {
            return Ok(queue.durable.map_or(Durable::Nothing, Durable::Until));
        }
        find::durable(&self.bucket(config)?, namespace).await
    }

    /// An object that vanishes while it is read makes this `Unavailable`: restore again, from the beginning.
    async fn restore(
        &self,
        to: &mut dyn RestoreTarget,
        namespace: &Namespace,
        at: RestorePoint,
        config: Option<&B::Config>,
    ) -> Result<Restored> {
        let view =
            View::open(&self.bucket(config)?, namespace, at, self.shared.options.database_bytes_max).await?;
        let plan = RestorePlan::new(&view);
        match view.write_to(&plan, to, &RestoreOptions::default()).await {
            Err(Error::NotFound { what }) => {
                let what =
                    format!("{what} was there when the restore began: a compaction may have replaced it");
                Err(Error::Unavailable { what, source: None })
            }
            restored => restored,
        }
    }

    async fn find_segment(
        &self,
        namespace: &Namespace,
        find: FindSegment,
        config: Option<&B::Config>,
    ) -> Result<SegmentKey> {
        find::segment(&self.bucket(config)?, namespace, find).await
    }

    async fn fetch_segment_index(
        &self,
        namespace: &Namespace,
        key: &SegmentKey,
        config: Option<&B::Config>,
    ) -> Result<SegmentIndex> {
        let (segment, _) = find::open(&self.bucket(config)?, namespace, key).await?;
        Ok(segment.into_index())
    }

    async fn fetch_segment_data(
        &self,
        namespace: &Namespace,
        key: &SegmentKey,
        config: Option<&B::Config>,
    ) -> Result<Box<dyn SegmentReader>> {
        let bucket = self.bucket(config)?;
        let (segment, seed): (OpenSegment, _) = find::open(&bucket, namespace, key).await?;
        Ok(Box::new(SegmentData { bucket, segment, seed }))
    }

    fn list_segments<'a>(
        &'a self,
        namespace: &'a Namespace,
        until: Option<FrameNo>,
        config: Option<&'a B::Config>,
    ) -> BoxStream<'a, Result<SegmentInfo>> {
        let listing = async move {
            let timeline = Timeline::load(&self.bucket(config)?, namespace).await?;
            let stored = timeline.segments().iter();
            let mut infos =
                stored.map(|stored| SegmentInfo { key: stored.key, size: stored.size }).collect::<Vec<_>>();
            let reached = until.and_then(|until| infos.iter().position(|info| info.key.start() <= until));
            infos.truncate(reached.map_or(infos.len(), |reached| reached + 1));
            Ok::<_, Error>(stream::iter(infos.into_iter().map(Ok)))
        };
        stream::once(listing).try_flatten().boxed()
    }

    fn subscribe(&self, namespace: &Namespace) -> Result<BoxStream<'static, FrameNo>> {
        let state = self.shared.state();
        let Some(mut durable) = state.queues.get(namespace).and_then(Queue::subscribe) else {
            return Err(Error::invalid(format!("subscribing to namespace {namespace}"), "it is not open"));
        };
        durable.mark_changed();
        let rising = stream::unfold(durable, |mut durable| async move {
            loop {
                durable.changed().await.ok()?;
                let frame = *durable.borrow_and_update();
                if let Some(frame) = frame {
                    return Some((frame, durable));
                }
            }
        });
        Ok(rising.boxed())
    }

    async fn shutdown(&self, within: Duration) -> Vec<LeftSegment> {
        let now = Instant::now();
        let deadline = now.checked_add(within).unwrap_or(now + FAR);
        self.shared.close();
        if timeout_at(deadline, self.ended()).await.is_err() {
            // With it end the uploads under way: their outcome is unknown.
            self.abort.abort();
            self.ended().await;
        }
        let left = self.leave();
        let callbacks = {
            let mut state = self.shared.state();
            state.queues.values_mut().filter_map(|queue| queue.callbacks.take()).collect::<Vec<_>>()
        };
        // Who was told just now has a moment to hear it.
        let deadline = deadline.max(Instant::now() + GRACE);
        for last in callbacks {
            let _ = timeout_at(deadline, last).await;
        }
        left
    }
}
