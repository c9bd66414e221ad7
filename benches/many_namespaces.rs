//! How many small segments of 10,000 namespaces are stored in a second: in sharded redb, where one sync is for all that wait, against a
//! local directory, which syncs each? Both on one disk, in one run.
//!
//! Each is stored as a writer does it: one put, and one listing for a newer manifest. Every namespace has a segment before.
//!
//! `cargo bench -p walkeep-benches --bench many_namespaces`

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::StreamExt;
use walkeep::backends::fs::{Fs, FsConfig};
use walkeep::backends::redb::{Redb, RedbConfig, ShardsOptions};
use walkeep::core::segment::Compression;
use walkeep::core::shards::{ShardCount, ShardPurpose};
use walkeep::core::{Backend, Body, DynBackend, Epoch, Erased, FrameNo, ObjectPath, SegmentKey, UnixMillis};
use walkeep_benches::{images, segment};

/// How many segments are under way at once.
const UNDER_WAY: [usize; 3] = [64, 512, 4096];

struct Fleet {
    store: DynBackend,
    namespaces: u64,
    segment: Bytes,
    stored: AtomicU64,
}

impl Fleet {
    fn new(store: DynBackend, namespaces: u64, segment: &Bytes) -> Self {
        Self { store, namespaces, segment: segment.clone(), stored: AtomicU64::new(0) }
    }

    /// Stores the next segment of the namespace whose turn it is.
    async fn store_one(&self) {
        let n = self.stored.fetch_add(1, Ordering::SeqCst);
        let (namespace, frame) = (n % self.namespaces, FrameNo::new(n / self.namespaces + 1).unwrap());
        let folder = ObjectPath::new(format!("namespaces/tenant-{namespace:05}")).unwrap();
        let key = SegmentKey::new(Epoch(1), frame, frame, UnixMillis(n), 0).unwrap();
        let path = folder.join(format_args!("segments/{key}")).unwrap();
        self.store.put_new(None, &path, Body::Bytes(self.segment.clone())).await.unwrap();
        let manifests = folder.join("manifest").unwrap();
        assert_eq!(self.store.list(None, &manifests, None, 1).count().await, 0);
    }

    async fn store_many(&self, count: u64, under_way: usize) {
        futures::stream::iter(0..count).for_each_concurrent(under_way, |_| self.store_one()).await;
    }
}

/// How long the disk takes to write 4 KiB durably: the middle of many times.
fn sync_time(directory: &std::path::Path) -> Duration {
    let file = std::fs::File::create_new(directory.join("sync")).unwrap();
    let mut times = (0..101)
        .map(|n| {
            let begun = Instant::now();
            file.write_all_at(&[7; 4096], n * 4096).unwrap();
            file.sync_data().unwrap();
            begun.elapsed()
        })
        .collect::<Vec<_>>();
    times.sort();
    times[times.len() / 2]
}

fn redb(directory: &std::path::Path, shards: u32) -> DynBackend {
    let options = ShardsOptions {
        shards: Some(ShardCount::new(shards).unwrap()),
        ..ShardsOptions::new(ShardPurpose::Segments)
    };
    let config = RedbConfig::open(&directory.join(format!("redb-{shards}")), &options).unwrap();
    Erased::shared(Redb::new(config))
}

fn many_namespaces(c: &mut Criterion) {
    // A pass of a test asks only whether it works.
    let measured = std::env::args().any(|arg| arg == "--bench");
    let (namespaces, round) = if measured { (10_000, 4096) } else { (100, 50) };
    let root = tempfile::tempdir().unwrap();
    println!("the disk takes {:?} to write 4 KiB durably", sync_time(root.path()));
    let (bytes, _) = segment(&images(3), Compression::Zstd(1));
    let bytes = Bytes::from(bytes);
    println!("{namespaces} namespaces, segments of {} bytes", bytes.len());

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut group = c.benchmark_group("many_namespaces");
    group.throughput(Throughput::Elements(round)).sample_size(10);
    let fs = Fs::new(FsConfig::create(&root.path().join("fs")).unwrap());
    let stores = [
        ("directory".to_string(), Erased::shared(fs) as DynBackend),
        ("redb, 1 shard".into(), redb(root.path(), 1)),
        ("redb, 4 shards".into(), redb(root.path(), 4)),
        ("redb, 16 shards".into(), redb(root.path(), 16)),
    ];
    for (name, store) in stores {
        let fleet = Fleet::new(store, namespaces, &bytes);
        runtime.block_on(fleet.store_many(namespaces, 4096));
        for under_way in UNDER_WAY {
            group.bench_function(format!("{name}/{under_way} under way"), |b| {
                b.iter(|| runtime.block_on(fleet.store_many(round, under_way)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, many_namespaces);
criterion_main!(benches);
