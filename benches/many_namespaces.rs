//! How many small segments of 10,000 namespaces are stored in a second: in sharded redb, where one sync is for all that wait, against a
//! local directory, which syncs each? Both on one disk, in one run.
//!
//! Each is stored as a writer does it: one put, and one get of the manifest that would be the next, which is not there. Every namespace has a manifest
//! and a segment before.
//!
//! Measured: the disk as it is. Simulated, and named so: the same on file handles that sleep 1 ms in each sync, as an ordinary SSD takes for a flush.
//! First the limits of the disk are printed: what it takes to make 4 KiB durable, and how many segments a second it takes when they are written one behind
//! the other into one file, with one sync for 1024 of them, and nothing else is done.
//!
//! `cargo bench -p walkeep-benches --bench many_namespaces`

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::task::JoinSet;
use walkeep::backends::Memory;
use walkeep::backends::fs::{Fs, FsConfig};
use walkeep::backends::os::{OsDirectory, SystemClock, SystemRandom};
use walkeep::backends::redb::{Redb, RedbConfig, ShardsOptions};
use walkeep::core::manifest::ManifestVersion;
use walkeep::core::segment::Compression;
use walkeep::core::shards::{ShardCount, ShardPurpose};
use walkeep::core::{
    Backend, Body, ByteRange, Directory, DynBackend, Epoch, Erased, Error, FrameNo, Layout, Namespace,
    NativeLayout, SegmentKey, UnixMillis,
};
use walkeep_benches::slow_syncs::SlowSyncs;
use walkeep_benches::{images, segment};

/// How many segments are under way at once.
const UNDER_WAY: [usize; 3] = [64, 512, 4096];

/// The memory of a redb store, as a server gives it; the directory has the memory of the machine.
const CACHE_BYTES: usize = 256 << 20;

struct Fleet {
    store: DynBackend,
    layout: NativeLayout,
    namespaces: u64,
    segment: Bytes,
    stored: AtomicU64,
}

impl Fleet {
    fn new(store: DynBackend, namespaces: u64, segment: &Bytes) -> Self {
        let layout = NativeLayout::new().unwrap();
        Self { store, layout, namespaces, segment: segment.clone(), stored: AtomicU64::new(0) }
    }

    /// Stores the next segment of the namespace whose turn it is; with the first one, its manifest.
    async fn store_one(&self) {
        let n = self.stored.fetch_add(1, Ordering::SeqCst);
        let (namespace, frame) = (n % self.namespaces, FrameNo::new(n / self.namespaces + 1).unwrap());
        let namespace = Namespace::new(format!("tenant-{namespace:05}")).unwrap();
        if n < self.namespaces {
            let first = self.layout.manifest(&namespace, ManifestVersion::new(1).unwrap());
            self.store.put_new(None, &first, Body::from(vec![7; 500])).await.unwrap();
        }
        let key = SegmentKey::new(Epoch(1), frame, frame, UnixMillis(n), 0).unwrap();
        let path = self.layout.segment(&namespace, &key);
        self.store.put_new(None, &path, Body::Bytes(self.segment.clone())).await.unwrap();
        let next = self.layout.manifest(&namespace, ManifestVersion::new(2).unwrap());
        let newer = self.store.get(None, &next, ByteRange::Full).await;
        assert!(matches!(newer, Err(Error::NotFound { .. })), "{newer:?}");
    }

    /// Stores so many segments, as a server does: by tasks, each of which waits for its own.
    async fn store_many(self: &Arc<Self>, count: u64, under_way: usize) {
        let begun = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..under_way {
            let (fleet, begun) = (Arc::clone(self), Arc::clone(&begun));
            tasks.spawn(async move {
                while begun.fetch_add(1, Ordering::SeqCst) < count {
                    fleet.store_one().await;
                }
            });
        }
        tasks.join_all().await;
    }
}

/// How long the disk takes to write 4 KiB durably: the middle of many times.
fn sync_time(directory: &Path) -> Duration {
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

/// How many segments a second the disk takes, when nothing is done but to write them into one file and to sync it after each batch.
fn segments_a_second(directory: &Path, segment: &[u8], batch: usize) -> f64 {
    let file = std::fs::File::create_new(directory.join("limit")).unwrap();
    let bytes = segment.repeat(batch);
    let batches = 40;
    let begun = Instant::now();
    for n in 0..batches {
        file.write_all_at(&bytes, n * bytes.len() as u64).unwrap();
        file.sync_data().unwrap();
    }
    (batches * batch as u64) as f64 / begun.elapsed().as_secs_f64()
}

/// The stores on one disk: on one whose syncs take longer by this much, if at all.
fn stores(root: &Path, slower: Option<Duration>) -> Vec<(String, DynBackend)> {
    let (root, what) = match slower {
        None => (root.join("real"), String::new()),
        Some(sleep) => (root.join("slow"), format!("simulated syncs of {sleep:?}, ")),
    };
    let directory = |name: &str| -> Arc<dyn Directory> {
        match slower {
            None => Arc::new(OsDirectory::create(&root.join(name)).unwrap()),
            Some(sleep) => Arc::new(SlowSyncs::create(&root.join(name), sleep)),
        }
    };
    let fs = Erased::shared(Fs::new(FsConfig::on("fs", directory("fs"))));
    let mut stores: Vec<(String, DynBackend)> = vec![(format!("{what}directory"), fs)];
    if slower.is_none() {
        stores.insert(0, ("memory, the limit of the machine".into(), Erased::shared(Memory::new())));
    }
    for shards in [1, 4, 16] {
        let options = ShardsOptions {
            shards: Some(ShardCount::new(shards).unwrap()),
            cache_bytes: CACHE_BYTES,
            ..ShardsOptions::new(ShardPurpose::Segments)
        };
        let name = format!("redb-{shards}");
        let config =
            RedbConfig::on(&name, directory(&name), Arc::new(SystemClock), &SystemRandom, &options).unwrap();
        let name = format!("{what}redb, {shards} shard{}", if shards == 1 { "" } else { "s" });
        stores.push((name, Erased::shared(Redb::new(config))));
    }
    stores
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

    let limit = segments_a_second(root.path(), &bytes, 1024);
    println!("the disk takes {limit:.0} of them a second, one behind the other with one sync for 1024");

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut group = c.benchmark_group("many_namespaces");
    group.throughput(Throughput::Elements(round)).sample_size(10);
    let stores =
        [None, Some(Duration::from_millis(1))].into_iter().flat_map(|slower| stores(root.path(), slower));
    for (name, store) in stores {
        let fleet = Arc::new(Fleet::new(store, namespaces, &bytes));
        let mut filled = false;
        for under_way in UNDER_WAY {
            group.bench_function(format!("{name}/{under_way} under way"), |b| {
                // Not for those that are filtered out.
                if !std::mem::replace(&mut filled, true) {
                    runtime.block_on(fleet.store_many(namespaces, 4096));
                }
                b.iter(|| runtime.block_on(fleet.store_many(round, under_way)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, many_namespaces);
criterion_main!(benches);
