//! The namespace that an import writes: opened for writing only when there is something to store, and never continued
//! unless what it holds was proven to be the same.
//!
//! Invariants: what is stored follows a commit whose state is that of the replayed source; nothing that is there is
//! changed; times do not fall.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;
use walkeep_core::libsql::PAGE_SIZE;
use walkeep_core::segment::{Compression, SegmentHeader, SegmentWriter};
use walkeep_core::{
    Commit, CommitKind, Directory, Error, FrameNo, HashSeed, Namespace, Result, SealedSegment, SegmentId,
    UnixMillis,
};

use super::replay::Replay;
use crate::bucket::Bucket;
use crate::history::history;
use crate::spool::Spool;
use crate::timeline::Timeline;
use crate::writer::{Handles, Writer};

/// What an import needs besides source and target.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Where large segments are put together.
    pub spool: Arc<dyn Directory>,
    /// Time and randomness.
    pub handles: Handles,
    /// How images are compressed.
    pub compression: Compression,
}

/// Frames of one new segment on their way to the target.
pub(super) type SegmentSpool = SegmentWriter<Spool>;

#[derive(Debug)]
pub(super) struct ImportTarget {
    bucket: Bucket,
    namespace: Namespace,
    options: ImportOptions,
    seed: HashSeed,
    /// The commits that were there before.
    existing: BTreeMap<FrameNo, Commit>,
    /// The last of them.
    tip: Option<FrameNo>,
    writer: Option<Writer>,
    /// The time of the last commit replayed.
    time: UnixMillis,
    pub(super) found: u64,
    pub(super) stored: u64,
    pub(super) lacking: u64,
    pub(super) clamped: u64,
    pub(super) bytes_stored: u64,
}

impl ImportTarget {
    /// Looks at the target. A namespace that does not exist is created, since its seed is made then.
    pub(super) async fn open(
        bucket: &Bucket,
        namespace: &Namespace,
        options: &ImportOptions,
    ) -> Result<Self> {
        let mut writer = None;
        let mut loaded = Timeline::load(bucket, namespace).await;
        let unsettled = loaded.as_ref().is_ok_and(|timeline| !timeline.unconfirmed().is_empty());
        if unsettled || matches!(loaded, Err(Error::NotFound { .. })) {
            writer = Some(Writer::open(bucket, namespace, PAGE_SIZE, &options.handles).await?);
            loaded = Timeline::load(bucket, namespace).await;
        }
        let timeline = loaded?;
        let commits: Vec<_> = history(bucket, &timeline).map_ok(|logged| logged.commit).try_collect().await?;
        let existing: BTreeMap<_, _> = commits.into_iter().map(|commit| (commit.frame_no, commit)).collect();
        Ok(Self {
            bucket: bucket.clone(),
            namespace: namespace.clone(),
            options: options.clone(),
            seed: timeline.manifest().hash_seed(),
            tip: timeline.newest().map(|segment| segment.key.end()),
            existing,
            writer,
            time: UnixMillis(0),
            found: 0,
            stored: 0,
            lacking: 0,
            clamped: 0,
            bytes_stored: 0,
        })
    }

    pub(super) const fn seed(&self) -> HashSeed {
        self.seed
    }

    pub(super) fn now(&self) -> UnixMillis {
        self.options.handles.clock.now()
    }

    /// Whether the target has this commit already. What it has must be the same.
    ///
    /// # Errors
    ///
    /// `Invalid` when the target holds something else.
    pub(super) fn has(&mut self, end: FrameNo, replay: &Replay) -> Result<bool> {
        if self.tip.is_none_or(|tip| tip < end) {
            return Ok(false);
        }
        let Some(commit) = self.existing.get(&end) else {
            self.lacking += 1;
            return Ok(true);
        };
        if commit.size_after != replay.size() || commit.state.is_some_and(|state| state != replay.state()) {
            let what = format!("importing into namespace {}", self.namespace);
            let why = format!(
                "it holds something else: its state at frame {end} is not that of the source; choose another with --as"
            );
            return Err(Error::invalid(what, why));
        }
        self.time = commit.time;
        self.found += 1;
        Ok(true)
    }

    /// The commit that a point of the source becomes.
    pub(super) fn commit(
        &mut self,
        frame_no: FrameNo,
        time: UnixMillis,
        kind: CommitKind,
        replay: &Replay,
    ) -> Commit {
        self.clamped += u64::from(time < self.time);
        self.time = self.time.max(time);
        Commit { frame_no, size_after: replay.size(), time: self.time, state: Some(replay.state()), kind }
    }

    /// Begins the segment `start..=end`. Everything before it was found or stored.
    ///
    /// # Errors
    ///
    /// `Invalid` when the target goes on where the source has no end; `Fenced` and others of the writer.
    pub(super) async fn begin(
        &mut self,
        start: FrameNo,
        end: FrameNo,
        frame_count: u32,
        one_image_per_page: bool,
    ) -> Result<SegmentSpool> {
        if self.tip != start.previous() {
            let tip = self.tip.map_or(0, FrameNo::get);
            let why = format!(
                "it has commits of its own up to frame {tip}, where the source has none; choose another with --as"
            );
            return Err(Error::invalid(format!("importing into namespace {}", self.namespace), why));
        }
        if self.writer.is_none() {
            let opened =
                Writer::open(&self.bucket, &self.namespace, PAGE_SIZE, &self.options.handles).await?;
            self.writer = Some(opened);
        }
        let Some(writer) = &self.writer else {
            return Err(Error::Unknown { what: "opening the namespace".into() });
        };
        if writer.next_frame_no()? != start || writer.hash_seed() != self.seed {
            let what = format!("namespace {} was written during the import; import again", self.namespace);
            return Err(Error::Unavailable { what, source: None });
        }
        let header = SegmentHeader {
            page_size: PAGE_SIZE,
            log_id: writer.log_id(),
            segment_id: SegmentId::random(&*self.options.handles.random)?,
            epoch: writer.epoch(),
            level: 0,
            start,
            end,
            frame_count,
        };
        let spool = Spool::new(Arc::clone(&self.options.spool), &*self.options.handles.random)?;
        SegmentWriter::new(spool, header, self.seed, self.options.compression, one_image_per_page)
    }

    /// Ends the segment and stores it.
    ///
    /// # Errors
    ///
    /// Those of [`Writer::store`].
    pub(super) async fn store(&mut self, segment: SegmentSpool, commits: &[Commit]) -> Result<()> {
        let smallest = commits.iter().map(|commit| commit.size_after).min().unwrap_or_default();
        let (spool, summary) = segment.finish(commits, smallest)?;
        let len = summary.len;
        let sealed = SealedSegment { summary, body: spool.into_body()? };
        if let Some(writer) = &mut self.writer {
            self.tip = Some(writer.store(&sealed).await?);
        }
        self.stored += commits.len() as u64;
        self.bytes_stored += len;
        Ok(())
    }
}

/// How many frames a segment of these has.
pub(super) fn frame_count(count: usize) -> Result<u32> {
    u32::try_from(count).map_err(|_| Error::Exhausted { what: format!("a segment of {count} frames") })
}
