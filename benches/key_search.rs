//! How fast are keys written, read and sorted, and how fast does a local directory of 100,000 segments list a page?
//!
//! `cargo bench -p walkeep-benches --bench key_search`

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use walkeep::backends::fs::{Fs, FsConfig};
use walkeep::core::{Backend, Epoch, FrameNo, ObjectPath, SegmentKey, UnixMillis};

fn key(n: u64) -> SegmentKey {
    let frame = FrameNo::new(n + 1).unwrap();
    SegmentKey::new(Epoch(1), frame, frame, UnixMillis(n), 0).unwrap()
}

fn search(c: &mut Criterion) {
    // A pass of a test makes fewer files: what is asked there is whether it works.
    let segments = if std::env::args().any(|arg| arg == "--bench") { 100_000 } else { 2_000 };
    let name = key(12_345).to_string();
    c.bench_function("key/write", |b| b.iter(|| black_box(key(12_345)).to_string()));
    c.bench_function("key/read", |b| b.iter(|| black_box(&name).parse::<SegmentKey>().unwrap()));

    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("segments");
    std::fs::create_dir(&folder).unwrap();
    for n in 0..segments {
        std::fs::write(folder.join(key(n).to_string()), b"").unwrap();
    }
    let fs = Fs::new(FsConfig::open(directory.path()).unwrap());
    let prefix = ObjectPath::new("segments").unwrap();
    let bound = SegmentKey::listing_bound(Epoch(1), FrameNo::new(segments / 2).unwrap());
    let after = prefix.join(bound).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut group = c.benchmark_group("list");
    group.sample_size(10);
    for limit in [1, 1000] {
        group.bench_function(format!("{limit} of {segments}"), |b| {
            b.iter(|| {
                let listed = fs.list(None, &prefix, Some(&after), limit);
                let count = runtime.block_on(futures::StreamExt::count(listed));
                assert_eq!(count, limit);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, search);
criterion_main!(benches);
