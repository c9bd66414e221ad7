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
    /// The configuration that was given for this segment alone.
    config: Option<B::Config>,
}

impl<B: Backend> Upload<B> {
    /// The next attempt of a queue; `None` when nothing waits.
    pub(super) fn next(
        shared: &Arc<Shared<B>>,
        namespace: &Namespace,
        queue: &mut Queue<B::Config>,
    ) -> Option<Self> {
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
            config: config.clone(),
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
        let mut writer = self.writer.lock().await;
        match &self.config {
            Some(config) => writer.move_to((self.shared.bucket)(Some(config.clone()))?).await?,
            None => writer.move_home(),
        }
        if self.repeated {
            let Some(segment) = self.segments.first() else { return Err(no_segments()) };
            return repeated::check(writer.bucket(), &self.namespace, segment).await;
        }
        let object = self.object.get_or_try_init(|| self.object()).await?;
        // Each time: a file may have changed since the attempt before.
        let checked = object.clone();
        let check = move || sealed_reader::check(&checked);
        tokio::task::spawn_blocking(check).await.map_err(not_finished)??;
        writer.store(object).await
    }

    /// What is to be put: the only segment as it is, or several, which are checked and merged.
    async fn object(&self) -> Result<SealedSegment> {
        let (segments, seed) = (self.segments.clone(), self.seed);
        let random: Arc<dyn Random> = Arc::clone(&self.shared.handles.random);
        let work = move || match &segments[..] {
            [] => Err(no_segments()),
            [only] => Ok(only.clone()),
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
