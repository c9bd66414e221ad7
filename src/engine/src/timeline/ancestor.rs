//! A namespace that a fork reads from, up to the frame that the two share.
//!
//! Invariants: an ancestor is the very log that the fork came from; an opening of it that is under way does not matter,
//! since what is shared was confirmed before the fork was made; of a raw segment that the fork lies in, only what is
//! before it counts.

use walkeep_core::manifest::Validity;
use walkeep_core::{Error, FrameNo, LogId, Manifest, Namespace, Result, SegmentKey, UnixMillis};

use crate::bucket::Bucket;
use crate::locate::Search;
use crate::manifests;
use crate::stored_segment::{Inherited, StoredSegment};
use crate::timeline::LIST_PAGE;

/// A namespace that a fork reads from.
#[derive(Clone, Debug)]
pub(crate) struct Ancestor {
    namespace: Namespace,
    manifest: Manifest,
    /// The last frame that is shared.
    until: FrameNo,
    /// The time of that commit.
    time: UnixMillis,
}

impl Ancestor {
    /// The parent of a fork; `None` if it has none.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the parent is gone or another log; `Unavailable`.
    pub(super) async fn of(bucket: &Bucket, fork: &Namespace, manifest: &Manifest) -> Result<Option<Self>> {
        let Some(parent) = manifest.parent() else { return Ok(None) };
        let newest = manifests::newest(bucket, &parent.namespace).await?;
        let found = match newest {
            Some(newest) if newest.log_id() == parent.log_id => {
                let (namespace, until, time) = (parent.namespace.clone(), parent.frame, parent.time);
                return Ok(Some(Self { namespace, manifest: newest.settled(), until, time }));
            }
            Some(newest) => format!("log {}", newest.log_id()),
            None => "no manifest".to_string(),
        };
        let object = bucket.layout().manifests(&parent.namespace);
        let expected = format!("log {}, which namespace {fork} was forked from", parent.log_id);
        Err(Error::corrupt(object, 0, expected, found))
    }

    /// What this one reads from in turn, no further than it does itself.
    pub(super) async fn parent(&self, bucket: &Bucket) -> Result<Option<Self>> {
        let parent = Self::of(bucket, &self.namespace, &self.manifest).await?;
        Ok(parent.map(|parent| match parent.until > self.until {
            true => Self { until: self.until, time: self.time, ..parent },
            false => parent,
        }))
    }

    pub(crate) const fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub(crate) const fn log_id(&self) -> LogId {
        self.manifest.log_id()
    }

    /// Whether something of its own is before the end of what is shared: not of one that was forked in turn, where it
    /// was itself.
    pub(super) fn has_own(&self) -> bool {
        self.manifest.parent().is_none_or(|parent| parent.frame < self.until)
    }

    /// The segments that end at or before the shared frame, newest first: hands each page of them on until that says
    /// that it has enough.
    pub(super) async fn each_page(
        &self,
        bucket: &Bucket,
        at: u16,
        mut enough: impl FnMut(Vec<StoredSegment>) -> bool,
    ) -> Result<bool> {
        let Some(owner) = self.manifest.owner(self.until) else { return Ok(false) };
        let mut after = Some(bucket.layout().segments_until(&self.namespace, owner.epoch, self.until));
        let mut first = true;
        loop {
            let page = bucket.list_segments(&self.namespace, after.as_ref(), LIST_PAGE).await?;
            after = page.last;
            let listed = page.listed.into_iter().flatten();
            let mut shared = listed.filter_map(|stored| self.share(at, stored)).collect::<Vec<_>>();
            if first && shared.first().is_none_or(|newest| newest.key.end() < self.until) {
                shared.extend(self.split(bucket, at).await?);
            }
            first = false;
            if enough(shared) {
                return Ok(true);
            }
            if !page.more {
                return Ok(false);
            }
        }
    }

    /// The raw segment that the shared frame lies in.
    async fn split(&self, bucket: &Bucket, at: u16) -> Result<Option<StoredSegment>> {
        let search = Search { bucket, namespace: &self.namespace, manifest: &self.manifest };
        Ok(search.behind(self.until).await?.and_then(|stored| self.share(at, stored)))
    }

    /// What a segment of this namespace is to the fork; `None` if nothing.
    fn share(&self, at: u16, stored: StoredSegment) -> Option<StoredSegment> {
        let object = stored.key;
        if self.manifest.validity(&object) != Validity::Valid {
            return None;
        }
        let inherited = Some(Inherited { ancestor: at, object });
        if object.end() <= self.until {
            return Some(StoredSegment { inherited, ..stored });
        }
        if object.level() > 0 || object.start() > self.until {
            return None;
        }
        let epoch = self.manifest.owner(self.until)?.epoch;
        let key = SegmentKey::new(epoch, object.start(), self.until, self.time, 0).ok()?;
        Some(StoredSegment { key, inherited, ..stored })
    }
}
