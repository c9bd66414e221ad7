//! The timeline of a namespace: its valid stored segments, newest first.
//!
//! Invariants:
//!
//! - segments were listed before the manifest that judges them was read (or that manifest did not change
//!   meanwhile), so that a segment which a new writer cut off is never served;
//! - a segment of an epoch that does not own its end does not count, whatever its name;
//! - a chain is made by cover: overlaps are allowed, holes are not.
//!
//! Not here: the search for a point among very many segments ([`crate::locate`]), and what a database looks like at
//! a point ([`crate::View`]).

use std::ops::RangeInclusive;

use walkeep_core::manifest::{ManifestVersion, Validity};
use walkeep_core::{Epoch, Error, FrameNo, Manifest, Namespace, ObjectPath, Result, SegmentKey, Unreachable};

use crate::bucket::Bucket;
use crate::manifests;
use crate::stored_segment::StoredSegment;

/// Objects asked for in one listing: what object stores return at most.
pub(crate) const LIST_PAGE: usize = 1000;

/// How often a listing is repeated when the manifest changed meanwhile, or a hole shows.
pub(crate) const RELIST_MAX: usize = 5;

/// What was listed besides valid segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Objects whose names are not those of segments.
    pub foreign: usize,
    /// Segments of writers that lost their epoch.
    pub fenced: usize,
    /// Segments of epochs that the manifest does not know.
    pub unknown_epoch: usize,
}

/// The valid segments of a namespace, newest first.
#[derive(Clone, Debug)]
pub struct Timeline {
    namespace: Namespace,
    manifest: Manifest,
    segments: Vec<StoredSegment>,
    /// Segments that an opening under way may yet cut off.
    unconfirmed: Vec<StoredSegment>,
    ignored: Ignored,
    /// The newest epoch that any listed segment names, whether it counts or not.
    newest_epoch: Option<Epoch>,
}

impl Timeline {
    /// Lists all segments of a namespace.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such namespace; `Corrupt`, `Invalid` for its manifest; `Unavailable`.
    pub async fn load(bucket: &Bucket, namespace: &Namespace) -> Result<Self> {
        let objects = bucket.list(&bucket.layout().segments(namespace), None, usize::MAX).await?;
        let manifest = manifests::newest(bucket, namespace).await?.ok_or_else(|| no_namespace(namespace))?;
        let mut timeline = Self::empty(namespace, manifest);
        for object in objects {
            let key = bucket.layout().parse_segment(namespace, &object.path);
            timeline.add(key, object.size);
        }
        Ok(timeline)
    }

    /// Lists what is needed to restore `frame`, or the newest commit when `None`, beginning behind the name
    /// `after` and ending where the cover is complete. `manifest` was read before.
    ///
    /// The caller checks with [`Timeline::still_current`] that the manifest did not change meanwhile.
    pub(crate) async fn load_cover(
        bucket: &Bucket,
        namespace: &Namespace,
        manifest: Manifest,
        frame: Option<FrameNo>,
        after: Option<String>,
    ) -> Result<Self> {
        let folder = bucket.layout().segments(namespace);
        let mut timeline = Self::empty(namespace, manifest);
        let mut after: Option<ObjectPath> =
            after.map(|name| bucket.layout().segment_named(namespace, &name)).transpose()?;
        loop {
            let page = bucket.list(&folder, after.as_ref(), LIST_PAGE).await?;
            let last_page = page.len() < LIST_PAGE;
            after = page.last().map(|object| object.path.clone());
            for object in page {
                let key = bucket.layout().parse_segment(namespace, &object.path);
                timeline.add(key, object.size);
            }
            let target = frame.or(timeline.newest().map(|segment| segment.key.end()));
            if last_page || target.is_some_and(|frame| timeline.cover(frame).is_ok()) {
                return Ok(timeline);
            }
        }
    }

    fn empty(namespace: &Namespace, manifest: Manifest) -> Self {
        Self {
            namespace: namespace.clone(),
            manifest,
            segments: Vec::new(),
            unconfirmed: Vec::new(),
            ignored: Ignored::default(),
            newest_epoch: None,
        }
    }

