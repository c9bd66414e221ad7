//! Where libsql-wal keeps its objects: the one place where their paths are made and read.
//!
//! `v2/clusters/{cluster}/namespaces/{namespace}/{segments,indexes}/{key}`.
//!
//! libsql-wal puts the names of clusters and namespaces into paths as they are, without escaping, so a bucket can
//! hold names that no Walkeep store may have. Those are foreign here: they are refused, not guessed at.
//!
//! Not here: listing, and which of the objects belong to one restore.

use std::fmt;
use std::str::FromStr;

use super::object_key::ObjectKey;
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::namespace::Namespace;
use crate::object_path::ObjectPath;

const CLUSTERS: &str = "v2/clusters";
const NAMESPACES: &str = "namespaces";

/// A cluster of libsql servers: the part of a bucket that holds one set of namespaces.
///
/// Its name is one path component of at most 256 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    name: String,
    namespaces: ObjectPath,
}

impl Cluster {
    /// The most bytes a name may have.
    pub const LEN_MAX: usize = 256;

    /// The cluster of this name, checked.
    ///
    /// # Errors
    ///
    /// `Invalid` when the name is not a safe path component.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        if name.len() > Self::LEN_MAX || name.contains('/') {
            let why = format!("it is one path component of at most {} bytes", Self::LEN_MAX);
            return Err(Error::invalid(format!("libsql cluster {name:?}"), why));
        }
        let namespaces = ObjectPath::new(format!("{CLUSTERS}/{name}/{NAMESPACES}"))?;
        Ok(Self { name, namespaces })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The folder whose folders are the namespaces.
    #[must_use]
    pub const fn namespaces(&self) -> &ObjectPath {
        &self.namespaces
    }

    /// The folder of a namespace.
    #[must_use]
    pub fn namespace(&self, namespace: &Namespace) -> ObjectPath {
        self.namespaces.join_checked(&[namespace.as_str()])
    }

    /// The folder of a namespace's objects of one kind.
    #[must_use]
    pub fn objects(&self, namespace: &Namespace, kind: ObjectKind) -> ObjectPath {
        self.namespaces.join_checked(&[namespace.as_str(), kind.folder()])
    }

    /// The path of an object.
    #[must_use]
    pub fn object(&self, namespace: &Namespace, kind: ObjectKind, key: &ObjectKey) -> ObjectPath {
        self.objects(namespace, kind).join_checked(&[&key.to_string()])
    }

    /// Where to begin a listing of the objects that end at or before `end`: the first one behind this path is the
    /// newest of them, and of several with one end the widest.
    #[must_use]
    pub fn listing_start(&self, namespace: &Namespace, kind: ObjectKind, end: FrameNo) -> ObjectPath {
        self.objects(namespace, kind).join_checked(&[&ObjectKey::listing_bound(end)])
    }
}

/// The folder whose folders are the clusters of a bucket.
///
/// # Errors
///
/// None: the result is fallible because paths are checked where they are made.
pub fn clusters_folder() -> Result<ObjectPath> {
    ObjectPath::new(CLUSTERS)
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

/// The two objects of which a stored segment consists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// The page images, with everything needed to apply them.
    Segment,
    /// Where in them each page is. libsql-wal writes it last, so that it makes the segment visible.
    Index,
}

impl ObjectKind {
    const fn folder(self) -> &'static str {
        match self {
            Self::Segment => "segments",
            Self::Index => "indexes",
        }
    }
}

/// What an object of libsql-wal is, as its path says.
///
/// ```
/// use walkeep_core::libsql::{ObjectKind, ObjectName};
///
/// let path = "v2/clusters/main/namespaces/shop/indexes/\
///             18446744073709551592-00000000000000000001-00000001795246454014";
/// let name: ObjectName = path.parse()?;
/// assert_eq!((name.cluster.as_str(), name.namespace.as_str()), ("main", "shop"));
/// assert_eq!((name.kind, name.key.end().get()), (ObjectKind::Index, 23));
/// assert_eq!(name.to_string(), path);
/// # Ok::<(), walkeep_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectName {
    /// The cluster.
    pub cluster: Cluster,
    /// The namespace.
    pub namespace: Namespace,
    /// Data or index.
    pub kind: ObjectKind,
    /// Which frames.
    pub key: ObjectKey,
}

