//! Exporting: the restore points of a namespace as segments that libsql-wal reads.
//!
//! Every end of a stored segment becomes a data object and then its index object, in that order: the index makes it
//! visible. An object holds each page that differs from the end before, and each that differs from its newest image in
//! earlier objects (a page that a shrink cut off and that is zeros after growth): so it is right for readers that cut
//! at every end, and for those that only look for the newest image.
//!
//! Invariants: what is written depends on the source alone, so that exporting again meets the same bytes and goes on
//! behind them; an object of other bytes in the way is an error, and nothing is replaced.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use walkeep_core::libsql::{
    Cluster, DataFrame, DataHeader, DataWriter, ObjectKey, ObjectKind, PAGE_SIZE, PageIndex,
};
use walkeep_core::{
    Body, ByteRange, Directory, Error, FrameNo, Namespace, PageHash, PageHashTable, PageNo, Random, Result,
    SegmentId,
};

use crate::bucket::Bucket;
use crate::spool::Spool;
use crate::timeline::Timeline;
use crate::view::{DATABASE_BYTES_MAX, View};

/// What an export came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// The last frame that was exported.
    pub frame_no: Option<FrameNo>,
    /// Segments that were written.
    pub segments_written: u64,
    /// Segments that were there already, with the same bytes.
    pub segments_found: u64,
    /// Restore points that libsql-wal cannot express, and that were merged into the next one: an empty database, or
    /// more pages than frames.
    pub ends_merged: u64,
}

/// What an export needs besides source and target.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// Where large objects are put together.
    pub spool: Arc<dyn Directory>,
    /// For the names of files there.
    pub random: Arc<dyn Random>,
}

/// Exports a namespace into a cluster of `target`, a store read as Walkeep's own or as anything.
///
/// # Errors
///
/// `NotFound`; `Invalid` when pages are not of 4096 bytes; `AlreadyExists` when another object is in the way;
/// `Unreachable` and `Corrupt` of the source; `Unavailable`.
pub async fn export(
    source: &Bucket,
    namespace: &Namespace,
    target: &Bucket,
    cluster: &Cluster,
    options: &ExportOptions,
) -> Result<Exported> {
    let timeline = Timeline::load(source, namespace).await?;
    let mut exported = Exported::default();
    let mut last: Option<View> = None;
    let mut newest = Vec::new();
    let mut ends = timeline.segments().iter().rev().map(|segment| segment.key.end()).collect::<Vec<_>>();
    ends.dedup();
    check_target(&timeline, &target.as_libsql(cluster.clone())).await?;
    for end in ends {
        let view = View::at(source, &timeline, end, DATABASE_BYTES_MAX).await?;
        let segment = Segment::of(view, last.as_ref(), &newest)?;
        if segment.fits() {
            let written = segment.put(target, cluster, &mut newest, options).await?;
            exported.segments_written += u64::from(written);
            exported.segments_found += u64::from(!written);
            exported.frame_no = Some(end);
            last = Some(segment.view);
        } else {
            exported.ends_merged += 1;
        }
    }
    if exported.frame_no == timeline.durable_frame_no() {
        return Ok(exported);
    }
    let what = format!("exporting frame {}", timeline.durable_frame_no().map_or(0, FrameNo::get));
    Err(Error::invalid(
        what,
        "libsql-wal has no form for its state: it is empty, or has more pages than frames",
    ))
}

/// Refuses a target with segments of another log: libsql-wal would mix the two.
async fn check_target(timeline: &Timeline, target: &Bucket) -> Result<()> {
    let existing = match Timeline::load(target, timeline.namespace()).await {
        Err(Error::NotFound { .. }) => return Ok(()),
        existing => existing?,
    };
    let ours: BTreeSet<_> = timeline.segments().iter().map(|s| (s.key.end(), s.key.time())).collect();
    let other = existing.segments().iter().find(|s| !ours.contains(&(s.key.end(), s.key.time())));
    other.map_or(Ok(()), |other| {
        let path = target.layout().segment(timeline.namespace(), &other.key);
        let what = format!("a segment that is not of this log, {path},");
        Err(Error::AlreadyExists { what })
    })
}

/// One segment to be written.
struct Segment {
    view: View,
    start: FrameNo,
    hashes: PageHashTable,
    pages: Vec<PageNo>,
}

