//! The timeline of a namespace: its valid stored segments, newest first; of a fork also those that it shares with the
//! namespaces it came from ([`inheriting`]).
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

mod ancestor;
mod inheriting;
mod reachable;

use std::ops::RangeInclusive;

use walkeep_core::manifest::{ManifestVersion, Validity};
use walkeep_core::{Epoch, Error, FrameNo, Manifest, Namespace, ObjectPath, Result, Unreachable};

use crate::bucket::{Bucket, SegmentListing};
use crate::libsql;
use crate::manifests;
use crate::stored_segment::{OpenSegment, StoredSegment};

pub(crate) use ancestor::Ancestor;
pub(crate) use inheriting::open;

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
    /// Objects of a bucket of libsql-wal whose upload did not end: data without an index.
    pub incomplete: usize,
}

/// The valid segments of a namespace, newest first.
#[derive(Clone, Debug)]
pub struct Timeline {
    namespace: Namespace,
    manifest: Manifest,
    /// Whether segments of a chain must join exactly: where nothing else tells that they are of one log.
    exact: bool,
    segments: Vec<StoredSegment>,
    /// Of a fork: what it reads from, nearest first, as far as that was needed.
    ancestors: Vec<Ancestor>,
    /// Segments that an opening under way may yet cut off.
    unconfirmed: Vec<StoredSegment>,
    ignored: Ignored,
    /// The newest epoch that any listed segment names, whether it counts or not.
    newest_epoch: Option<Epoch>,
    /// The first frame that is needed, where what was before it is known.
    needed: FrameNo,
}

impl Timeline {
    /// Lists all segments of a namespace.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such namespace; `Corrupt`, `Invalid` for its manifest; `Unavailable`.
    pub async fn load(bucket: &Bucket, namespace: &Namespace) -> Result<Self> {
        let listing = bucket.list_segments(namespace, None, usize::MAX).await?;
        let manifest = manifests::present(bucket, namespace).await?;
        let mut timeline = Self::empty(namespace, manifest, bucket.is_libsql());
        timeline.add_all(listing);
        timeline.inherit(bucket).await?;
        Ok(timeline)
    }

    /// Lists what is needed to restore `frame`, or the newest commit when `None`, beginning behind the path
    /// `after` and ending where the cover is complete. `manifest` was read before.
    ///
    /// The caller checks with [`Timeline::still_current`] that the manifest did not change meanwhile.
    pub(crate) async fn load_cover(
        bucket: &Bucket,
        namespace: &Namespace,
        manifest: Manifest,
        frame: Option<FrameNo>,
        mut after: Option<ObjectPath>,
    ) -> Result<Self> {
        let mut timeline = Self::empty(namespace, manifest, bucket.is_libsql());
        loop {
            let page = bucket.list_segments(namespace, after.as_ref(), LIST_PAGE).await?;
            let more = page.more;
            after.clone_from(&page.last);
            timeline.add_all(page);
            if timeline.is_enough_for(frame) {
                return Ok(timeline);
            }
            if !more {
                timeline.inherit(bucket).await?;
                return Ok(timeline);
            }
        }
    }

    /// Lists what stands behind the commit `known`, newest first: few names, if that is little. Its covers reach down to
    /// `known`, and no further.
    ///
    /// The caller checks with [`Timeline::still_current`] that the manifest did not change meanwhile.
    pub(crate) async fn load_behind(
        bucket: &Bucket,
        namespace: &Namespace,
        manifest: Manifest,
        known: FrameNo,
    ) -> Result<Self> {
        let mut timeline = Self::empty(namespace, manifest, bucket.is_libsql());
        timeline.needed = known.next().unwrap_or(FrameNo::MAX);
        let (mut after, mut limit) = (None, manifests::NEWEST_PAGE);
        loop {
            let page = bucket.list_segments(namespace, after.as_ref(), limit).await?;
            let more = page.more;
            after.clone_from(&page.last);
            timeline.add_all(page);
            if timeline.is_enough_for(None) {
                return Ok(timeline);
            }
            if !more {
                timeline.inherit(bucket).await?;
                return Ok(timeline);
            }
            limit = LIST_PAGE;
        }
    }

    /// Lists all that ends behind a position, newest first, and so every commit behind it. Its covers reach down to the
    /// position, and no further.
    ///
    /// The caller checks with [`Timeline::still_current`] that the manifest did not change meanwhile.
    pub(crate) async fn load_all_behind(
        bucket: &Bucket,
        namespace: &Namespace,
        manifest: Manifest,
        position: Option<FrameNo>,
    ) -> Result<Self> {
        let mut timeline = Self::empty(namespace, manifest, bucket.is_libsql());
        timeline.needed = position.map_or(FrameNo::FIRST, |known| known.next().unwrap_or(FrameNo::MAX));
        let (mut after, mut limit) = (None, manifests::NEWEST_PAGE);
        loop {
            let page = bucket.list_segments(namespace, after.as_ref(), limit).await?;
            let more = page.more;
            after.clone_from(&page.last);
            timeline.add_all(page);
            // Ends fall: behind one at or before the position there is none that matters.
            let reached = timeline.segments.last().is_some_and(|last| Some(last.key.end()) <= position);
            if reached || !more {
                break;
            }
            limit = LIST_PAGE;
        }
        let is_shared = |parent: &walkeep_core::manifest::Parent| position < Some(parent.frame);
        if timeline.manifest.parent().is_some_and(is_shared) {
            timeline.inherit(bucket).await?;
        }
        timeline.segments.retain(|segment| Some(segment.key.end()) > position);
        Ok(timeline)
    }

