//! A database whose every commit is known, byte for byte, and whose log is stored through the engine.
//!
//! The rules of `docs/protocol.md`, "State, shrinking and zeros", are applied here in the plainest way that can be
//! written down, apart from the engine's: what a database is at a commit is a copy of it that was made then.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use walkeep::core::segment::{Compression, SegmentHeader, SegmentWriter};
use walkeep::core::{
    Backend, Body, Commit, CommitKind, FrameNo, Layout, Namespace, NativeLayout, PageCount, PageHashTable,
    PageSize, Result, SegmentId, SegmentKey, UnixMillis,
};
use walkeep::restore::{RestoreOptions, RestorePlan, Restored};
use walkeep::{Bucket, DATABASE_BYTES_MAX, Handles, RestorePoint, SealedSegment, View, Writer};

use crate::handles::handles;
use crate::memory_target::MemoryTarget;
use crate::recorded::{Frame, Recorded, frame_no, page_no};

/// A namespace with one writer, and everything that was ever written to it.
#[derive(Debug)]
pub struct History<B> {
    /// Where its objects are.
    pub backend: Arc<B>,
    /// The same for the engine.
    pub bucket: Bucket,
    /// Its name.
    pub namespace: Namespace,
    /// Its writer.
    pub writer: Writer,
    /// How its segments are compressed.
    pub compression: Compression,
    /// Clock and randomness of the writer.
    pub handles: Handles,
    /// All commits, sealed or not, oldest first.
    pub commits: Vec<Recorded>,
    /// All frames; frame *n* stands at *n* - 1.
    pub frames: Vec<Frame>,
    /// The names of all segments that were stored and not deleted.
    pub stored: Vec<SegmentKey>,
    page_size: PageSize,
    base: FrameNo,
    pages: BTreeMap<u32, Bytes>,
    size: u32,
    table: PageHashTable,
    /// How many frames and commits are sealed.
    sealed: (usize, usize),
}

impl<B: Backend> History<B> {
    /// A new namespace `shop`.
    ///
    /// # Panics
    ///
    /// When it cannot be opened.
    pub async fn open(backend: Arc<B>, page_size: PageSize, seed: u64) -> Self {
        let bucket = Bucket::new(Arc::clone(&backend), None).unwrap();
        Self::open_in(bucket, backend, page_size, seed).await
    }

    /// The same in a bucket over that backend.
    ///
    /// # Panics
    ///
    /// When it cannot be opened.
    pub async fn open_in(bucket: Bucket, backend: Arc<B>, page_size: PageSize, seed: u64) -> Self {
        let namespace = Namespace::new("shop").unwrap();
        let (handles, _) = handles(1000, seed);
        let writer = Writer::open(&bucket, &namespace, page_size, &handles).await.unwrap();
        let table = PageHashTable::new(writer.hash_seed());
        Self {
            backend,
            bucket,
            namespace,
            writer,
            compression: Compression::default(),
            handles,
            commits: Vec::new(),
            frames: Vec::new(),
            stored: Vec::new(),
            page_size,
            base: FrameNo::FIRST,
            pages: BTreeMap::new(),
            size: 0,
            table,
            sealed: (0, 0),
        }
    }

    /// Opens the namespace for writing again: the next epoch. With another page size, the database begins anew.
    ///
    /// # Errors
    ///
    /// Those of [`Writer::open`].
    pub async fn reopen(&mut self, page_size: PageSize) -> Result<()> {
        assert_eq!(self.sealed.0, self.frames.len(), "what is not sealed would be lost");
        self.writer = Writer::open(&self.bucket, &self.namespace, page_size, &self.handles).await?;
        self.page_size = page_size;
        self.rewind();
        Ok(())
    }

