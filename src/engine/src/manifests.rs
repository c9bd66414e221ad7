//! Reading and creating the manifests of a namespace.
//!
//! Invariant: the newest manifest counts and no other. If it is damaged, that is an error; the one before is never
//! used in its place.

use walkeep_core::manifest::{ManifestVersion, codec};
use walkeep_core::{Body, ByteRange, Epoch, Error, Manifest, Namespace, Result};

use crate::bucket::Bucket;
use crate::timeline::no_namespace;

/// How many names to ask for when looking for the newest: more than one, since foreign names may sort before it.
pub(crate) const NEWEST_PAGE: usize = 8;

/// The version of the newest manifest; `None` when the namespace has none.
///
/// # Errors
///
/// `Unavailable`.
pub(crate) async fn newest_version(
    bucket: &Bucket,
    namespace: &Namespace,
) -> Result<Option<ManifestVersion>> {
    if let Some(libsql) = bucket.libsql() {
        return Ok(Some(libsql.manifest(namespace)?.version()));
    }
    let folder = bucket.layout().manifests(namespace);
    let mut after = None;
    loop {
        let page = bucket.list(&folder, after.as_ref(), NEWEST_PAGE).await?;
        let newest = page.iter().find_map(|object| bucket.layout().parse_manifest(namespace, &object.path));
        if newest.is_some() || page.len() < NEWEST_PAGE {
            return Ok(newest);
        }
        after = page.into_iter().last().map(|object| object.path);
    }
}

/// The newest manifest; `None` when the namespace has none.
///
/// # Errors
///
/// `Corrupt` when it is damaged; `Invalid` when a newer version of Walkeep wrote it; `Unavailable`.
pub async fn newest(bucket: &Bucket, namespace: &Namespace) -> Result<Option<Manifest>> {
    if let Some(libsql) = bucket.libsql() {
        let exists = libsql.has_objects(bucket, namespace).await?;
        return if exists { libsql.manifest(namespace).map(Some) } else { Ok(None) };
    }
    match newest_version(bucket, namespace).await? {
        Some(version) => read(bucket, namespace, version).await.map(Some),
        None => Ok(None),
    }
}

/// The newest manifest of a namespace that is there: neither deleted nor aborted.
///
/// # Errors
///
/// `NotFound`, and as [`newest`].
pub(crate) async fn present(bucket: &Bucket, namespace: &Namespace) -> Result<Manifest> {
    match newest(bucket, namespace).await? {
        Some(newest) if newest.life().is_there() => Ok(newest),
        Some(newest) => {
            Err(Error::not_found(format!("namespace {:?} (it is {})", namespace.as_str(), newest.life())))
        }
        None => Err(no_namespace(namespace)),
    }
}

/// A manifest by version.
///
/// # Errors
///
/// `NotFound`, and as [`newest`].
pub(crate) async fn read(
    bucket: &Bucket,
    namespace: &Namespace,
    version: ManifestVersion,
) -> Result<Manifest> {
    let path = bucket.layout().manifest(namespace, version);
    // One byte more than allowed tells a manifest that is too long from one that just fits.
    let bytes = bucket.get(&path, ByteRange::Bounded(0..codec::LEN_MAX + 1)).await?;
    if bytes.len() as u64 > codec::LEN_MAX {
        let expected = format!("a manifest of at most {} bytes", codec::LEN_MAX);
        return Err(Error::corrupt(&path, codec::LEN_MAX, expected, "a longer one"));
    }
    codec::decode(path.as_str(), version, &bytes)
}

/// Creates a manifest.
///
/// # Errors
///
/// As `Backend::put_new`. `AlreadyExists`, `Unavailable` and `Unknown` say nothing about whose manifest is there:
/// read the newest.
pub(crate) async fn create(bucket: &Bucket, namespace: &Namespace, manifest: &Manifest) -> Result<()> {
    let path = bucket.layout().manifest(namespace, manifest.version());
    bucket.put_new(&path, Body::from(codec::encode(manifest)?)).await
}

/// All versions there are, oldest first, how many foreign objects stand among them, and the damage when one is
/// missing.
///
/// # Errors
///
/// `Unavailable`.
pub(crate) async fn versions(
    bucket: &Bucket,
    namespace: &Namespace,
) -> Result<(Vec<ManifestVersion>, usize, Option<Error>)> {
    let objects = bucket.list(&bucket.layout().manifests(namespace), None, usize::MAX).await?;
    let parsed = objects.iter().map(|object| bucket.layout().parse_manifest(namespace, &object.path));
    let mut versions = parsed.clone().flatten().collect::<Vec<_>>();
    versions.sort();
    let foreign = parsed.filter(Option::is_none).count();
    let expected = (1..).filter_map(ManifestVersion::new);
    let missing =
        expected.zip(&versions).find(|(expected, version)| expected != *version).map(|(missing, _)| {
            let path = bucket.layout().manifest(namespace, missing);
            Error::corrupt(path, 0, format!("manifest version {missing}"), "no object")
        });
    Ok((versions, foreign, missing))
}

/// The newest epoch that any stored segment names: the first name of the listing.
///
/// # Errors
///
/// `Unavailable`.
pub(crate) async fn newest_segment_epoch(bucket: &Bucket, namespace: &Namespace) -> Result<Option<Epoch>> {
    let mut after = None;
    loop {
        let page = bucket.list_segments(namespace, after.as_ref(), NEWEST_PAGE).await?;
        let newest = page.listed.iter().flatten().next();
        if newest.is_some() || !page.more {
            return Ok(newest.map(|segment| segment.key.epoch()));
        }
        after = page.last;
    }
}

/// Refuses a namespace whose segments tell of manifests that are lost: none is there, or segments name an epoch that
/// the newest does not know. Going on would begin a log among the segments of an old one, or make those count again.
///
/// `segments` must have been listed before `newest` was read: so an opening that is under way is not taken for a loss.
///
/// # Errors
///
/// `Corrupt` then.
pub(crate) fn refuse_lost(
    bucket: &Bucket,
    namespace: &Namespace,
    segments: Option<Epoch>,
    newest: Option<&Manifest>,
) -> Result<()> {
    let Some(named) = segments.filter(|epoch| newest.is_none_or(|newest| newest.last().epoch < *epoch))
    else {
        return Ok(());
    };
    let found = newest.map_or_else(
        || "no manifest".to_string(),
        |newest| format!("manifest {} with epoch {}", newest.version(), newest.last().epoch),
    );
    let expected = format!("a manifest that knows epoch {named}, which stored segments name");
    Err(Error::corrupt(bucket.layout().manifests(namespace), 0, expected, found))
}
