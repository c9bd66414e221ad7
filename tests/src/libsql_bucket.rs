//! The bucket that libsql-wal wrote (`fixtures/libsql`), in memory, where tests can damage it; and buckets made by hand.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use walkeep::backends::Memory;
use walkeep::core::libsql::{Cluster, DataFrame, DataHeader, DataWriter, ObjectKey, ObjectKind, PageIndex};
use walkeep::core::{Namespace, ObjectPath, PageCount, PageNo, SegmentId, UnixMillis};
use walkeep::restore::{RestoreOptions, RestorePlan, Restored};
use walkeep::{Bucket, DATABASE_BYTES_MAX, RestorePoint, View};

use crate::memory_target::MemoryTarget;
use crate::recorded::frame_no;

/// The ends of the fixture's segments.
pub const FIXTURE_ENDS: [u64; 5] = [23, 57, 81, 115, 172];

/// The folder of the fixture.
#[must_use]
pub fn libsql_fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/libsql")
}

/// The exact database at one of the fixture's ends.
#[must_use]
pub fn fixture_state(end: u64) -> Vec<u8> {
    std::fs::read(libsql_fixture().join(format!("states/state-{end:05}.db"))).unwrap()
}

/// A bucket of libsql-wal in memory.
#[derive(Debug)]
pub struct LibsqlBucket {
    /// Where it is kept.
    pub memory: Arc<Memory>,
    /// Its cluster.
    pub cluster: Cluster,
    /// Its namespace.
    pub namespace: Namespace,
}

impl LibsqlBucket {
    /// An empty one.
    #[must_use]
    pub fn empty() -> Self {
        let (cluster, namespace) = (Cluster::new("cluster0").unwrap(), "fixture".parse().unwrap());
        Self { memory: Arc::new(Memory::new()), cluster, namespace }
    }

    /// The fixture.
    #[must_use]
    pub fn fixture() -> Self {
        let bucket = Self::empty();
        for kind in [ObjectKind::Segment, ObjectKind::Index] {
            let folder = bucket.cluster.objects(&bucket.namespace, kind);
            for entry in std::fs::read_dir(libsql_fixture().join("bucket").join(folder.as_str())).unwrap() {
                let file = entry.unwrap();
                let path = folder.join(file.file_name().to_str().unwrap()).unwrap();
                bucket.memory.replace(&path, std::fs::read(file.path()).unwrap().into());
            }
        }
        bucket
    }

    /// Adds a segment `start..=end` with these pages, each with the byte that fills it; frames are numbered from
    /// `start` on.
    pub fn add(&self, start: u64, end: u64, time: u64, size: u32, pages: &[(u32, u8)]) -> ObjectKey {
        let numbered = pages.iter().zip(start..).map(|((page, byte), frame)| (*page, frame, *byte));
        self.add_frames(start, end, time, size, &numbered.collect::<Vec<_>>())
    }

    /// Adds a segment with these pages, each with its frame and the byte that fills it.
    pub fn add_frames(
        &self,
        start: u64,
        end: u64,
        time: u64,
        size: u32,
        pages: &[(u32, u64, u8)],
    ) -> ObjectKey {
        let header = DataHeader {
            frame_count: u32::try_from(pages.len()).unwrap(),
            segment_id: SegmentId(u128::from(end)),
            start: frame_no(start),
            end: frame_no(end),
            size_after: PageCount(size),
            time: UnixMillis(time),
        };
        let mut writer = DataWriter::new(Vec::new(), header).unwrap();
        for (page, frame, byte) in pages {
            let frame_no = frame_no(*frame);
            let page = PageNo::new(*page).unwrap();
            writer.push(&DataFrame { page, frame_no, image: &[*byte; 4096] }).unwrap();
        }
        let key = header.key().unwrap();
        self.put(ObjectKind::Segment, &key, writer.finish().unwrap());
        let pages = pages.iter().map(|(page, ..)| PageNo::new(*page).unwrap());
        self.put(ObjectKind::Index, &key, PageIndex::encode(pages).unwrap());
        key
    }

    /// Puts bytes in the place of an object.
    pub fn put(&self, kind: ObjectKind, key: &ObjectKey, bytes: impl Into<Bytes>) {
        self.memory.replace(&self.path(kind, key), bytes.into());
    }

    /// The path of an object.
    #[must_use]
    pub fn path(&self, kind: ObjectKind, key: &ObjectKey) -> ObjectPath {
        self.cluster.object(&self.namespace, kind, key)
    }

    /// The bytes of an object.
    #[must_use]
    pub fn object(&self, kind: ObjectKind, key: &ObjectKey) -> Bytes {
        self.memory.objects()[&self.path(kind, key)].clone()
    }

    /// Removes an object.
    pub async fn remove(&self, kind: ObjectKind, key: &ObjectKey) {
        use walkeep::core::Backend;
        self.memory.delete(None, &[self.path(kind, key)]).await.unwrap();
    }

    /// The keys of all segments `start..=end`.
    #[must_use]
    pub fn key(&self, start: u64, end: u64) -> ObjectKey {
        let folder = self.cluster.objects(&self.namespace, ObjectKind::Segment);
        let objects = self.memory.objects();
        let keys = objects.keys().filter_map(|path| path.below(&folder)?.parse::<ObjectKey>().ok());
        keys.into_iter().find(|key| (key.start().get(), key.end().get()) == (start, end)).unwrap()
    }

    /// The bucket, as the engine reads it.
    #[must_use]
    pub fn open(&self) -> Bucket {
        Bucket::new(Arc::clone(&self.memory), None).unwrap().as_libsql(self.cluster.clone())
    }

    /// Restores a point.
    ///
    /// # Errors
    ///
    /// Those of the restore.
    pub async fn restore(&self, point: RestorePoint) -> walkeep::Result<(Restored, Vec<u8>)> {
        restore(&self.open(), &self.namespace, point).await
    }
}

/// Restores a point of any store into memory.
///
/// # Errors
///
/// Those of the restore.
pub async fn restore(
    bucket: &Bucket,
    namespace: &Namespace,
    point: RestorePoint,
) -> walkeep::Result<(Restored, Vec<u8>)> {
    let view = View::open(bucket, namespace, point, DATABASE_BYTES_MAX).await?;
    let mut target = MemoryTarget::default();
    let restored = view.write_to(&RestorePlan::new(&view), &mut target, &RestoreOptions::default()).await?;
    Ok((restored, target.file()))
}
