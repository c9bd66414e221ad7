//! What followers have acknowledged, as it stands in the store.
//!
//! Invariant: of each life of a member the largest frame counts, and only it; if its object is damaged, that is an error
//! and never answered with the one before.

use std::collections::BTreeMap;

use walkeep_core::manifest::ManifestVersion;
use walkeep_core::{
    Acknowledgement, ByteRange, Error, FrameNo, GroupName, LogId, Manifest, MemberName, Namespace, Reader,
    Result, UnixMillis,
};

use crate::bucket::Bucket;
use crate::timeline::RELIST_MAX;

/// An acknowledgement in a listing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    pub(crate) frame: FrameNo,
    pub(crate) size: u64,
    pub(crate) modified: Option<UnixMillis>,
}

/// How far a member has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) member: MemberName,
    pub(crate) frame: FrameNo,
}

/// All acknowledgements of a namespace, of each reader the largest frame first.
#[derive(Debug)]
pub(crate) struct Acknowledged(BTreeMap<Reader, Vec<Listed>>);

impl Acknowledged {
    /// Lists them.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub(crate) async fn list(bucket: &Bucket, namespace: &Namespace) -> Result<Self> {
        let layout = bucket.layout();
        let Some(folder) = layout.followers(namespace) else { return Ok(Self(BTreeMap::new())) };
        let mut readers = BTreeMap::<Reader, Vec<Listed>>::new();
        for object in bucket.list(&folder, None, usize::MAX).await? {
            if let Some((reader, frame)) = layout.parse_acknowledgement(namespace, &object.path) {
                let listed = Listed { frame, size: object.size, modified: object.modified };
                readers.entry(reader).or_default().push(listed);
            }
        }
        Ok(Self(readers))
    }

    /// The readers, and what each has acknowledged.
    pub(crate) const fn readers(&self) -> &BTreeMap<Reader, Vec<Listed>> {
        &self.0
    }

    /// How far each member of a group has come that the manifest lists, in order of names.
    ///
    /// # Errors
    ///
    /// `Corrupt` for an acknowledgement that is damaged or of something else; `Unavailable`.
    pub(crate) async fn positions(
        &self,
        bucket: &Bucket,
        namespace: &Namespace,
        manifest: &Manifest,
        group: &GroupName,
    ) -> Result<Vec<Position>> {
        let members = manifest.followers().get(group).into_iter().flat_map(|group| &group.members);
        let mut positions = Vec::new();
        for (name, member) in members {
            let reader = Reader { group: group.clone(), member: name.clone(), generation: member.generation };
            let mut frame = member.frame;
            // It is listed again: it may have gone on since, and the object that was listed may be gone.
            if self.0.contains_key(&reader) {
                frame = Some(frame)
                    .max(largest(bucket, namespace, manifest.log_id(), &reader).await?)
                    .unwrap_or(frame);
            }
            positions.push(Position { member: name.clone(), frame });
        }
        Ok(positions)
    }

    /// Deletes what was acknowledged by members that had joined in this version of the manifest or before.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub(crate) async fn delete_until(
        &self,
        bucket: &Bucket,
        namespace: &Namespace,
        version: ManifestVersion,
    ) -> Result<()> {
        let old = self.0.iter().filter(|(reader, _)| reader.generation <= version);
        for (reader, listed) in old {
            delete(bucket, namespace, reader, listed).await?;
        }
        Ok(())
    }
}

/// The first acknowledgements of a reader, the largest frame first.
///
/// # Errors
///
/// `Unavailable`.
pub(super) async fn newest(
    bucket: &Bucket,
    namespace: &Namespace,
    reader: &Reader,
    limit: usize,
) -> Result<Vec<Listed>> {
    let layout = bucket.layout();
    let Some(folder) = layout.acknowledgements(namespace, reader) else { return Ok(Vec::new()) };
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = bucket.list(&folder, after.as_ref(), limit).await?;
        let more = page.len() >= limit;
        after = page.last().map(|object| object.path.clone());
        for object in page {
            match layout.parse_acknowledgement(namespace, &object.path) {
                Some((parsed, frame)) if parsed == *reader => {
                    found.push(Listed { frame, size: object.size, modified: object.modified });
                }
                _ => {}
            }
        }
        // Foreign names may sort before all that count.
        if !found.is_empty() || !more {
            return Ok(found);
        }
    }
}

/// The largest frame that a reader has acknowledged, checked.
///
/// # Errors
///
/// As [`check`].
pub(super) async fn largest(
    bucket: &Bucket,
    namespace: &Namespace,
    log_id: LogId,
    reader: &Reader,
) -> Result<Option<FrameNo>> {
    let mut gone = None;
    for _ in 0..RELIST_MAX {
        let listed = newest(bucket, namespace, reader, 2).await?;
        let Some(frame) = listed.first().map(|newest| newest.frame) else { return Ok(None) };
        match check(bucket, namespace, log_id, reader, frame).await {
            Ok(_) => return Ok(Some(frame)),
            // A larger one was acknowledged meanwhile, and this one deleted.
            Err(Error::NotFound { what }) => gone = Some(what),
            Err(error) => return Err(error),
        }
    }
    let what = format!("{} is deleted each time that it was listed", gone.unwrap_or_default());
    Err(Error::Unavailable { what, source: None })
}

/// Makes sure that an acknowledgement is what its name says.
///
/// # Errors
///
/// `Corrupt` then; `NotFound` when it is gone; `Invalid` for a newer format; `Unavailable`.
pub(super) async fn check(
    bucket: &Bucket,
    namespace: &Namespace,
    log_id: LogId,
    reader: &Reader,
    frame: FrameNo,
) -> Result<Acknowledgement> {
    let Some(path) = bucket.layout().acknowledgement(namespace, reader, frame) else {
        return Err(Error::not_found(format!("an acknowledgement in namespace {namespace}")));
    };
    // One byte more than allowed tells one that is too long from one that just fits.
    let bytes = bucket.get(&path, ByteRange::Bounded(0..Acknowledgement::LEN_MAX + 1)).await?;
    if bytes.len() as u64 > Acknowledgement::LEN_MAX {
        let expected = format!("an acknowledgement of at most {} bytes", Acknowledgement::LEN_MAX);
        return Err(Error::corrupt(&path, Acknowledgement::LEN_MAX, expected, "a longer one"));
    }
    Acknowledgement::decode(path.as_str(), &bytes, log_id, reader, frame)
}

/// Deletes some acknowledgements of a reader.
///
/// # Errors
///
/// Those of the store.
pub(super) async fn delete(
    bucket: &Bucket,
    namespace: &Namespace,
    reader: &Reader,
    listed: &[Listed],
) -> Result<()> {
    let path = |listed: &Listed| bucket.layout().acknowledgement(namespace, reader, listed.frame);
    let paths = listed.iter().filter_map(path).collect::<Vec<_>>();
    for batch in paths.chunks(crate::timeline::LIST_PAGE) {
        bucket.delete(batch).await?;
    }
    Ok(())
}
