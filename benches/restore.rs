//! How fast is a database restored to a file, next to copying it with a sync?
//!
//! `cargo bench -p walkeep-benches --bench restore`

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use walkeep::backends::fs::{Fs, FsConfig};
use walkeep::backends::os::OsDirectory;
use walkeep::core::segment::Compression;
use walkeep::core::{FrameNo, PageSize};
use walkeep::restore::{FileTarget, RestoreOptions, RestorePlan};
use walkeep::{Bucket, DATABASE_BYTES_MAX, Handles, RestorePoint, View, Writer};
use walkeep_benches::images;
use walkeep_tests::page_log::PageLog;

/// 64 MiB: large enough that the fixed costs do not show, small enough for the page cache.
const PAGES: u32 = 16_384;

fn restore(c: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bucket =
        Bucket::new(Arc::new(Fs::new(FsConfig::create(&directory.path().join("store")).unwrap())), None)
            .unwrap();
    let handles = Handles::system();
    let namespace = "bench".parse().unwrap();
    let file = runtime.block_on(async {
        let mut writer = Writer::open(&bucket, &namespace, PageSize::DEFAULT, &handles).await.unwrap();
        let mut log = PageLog::new(PageSize::DEFAULT, writer.hash_seed(), FrameNo::FIRST);
        let images = (1..).zip(images(PAGES)).collect::<Vec<_>>();
        log.commit(&images, PAGES, 1);
        writer.store(&log.seal(&writer, 1, Compression::default())).await.unwrap();
        log.file()
    });
    std::fs::write(directory.path().join("plain.db"), &file).unwrap();
    let target = Arc::new(OsDirectory::open(directory.path()).unwrap());

    let mut group = c.benchmark_group("restore");
    group.throughput(Throughput::Bytes(file.len() as u64)).sample_size(10);
    group.bench_function("walkeep", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let point = RestorePoint::Latest;
                let view = View::open(&bucket, &namespace, point, DATABASE_BYTES_MAX).await.unwrap();
                let target: Arc<dyn walkeep::core::Directory> = Arc::clone(&target) as _;
                let mut target = FileTarget::new(target, "out.db", true, &*handles.random).unwrap();
                let plan = RestorePlan::new(&view);
                view.write_to(&plan, &mut target, &RestoreOptions::default()).await.unwrap();
                target.publish().unwrap();
            });
        });
    });
    group.bench_function("copy and sync", |b| {
        b.iter(|| {
            let copy = directory.path().join("copy.db");
            std::fs::copy(directory.path().join("plain.db"), &copy).unwrap();
            std::fs::File::open(&copy).unwrap().sync_all().unwrap();
        });
    });
    group.finish();
    assert!(std::fs::read(directory.path().join("out.db")).unwrap() == file, "restored bytes differ");
}

criterion_group!(benches, restore);
criterion_main!(benches);
