//! The compactor of a namespace: it lists, asks a strategy, carries plans out and publishes.

use std::sync::Arc;

use walkeep_core::{Error, Namespace, Result, SealedSegment};

use super::inputs::Inputs;
use super::memory::inputs_max;
use super::options::CompactOptions;
use super::plan::CompactionPlan;
use super::run::merge_inputs;
use super::strategy::Strategy;
use super::throttle::Throttle;
use crate::bucket::Bucket;
use crate::timeline::Timeline;
use crate::writer::{ATTEMPTS, BACK_OFF};

/// How often a namespace is listed anew for what a strategy wants next.
const PASSES_MAX: usize = 32;

/// Compacts one namespace.
#[derive(Clone, Debug)]
pub struct Compactor {
    bucket: Bucket,
    namespace: Namespace,
    options: CompactOptions,
    throttle: Arc<Throttle>,
}

/// Plans, and what they were made from.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What was listed.
    pub timeline: Timeline,
    /// What to do.
    pub plans: Vec<CompactionPlan>,
}

/// What came of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The output is stored, and so long.
    Stored {
        /// Its length in bytes.
        bytes: u64,
        /// How many images it holds.
        images: u32,
    },
    /// Another compactor has stored it before.
    Found,
    /// Nothing was stored: no image of the inputs is visible at their end, and a segment holds at least one.
    NothingVisible,
}

/// What came of compacting until nothing was left to do.
#[derive(Clone, Debug, Default)]
pub struct Compacted {
    /// The plans that were carried out, in order, and what came of them.
    pub done: Vec<(CompactionPlan, Outcome)>,
}

impl Compactor {
    /// A compactor.
    ///
    /// # Errors
    ///
    /// `Invalid` for a bucket of libsql-wal, which is only read.
    pub fn new(bucket: &Bucket, namespace: &Namespace, options: CompactOptions) -> Result<Self> {
        if bucket.is_libsql() {
            let why = "a bucket of libsql-wal is only read; `walkeep import libsql` copies it into a store";
            return Err(Error::invalid(format!("compacting namespace {namespace}"), why));
        }
        let throttle = Arc::new(Throttle::new(&options.budget));
        Ok(Self { bucket: bucket.clone(), namespace: namespace.clone(), options, throttle })
    }

    /// Lists the namespace and plans.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such namespace; `Unavailable` while a writer is opening it; `Corrupt` when frames or
    /// manifests are missing.
    pub async fn plan(&self, strategy: &dyn Strategy) -> Result<Planned> {
        let timeline = self.load().await?;
        let inputs_max = inputs_max(self.options.memory_bytes());
        let plans = strategy.plan(&timeline, self.options.handles.clock.now(), inputs_max)?;
        Ok(Planned { timeline, plans })
    }

    /// Lists the segments, and then reads the manifest, by which alone inputs are chosen.
    ///
    /// # Errors
    ///
    /// As [`Compactor::plan`].
    pub async fn load(&self) -> Result<Timeline> {
        self.throttle.before_request(0).await;
        let timeline = Timeline::load(&self.bucket, &self.namespace).await?;
        if timeline.manifest().is_pending() {
            let epoch = timeline.manifest().last().epoch;
            let what = format!(
                "a writer is opening namespace {} (epoch {epoch} has not begun); compact it again afterwards",
                self.namespace
            );
            return Err(Error::Unavailable { what, source: None });
        }
        match timeline.lost_manifests() {
            Some(lost) if timeline.still_current(&self.bucket).await? => Err(lost),
            _ => Ok(timeline),
        }
    }

