//! One capture: what changed in a database since the newest view of its namespace, stored as one commit.
//!
//! Invariants:
//!
//! - pages are compared by hash with the newest view, whose hashes add up to its state checksum; so a capture on
//!   top of a view is exact whatever happened to the database meanwhile;
//! - nothing is written to the store, not even a manifest, when nothing changed;
//! - what is stored was read from one state of the database: if it moved while it was read, the capture begins
//!   again;
//! - a change of page size begins a new epoch with a complete image.
//!
//! Not here: splitting the log into its transactions. Every capture is one commit of kind *snapshot*.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use walkeep::core::segment::{Compression, SegmentHeader, SegmentWriter};
use walkeep::core::{
    Commit, CommitKind, Directory, Error, FrameNo, HashSeed, Namespace, PageCount, PageHashTable, PageNo,
    PageSize, Result, SegmentId, UnixMillis,
};
use walkeep::{Bucket, Handles, RestorePoint, SealedSegment, Spool, View, Writer};

use crate::source::Source;

/// How often a capture begins again when the database or the namespace changes under it.
const ATTEMPTS: u32 = 5;

/// How to capture.
#[derive(Clone, Debug)]
pub struct CaptureOptions {
    /// How long to wait for a writer that has the database locked; default 5 s.
    pub busy_timeout: Duration,
    /// How to compress; default zstd level 1.
    pub compression: Compression,
    /// The largest database to compare with, in bytes; default [`walkeep::DATABASE_BYTES_MAX`].
    pub database_bytes_max: u64,
    /// Where a segment that is too large for memory is put together.
    pub spool: Arc<dyn Directory>,
    /// Time and randomness.
    pub handles: Handles,
}

impl CaptureOptions {
    /// The defaults, with a directory for large segments, and time and randomness.
    #[must_use]
    pub fn new(spool: Arc<dyn Directory>, handles: Handles) -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            compression: Compression::default(),
            database_bytes_max: walkeep::DATABASE_BYTES_MAX,
            spool,
            handles,
        }
    }
}

/// What a capture did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The newest durable frame: the commit that holds the database as it was captured.
    pub durable_frame_no: FrameNo,
    /// The time of that commit.
    pub time: UnixMillis,
    /// The size of the database.
    pub size: PageCount,
    /// The size of a page.
    pub page_size: PageSize,
    /// Pages stored; 0 when nothing had changed.
    pub pages_stored: u64,
    /// Bytes stored; 0 when nothing had changed.
    pub bytes_stored: u64,
    /// By how much the store's newest commit was ahead of the clock, which was taken back to it.
    pub clock_behind: Duration,
}

/// What to write: the pages that differ, and the database after them.
struct Difference {
    pages: Vec<PageNo>,
    table: PageHashTable,
}

/// The newest view of the namespace, if it has one that can be compared with.
struct Newest {
    commit: Option<Commit>,
    /// `None` when the page size differs.
    table: Option<PageHashTable>,
}

/// Captures the committed state of the database at `path` as the newest commit of `namespace`.
///
/// # Errors
///
/// Those of [`Source::open`], of opening the newest [`View`], and of [`Writer`].
///
/// # Cancel safety
///
/// A cancelled call may have stored the commit.
pub async fn capture(
    path: &Path,
    bucket: &Bucket,
    namespace: &Namespace,
    options: &CaptureOptions,
) -> Result<Captured> {
    for _ in 0..ATTEMPTS {
        let (path, timeout) = (path.to_path_buf(), options.busy_timeout);
        let source = blocking(move || Source::open(&path, timeout)).await?;
        if let Some(captured) = attempt(source, bucket, namespace, options).await? {
            return Ok(captured);
        }
    }
    Err(Error::Exhausted { what: format!("{} changed too fast to be captured; try again", path.display()) })
}

/// Runs work that reads files or computes for long where blocking is allowed.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::Unknown { what: format!("the capture did not finish: {error}") }),
    }
}

/// `None` when the database or the namespace moved: begin again.
async fn attempt(
    source: Source,
    bucket: &Bucket,
    namespace: &Namespace,
    options: &CaptureOptions,
) -> Result<Option<Captured>> {
    let newest = newest(bucket, namespace, source.page_size(), options).await?;
    let (page_size, size) = (source.page_size(), source.size());
    let (source, difference) = match newest.table {
        Some(table) => {
            let (source, difference) = blocking(move || compare(source, table, false)).await?;
            if !source.is_unchanged()? {
                return Ok(None);
            }
            if let (true, Some(commit)) = (difference.pages.is_empty(), newest.commit) {
                return Ok(Some(unchanged(&commit, page_size)));
            }
            (source, Some(difference))
        }
        None => (source, None),
    };
    let mut writer = Writer::open(bucket, namespace, page_size, &options.handles).await?;
    let follows = writer.tip().map(|key| key.end());
    if follows != newest.commit.map(|commit| commit.frame_no) {
        // Another writer stored something between our look and our claim.
        return Ok(None);
    }
    let (source, difference) = match difference {
        Some(difference) => (source, difference),
        None => {
            let seed = writer.hash_seed();
            blocking(move || compare(source, PageHashTable::new(seed), true)).await?
        }
    };
    let floor = newest.commit.map_or(UnixMillis(0), |commit| commit.time);
    let now = options.handles.clock.now();
    let plan = Plan::new(&writer, &difference, page_size, now.max(floor), options)?;
    let spool = Spool::new(Arc::clone(&options.spool), &*options.handles.random)?;
    let (sealed, unchanged) = blocking(move || {
        let sealed = seal(&source, spool, &plan, &difference)?;
        Ok((sealed, source.is_unchanged()?))
    })
    .await?;
    let Some(sealed) = sealed.filter(|_| unchanged) else {
        return Ok(None);
    };
    let durable_frame_no = writer.store(&sealed).await?;
    Ok(Some(Captured {
        durable_frame_no,
        time: now.max(floor),
        size,
        page_size,
        pages_stored: u64::from(sealed.summary.footer.header.frame_count),
        bytes_stored: sealed.summary.len,
        clock_behind: Duration::from_millis(floor.get().saturating_sub(now.get())),
    }))
}

