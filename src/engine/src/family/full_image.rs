//! What a fork shares, as one segment of its own: the database at the commit where it forked off.
//!
//! Memory is bounded: images are read in order of pages through blocks that are kept for the next page, and the segment is
//! put together in a [`Spool`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use walkeep_core::segment::{BlockDecoder, Compression, SegmentHeader, SegmentWriter};
use walkeep_core::{
    Directory, Error, FrameNo, Namespace, PageCount, PageHash, PageNo, Random, Result, SealedSegment,
    SegmentId, SegmentKey,
};

use crate::bucket::Bucket;
use crate::merge::merge;
use crate::spool::Spool;
use crate::stored_segment::{OpenSegment, StoredSegment};
use crate::timeline::Timeline;
use crate::view::{DATABASE_BYTES_MAX, View};

/// Stores the full image at the fork, unless it is there.
///
/// # Errors
///
/// `Corrupt` when what is shared is damaged, or another object has the image's name; `Unavailable`, `Io`, `Exhausted`.
pub(super) async fn store_full_image(
    bucket: &Bucket,
    timeline: &Timeline,
    spool: Arc<dyn Directory>,
    random: &dyn Random,
) -> Result<()> {
    let Some(parent) = timeline.manifest().parent() else { return Ok(()) };
    let view = View::at(bucket, timeline, parent.frame, DATABASE_BYTES_MAX).await?;
    let key = key_of(timeline, parent.frame)?;
    let namespace = timeline.namespace();
    if is_stored(bucket, namespace, &key, &view).await? {
        return Ok(());
    }
    let sealed = seal(&view, key, Spool::new(spool, random)?, SegmentId::random(random)?).await?;
    let path = bucket.layout().segment(namespace, &key);
    match bucket.put_new(&path, sealed.body).await {
        Err(Error::AlreadyExists { .. }) if is_stored(bucket, namespace, &key, &view).await? => Ok(()),
        stored => stored,
    }
}

/// The image's name: it reaches down to where the database begins, and has the level of what was compacted once.
fn key_of(timeline: &Timeline, frame: FrameNo) -> Result<SegmentKey> {
    let manifest = timeline.manifest();
    let (Some(owner), Some(parent)) = (manifest.owner(frame), manifest.parent()) else {
        return Err(Error::invalid(format!("frame {frame}"), "no epoch owns it"));
    };
    SegmentKey::new(owner.epoch, manifest.base(frame), frame, parent.time, 1)
}

/// Whether the image is there already, from an earlier attempt.
async fn is_stored(bucket: &Bucket, namespace: &Namespace, key: &SegmentKey, view: &View) -> Result<bool> {
    let after = bucket.layout().segments_until(namespace, key.epoch(), key.end());
    let listing = bucket.list_segments(namespace, Some(&after), crate::manifests::NEWEST_PAGE).await?;
    let Some(stored) = listing.listed.into_iter().flatten().find(|stored| stored.key == *key) else {
        return Ok(false);
    };
    let stored = StoredSegment::new(stored.key, stored.size);
    let opened = OpenSegment::open(bucket, namespace, stored, view.manifest().log_id()).await?;
    let (found, expected) = (opened.index().state(), view.page_hashes()?.state());
    if found == Some(expected) {
        return Ok(true);
    }
    let found = found.map_or_else(|| "none".to_string(), |state| state.to_string());
    Err(Error::corrupt(opened.path(), 0, format!("state checksum {expected}"), found))
}

