//! The database at one restore point: one merged reading of segments.
//!
//! Restoring, comparing and reading a page are uses of it; there is no second merge. Which image of a page counts
//! is decided in [`merge`](crate::merge) alone.
//!
//! Invariants: the segments cover the frames from the base up to the point without a hole, and belong to one log;
//! the point is a commit.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use walkeep_core::{
    Commit, Error, FrameNo, Manifest, Namespace, Neighbour, PageCount, PageHashTable, PageNo, PageSize,
    RestorePoint, Result, Unreachable,
};

use crate::bucket::Bucket;
use crate::explain::explain;
use crate::locate::{Located, locate};
use crate::merge::{Layer, merge};
use crate::stored_segment::{OpenSegment, StoredSegment};
use crate::timeline::{RELIST_MAX, Timeline};

/// Indexes fetched at the same time.
const OPEN_CONCURRENCY: usize = 16;

/// How many bytes of small objects, which came with their indexes, are kept for the blocks in them.
const WHOLE_OBJECTS_MAX: usize = 32 << 20;

/// The largest database that a view opens unless told otherwise: 2^40 bytes. Sizes come from a bucket. Memory goes
/// with the number of pages, so that of a database of small pages an eighth of it may be the limit (2^28 pages).
pub const DATABASE_BYTES_MAX: u64 = 1 << 40;

/// So many pages are never too many, whatever the limit in bytes: their hashes take 8 bytes each.
const PAGES_ALWAYS_ALLOWED: u64 = 1 << 24;

/// The database at one restore point.
#[derive(Debug)]
pub struct View {
    bucket: Bucket,
    namespace: Namespace,
    manifest: Manifest,
    commit: Commit,
    page_size: PageSize,
    layers: Vec<Layer>,
    unconfirmed: usize,
    /// The hashes of an older state, where the segments are only those behind it.
    under: Option<Arc<PageHashTable>>,
}