const fn unchanged(commit: &Commit, page_size: PageSize) -> Captured {
    Captured {
        durable_frame_no: commit.frame_no,
        time: commit.time,
        size: commit.size_after,
        page_size,
        pages_stored: 0,
        bytes_stored: 0,
        clock_behind: Duration::ZERO,
    }
}

async fn newest(
    bucket: &Bucket,
    namespace: &Namespace,
    page_size: PageSize,
    options: &CaptureOptions,
) -> Result<Newest> {
    let view = match View::open(bucket, namespace, RestorePoint::Latest, options.database_bytes_max).await {
        Ok(view) => view,
        Err(Error::NotFound { .. }) => return Ok(Newest { commit: None, table: None }),
        // A namespace whose first capture was cut short has a manifest and no commits; one whose opening was cut
        // short has unconfirmed ones, which our own opening settles.
        Err(Error::Unreachable(unreachable)) if unreachable.missing.is_none() => {
            return settle(bucket, namespace, page_size, options).await;
        }
        Err(error) => return Err(error),
    };
    let same = view.page_size() == page_size;
    let table = if same { Some(view.page_hashes()?) } else { None };
    Ok(Newest { commit: Some(*view.commit()), table })
}

/// Settles an opening that was cut short by opening the namespace, and looks again.
async fn settle(
    bucket: &Bucket,
    namespace: &Namespace,
    page_size: PageSize,
    options: &CaptureOptions,
) -> Result<Newest> {
    let writer = Writer::open(bucket, namespace, page_size, &options.handles).await?;
    if writer.tip().is_none() {
        return Ok(Newest { commit: None, table: None });
    }
    let view = View::open(bucket, namespace, RestorePoint::Latest, options.database_bytes_max).await?;
    let table = if view.page_size() == page_size { Some(view.page_hashes()?) } else { None };
    Ok(Newest { commit: Some(*view.commit()), table })
}

/// Compares every page with the table, and brings the table up to date. There is a difference in any case if this
/// is the `first` commit with this page size.
fn compare(source: Source, mut table: PageHashTable, first: bool) -> Result<(Source, Difference)> {
    let seed = table.seed();
    let resized = table.size() != source.size();
    table.resize(source.size());
    let mut pages = Vec::new();
    source.for_each_page(|page, image| {
        let hash = seed.page(page, image);
        if hash != table.get(page) {
            table.set(page, hash);
            pages.push(page);
        }
        Ok(())
    })?;
    if pages.is_empty() && (resized || first) {
        // A commit needs a frame, even if only the size changed or the database is empty.
        pages.push(PageNo::FIRST);
    }
    Ok((source, Difference { pages, table }))
}

/// Everything that is fixed about the segment before its pages are read.
struct Plan {
    header: SegmentHeader,
    seed: HashSeed,
    commit: Commit,
    compression: Compression,
}

impl Plan {
    fn new(
        writer: &Writer,
        difference: &Difference,
        page_size: PageSize,
        time: UnixMillis,
        options: &CaptureOptions,
    ) -> Result<Self> {
        let start = writer.next_frame_no()?;
        let frame_count = u32::try_from(difference.pages.len())
            .map_err(|_| Error::Exhausted { what: "a segment holds at most 2^32 - 1 frames".into() })?;
        let end = start.get().checked_add(u64::from(frame_count) - 1).and_then(FrameNo::new);
        let end = end.ok_or_else(|| Error::Exhausted { what: "all frames are used".into() })?;
        let header = SegmentHeader {
            page_size,
            log_id: writer.log_id(),
            segment_id: SegmentId::random(&*options.handles.random)?,
            epoch: writer.epoch(),
            level: 0,
            start,
            end,
            frame_count,
        };
        let commit = Commit {
            frame_no: end,
            size_after: difference.table.size(),
            time,
            state: Some(difference.table.state()),
            kind: CommitKind::Snapshot,
        };
        Ok(Self { header, seed: writer.hash_seed(), commit, compression: options.compression })
    }
}

/// Reads the pages that differ a second time and seals them; `None` when one is not what it was.
fn seal(
    source: &Source,
    spool: Spool,
    plan: &Plan,
    difference: &Difference,
) -> Result<Option<SealedSegment>> {
    let mut writer = SegmentWriter::new(spool, plan.header, plan.seed, plan.compression, true)?;
    let mut wanted = difference.pages.iter().copied().peekable();
    let mut frame = Some(plan.header.start);
    let mut moved = false;
    let mut push = |page: PageNo, image: &[u8]| -> Result<()> {
        let number = frame.ok_or_else(|| Error::Exhausted { what: "all frames are used".into() })?;
        frame = number.next();
        writer.push(page, number, image).map(drop)
    };
    if source.size() == PageCount(0) {
        // An empty database: one frame of a page that it does not have.
        push(PageNo::FIRST, &vec![0; source.page_size().bytes()])?;
    }
    source.for_each_page(|page, image| {
        if wanted.next_if_eq(&page).is_some() {
            moved |= plan.seed.page(page, image) != difference.table.get(page);
            push(page, image)?;
        }
        Ok(())
    })?;
    if moved {
        return Ok(None);
    }
    let (spool, summary) = writer.finish(&[plan.commit], plan.commit.size_after)?;
    Ok(Some(SealedSegment { summary, body: spool.into_body()? }))
}
