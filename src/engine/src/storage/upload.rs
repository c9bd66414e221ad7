//! One attempt to store what a namespace's turn is, or to compare what it repeats. Room is taken for it first.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OnceCell};
use walkeep_core::{
    Backend, Error, FrameNo, HashSeed, Namespace, Random, Result, SealedSegment, SegmentId, SegmentKey,
};

use super::queue::{Queue, Turn};
use super::shared::Shared;
use super::{batch, not_finished, repeated, sealed_reader};
use crate::bucket::Bucket;
use crate::writer::Writer;

/// How many names one request of a count asks for.
const COUNT_PAGE: usize = 1000;

/// What came of an attempt.
#[derive(Debug)]
pub(super) enum Attempt {
    /// It was made.
    Made(Result<FrameNo>),
    /// It is to be made after so long: the namespace stores as often as it may. Nothing has failed.
    Later(Duration),
    /// It cannot be made: what waits here is not what was sealed, and will not become it. Nothing was put.
    Spoiled(Error),
}

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
    pub(super) async fn run(self) -> Attempt {
        let bytes = self.segments.iter().map(|segment| segment.summary.len).sum();
        let bound = self.shared.options.attempt_timeout(bytes);
        let attempt = match tokio::time::timeout(bound, self.attempt()).await {
            Ok(Ok(attempt)) => attempt,
            Ok(Err(error)) => Attempt::Made(Err(error)),
            Err(_) => {
                let what =
                    format!("storing a segment of namespace {} took longer than {bound:?}", self.namespace);
                Attempt::Made(Err(Error::Unknown { what }))
            }
        };
        let failure = match &attempt {
            Attempt::Later(_) => return attempt,
            Attempt::Made(outcome) => outcome.as_ref().err(),
            Attempt::Spoiled(error) => Some(error),
        };
        if let Some(object) = self.object.get() {
            let mut state = self.shared.state();
            state.ledger.settle(&self.namespace, &object.summary.key, failure);
        }
        attempt
    }

    /// Takes a token for an object that is new. Whether there was one.
    fn may_begin(&self, key: &SegmentKey) -> bool {
        let now = self.shared.handles.clock.now();
        let mut state = self.shared.state();
        state.ledger.has(&self.namespace, key) || state.ledger.take_token(&self.namespace, now).is_ok()
    }

    /// How long until there is a token.
    fn wait(&self) -> Duration {
        let now = self.shared.handles.clock.now();
        self.shared.state().ledger.wait(&self.namespace, now)
    }

    /// Takes room for an object, counted anew if there seems to be none.
    async fn take_room(&self, object: &SealedSegment) -> Result<()> {
        let (key, bytes) = (object.summary.key, object.summary.len);
        let now = || self.shared.handles.clock.now();
        let uncounted = self.shared.state().ledger.uncounted(&self.namespace, now());
        for namespace in &uncounted {
            self.count(namespace).await?;
        }
        let taken = self.shared.state().ledger.reserve(&self.namespace, key, bytes, now());
        if taken.is_ok() || uncounted.contains(&self.namespace) {
            return taken;
        }
        // Something may have been deleted since.
        self.count(&self.namespace).await?;
        self.shared.state().ledger.reserve(&self.namespace, key, bytes, now())
    }

    async fn count(&self, namespace: &Namespace) -> Result<()> {
        let home = self.shared.state().queues.get(namespace).map(|queue| queue.home.clone());
        let Some(home) = home else { return Ok(()) };
        let listed = count(&home, namespace).await?;
        let now = self.shared.handles.clock.now();
        self.shared.state().ledger.count(namespace, &listed, now);
        Ok(())
    }

    /// The attempt, if it may be made.
    async fn attempt(&self) -> Result<Attempt> {
        let mut writer = self.writer.lock().await;
        match &self.config {
            Some(config) => writer.move_to((self.shared.bucket)(Some(config.clone()))?).await?,
            None => writer.move_home(),
        }
        if self.repeated {
            let Some(segment) = self.segments.first() else { return Err(no_segments()) };
            return Ok(Attempt::Made(repeated::check(writer.bucket(), &self.namespace, segment).await));
        }
        let object = match self.object.get_or_try_init(|| self.object()).await {
            Ok(object) => object,
            Err(error) => return unread(error),
        };
        if !self.may_begin(&object.summary.key) {
            return Ok(Attempt::Later(self.wait()));
        }
        self.take_room(object).await?;
        // Each time: a file may have changed since the attempt before.
        let checked = object.clone();
        let check = move || sealed_reader::check(&checked);
        if let Err(error) = tokio::task::spawn_blocking(check).await.map_err(not_finished)? {
            return unread(error);
        }
        Ok(Attempt::Made(writer.store(object).await))
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

/// The segments that a listing shows, with their sizes.
pub(super) async fn count(bucket: &Bucket, namespace: &Namespace) -> Result<BTreeMap<SegmentKey, u64>> {
    let (mut counted, mut after) = (BTreeMap::new(), None);
    loop {
        let page = bucket.list_segments(namespace, after.as_ref(), COUNT_PAGE).await?;
        counted.extend(page.listed.into_iter().flatten().map(|segment| (segment.key, segment.size)));
        if !page.more {
            return Ok(counted);
        }
        after = page.last;
    }
}

/// What a failure to read a segment here comes to: it may be gone or damaged for good.
fn unread(error: Error) -> Result<Attempt> {
    let spoiled = match &error {
        Error::Corrupt(_) => true,
        Error::Io { source, .. } => {
            matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
        }
        _ => false,
    };
    if spoiled { Ok(Attempt::Spoiled(error)) } else { Err(error) }
}

fn no_segments() -> Error {
    Error::invalid("a turn without segments", "there must be some")
}