    /// The history of a fork at a commit, which the engine has made already: opened for writing, with everything up to
    /// there in common.
    ///
    /// # Panics
    ///
    /// When it cannot be opened.
    pub async fn forked(&self, fork: &Namespace, at: FrameNo) -> Self {
        let commits: Vec<Recorded> =
            self.commits.iter().filter(|recorded| recorded.commit.frame_no <= at).cloned().collect();
        let last = commits.last().expect("a fork is at a commit").clone();
        let (handles, _) = handles(1000, at.get() + 77);
        let writer = Writer::open(&self.bucket, fork, last.page_size, &handles).await.unwrap();
        let mut fork = Self {
            backend: Arc::clone(&self.backend),
            bucket: self.bucket.clone(),
            namespace: fork.clone(),
            table: PageHashTable::new(writer.hash_seed()),
            writer,
            compression: self.compression,
            handles,
            frames: self.frames.iter().filter(|frame| frame.frame_no <= at).cloned().collect(),
            commits,
            stored: Vec::new(),
            page_size: last.page_size,
            base: last.base,
            pages: BTreeMap::new(),
            size: 0,
            sealed: (0, 0),
        };
        fork.forget_unstored();
        fork
    }

    /// Forgets frames and commits that were taken out of the lists: the database is what it was after the last
    /// commit that is left, and everything that is left is sealed.
    pub fn forget_unstored(&mut self) {
        self.sealed = (self.frames.len(), self.commits.len());
        self.rewind();
    }

    /// Makes the database that of the last commit; with another page size, an empty one. An epoch of another page
    /// size in which nothing was written is as if it had not been.
    fn rewind(&mut self) {
        self.pages.clear();
        match self.commits.last().filter(|last| last.page_size == self.page_size) {
            Some(last) => {
                self.size = last.commit.size_after.get();
                self.base = last.base;
                self.pages.extend((1..=self.size).map(|page| (page, last.page(page_no(page)))));
            }
            None => {
                self.size = 0;
                self.base = frame_no(self.frames.len() as u64 + 1);
            }
        }
    }

    /// The size of pages now.
    #[must_use]
    pub const fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// The size of the database now.
    #[must_use]
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// Whether frames stand behind the last commit.
    #[must_use]
    pub fn is_in_transaction(&self) -> bool {
        self.commits.last().map_or(0, |last| last.commit.frame_no.get()) < self.frames.len() as u64
    }

    /// The highest page that the open transaction has written.
    #[must_use]
    pub fn highest_written(&self) -> u32 {
        let committed = self.commits.last().map_or(0, |last| last.commit.frame_no.get());
        let open = self.frames.iter().filter(|frame| frame.frame_no.get() > committed);
        open.map(|frame| frame.page.get()).max().unwrap_or(0)
    }

    /// Writes a page in the open transaction.
    pub fn write(&mut self, page: u32, image: impl Into<Bytes>) {
        let image = image.into();
        assert_eq!(image.len(), self.page_size.bytes());
        let frame_no = frame_no(self.frames.len() as u64 + 1);
        self.frames.push(Frame { page: page_no(page), frame_no, image: image.clone() });
        self.pages.insert(page, image);
    }

    /// Writes a page that is filled with one byte.
    pub fn fill(&mut self, page: u32, byte: u8) {
        self.write(page, vec![byte; self.page_size.bytes()]);
    }

    /// Commits the open transaction. Returns its last frame.
    pub fn commit(&mut self, size: u32, time: u64) -> FrameNo {
        self.commit_as(CommitKind::Transaction, size, time)
    }

    /// The same with another kind of commit.
    pub fn commit_as(&mut self, kind: CommitKind, size: u32, time: u64) -> FrameNo {
        assert!(self.is_in_transaction(), "a transaction has frames");
        self.size = size;
        self.pages.retain(|page, _| *page <= size);
        self.table = PageHashTable::new(self.writer.hash_seed());
        self.table.resize(PageCount(size));
        let mut file = vec![0; size as usize * self.page_size.bytes()];
        for (page, image) in &self.pages {
            let start = page_no(*page).index() * self.page_size.bytes();
            file[start..start + image.len()].copy_from_slice(image);
            self.table.set(page_no(*page), self.table.seed().page(page_no(*page), image));
        }
        let commit = Commit {
            frame_no: frame_no(self.frames.len() as u64),
            size_after: PageCount(size),
            time: UnixMillis(time),
            state: Some(self.table.state()),
            kind,
        };
        let recorded = Recorded { commit, page_size: self.page_size, base: self.base, file: file.into() };
        self.commits.push(recorded);
        commit.frame_no
    }

