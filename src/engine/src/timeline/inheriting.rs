//! What a fork shares: the segments of its ancestors that lead to the commit where it forked off.
//!
//! Invariant: of these, only those are taken that the database at that commit is read from. What else the ancestors
//! have is their own, and no restore point of the fork.

use walkeep_core::{Error, Manifest, Namespace, Result};

use super::Timeline;
use super::ancestor::Ancestor;
use crate::bucket::Bucket;
use crate::stored_segment::{OpenSegment, StoredSegment};

impl Timeline {
    /// Only what a fork shares.
    ///
    /// # Errors
    ///
    /// As [`Timeline::load`].
    pub(crate) async fn load_shared(
        bucket: &Bucket,
        namespace: &Namespace,
        manifest: Manifest,
    ) -> Result<Self> {
        let mut timeline = Self::empty(namespace, manifest, bucket.is_libsql());
        timeline.inherit(bucket).await?;
        Ok(timeline)
    }

    /// Adds what a fork shares. The requests go with the number of ancestors, and of segments that the cover needs.
    ///
    /// # Errors
    ///
    /// `Corrupt` when an ancestor is gone; as [`Timeline::load`].
    pub(super) async fn inherit(&mut self, bucket: &Bucket) -> Result<()> {
        let Some(frame) = self.manifest.parent().map(|parent| parent.frame) else { return Ok(()) };
        let mut next = Ancestor::of(bucket, &self.namespace, &self.manifest).await?;
        while let Some(ancestor) = next {
            let too_many = || Error::Exhausted { what: format!("forks of forks above {}", self.namespace) };
            let at = u16::try_from(self.ancestors.len()).map_err(|_| too_many())?;
            self.ancestors.push(ancestor.clone());
            let mut add = |shared: Vec<StoredSegment>| {
                self.segments.extend(shared);
                self.segments.sort_by_key(|segment| segment.key);
                self.cover(frame).is_ok()
            };
            if ancestor.has_own() && ancestor.each_page(bucket, at, &mut add).await? {
                break;
            }
            next = ancestor.parent(bucket).await?;
        }
        if let Ok(needed) = self.cover(frame) {
            self.segments.retain(|segment| !segment.is_inherited() || needed.contains(segment));
        }
        Ok(())
    }

    /// The segments that are stored in this namespace itself, newest first: all but those that a fork shares.
    pub fn own(&self) -> impl Iterator<Item = &StoredSegment> {
        self.segments.iter().filter(|segment| !segment.is_inherited())
    }

    /// Where a segment is stored: the namespace itself, or for what a fork shares one of those that it came from.
    #[must_use]
    pub fn place_of(&self, stored: &StoredSegment) -> &Namespace {
        let inherited =
            stored.inherited.and_then(|inherited| self.ancestors.get(usize::from(inherited.ancestor)));
        inherited.map_or(&self.namespace, Ancestor::namespace)
    }

    pub(crate) fn ancestors(&self) -> &[Ancestor] {
        &self.ancestors
    }
}

/// Opens a segment of a namespace with these ancestors.
///
/// # Errors
///
/// As [`OpenSegment::open`].
pub(crate) async fn open(
    bucket: &Bucket,
    namespace: &Namespace,
    manifest: &Manifest,
    ancestors: &[Ancestor],
    stored: StoredSegment,
) -> Result<OpenSegment> {
    match stored.inherited {
        None => OpenSegment::open(bucket, namespace, stored, manifest.log_id()).await,
        Some(inherited) => match ancestors.get(usize::from(inherited.ancestor)) {
            Some(ancestor) => {
                OpenSegment::open(bucket, ancestor.namespace(), stored, ancestor.log_id()).await
            }
            None => Err(Error::invalid(
                format!("segment {} of namespace {namespace}", stored.key),
                "it was listed by another timeline",
            )),
        },
    }
}