    /// Carries out a plan that was made from this timeline.
    ///
    /// # Errors
    ///
    /// `Corrupt` naming the object when an input does not verify: nothing is stored then; `NotFound` when an input is
    /// gone; `Exhausted`, `Io`, `Unavailable`; `Unknown` when the output may or may not be stored, which is harmless.
    ///
    /// # Cancel safety
    ///
    /// A cancelled call has stored the output or not. Nothing else has changed.
    pub async fn run(&self, timeline: &Timeline, plan: &CompactionPlan) -> Result<Outcome> {
        let inputs = Inputs::open(&self.bucket, timeline, plan, &self.throttle).await?;
        if inputs.frame_count() == 0 {
            return Ok(Outcome::NothingVisible);
        }
        let images = u32::try_from(inputs.frame_count()).unwrap_or(u32::MAX);
        let sealed = merge_inputs(&self.bucket, plan, inputs, &self.options, &self.throttle).await?;
        if sealed.summary.key != *plan.output() {
            let what = format!("compaction output {}", sealed.summary.key);
            return Err(Error::invalid(what, format!("{} was planned", plan.output())));
        }
        let stored = self.publish(&sealed).await?;
        Ok(if stored { Outcome::Stored { bytes: sealed.summary.len, images } } else { Outcome::Found })
    }

    /// Compacts until the strategy wants nothing more. `on_plan` is told of each plan before it is carried out.
    ///
    /// # Errors
    ///
    /// Those of [`Compactor::plan`] and [`Compactor::run`]. What was stored before an error stays.
    pub async fn compact(
        &self,
        strategy: &dyn Strategy,
        on_plan: &(dyn Fn(&CompactionPlan) + Send + Sync),
    ) -> Result<Compacted> {
        let mut compacted = Compacted::default();
        for _ in 0..PASSES_MAX {
            let Planned { timeline, mut plans } = self.plan(strategy).await?;
            // What had no effect before has none now.
            plans.retain(|plan| compacted.done.iter().all(|(done, _)| done.output() != plan.output()));
            if plans.is_empty() {
                break;
            }
            for plan in plans {
                on_plan(&plan);
                match self.run(&timeline, &plan).await {
                    Ok(outcome) => compacted.done.push((plan, outcome)),
                    Err(Error::NotFound { what }) => {
                        tracing::debug!(object = what, "an input is gone; listing again");
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(compacted)
    }

    /// Stores the output, repeating the same bytes while the outcome is unknown. Whether it was ours.
    async fn publish(&self, sealed: &SealedSegment) -> Result<bool> {
        let key = &sealed.summary.key;
        let path = self.bucket.layout().segment(&self.namespace, key);
        for attempt in 1..=ATTEMPTS {
            self.throttle.before_request(sealed.summary.len).await;
            match self.bucket.put_new(&path, sealed.body.clone()).await {
                Ok(()) => return Ok(true),
                Err(Error::AlreadyExists { .. }) => {
                    if let Some(ours) = self.is_ours(sealed).await? {
                        return Ok(ours);
                    }
                }
                Err(error @ Error::Unavailable { .. }) if attempt == ATTEMPTS => {
                    return Err(Error::Unknown { what: format!("storing {path}: {error}") });
                }
                Err(Error::Unavailable { what, .. }) => {
                    tracing::debug!(%path, what, attempt, "trying again to store a compacted segment");
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(BACK_OFF * 2_u32.pow(attempt)).await;
        }
        Err(Error::Unknown { what: format!("storing {path}") })
    }

    /// An object of this name is there: ours, whose reply was lost, or that of another compactor. It must lead to the
    /// same database. `None` when it is not there after all.
    async fn is_ours(&self, sealed: &SealedSegment) -> Result<Option<bool>> {
        let SealedSegment { summary, .. } = sealed;
        let timeline = Timeline::load(&self.bucket, &self.namespace).await?;
        let mut listed = timeline.segments().iter().chain(timeline.unconfirmed());
        let Some(there) = listed.find(|segment| segment.key == summary.key) else { return Ok(None) };
        let there = timeline.open(&self.bucket, *there).await?;
        let (found, ours) = (there.index().footer(), &summary.footer);
        if found.header.segment_id == ours.header.segment_id {
            return Ok(Some(true));
        }
        let same = (found.state, found.size_after, found.min_size_after)
            == (ours.state, ours.size_after, ours.min_size_after);
        if same {
            return Ok(Some(false));
        }
        let expected = format!("a segment that leads to state {}", ours.state);
        Err(Error::corrupt(there.path(), 0, expected, format!("one that leads to {}", found.state)))
    }
}