    /// Seals all commits since the last segment; `None` when there are none.
    pub fn seal(&mut self) -> Option<SealedSegment> {
        assert!(!self.is_in_transaction(), "a segment ends at a commit");
        let (frames, commits) = (self.frames.get(self.sealed.0..)?, self.commits.get(self.sealed.1..)?);
        let commits: Vec<Commit> = commits.iter().map(|recorded| recorded.commit).collect();
        let range = (frames.first()?.frame_no, frames.last()?.frame_no);
        let min_size = commits.iter().map(|commit| commit.size_after).min()?;
        let sealed = self.segment(range, 0, self.page_size, frames.to_vec(), &commits, min_size);
        self.sealed = (self.frames.len(), self.commits.len());
        Some(sealed)
    }

    /// Seals the open transaction as its own segment without a copy of the database, which may be very large.
    ///
    /// # Panics
    ///
    /// When the transaction is not the first one of the namespace.
    #[must_use]
    pub fn seal_sparse(&self, size: u32, time: u64) -> SealedSegment {
        assert!(self.commits.is_empty(), "the state is that of one transaction");
        let mut table = PageHashTable::new(self.writer.hash_seed());
        table.resize(PageCount(size));
        for frame in &self.frames {
            table.set(frame.page, table.seed().page(frame.page, &frame.image));
        }
        let commit = Commit {
            frame_no: frame_no(self.frames.len() as u64),
            size_after: PageCount(size),
            time: UnixMillis(time),
            state: Some(table.state()),
            kind: CommitKind::Transaction,
        };
        let range = (FrameNo::FIRST, commit.frame_no);
        self.segment(range, 0, self.page_size, self.frames.clone(), &[commit], PageCount(size))
    }

    /// Seals and stores.
    ///
    /// # Panics
    ///
    /// When the writer refuses.
    pub async fn store(&mut self) -> Option<SegmentKey> {
        let sealed = self.seal()?;
        self.writer.store(&sealed).await.unwrap();
        self.stored.push(sealed.summary.key);
        Some(sealed.summary.key)
    }

    fn segment(
        &self,
        (start, end): (FrameNo, FrameNo),
        level: u8,
        page_size: PageSize,
        mut frames: Vec<Frame>,
        commits: &[Commit],
        min_size_after: PageCount,
    ) -> SealedSegment {
        let header = SegmentHeader {
            page_size,
            log_id: self.writer.log_id(),
            segment_id: SegmentId::random(&*self.handles.random).unwrap(),
            epoch: self.epoch_of(end),
            level,
            start,
            end,
            frame_count: frames.len() as u32,
        };
        frames.sort_by_key(|frame| (frame.page, frame.frame_no));
        let seed = self.writer.hash_seed();
        let mut writer = SegmentWriter::new(Vec::new(), header, seed, self.compression, level > 0).unwrap();
        for frame in &frames {
            writer.push(frame.page, frame.frame_no, &frame.image).unwrap();
        }
        let (bytes, summary) = writer.finish(commits, min_size_after).unwrap();
        SealedSegment { summary, body: Body::from(bytes) }
    }

    /// The epoch of the stored segment that ends there; the writer's for a new one.
    fn epoch_of(&self, end: FrameNo) -> walkeep::core::Epoch {
        let stored = self.stored.iter().find(|key| key.end() == end);
        stored.map_or(self.writer.epoch(), SegmentKey::epoch)
    }

    /// The compacted segment of a range: one image a page, only what is visible at its end, one commit, and the
    /// smallest size after any commit of the range. `None` when nothing is visible.
    #[must_use]
    pub fn compacted(&self, start: FrameNo, end: FrameNo, level: u8) -> Option<SealedSegment> {
        let last = self.commits.iter().find(|recorded| recorded.commit.frame_no == end)?;
        let in_range = |frame: FrameNo| (start..=end).contains(&frame);
        let sizes = |from: FrameNo| {
            let commits = self.commits.iter().map(|recorded| recorded.commit);
            commits.filter(move |c| in_range(c.frame_no) && c.frame_no >= from).map(|c| c.size_after)
        };
        let mut newest = BTreeMap::new();
        for frame in self.frames.iter().filter(|frame| in_range(frame.frame_no)) {
            newest.insert(frame.page, frame.clone());
        }
        newest.retain(|page, frame| sizes(frame.frame_no).all(|size| size.contains(*page)));
        let frames: Vec<Frame> = newest.into_values().collect();
        let smallest = sizes(start).min()?;
        let range = (start, end);
        (!frames.is_empty())
            .then(|| self.segment(range, level, last.page_size, frames, &[last.commit], smallest))
    }