impl Segment {
    /// What to write for the end that `view` is, behind `last`; `newest` are the hashes of the images written so far.
    fn of(view: View, last: Option<&View>, newest: &[PageHash]) -> Result<Self> {
        if view.page_size() != PAGE_SIZE {
            let what = format!("exporting namespace {} with pages of {}", view.namespace(), view.page_size());
            return Err(Error::invalid(what, format!("libsql-wal has pages of {PAGE_SIZE} only")));
        }
        let hashes = view.page_hashes()?;
        let before = last.map(View::page_hashes).transpose()?;
        let differs = |page: &PageNo| {
            let now = hashes.get(*page);
            let known = newest.get(page.index()).copied().unwrap_or_default();
            now != known || now != before.as_ref().map_or(PageHash::ZERO, |before| before.get(*page))
        };
        let mut pages: Vec<_> = (1..=view.size().get()).filter_map(PageNo::new).filter(differs).collect();
        if pages.is_empty() {
            // A data object holds at least one image.
            pages.push(PageNo::FIRST);
        }
        let start = last.and_then(|last| last.commit().frame_no.next()).unwrap_or(FrameNo::FIRST);
        Ok(Self { view, start, hashes, pages })
    }

    /// Whether a data object can say it.
    fn fits(&self) -> bool {
        let frames = self.view.commit().frame_no.get() - self.start.get();
        self.view.size().get() > 0 && self.pages.len() as u64 - 1 <= frames
    }

    /// Writes data, then index. Whether they were not there before.
    async fn put(
        &self,
        target: &Bucket,
        cluster: &Cluster,
        newest: &mut Vec<PageHash>,
        options: &ExportOptions,
    ) -> Result<bool> {
        let commit = self.view.commit();
        let header = DataHeader {
            frame_count: u32::try_from(self.pages.len()).unwrap_or(u32::MAX),
            segment_id: self.id(),
            start: self.start,
            end: commit.frame_no,
            size_after: commit.size_after,
            time: commit.time,
        };
        let spool = Spool::new(Arc::clone(&options.spool), &*options.random)?;
        let mut writer = DataWriter::new(spool, header)?;
        newest.resize(newest.len().max(commit.size_after.as_usize()), PageHash::ZERO);
        for page in &self.pages {
            let image = self.view.page(*page).await?;
            writer.push(&DataFrame { page: *page, frame_no: commit.frame_no, image: &image })?;
            if let Some(entry) = newest.get_mut(page.index()) {
                *entry = self.hashes.get(*page);
            }
        }
        let mut spool = writer.finish()?;
        spool.flush().map_err(|error| Error::io("write the spool", error))?;
        let (key, namespace) = (header.key()?, self.view.namespace());
        let data = put(target, cluster, namespace, ObjectKind::Segment, &key, spool.into_body()?).await?;
        let index = Body::from(PageIndex::encode(self.pages.iter().copied())?);
        Ok(put(target, cluster, namespace, ObjectKind::Index, &key, index).await? || data)
    }

    /// An identity that depends on what is exported alone.
    fn id(&self) -> SegmentId {
        let mixed = u128::from(self.hashes.state().0) << 64 | u128::from(self.view.commit().frame_no.get());
        SegmentId(mixed ^ self.view.manifest().log_id().0)
    }
}

/// Puts an object, or finds it there with these very bytes. Whether it was not there.
async fn put(
    target: &Bucket,
    cluster: &Cluster,
    namespace: &Namespace,
    kind: ObjectKind,
    key: &ObjectKey,
    body: Body,
) -> Result<bool> {
    let path = cluster.object(namespace, kind, key);
    match target.put_new(&path, body.clone()).await {
        Err(Error::AlreadyExists { .. }) => {}
        put => return put.map(|()| true),
    }
    let (len, mut offset) = (body.len(), 0);
    while offset <= len {
        let end = (offset + COMPARED).min(len);
        // A byte more at the end tells a longer object.
        let asked = if end == len { end + 1 } else { end };
        let found = target.get(&path, ByteRange::Bounded(offset..asked)).await?;
        if found != part(&body, offset, end)? {
            return Err(Error::AlreadyExists { what: format!("another object {path}") });
        }
        offset = asked;
    }
    Ok(false)
}

/// Bytes compared at once.
const COMPARED: u64 = 4 << 20;

fn part(body: &Body, start: u64, end: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
    body.read_exact_at(start, &mut bytes).map_err(|error| Error::io("read the spool", error))?;
    Ok(bytes)
}
