//! Reading and creating the manifests of a namespace.
//!
//! Invariant: the newest manifest counts and no other. If it is damaged, that is an error; the one before is never
//! used in its place.

use walkeep_core::manifest::{ManifestVersion, codec};
use walkeep_core::{Body, ByteRange, Error, Manifest, Namespace, Result};

use crate::bucket::Bucket;

/// How many names to ask for when looking for the newest: more than one, since foreign names may sort before it.
const NEWEST_PAGE: usize = 8;

/// The version of the newest manifest; `None` when the namespace has none.
///
/// # Errors
///
/// `Unavailable`.
pub(crate) async fn newest_version(
    bucket: &Bucket,
    namespace: &Namespace,
) -> Result<Option<ManifestVersion>> {
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
pub(crate) async fn newest(bucket: &Bucket, namespace: &Namespace) -> Result<Option<Manifest>> {
    match newest_version(bucket, namespace).await? {
        Some(version) => read(bucket, namespace, version).await.map(Some),
        None => Ok(None),
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

/// Refuses a namespace without a manifest that has segments: its manifests are lost, and a new log must not be begun
/// among the segments of an old one.
///
/// # Errors
///
/// `Corrupt` then; `Unavailable`.
pub(crate) async fn refuse_orphans(bucket: &Bucket, namespace: &Namespace) -> Result<()> {
    let folder = bucket.layout().segments(namespace);
    let objects = bucket.list(&folder, None, NEWEST_PAGE).await?;
    if objects.iter().any(|object| bucket.layout().parse_segment(namespace, &object.path).is_some()) {
        return Err(Error::corrupt(folder, 0, "a manifest beside the segments", "no manifest"));
    }
    Ok(())
}