    /// Stores the compacted segment of a range beside its inputs.
    ///
    /// # Panics
    ///
    /// When it is there already, or nothing is visible.
    pub async fn compact(&mut self, start: u64, end: u64, level: u8) -> SegmentKey {
        let sealed = self.compacted(frame_no(start), frame_no(end), level).unwrap();
        self.put(&sealed).await;
        sealed.summary.key
    }

    /// Puts a segment beside the writer.
    ///
    /// # Panics
    ///
    /// When it is there already.
    pub async fn put(&mut self, sealed: &SealedSegment) {
        let path = self.path(&sealed.summary.key);
        self.backend.put_new(None, &path, sealed.body.clone()).await.unwrap();
        self.stored.push(sealed.summary.key);
    }

    /// Deletes a segment.
    ///
    /// # Panics
    ///
    /// When the backend fails.
    pub async fn delete(&mut self, key: SegmentKey) {
        self.backend.delete(None, &[self.path(&key)]).await.unwrap();
        self.stored.retain(|stored| *stored != key);
    }

    /// Looks at what is stored now: others may have added to it.
    ///
    /// # Panics
    ///
    /// When it cannot be listed.
    pub async fn relist(&mut self) {
        let timeline = walkeep::Timeline::load(&self.bucket, &self.namespace).await.unwrap();
        self.stored = timeline.segments().iter().rev().map(|segment| segment.key).collect();
    }

    /// The path of a segment.
    ///
    /// # Panics
    ///
    /// Never.
    #[must_use]
    pub fn path(&self, key: &SegmentKey) -> walkeep::core::ObjectPath {
        NativeLayout::new().unwrap().segment(&self.namespace, key)
    }

    /// A view of a restore point.
    ///
    /// # Errors
    ///
    /// Those of [`View::open`].
    pub async fn view(&self, point: RestorePoint) -> Result<View> {
        View::open(&self.bucket, &self.namespace, point, DATABASE_BYTES_MAX).await
    }

    /// Restores a point.
    ///
    /// # Errors
    ///
    /// Those of [`View::open`] and [`View::write_to`].
    pub async fn restore(&self, point: RestorePoint) -> Result<Vec<u8>> {
        restore(&self.view(point).await?).await.map(|(file, _)| file)
    }

    /// Restores the commit that ends with a frame.
    ///
    /// # Errors
    ///
    /// As [`History::restore`].
    pub async fn restore_frame(&self, frame: u64) -> Result<Vec<u8>> {
        self.restore(RestorePoint::Frame(frame_no(frame))).await
    }

    /// Whether a commit can be restored from the segments that are stored: all frames from its base on stand in
    /// one that ends at or before it, or in one that lists it.
    #[must_use]
    pub fn is_reachable(&self, recorded: &Recorded) -> bool {
        let at = recorded.commit.frame_no;
        let lists = |key: &&SegmentKey| key.end() == at || (key.level() == 0 && key.includes(at));
        let usable = |key: &&SegmentKey| key.end() <= at || lists(key);
        let frames = recorded.base.get()..=at.get();
        self.stored.iter().any(|key| lists(&key))
            && frames.map(frame_no).all(|frame| self.stored.iter().filter(usable).any(|k| k.includes(frame)))
    }
}

/// Restores a view into memory.
///
/// # Errors
///
/// Those of [`View::write_to`].
pub async fn restore(view: &View) -> Result<(Vec<u8>, Restored)> {
    let mut target = MemoryTarget::default();
    let restored = view.write_to(&RestorePlan::new(view), &mut target, &RestoreOptions::default()).await?;
    Ok((target.file(), restored))
}
