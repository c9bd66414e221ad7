//! How fast are transactions appended to a log that never syncs, against writing the same bytes to a file?
//!
//! `cargo bench -p walkeep-benches --bench log_append`

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use walkeep::Handles;
use walkeep::backends::os::OsDirectory;
use walkeep::core::{Epoch, LogHead, LogId, PageCount, PageHashTable, PageNo, PageSize, UnixMillis};
use walkeep::log::{Log, LogOptions, Opened, SyncPolicy};
use walkeep_benches::{SEED, images};

const TRANSACTIONS: u32 = 64;

fn open(root: &tempfile::TempDir) -> Log {
    let head = LogHead {
        log_id: LogId(1),
        hash_seed: SEED,
        epoch: Epoch(1),
        page_size: PageSize::DEFAULT,
        durable: None,
        time_floor: UnixMillis(0),
        unbounded: false,
    };
    let options = LogOptions { sync: SyncPolicy::Never, ..LogOptions::default() };
    let directory = Arc::new(OsDirectory::open(root.path()).unwrap());
    match Log::open(directory, &head, PageHashTable::new(SEED), options, &Handles::system()).unwrap() {
        Opened::Ready(log, _) => *log,
        Opened::Stale(stale) => panic!("{stale}"),
    }
}

fn append(c: &mut Criterion) {
    for pages in [1, 16, 256] {
        let images = images(pages).into_iter().map(bytes::Bytes::from).collect::<Vec<_>>();
        let bytes = u64::from(pages) * u64::from(TRANSACTIONS) * PageSize::DEFAULT.bytes_u64();
        let mut group = c.benchmark_group(format!("log_append/{pages}_pages"));
        group.throughput(Throughput::Bytes(bytes)).sample_size(20);
        let root = tempfile::tempdir().unwrap();
        let directory = || tempfile::tempdir_in(&root).unwrap();
        group.bench_function("log", |b| {
            let setup = || {
                let directory = directory();
                (open(&directory), directory)
            };
            let run = |(mut log, directory): (Log, tempfile::TempDir)| {
                for _ in 0..TRANSACTIONS {
                    let mut transaction = log.begin().unwrap();
                    for (page, image) in (1..).zip(&images) {
                        transaction.write(PageNo::new(page).unwrap(), image.clone()).unwrap();
                    }
                    transaction.commit(PageCount(pages)).unwrap().unwrap();
                }
                (log, directory)
            };
            b.iter_batched(setup, run, BatchSize::PerIteration);
        });
        group.bench_function("raw_file", |b| {
            let setup = || {
                let directory = directory();
                (std::fs::File::create_new(directory.path().join("raw")).unwrap(), directory)
            };
            let whole = images.concat();
            let run = |(file, directory): (std::fs::File, tempfile::TempDir)| {
                for transaction in 0..u64::from(TRANSACTIONS) {
                    file.write_all_at(&whole, transaction * whole.len() as u64).unwrap();
                }
                (file, directory)
            };
            b.iter_batched(setup, run, BatchSize::PerIteration);
        });
        group.finish();
    }
}

criterion_group!(benches, append);
criterion_main!(benches);
