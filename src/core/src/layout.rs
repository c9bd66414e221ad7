//! Which object is what: the one place where names of objects are made and read.

use std::fmt::Debug;

use crate::epoch::Epoch;
use crate::error::Result;
use crate::frame_no::FrameNo;
use crate::ids::Nonce;
use crate::manifest::ManifestVersion;
use crate::namespace::Namespace;
use crate::object_path::ObjectPath;
use crate::segment_key::SegmentKey;
use crate::unix_millis::UnixMillis;

/// How a store names its objects.
pub trait Layout: Debug + Send + Sync {
    /// The folder whose folders are the namespaces.
    fn namespaces(&self) -> &ObjectPath;

    /// The folder of a namespace's segments.
    fn segments(&self, namespace: &Namespace) -> ObjectPath;

    /// The path of a segment.
    fn segment(&self, namespace: &Namespace, key: &SegmentKey) -> ObjectPath;

    /// Where to begin a listing of the segments that end at or before `end` in `epoch`, and those of older epochs:
    /// they follow this path, newest first.
    fn segments_until(&self, namespace: &Namespace, epoch: Epoch, end: FrameNo) -> ObjectPath;

    /// The segment that a path names; `None` for a foreign object.
    fn parse_segment(&self, namespace: &Namespace, path: &ObjectPath) -> Option<SegmentKey>;

    /// The folder of a namespace's manifests.
    fn manifests(&self, namespace: &Namespace) -> ObjectPath;

    /// The path of a manifest. Newer versions sort first.
    fn manifest(&self, namespace: &Namespace, version: ManifestVersion) -> ObjectPath;

    /// The manifest version that a path names; `None` for a foreign object.
    fn parse_manifest(&self, namespace: &Namespace, path: &ObjectPath) -> Option<ManifestVersion>;

    /// The folder of small objects that are created to see the store's clock; `None` where a layout has none.
    fn probes(&self, namespace: &Namespace) -> Option<ObjectPath>;

    /// The folder of a namespace's proofs; `None` where a layout has none.
    fn proofs(&self, namespace: &Namespace) -> Option<ObjectPath>;

    /// The path of a proof that is written now. Later ones sort first.
    fn proof(&self, namespace: &Namespace, at: UnixMillis, id: Nonce) -> Option<ObjectPath> {
        let name = format!("{:020}-{id}.json", u64::MAX - at.get());
        self.proofs(namespace).map(|folder| folder.join_checked(&[&name]))
    }
}

/// Walkeep's own layout, version 1: `namespaces/{namespace}/segments/{key}`,
/// `namespaces/{namespace}/manifest/{u64::MAX - version:020}.json` and `namespaces/{namespace}/proofs/…`.
#[derive(Clone, Debug)]
pub struct NativeLayout {
    namespaces: ObjectPath,
}

impl NativeLayout {
    /// The layout at the root of a store.
    ///
    /// # Errors
    ///
    /// None: the result is fallible because paths are checked where they are made.
    pub fn new() -> Result<Self> {
        Ok(Self { namespaces: ObjectPath::new("namespaces")? })
    }

    fn folder(&self, namespace: &Namespace, folder: &str) -> ObjectPath {
        self.namespaces.join_checked(&[namespace.as_str(), folder])
    }
}

impl Layout for NativeLayout {
    fn namespaces(&self) -> &ObjectPath {
        &self.namespaces
    }

    fn segments(&self, namespace: &Namespace) -> ObjectPath {
        self.folder(namespace, "segments")
    }

    fn segment(&self, namespace: &Namespace, key: &SegmentKey) -> ObjectPath {
        self.segments(namespace).join_checked(&[&key.to_string()])
    }

    fn segments_until(&self, namespace: &Namespace, epoch: Epoch, end: FrameNo) -> ObjectPath {
        self.segments(namespace).join_checked(&[&SegmentKey::listing_bound(epoch, end)])
    }

    fn parse_segment(&self, namespace: &Namespace, path: &ObjectPath) -> Option<SegmentKey> {
        path.below(&self.segments(namespace))?.parse().ok()
    }

    fn manifests(&self, namespace: &Namespace) -> ObjectPath {
        self.folder(namespace, "manifest")
    }

    fn manifest(&self, namespace: &Namespace, version: ManifestVersion) -> ObjectPath {
        self.manifests(namespace).join_checked(&[&format!("{:020}.json", u64::MAX - version.get())])
    }

    fn probes(&self, namespace: &Namespace) -> Option<ObjectPath> {
        Some(self.folder(namespace, "probes"))
    }

    fn proofs(&self, namespace: &Namespace) -> Option<ObjectPath> {
        Some(self.folder(namespace, "proofs"))
    }

    fn parse_manifest(&self, namespace: &Namespace, path: &ObjectPath) -> Option<ManifestVersion> {
        let digits = path.below(&self.manifests(namespace))?.strip_suffix(".json")?;
        let canonical = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
        let reversed: u64 = canonical.then(|| digits.parse().ok())??;
        ManifestVersion::new(u64::MAX - reversed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UnixMillis;

    #[test]
    fn names_read_back_and_foreign_ones_are_not_ours() {
        let layout = NativeLayout::new().unwrap();
        let (shop, other) = (Namespace::new("shop").unwrap(), Namespace::new("other").unwrap());
        let key = SegmentKey::new(Epoch(1), FrameNo::FIRST, FrameNo::FIRST, UnixMillis(5), 0).unwrap();
        let path = layout.segment(&shop, &key);
        assert_eq!(layout.parse_segment(&shop, &path), Some(key));
        assert_eq!(layout.parse_segment(&other, &path), None);

        let version = ManifestVersion::FIRST;
        let path = layout.manifest(&shop, version);
        assert_eq!(path.as_str(), "namespaces/shop/manifest/18446744073709551614.json");
        assert_eq!(layout.parse_manifest(&shop, &path), Some(version));
        for foreign in ["18446744073709551615.json", "1.json", "18446744073709551614.json.bak", "x/1.json"] {
            let path = layout.manifests(&shop).join(foreign).unwrap();
            assert_eq!(layout.parse_manifest(&shop, &path), None, "{foreign}");
        }
    }

    #[test]
    fn newer_manifests_sort_first() {
        let layout = NativeLayout::new().unwrap();
        let shop = Namespace::new("shop").unwrap();
        let path = |v| layout.manifest(&shop, ManifestVersion::new(v).unwrap());
        assert!(path(10) < path(9));
    }
}
