//! A tenant of a server: a database that writes through a storage, and what it was told about it.

use std::sync::{Arc, Mutex};

use walkeep::core::segment::Compression;
use walkeep::core::{
    Error, FrameNo, LogHead, Namespace, PageSize, RestorePoint, Result, SealedSegment, Storage,
};
use walkeep::storage::OnStored;

use crate::memory_target::MemoryTarget;
use crate::page_log::PageLog;

/// What callbacks said, in the order in which they said it.
pub type Told = Arc<Mutex<Vec<Result<FrameNo>>>>;

/// A tenant: its database, its log's head, and what it was told.
#[derive(Debug)]
pub struct Tenant {
    /// Its namespace.
    pub namespace: Namespace,
    /// What opening it gave.
    pub head: LogHead,
    /// Its database.
    pub log: PageLog,
    /// What callbacks said.
    pub told: Told,
    /// The last frame of each commit, and the database file after it.
    pub states: Vec<(FrameNo, Vec<u8>)>,
    segments: u128,
}

impl Tenant {
    /// Opens a new namespace.
    ///
    /// # Panics
    ///
    /// When it cannot be opened.
    pub async fn open<S: Storage + ?Sized>(storage: &S, name: &str) -> Self {
        let namespace: Namespace = name.parse().unwrap();
        let head = storage.open(&namespace, PageSize::MIN, None).await.unwrap();
        assert_eq!(head.durable, None, "a new namespace");
        Self::with_head(namespace, head)
    }

    /// A tenant that takes a log for empty, whatever its head says.
    #[must_use]
    pub fn with_head(namespace: Namespace, head: LogHead) -> Self {
        let log = PageLog::new(PageSize::MIN, head.hash_seed, FrameNo::FIRST);
        Self { namespace, head, log, told: Told::default(), states: Vec::new(), segments: 0 }
    }

    /// Commits one transaction that writes `pages` pages, different from those before.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn commit(&mut self, pages: u32) -> FrameNo {
        let number = self.states.len() as u32;
        let page = |at: u32| (number + at) % 5 + 1;
        let image = |at: u32| {
            let mut image = vec![(number % 251) as u8 + 1; PageSize::MIN.bytes()];
            image[..4].copy_from_slice(&number.to_le_bytes());
            image[4..8].copy_from_slice(&at.to_le_bytes());
            image
        };
        let images = (0..pages.min(5)).map(|at| (page(at), image(at))).collect::<Vec<_>>();
        let frame = self.log.commit(&images, 5, 1000 + u64::from(number));
        self.states.push((frame, self.log.file()));
        frame
    }

    /// Seals what was committed.
    pub fn seal(&mut self) -> SealedSegment {
        self.segments += 1;
        self.log.seal_in(self.head.log_id, self.head.epoch, self.segments, Compression::default())
    }

    /// A callback that notes what it is told.
    #[must_use]
    pub fn note(&self) -> OnStored {
        let told = Arc::clone(&self.told);
        Box::new(move |outcome| Box::pin(async move { told.lock().unwrap().push(outcome) }))
    }

    /// Commits and stores a segment of one transaction.
    ///
    /// # Errors
    ///
    /// As `Storage::store`.
    pub fn store<S: Storage + ?Sized>(&mut self, storage: &S) -> Result<FrameNo> {
        let frame = self.commit(2);
        let segment = self.seal();
        storage.store(&self.namespace, segment, None, self.note()).map(|()| frame)
    }

    /// How many callbacks were called.
    ///
    /// # Panics
    ///
    /// Never, unless another thread did.
    #[must_use]
    pub fn told_count(&self) -> usize {
        self.told.lock().unwrap().len()
    }

    /// What callbacks were told, in that order.
    ///
    /// # Panics
    ///
    /// Never, unless another thread did.
    #[must_use]
    pub fn outcomes(&self) -> Vec<Result<FrameNo>> {
        let again = |outcome: &Result<FrameNo>| outcome.as_ref().map_err(Error::again).copied();
        self.told.lock().unwrap().iter().map(again).collect()
    }

    /// The frames that callbacks said were durable, in that order.
    ///
    /// # Panics
    ///
    /// When one was told of an error.
    #[must_use]
    pub fn durable(&self) -> Vec<FrameNo> {
        let frame = |outcome: Result<FrameNo>| outcome.unwrap_or_else(|error| panic!("{error}"));
        self.outcomes().into_iter().map(frame).collect()
    }

    /// Waits until so many callbacks were called.
    pub async fn told(&self, count: usize) {
        while self.told_count() < count {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    /// Restores every commit and compares.
    ///
    /// # Panics
    ///
    /// When one is not what it was.
    pub async fn check_states<S: Storage + ?Sized>(&self, storage: &S) {
        for (frame, file) in &self.states {
            let mut target = MemoryTarget::default();
            let at = RestorePoint::Frame(*frame);
            let restored = storage.restore(&mut target, &self.namespace, at, None).await;
            let restored = restored.unwrap_or_else(|error| panic!("{} at {frame}: {error}", self.namespace));
            assert!(restored.verified && target.file() == *file, "{} at {frame}", self.namespace);
        }
    }
}