    fn add(&mut self, key: Option<SegmentKey>, size: u64) {
        let Some(key) = key else {
            self.ignored.foreign += 1;
            return;
        };
        self.newest_epoch = self.newest_epoch.max(Some(key.epoch()));
        let segment = StoredSegment { key, size };
        match self.manifest.validity(&key) {
            Validity::Valid => self.segments.push(segment),
            Validity::Unconfirmed => self.unconfirmed.push(segment),
            Validity::Fenced => self.ignored.fenced += 1,
            Validity::UnknownEpoch => self.ignored.unknown_epoch += 1,
        }
    }

    /// Counts segments that are unconfirmed as valid: what the table would say without its pending entry.
    #[must_use]
    pub(crate) fn with_unconfirmed(mut self) -> Self {
        self.segments.append(&mut self.unconfirmed);
        self.segments.sort_by_key(|segment| segment.key);
        self
    }

    /// Whether this timeline's manifest is still the newest.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub(crate) async fn still_current(&self, bucket: &Bucket) -> Result<bool> {
        let newest: Option<ManifestVersion> = manifests::newest_version(bucket, &self.namespace).await?;
        Ok(newest == Some(self.manifest.version()))
    }

    /// The namespace.
    #[must_use]
    pub const fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The manifest that decided which segments count.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The valid segments, newest first; in this order the ends fall.
    #[must_use]
    pub fn segments(&self) -> &[StoredSegment] {
        &self.segments
    }

    /// Segments that an opening under way may yet cut off: no restore points yet.
    #[must_use]
    pub fn unconfirmed(&self) -> &[StoredSegment] {
        &self.unconfirmed
    }

    /// Whether there are commits that an opening under way may yet cut off.
    pub(crate) fn is_pending(&self) -> bool {
        self.manifest.is_pending() && !self.unconfirmed.is_empty()
    }

    /// The damage, if segments were listed whose epoch no manifest knows: newer manifests existed and are gone. Only
    /// sure if the manifest is still the newest.
    pub(crate) fn lost_manifests(&self) -> Option<Error> {
        (self.ignored.unknown_epoch > 0).then(|| {
            let object = format!("namespace {}", self.namespace);
            let newest = self.newest_epoch.unwrap_or_default();
            let expected = format!("a manifest that knows epoch {newest}, which stored segments name");
            let found =
                format!("manifest {} with epoch {}", self.manifest.version(), self.manifest.last().epoch);
            Error::corrupt(object, 0, expected, found)
        })
    }

    /// What was listed besides.
    #[must_use]
    pub const fn ignored(&self) -> Ignored {
        self.ignored
    }

    /// The newest valid segment.
    #[must_use]
    pub fn newest(&self) -> Option<&StoredSegment> {
        self.segments.first()
    }

    /// The frames between the newest segment and the begin of the newest epoch: a writer has seen them stored, so a
    /// listing without them is not complete, or they are lost.
    pub(crate) fn missing_newest(&self) -> Option<RangeInclusive<FrameNo>> {
        let reached = self.newest().map(|segment| segment.key.end());
        let first = reached.map_or(Some(FrameNo::FIRST), FrameNo::next)?;
        let last = self.manifest.last_begin()?.previous()?;
        (first <= last).then_some(first..=last)
    }

    /// The segments to read for the database at `frame`, newest first: the first one holds `frame`, and each next
    /// one joins or overlaps the one before, down to the base.
    ///
    /// # Errors
    ///
    /// The frames that no segment covers.
    pub fn cover(&self, frame: FrameNo) -> Result<Vec<StoredSegment>, RangeInclusive<FrameNo>> {
        let base = self.manifest.base(frame);
        let Some(first) = self.holding(frame) else {
            let last = self.segments.iter().map(|segment| segment.key.end()).find(|end| *end < frame);
            let start = last.and_then(FrameNo::next).unwrap_or(base).max(base);
            return Err(start..=frame);
        };
        let mut chain = vec![*first];
        let mut start = first.key.start();
        let mut below = self.segments.iter().filter(|segment| segment.key.end() <= frame).peekable();
        while start > base {
            // Candidates stand in order of falling ends; those that reach up to `start` come before the others.
            let mut best: Option<&StoredSegment> = None;
            while let Some(segment) = below.next_if(|segment| segment.key.end().next() >= Some(start)) {
                if best.is_none_or(|best| segment.key.start() < best.key.start()) {
                    best = Some(segment);
                }
            }
            match best.filter(|best| best.key.start() < start) {
                Some(best) => {
                    chain.push(*best);
                    start = best.key.start();
                }
                None => return Err(self.hole_below(start, base)),
            }
        }
        Ok(chain)
    }

    /// The segment to read `frame` from: the widest that ends there, or else the rawest that holds it.
    pub(crate) fn holding(&self, frame: FrameNo) -> Option<&StoredSegment> {
        let ending = self.segments.iter().find(|segment| segment.key.end() == frame);
        ending.or_else(|| {
            let holding = self.segments.iter().filter(|segment| segment.key.includes(frame));
            holding.min_by_key(|segment| (segment.key.level(), segment.key.end()))
        })
    }

    fn hole_below(&self, start: FrameNo, base: FrameNo) -> RangeInclusive<FrameNo> {
        let last = start.previous().unwrap_or(base);
        let below = self.segments.iter().map(|segment| segment.key.end()).find(|end| *end < last);
        let first = below.and_then(FrameNo::next).unwrap_or(base).max(base);
        first..=last
    }

    /// The ranges of frames whose commits can be restored, oldest first. Of a compacted segment that is its end.
    #[must_use]
    pub fn restorable(&self) -> Vec<RangeInclusive<FrameNo>> {
        let mut ranges: Vec<RangeInclusive<FrameNo>> = Vec::new();
        let mut reached: Option<FrameNo> = None;
        for segment in self.segments.iter().rev() {
            let key = &segment.key;
            let joins = key.start() <= self.manifest.base(key.end())
                || reached.and_then(FrameNo::next).is_some_and(|next| next >= key.start());
            if !joins {
                continue;
            }
            reached = reached.max(Some(key.end()));
            let first = if key.level() == 0 { key.start() } else { key.end() };
            match ranges.last_mut() {
                Some(last) if last.end().next() >= Some(first) => {
                    *last = *last.start().min(&first)..=*last.end().max(&key.end());
                }
                _ => ranges.push(first..=key.end()),
            }
        }
        ranges
    }

    /// The newest commit that can be restored.
    #[must_use]
    pub fn durable_frame_no(&self) -> Option<FrameNo> {
        self.restorable().last().map(|range| *range.end())
    }

    /// The frames whose loss makes the end of a stored segment unreachable, oldest first.
    pub(crate) fn holes(&self) -> Vec<RangeInclusive<FrameNo>> {
        let mut holes = Vec::new();
        let mut reached: Option<FrameNo> = None;
        // The end of the last segments that cannot be reached: what joins them is lost for the same reason.
        let mut lost: Option<FrameNo> = None;
        let oldest_first = self.segments.iter().rev().map(|segment| segment.key).collect::<Vec<_>>();
        for ending in oldest_first.chunk_by(|a, b| a.end() == b.end()) {
            let Some(end) = ending.first().map(SegmentKey::end) else { continue };
            let joins = |to: Option<FrameNo>, key: &SegmentKey| {
                to.and_then(FrameNo::next).is_some_and(|next| next >= key.start())
            };
            let base = self.manifest.base(end);
            if ending.iter().any(|key| key.start() <= base || joins(reached, key)) {
                reached = Some(end);
            } else {
                if !ending.iter().any(|key| joins(lost, key)) {
                    holes.extend(self.cover(end).err());
                }
                lost = Some(end);
            }
        }
        holes.extend(self.missing_newest());
        holes
    }

    /// An error for a restore point that this (complete) timeline cannot serve.
    #[must_use]
    pub fn unreachable(&self, wanted: impl Into<String>, why: impl Into<String>) -> Unreachable {
        Unreachable {
            wanted: wanted.into(),
            why: why.into(),
            restorable: self.restorable(),
            ..Unreachable::default()
        }
    }
}

pub(crate) fn no_namespace(namespace: &Namespace) -> Error {
    Error::not_found(format!("namespace {namespace:?}", namespace = namespace.as_str()))
}