impl ObjectName {
    /// The path of the object.
    #[must_use]
    pub fn path(&self) -> ObjectPath {
        self.cluster.object(&self.namespace, self.kind, &self.key)
    }

    /// What a path names; `None` for a foreign object.
    #[must_use]
    pub fn parse(path: &ObjectPath) -> Option<Self> {
        let mut components = path.as_str().strip_prefix(CLUSTERS)?.strip_prefix('/')?.split('/');
        let cluster = Cluster::new(components.next()?).ok()?;
        components.next().filter(|folder| *folder == NAMESPACES)?;
        let namespace = Namespace::new(components.next()?).ok()?;
        let folder = components.next()?;
        let kind = [ObjectKind::Segment, ObjectKind::Index].into_iter().find(|k| k.folder() == folder)?;
        let key = components.next()?.parse().ok()?;
        components.next().is_none().then_some(Self { cluster, namespace, kind, key })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().fmt(f)
    }
}

impl FromStr for ObjectName {
    type Err = Error;

    fn from_str(path: &str) -> Result<Self> {
        Self::parse(&ObjectPath::new(path)?).ok_or_else(|| {
            let why = "it must be v2/clusters/{cluster}/namespaces/{namespace}/{segments or indexes}/{key}; "
                .to_string()
                + Namespace::RULE;
            Error::invalid(format!("libsql-wal object path {path:?}"), why)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "18446744073709551592-00000000000000000001-00000001795246454014";

    #[test]
    fn clusters_that_are_more_or_less_than_a_component_are_refused() {
        for name in ["", "a/b", "..", ".a", "a\\b", "a\n", &"a".repeat(257)] {
            assert!(Cluster::new(name).is_err(), "{name:?}");
        }
        assert_eq!(
            Cluster::new("cluster0").unwrap().namespaces().as_str(),
            "v2/clusters/cluster0/namespaces"
        );
    }

    #[test]
    fn the_longest_names_still_make_a_valid_path() {
        let cluster = Cluster::new("c".repeat(Cluster::LEN_MAX)).unwrap();
        let namespace = Namespace::new("n".repeat(Namespace::LEN_MAX)).unwrap();
        let path = cluster.object(&namespace, ObjectKind::Segment, &NAME.parse().unwrap());
        assert!(ObjectPath::new(path.as_str()).is_ok());
        assert_eq!(ObjectName::parse(&path).unwrap().path(), path);
    }

    #[test]
    fn foreign_names_are_not_ours() {
        for path in [
            format!("v2/clusters/c/namespaces/n/segments/{NAME}/x"),
            format!("v2/clusters/c/namespaces/n/segments/{NAME}.tmp"),
            format!("v2/clusters/c/namespaces/n/segment/{NAME}"),
            format!("v2/clusters/c/namespace/n/segments/{NAME}"),
            format!("v2/clusters/c/namespaces/n m/segments/{NAME}"),
            format!("v2/clusters/c/namespaces/n/segments/{}", &NAME[1..]),
            format!("v1/clusters/c/namespaces/n/segments/{NAME}"),
            format!("v2/clustersc/namespaces/n/segments/{NAME}"),
            "v2/clusters".to_string(),
            "v2/clusters/c".to_string(),
            "v2/clusters/c/namespaces/n/segments".to_string(),
            "README.md".to_string(),
        ] {
            assert_eq!(ObjectName::parse(&ObjectPath::new(path.clone()).unwrap()), None, "{path}");
            assert!(path.parse::<ObjectName>().is_err(), "{path}");
        }
        assert!(format!("v2/clusters/../namespaces/n/segments/{NAME}").parse::<ObjectName>().is_err());
        assert!(format!("v2/clusters/c/namespaces/../segments/{NAME}").parse::<ObjectName>().is_err());
    }

    proptest! {
        #[test]
        fn any_path_is_a_name_with_one_spelling_or_foreign(
            path in "v2/clusters/[a-z./]{0,5}/namespaces/[a-z._/]{0,5}/(segments|indexes)/[0-9-]{60,64}",
        ) {
            if let Ok(name) = path.parse::<ObjectName>() {
                prop_assert_eq!(name.to_string(), path);
            }
        }
    }
}
