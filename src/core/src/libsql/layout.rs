//! The layout of a bucket of libsql-wal as a [`Layout`]: one cluster of it.
//!
//! Its segments have no epochs: here they are all of epoch 1. A name does not say whether a segment was compacted:
//! all are of level 0 here, and a path has no level. There are no manifests; the folder named for them does not exist.

use twox_hash::XxHash3_64;

use super::object_key::ObjectKey;
use super::object_name::{Cluster, ObjectKind};
use crate::epoch::Epoch;
use crate::frame_no::FrameNo;
use crate::ids::LogId;
use crate::layout::Layout;
use crate::manifest::ManifestVersion;
use crate::namespace::Namespace;
use crate::object_path::ObjectPath;
use crate::page_hash::HashSeed;
use crate::segment_key::SegmentKey;

/// The epoch that all segments of libsql-wal count as.
pub const EPOCH: Epoch = Epoch(1);

/// The names of one cluster's objects.
///
/// ```
/// use walkeep_core::libsql::{Cluster, LibsqlLayout};
/// use walkeep_core::{Layout, Namespace};
///
/// let layout = LibsqlLayout::new(Cluster::new("main")?);
/// let (shop, name) = (Namespace::new("shop")?, "18446744073709551592-00000000000000000001-00000001795246454014");
/// let path = layout.segments(&shop).join(name)?;
/// let key = layout.parse_segment(&shop, &path).expect("a segment");
/// assert_eq!((key.start().get(), key.end().get()), (1, 23));
/// assert_eq!(layout.segment(&shop, &key), path);
/// # Ok::<(), walkeep_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LibsqlLayout {
    cluster: Cluster,
}

impl LibsqlLayout {
    /// The layout of this cluster.
    #[must_use]
    pub const fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    /// What stands for the identity of a namespace's log, which libsql-wal does not record: always the same for the
    /// same names.
    #[must_use]
    pub fn log_id(&self, namespace: &Namespace) -> LogId {
        let (high, low) = (self.hash(namespace, 0), self.hash(namespace, 1));
        LogId(u128::from(high) << 64 | u128::from(low))
    }

    /// The seed for the page hashes of a namespace: always the same for the same names.
    #[must_use]
    pub fn hash_seed(&self, namespace: &Namespace) -> HashSeed {
        HashSeed(self.hash(namespace, 2))
    }

    fn hash(&self, namespace: &Namespace, seed: u64) -> u64 {
        XxHash3_64::oneshot_with_seed(seed, self.cluster.namespace(namespace).as_str().as_bytes())
    }

    /// The cluster.
    #[must_use]
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }
}

impl From<&SegmentKey> for ObjectKey {
    /// The name that a segment of these frames has in a bucket of libsql-wal.
    fn from(key: &SegmentKey) -> Self {
        Self::of_range(key.start(), key.end(), key.time())
    }
}

impl ObjectKey {
    /// This segment as the engine knows it; `None` for the last possible frame, which leaves none behind it.
    #[must_use]
    pub fn to_segment_key(&self, level: u8) -> Option<SegmentKey> {
        SegmentKey::new(EPOCH, self.start(), self.end(), self.time(), level).ok()
    }
}

impl Layout for LibsqlLayout {
    fn namespaces(&self) -> &ObjectPath {
        self.cluster.namespaces()
    }

    fn segments(&self, namespace: &Namespace) -> ObjectPath {
        self.cluster.objects(namespace, ObjectKind::Segment)
    }

    fn segment(&self, namespace: &Namespace, key: &SegmentKey) -> ObjectPath {
        self.cluster.object(namespace, ObjectKind::Segment, &key.into())
    }

    fn segments_until(&self, namespace: &Namespace, _epoch: Epoch, end: FrameNo) -> ObjectPath {
        self.cluster.listing_start(namespace, ObjectKind::Segment, end)
    }

    fn parse_segment(&self, namespace: &Namespace, path: &ObjectPath) -> Option<SegmentKey> {
        path.below(&self.segments(namespace))?.parse::<ObjectKey>().ok()?.to_segment_key(0)
    }

    fn manifests(&self, namespace: &Namespace) -> ObjectPath {
        self.cluster.namespaces().join_checked(&[namespace.as_str(), "manifest"])
    }

    fn manifest(&self, namespace: &Namespace, version: ManifestVersion) -> ObjectPath {
        self.manifests(namespace).join_checked(&[&version.to_string()])
    }

    fn probes(&self, _namespace: &Namespace) -> Option<ObjectPath> {
        None
    }

    fn proofs(&self, _namespace: &Namespace) -> Option<ObjectPath> {
        None
    }

    fn followers(&self, _namespace: &Namespace) -> Option<ObjectPath> {
        None
    }

    fn parse_manifest(&self, _namespace: &Namespace, _path: &ObjectPath) -> Option<ManifestVersion> {
        None
    }
}