impl View {
    /// Opens a restore point: finds it, and fetches the indexes of its segments in parallel.
    ///
    /// Objects that vanish meanwhile (a compaction may have replaced them) are looked for again.
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown namespace; `Unreachable` when there is no such restore point; `Corrupt` naming
    /// the object; `Exhausted` when the database is larger than `database_bytes_max`; `Invalid`, `Unavailable`.
    pub async fn open(
        bucket: &Bucket,
        namespace: &Namespace,
        point: RestorePoint,
        database_bytes_max: u64,
    ) -> Result<Self> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let Located { timeline, frame_no } = locate(bucket, namespace, point).await?;
            match Self::at(bucket, &timeline, frame_no, database_bytes_max).await {
                Err(Error::NotFound { what }) if attempt < RELIST_MAX => {
                    tracing::debug!(object = what, "a listed object is gone; listing again");
                }
                Err(Error::NotFound { what }) => {
                    return Err(Error::corrupt(what, 0, "an object that is listed", "no object"));
                }
                // The listing ended where the cover was complete: there may be more that can be restored.
                Err(Error::Unreachable(unreachable)) => {
                    return Err(explain(bucket, namespace, point, *unreachable).await);
                }
                opened => return opened,
            }
        }
    }

    /// Opens the commit `frame_no` of a timeline.
    ///
    /// # Errors
    ///
    /// As [`View::open`]; `NotFound` when a listed object is gone.
    pub async fn at(
        bucket: &Bucket,
        timeline: &Timeline,
        frame_no: FrameNo,
        database_bytes_max: u64,
    ) -> Result<Self> {
        Self::over(bucket, timeline, frame_no, database_bytes_max, None).await
    }

    /// The same over an older state whose page hashes are known, from the segments behind it alone: the timeline
    /// is [`Timeline::load_behind`] it. Such a view knows the hash of every page, but the images of those segments only:
    /// it is for [`RestorePlan::over`](crate::restore::RestorePlan) that state. That it is the database at this point is
    /// proven by the state checksum alone.
    pub(crate) async fn over(
        bucket: &Bucket,
        timeline: &Timeline,
        frame_no: FrameNo,
        database_bytes_max: u64,
        under: Option<Arc<PageHashTable>>,
    ) -> Result<Self> {
        let chain = timeline.cover(frame_no).map_err(|missing| Unreachable {
            missing: Some(missing),
            ..timeline.unreachable(format!("frame {frame_no}"), "no stored segment covers some of its frames")
        })?;
        if let Some(contradiction) =
            chain.iter().find_map(|segment| timeline.contradiction(segment.key.end()))
        {
            return Err(contradiction);
        }
        let opening =
            chain.into_iter().map(|stored: StoredSegment| async move { timeline.open(bucket, stored).await });
        let mut kept = 0;
        let opened = stream::iter(opening).buffered(OPEN_CONCURRENCY).map_ok(|mut segment| {
            kept += segment.whole_len();
            if kept > WHOLE_OBJECTS_MAX {
                segment.drop_whole();
            }
            segment
        });
        let segments: Vec<OpenSegment> = opened.try_collect().await?;
        let Some(newest) = segments.first() else {
            return Err(Error::not_found(format!("a segment of frame {frame_no}")));
        };
        let commit = commit_at(timeline, newest, frame_no)?;
        let page_size = newest.index().footer().header.page_size;
        check_sizes(&segments, page_size, commit.size_after, database_bytes_max)?;
        let layers = Layer::stack(segments.into_iter().map(Arc::new).collect(), &commit);
        Ok(Self {
            bucket: bucket.clone(),
            namespace: timeline.namespace().clone(),
            manifest: timeline.manifest().clone(),
            commit,
            page_size,
            layers,
            unconfirmed: timeline.unconfirmed().len(),
            under,
        })
    }

    /// The namespace.
    #[must_use]
    pub const fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The commit that this is the database after.
    #[must_use]
    pub const fn commit(&self) -> &Commit {
        &self.commit
    }

    /// The size of a page.
    #[must_use]
    pub const fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// The size of the database.
    #[must_use]
    pub const fn size(&self) -> PageCount {
        self.commit.size_after
    }

    /// The manifest that was the newest when this was opened.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Segments that were listed but left out, because an opening under way may yet cut them off.
    #[must_use]
    pub const fn unconfirmed(&self) -> usize {
        self.unconfirmed
    }

    pub(crate) const fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The hash of every page, from the indexes alone.
    ///
    /// # Errors
    ///
    /// `Corrupt` when their fold is not the state checksum that the writer recorded for this commit.
    pub fn page_hashes(&self) -> Result<PageHashTable> {
        let mut table = match &self.under {
            Some(under) => PageHashTable::clone(under),
            None => PageHashTable::new(self.manifest.hash_seed()),
        };
        // What was cut off on the way is zeros, unless it was written again.
        let smallest = self.layers.iter().map(|layer| layer.segment.index().footer().min_size_after).min();
        table.resize(smallest.unwrap_or_default().min(table.size()));
        table.resize(self.size());
        for (layer, winners) in self.layers.iter().zip(merge(&self.layers, self.size())) {
            let index = layer.segment.index();
            for position in winners {
                let at = position as usize;
                if let (Some(page), Some(hash)) = (index.pages().get(at), index.hashes().get(at)) {
                    table.set(*page, *hash);
                }
            }
        }
        match self.commit.state {
            Some(recorded) if recorded != table.state() => Err(self.wrong_state(table.state())),
            _ => Ok(table),
        }
    }

    /// An error for a database whose state checksum is not the recorded one.
    pub(crate) fn wrong_state(&self, found: impl std::fmt::Display) -> Error {
        let newest = self.layers.first().map_or_else(String::new, |layer| layer.segment.path().to_string());
        let recorded = self.commit.state.map_or_else(String::new, |state| state.to_string());
        let expected = format!("state checksum {recorded} for frame {}", self.commit.frame_no);
        Error::corrupt(newest, 0, expected, format!("{found} from the images that its segments hold"))
    }

    /// The pages whose content differs from `other`, in order, from the indexes alone: no page is fetched. Pages
    /// that only one of the two has are among them unless they are zeros.
    ///
    /// # Errors
    ///
    /// `Invalid` when the two are of different logs or page sizes, whose hashes cannot be compared; `Corrupt`.
    pub fn changed_since(&self, other: &Self) -> Result<Vec<PageNo>> {
        if self.manifest.hash_seed() != other.manifest.hash_seed() || self.page_size != other.page_size {
            let what = format!("comparing {} with {}", self.namespace, other.namespace);
            return Err(Error::invalid(what, "views of different logs or page sizes cannot be compared"));
        }
        let (ours, theirs) = (self.page_hashes()?, other.page_hashes()?);
        Ok(ours.changed_since(&theirs).collect())
    }

    /// The image of a page: one request, unless its block is in memory already. Zeros for a page never written.
    ///
    /// # Errors
    ///
    /// `Invalid` for a page beyond the end of the database; `Corrupt`, `NotFound`, `Unavailable`.
    pub async fn page(&self, page: PageNo) -> Result<Bytes> {
        if !self.size().contains(page) {
            return Err(Error::invalid(
                format!("page {page}"),
                format!("the database has {} pages", self.size()),
            ));
        }
        for layer in &self.layers {
            if let Some(found) = layer.find(page)? {
                return match found {
                    Some(position) => {
                        let seed = self.manifest.hash_seed();
                        layer.segment.image(&self.bucket, seed, position).await
                    }
                    None => break,
                };
            }
        }
        Ok(vec![0; self.page_size.bytes()].into())
    }

    /// All pages in order, with their images.
    ///
    /// Meant for walking through a database of any size in little memory; restoring to a file is faster with
    /// [`View::write_to`](crate::View::write_to).
    pub fn pages(&self) -> BoxStream<'_, Result<(PageNo, Bytes)>> {
        let pages = (1..=self.size().get()).filter_map(PageNo::new);
        let images = pages.map(move |page| async move { Ok((page, self.page(page).await?)) });
        stream::iter(images).buffered(OPEN_CONCURRENCY).boxed()
    }
}

