//! One attempt to store what a namespace's turn is, or to compare what it repeats.

use std::sync::Arc;

use tokio::sync::{Mutex, OnceCell};
use walkeep_core::{Backend, Error, FrameNo, HashSeed, Namespace, Random, Result, SealedSegment, SegmentId};

use super::queue::{Queue, Turn};
use super::shared::Shared;
use super::{batch, not_finished, repeated, sealed_reader};
use crate::writer::Writer;

/// An attempt, ready to be made.
pub(super) struct Upload<B: Backend> {
    shared: Arc<Shared<B>>,
    namespace: Namespace,
    writer: Arc<Mutex<Writer>>,
    seed: HashSeed,
    segments: Vec<SealedSegment>,
    object: Arc<OnceCell<SealedSegment>>,
    repeated: bool,
    config: Option<B::Config>,
    /// Whether the configuration was given for this segment alone.
    overridden: bool,
}

impl<B: Backend> Upload<B> {
    /// The next attempt of a queue; `None` when nothing waits.
    pub(super) fn next(
        shared: &Arc<Shared<B>>,
        namespace: &Namespace,
        queue: &mut Queue<B::Config>,
    ) -> Option<Self> {
        let own = queue.config.clone();
        let (writer, seed) = (Arc::clone(&queue.writer), queue.head.hash_seed);
        let turn = queue.next_turn(shared.options.batch_bytes_max)?;
        let Turn { segments, config, repeated, object, .. } = turn;
        Some(Self {
            shared: Arc::clone(shared),
            namespace: namespace.clone(),
            writer,
            seed,
            segments: segments.clone(),
            object: Arc::clone(object),
            repeated: *repeated,
            overridden: config.is_some(),
            config: config.clone().or(own),
        })
    }

    /// Makes the attempt, within its bound.
    pub(super) async fn run(self) -> Result<FrameNo> {
        let bytes = self.segments.iter().map(|segment| segment.summary.len).sum();
        let bound = self.shared.options.attempt_timeout(bytes);
        match tokio::time::timeout(bound, self.attempt()).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let what =
                    format!("storing a segment of namespace {} took longer than {bound:?}", self.namespace);
                Err(Error::Unknown { what })
            }
        }
    }

    async fn attempt(&self) -> Result<FrameNo> {
        if self.repeated {
            let bucket = (self.shared.bucket)(self.config.clone())?;
            let Some(segment) = self.segments.first() else { return Err(no_segments()) };
            return repeated::check(&bucket, &self.namespace, segment).await;
        }
        let object = self.object.get_or_try_init(|| self.object()).await?;
        let mut writer = self.writer.lock().await;
        if self.overridden {
            writer.move_to((self.shared.bucket)(self.config.clone())?).await?;
        }
        writer.store(object).await
    }

    /// What is to be put, checked: the only segment as it is, or several merged.
    async fn object(&self) -> Result<SealedSegment> {
        let (segments, seed) = (self.segments.clone(), self.seed);
        let random: Arc<dyn Random> = Arc::clone(&self.shared.handles.random);
        let work = move || match &segments[..] {
            [] => Err(no_segments()),
            [only] => sealed_reader::check(only).map(|()| only.clone()),
            several => {
                several.iter().try_for_each(sealed_reader::check)?;
                batch::merge(several, seed, SegmentId::random(&*random)?)
            }
        };
        tokio::task::spawn_blocking(work).await.map_err(not_finished)?
    }
}

fn no_segments() -> Error {
    Error::invalid("a turn without segments", "there must be some")
}