/// Writes the database of a view as one segment: an image of each page that is not zeros.
async fn seal(view: &View, key: SegmentKey, spool: Spool, segment_id: SegmentId) -> Result<SealedSegment> {
    let state = view.page_hashes()?.state();
    let seed = view.manifest().hash_seed();
    let images = images_of(view);
    let header = SegmentHeader {
        page_size: view.page_size(),
        log_id: view.manifest().log_id(),
        segment_id,
        epoch: key.epoch(),
        level: key.level(),
        start: key.start(),
        end: key.end(),
        frame_count: u32::try_from(images.len().max(1))
            .map_err(|_| Error::Exhausted { what: format!("segment {key} would have too many pages") })?,
    };
    let mut writer = SegmentWriter::new(spool, header, seed, Compression::default(), true)?;
    if images.is_empty() {
        // A segment has a frame; one of zeros says nothing.
        writer.push(PageNo::FIRST, key.end(), &vec![0; view.page_size().bytes()])?;
    }
    let mut blocks = Blocks::default();
    for image in images {
        let bytes = blocks.image(view, &image).await?;
        writer.push(image.page, image.frame, &bytes)?;
    }
    let commit = walkeep_core::Commit { state: Some(state), ..*view.commit() };
    let smallest = view.layers().iter().map(|layer| layer.segment.index().footer().min_size_after).min();
    let smallest = smallest.map_or(view.size(), |smallest: PageCount| smallest.min(view.size()));
    let (spool, summary) = writer.finish(&[commit], smallest)?;
    Ok(SealedSegment { summary, body: spool.into_body()? })
}

/// Where the image of a page is.
struct Image {
    page: PageNo,
    frame: FrameNo,
    layer: usize,
    position: u32,
}

/// The images that count and are not zeros, in order of pages.
fn images_of(view: &View) -> Vec<Image> {
    let mut images = Vec::new();
    for (at, (layer, winners)) in view.layers().iter().zip(merge(view.layers(), view.size())).enumerate() {
        let index = layer.segment.index();
        images.extend(winners.into_iter().filter_map(|position| {
            let row = position as usize;
            let hash = index.hashes().get(row).filter(|hash| **hash != PageHash::ZERO);
            hash?;
            Some(Image {
                page: *index.pages().get(row)?,
                frame: *index.frames().get(row)?,
                layer: at,
                position,
            })
        }));
    }
    images.sort_unstable_by_key(|image| image.page);
    images
}

/// How many bytes of decompressed blocks are kept: pages of one segment follow one another in its blocks.
const BLOCKS_BYTES_MAX: usize = 64 << 20;

/// Decompressed blocks, the oldest of which are dropped first.
#[derive(Default)]
struct Blocks {
    kept: HashMap<(usize, u64), Bytes>,
    order: VecDeque<(usize, u64)>,
    bytes: usize,
}

impl Blocks {
    /// The image, checked.
    async fn image(&mut self, view: &View, image: &Image) -> Result<Bytes> {
        let missing = || Error::invalid(format!("page {}", image.page), "the view has no image of it");
        let segment = &view.layers().get(image.layer).ok_or_else(missing)?.segment;
        let block = segment.index().block_of(image.position).ok_or_else(missing)?;
        let name = (image.layer, block.offset);
        let raw = match self.kept.get(&name) {
            Some(raw) => raw.clone(),
            None => {
                let stored = segment.bytes(view.bucket(), block.offset..block.end()).await?;
                let mut decoder = BlockDecoder::new()?;
                let raw = decoder.decode(segment.path().as_str(), block, view.page_size(), &stored)?;
                self.keep(name, Bytes::copy_from_slice(raw))
            }
        };
        let len = view.page_size().bytes();
        let start = (image.position - block.first) as usize * len;
        let bytes = raw.slice(start.min(raw.len())..(start + len).min(raw.len()));
        segment.check_image(view.manifest().hash_seed(), image.position, block, &bytes)?;
        Ok(bytes)
    }

    fn keep(&mut self, name: (usize, u64), raw: Bytes) -> Bytes {
        self.bytes += raw.len();
        self.order.push_back(name);
        self.kept.insert(name, raw.clone());
        while self.bytes > BLOCKS_BYTES_MAX && self.order.len() > 1 {
            let oldest = self.order.pop_front().and_then(|oldest| self.kept.remove(&oldest));
            self.bytes -= oldest.map_or(0, |oldest| oldest.len());
        }
        raw
    }
}