/// The commit that ends with `frame_no` in the segment that holds it.
pub(crate) fn commit_at(timeline: &Timeline, segment: &OpenSegment, frame_no: FrameNo) -> Result<Commit> {
    let commits = segment.commits();
    let at = commits.partition_point(|commit| commit.frame_no < frame_no);
    if let Some(commit) = commits.get(at).filter(|commit| commit.frame_no == frame_no) {
        return Ok(*commit);
    }
    let near = |commit: &Commit| Neighbour { frame_no: commit.frame_no, time: commit.time };
    let in_segment = at.checked_sub(1).and_then(|at| commits.get(at)).map(near);
    let older = timeline.segments().iter().map(|segment| segment.key).find(|key| key.end() < frame_no);
    let older = older.map(|key| Neighbour { frame_no: key.end(), time: key.time() });
    let why = if timeline.joins_exactly() {
        "no segment ends there, and libsql-wal keeps no restore point inside one"
    } else {
        "no commit ends there: it lies inside a transaction"
    };
    Err(Unreachable {
        before: in_segment.or(older),
        after: commits.get(at).map(near),
        ..timeline.unreachable(format!("frame {frame_no}"), why)
    }
    .into())
}

/// Refuses mixed page sizes, and databases larger than allowed, before anything is allocated for them.
fn check_sizes(
    segments: &[OpenSegment],
    page_size: PageSize,
    size: PageCount,
    database_bytes_max: u64,
) -> Result<()> {
    for segment in segments {
        let found = segment.index().footer().header.page_size;
        if found != page_size {
            return Err(Error::corrupt(segment.path(), 12, format!("page size {page_size}"), found));
        }
    }
    check_size(page_size, size, database_bytes_max).map_err(|error| Error::Exhausted {
        what: format!("{error}; raise it (--max-db-size) if that is right"),
    })
}

/// Refuses databases larger than allowed.
pub(crate) fn check_size(page_size: PageSize, size: PageCount, database_bytes_max: u64) -> Result<()> {
    let bytes = size.file_bytes(page_size);
    // Memory goes with the number of pages, not their size: small pages count as those of SQLite's default size.
    let pages_max = (database_bytes_max / PageSize::DEFAULT.bytes_u64()).max(PAGES_ALWAYS_ALLOWED);
    if bytes > database_bytes_max || u64::from(size.get()) > pages_max {
        let what = format!(
            "the database has {bytes} bytes ({size} pages of {page_size}), more than the limit of \
             {database_bytes_max} bytes or {pages_max} pages"
        );
        return Err(Error::Exhausted { what });
    }
    Ok(())
}
