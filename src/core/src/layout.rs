//! Which object is what: the one place where names of objects are made and read.

use std::fmt::Debug;

use crate::acknowledgement::Reader;
use crate::epoch::Epoch;
use crate::error::Result;
use crate::frame_no::FrameNo;
use crate::ids::Nonce;
use crate::manifest::ManifestVersion;
use crate::name::{GroupName, MemberName};
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

    /// The folder of what followers have acknowledged; `None` where a layout has none.
    fn followers(&self, namespace: &Namespace) -> Option<ObjectPath>;

    /// The folder of what a member has acknowledged.
    fn acknowledgements(&self, namespace: &Namespace, reader: &Reader) -> Option<ObjectPath> {
        let Reader { group, member, generation } = reader;
        let generation = format!("{:020}", generation.get());
        let folder = self.followers(namespace)?;
        Some(folder.join_checked(&[group.as_str(), member.as_str(), &generation]))
    }

    /// The path of an acknowledgement. Larger frames of a member sort first.
    fn acknowledgement(&self, namespace: &Namespace, reader: &Reader, frame: FrameNo) -> Option<ObjectPath> {
        let name = format!("{:020}.json", u64::MAX - frame.get());
        self.acknowledgements(namespace, reader).map(|folder| folder.join_checked(&[&name]))
    }

    /// Whose acknowledgement of which frame a path names; `None` for a foreign object.
    fn parse_acknowledgement(&self, namespace: &Namespace, path: &ObjectPath) -> Option<(Reader, FrameNo)> {
        let mut parts = path.below(&self.followers(namespace)?)?.split('/');
        let group = GroupName::new(parts.next()?).ok()?;
        let member = MemberName::new(parts.next()?).ok()?;
        let generation = ManifestVersion::new(digits(parts.next()?)?)?;
        let frame = FrameNo::new(u64::MAX - digits(parts.next()?.strip_suffix(".json")?)?)?;
        parts.next().is_none().then_some((Reader { group, member, generation }, frame))
    }
}

/// A number in exactly 20 digits: one number has one name.
fn digits(text: &str) -> Option<u64> {
    let canonical = text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit());
    canonical.then(|| text.parse().ok())?
}

/// Walkeep's own layout, version 1: `namespaces/{namespace}/segments/{key}`,
/// `namespaces/{namespace}/manifest/{u64::MAX - version:020}.json`, `namespaces/{namespace}/proofs/…` and
/// `namespaces/{namespace}/followers/…`.
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

    fn followers(&self, namespace: &Namespace) -> Option<ObjectPath> {
        Some(self.folder(namespace, "followers"))
    }

    fn parse_manifest(&self, namespace: &Namespace, path: &ObjectPath) -> Option<ManifestVersion> {
        let reversed = digits(path.below(&self.manifests(namespace))?.strip_suffix(".json")?)?;
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
    fn acknowledgements_read_back_and_larger_frames_sort_first() {
        let layout = NativeLayout::new().unwrap();
        let shop = Namespace::new("shop").unwrap();
        let (group, member) = (GroupName::new("search").unwrap(), MemberName::new("a-1").unwrap());
        let reader = Reader { group, member, generation: ManifestVersion::new(7).unwrap() };
        let path = |n| layout.acknowledgement(&shop, &reader, FrameNo::new(n).unwrap()).unwrap();
        assert_eq!(
            path(5).as_str(),
            "namespaces/shop/followers/search/a-1/00000000000000000007/18446744073709551610.json"
        );
        assert!(path(10) < path(9));
        assert_eq!(layout.parse_acknowledgement(&shop, &path(9)), Some((reader, FrameNo::new(9).unwrap())));
        let folder = layout.followers(&shop).unwrap();
        let nines = "18446744073709551610.json";
        for foreign in [
            "search/a-1/00000000000000000007/18446744073709551615.json",
            "search/a-1/00000000000000000000/18446744073709551610.json",
            "search/a-1/7/18446744073709551610.json",
            "search/__a/00000000000000000007/18446744073709551610.json",
            "search/a-1/00000000000000000007/x/18446744073709551610.json",
            "search/a-1/00000000000000000007/18446744073709551610",
            nines,
        ] {
            let path = folder.join(foreign).unwrap();
            assert_eq!(layout.parse_acknowledgement(&shop, &path), None, "{foreign}");
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
