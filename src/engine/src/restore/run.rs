//! Carrying out a plan: requests in parallel within a memory bound, decompression and checks on all cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use walkeep_core::segment::BlockDecoder;
use walkeep_core::{
    DatabaseShape, Error, HashSeed, PageSink, PageSize, RestoreTarget, Restored, Result, StateChecksum,
};

use super::plan::{FETCH_RAW_MAX, Fetch, RestorePlan};
use crate::merge::Layer;
use crate::view::View;

/// How to restore.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// About how many bytes of page data to hold in memory at once; default 64 MiB. Indexes come on top.
    pub memory_bytes: usize,
    /// Told what is done so far.
    pub progress: Arc<Progress>,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self { memory_bytes: 64 << 20, progress: Arc::default() }
    }
}

/// How far a restore is, or a compaction.
#[derive(Debug, Default)]
pub struct Progress {
    pages: AtomicU64,
}

impl Progress {
    pub(crate) fn add(&self, pages: u64) {
        self.pages.fetch_add(pages, Ordering::Relaxed);
    }

    /// Pages written so far.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }
}

/// What is held per request under way: its images, and as much again for their stored form.
const FETCH_MEMORY: usize = 2 * FETCH_RAW_MAX;

impl View {
    /// Writes the database to a target and proves it: every block's checksum, every page's hash, and the state
    /// checksum that the writer recorded.
    ///
    /// (Of a plan over a file that has some of the pages, what that file has is not looked at: its owner proves it.)
    ///
    /// # Errors
    ///
    /// `Corrupt` naming object and offset; `NotFound` when an object vanished (open the view again); errors of the
    /// target; `Unavailable`.
    ///
    /// # Cancel safety
    ///
    /// A cancelled call leaves the target unfinished.
    pub async fn write_to(
        &self,
        plan: &RestorePlan,
        target: &mut dyn RestoreTarget,
        options: &RestoreOptions,
    ) -> Result<Restored> {
        let shape = DatabaseShape {
            page_size: self.page_size(),
            size: self.size(),
            pages_written: plan.pages_written,
        };
        // Before anything is written: do the indexes alone add up to what the writer recorded?
        self.page_hashes()?;
        let sink = target.begin(shape)?;
        let at_once = (options.memory_bytes / FETCH_MEMORY).clamp(1, 64);
        // Boxed, so that the whole is `Send` for every lifetime: a limit of the compiler.
        let jobs = plan.fetches.iter().map(|fetch| self.run(plan, fetch, &sink, &options.progress).boxed());
        let jobs = jobs.collect::<Vec<_>>();
        let folds: Vec<u64> = stream::iter(jobs).buffer_unordered(at_once).try_collect().await?;
        let size = self.manifest().hash_seed().size(self.size());
        let folded = folds.into_iter().fold(size ^ plan.kept, |all, one| all ^ one);
        let state = StateChecksum(folded);
        let recorded = self.commit().state;
        if recorded.is_some_and(|recorded| recorded != state) {
            return Err(self.wrong_state(state));
        }
        target.finish()?;
        Ok(Restored {
            commit: *self.commit(),
            page_size: self.page_size(),
            state,
            verified: recorded.is_some(),
            requests: plan.requests,
            bytes: plan.bytes,
        })
    }

    async fn run(
        &self,
        plan: &RestorePlan,
        fetch: &Fetch,
        sink: &Arc<dyn PageSink>,
        progress: &Arc<Progress>,
    ) -> Result<u64> {
        let (Some(layer), Some(winners)) = (self.layers().get(fetch.layer), plan.winners.get(fetch.layer))
        else {
            return Err(Error::invalid("a restore plan", "it was made for another view"));
        };
        let stored = layer.segment.bytes(self.bucket(), fetch.bytes.clone()).await?;
        let work = Work {
            layer: layer.clone(),
            fetch: fetch.clone(),
            winners: winners.get(fetch.winners.clone()).unwrap_or_default().to_vec(),
            stored,
            seed: self.manifest().hash_seed(),
            page_size: self.page_size(),
            sink: Arc::clone(sink),
            progress: Arc::clone(progress),
        };
        match tokio::task::spawn_blocking(move || work.run()).await {
            Ok(done) => done,
            Err(error) => Err(Error::Unknown { what: format!("decompression did not finish: {error}") }),
        }
    }
}

/// The blocks of one request: decompress, check, write.
struct Work {
    layer: Layer,
    fetch: Fetch,
    winners: Vec<u32>,
    stored: Bytes,
    seed: HashSeed,
    page_size: PageSize,
    sink: Arc<dyn PageSink>,
    progress: Arc<Progress>,
}

impl Work {
    /// The XOR of the hashes of the pages written.
    fn run(&self) -> Result<u64> {
        let index = self.layer.segment.index();
        let mut decoder = BlockDecoder::new()?;
        let mut winners = self.winners.iter().copied().peekable();
        let mut folded = 0;
        for block in self.fetch.blocks.iter().filter_map(|at| index.blocks().get(*at)) {
            let start = usize::try_from(block.offset - self.fetch.bytes.start).unwrap_or(usize::MAX);
            let stored = self.stored.get(start..).and_then(|rest| rest.get(..block.stored_len as usize));
            let object = self.layer.segment.path().as_str();
            let raw = decoder.decode(object, block, self.page_size, stored.unwrap_or_default())?;
            let mut run = Run { start: 0, end: 0, offset: 0 };
            while let Some(position) = winners.next_if(|position| *position < block.first + block.count) {
                let start = (position - block.first) as usize * self.page_size.bytes();
                let end = start + self.page_size.bytes();
                let image = raw.get(start..end).unwrap_or_default();
                folded ^= self.layer.segment.check_image(self.seed, position, block, image)?;
                let page = index.pages().get(position as usize).copied();
                let offset = page.map_or(0, |page| page.file_offset(self.page_size));
                if !run.extend(start, end, offset) {
                    self.write(raw, &run)?;
                    run = Run { start, end, offset };
                }
            }
            self.write(raw, &run)?;
        }
        self.progress.add(self.winners.len() as u64);
        Ok(folded)
    }

    fn write(&self, raw: &[u8], run: &Run) -> Result<()> {
        let pages = raw.get(run.start..run.end).unwrap_or_default();
        if pages.is_empty() { Ok(()) } else { self.sink.write(run.offset, pages) }
    }
}

/// Images that are neighbours in a block and in the file.
struct Run {
    start: usize,
    end: usize,
    offset: u64,
}

impl Run {
    /// Adds the image at `start..end` of the block, if it goes on where the run ends in both.
    fn extend(&mut self, start: usize, end: usize, offset: u64) -> bool {
        let joins = start == self.end && offset == self.offset + (self.end - self.start) as u64;
        if joins && self.end > self.start {
            self.end = end;
            return true;
        }
        false
    }
}