    /// Whether what was listed so far covers `frame`, or the newest commit.
    fn is_enough_for(&self, frame: Option<FrameNo>) -> bool {
        let Some(frame) = frame.or(self.newest().map(|segment| segment.key.end())) else { return false };
        let listed_to = self.segments.last().map(|segment| segment.key);
        if self.exact && listed_to.is_none_or(|last| last.start() > FrameNo::FIRST) && !self.lists_the_first()
        {
            return false;
        }
        let Ok(chain) = self.cover(frame) else { return false };
        // Where two segments that end alike are a contradiction, all that end like those of the chain are needed.
        let oldest = chain.last().map(|segment| segment.key.end());
        !self.exact || listed_to.map(|key| key.end()) < oldest
    }

    fn empty(namespace: &Namespace, manifest: Manifest, exact: bool) -> Self {
        Self {
            namespace: namespace.clone(),
            manifest,
            exact,
            segments: Vec::new(),
            ancestors: Vec::new(),
            unconfirmed: Vec::new(),
            ignored: Ignored::default(),
            newest_epoch: None,
            needed: FrameNo::FIRST,
        }
    }

    fn add_all(&mut self, listing: SegmentListing) {
        self.ignored.incomplete += listing.incomplete;
        for segment in listing.listed {
            self.add(segment);
        }
        if self.exact {
            libsql::mark_compacted(&mut self.segments);
        }
    }

    fn add(&mut self, segment: Option<StoredSegment>) {
        let Some(segment) = segment else {
            self.ignored.foreign += 1;
            return;
        };
        let key = &segment.key;
        self.newest_epoch = self.newest_epoch.max(Some(key.epoch()));
        match self.manifest.validity(key) {
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

    /// Opens one of its segments.
    ///
    /// # Errors
    ///
    /// As [`OpenSegment::open`].
    pub async fn open(&self, bucket: &Bucket, stored: StoredSegment) -> Result<OpenSegment> {
        open(bucket, &self.namespace, &self.manifest, &self.ancestors, stored).await
    }

    /// Whether segments must join exactly: so it is in a bucket of libsql-wal.
    pub(crate) const fn joins_exactly(&self) -> bool {
        self.exact
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
        let base = self.manifest.base(frame).max(self.needed);
        if self.exact {
            return self.exact_cover(frame, base);
        }
        let Some(first) = self.holding(frame) else {
            return Err(self.hole_up_to(frame, base));
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

    /// The same where segments must join exactly.
    fn exact_cover(
        &self,
        frame: FrameNo,
        base: FrameNo,
    ) -> Result<Vec<StoredSegment>, RangeInclusive<FrameNo>> {
        libsql::chain(&self.segments, frame, base).map_err(|broken_at| match broken_at {
            Some(start) => self.hole_below(start, base),
            None => self.hole_up_to(frame, base),
        })
    }

    fn lists_the_first(&self) -> bool {
        self.segments.iter().any(|segment| segment.key.start() == FrameNo::FIRST)
    }

    /// The contradiction, if segments that end alike cannot be of one log.
    pub(crate) fn contradiction(&self, end: FrameNo) -> Option<Error> {
        if self.exact { libsql::contradiction(&self.namespace, &self.segments, end) } else { None }
    }

    /// The segment to read `frame` from: the widest that ends there, or else the rawest that holds it.
    fn holding(&self, frame: FrameNo) -> Option<&StoredSegment> {
        let ending = self.segments.iter().find(|segment| segment.key.end() == frame);
        ending.or_else(|| {
            let holding = self.segments.iter().filter(|segment| segment.key.includes(frame));
            holding.min_by_key(|segment| (segment.key.level(), segment.key.end()))
        })
    }

    /// What is missing of the frames up to one that no segment holds.
    fn hole_up_to(&self, frame: FrameNo, base: FrameNo) -> RangeInclusive<FrameNo> {
        let last = self.segments.iter().map(|segment| segment.key.end()).find(|end| *end < frame);
        last.and_then(FrameNo::next).unwrap_or(base).max(base)..=frame
    }

    fn hole_below(&self, start: FrameNo, base: FrameNo) -> RangeInclusive<FrameNo> {
        let last = start.previous().unwrap_or(base);
        let below = self.segments.iter().map(|segment| segment.key.end()).find(|end| *end < last);
        let first = below.and_then(FrameNo::next).unwrap_or(base).max(base);
        first..=last
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

/// The error for a namespace that is not there.
pub(crate) fn no_namespace(namespace: &Namespace) -> Error {
    Error::not_found(format!("namespace {namespace:?}", namespace = namespace.as_str()))
}
