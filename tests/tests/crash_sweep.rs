//! A crash before, and a failure of, every single file operation of what Walkeep does on a disk.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use walkeep::backends::fs::{Fs, FsConfig};
use walkeep::core::segment::Compression;
use walkeep::core::{Backend, Body, ByteRange, Error, FrameNo, ObjectPath, PageSize};
use walkeep::restore::{FileTarget, RestoreOptions, RestorePlan};
use walkeep::{Bucket, DATABASE_BYTES_MAX, RestorePoint, View, Writer};
use walkeep_tests::handles::{SeededRandom, handles};
use walkeep_tests::memory_target::MemoryTarget;
use walkeep_tests::page_log::PageLog;
use walkeep_tests::sim_directory::SimDirectory;

/// Crashes come out differently: so many ways are tried for each operation.
const SEEDS: u64 = 24;

/// A store in the directory, as a new process opens it.
fn fs(directory: &SimDirectory) -> Fs {
    static PROCESSES: AtomicU64 = AtomicU64::new(0);
    let config = FsConfig::on("simulated", Arc::new(directory.clone()));
    Fs::with_random(config, Arc::new(SeededRandom::new(PROCESSES.fetch_add(1, Ordering::Relaxed) << 32)))
}

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

async fn read(directory: &SimDirectory, name: &str) -> Option<Vec<u8>> {
    match fs(directory).get(None, &path(name), ByteRange::Full).await {
        Ok(bytes) => Some(bytes.to_vec()),
        Err(Error::NotFound { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// How many operations `put_new` of this test needs.
async fn operations_of_a_put() -> u64 {
    let directory = SimDirectory::new();
    directory.crash_at(u64::MAX);
    fs(&directory).put_new(None, &path("a/b/c"), Body::from(vec![7; 100])).await.unwrap();
    directory.operations()
}

#[tokio::test]
async fn after_a_crash_an_object_is_whole_or_not_there_and_there_if_it_was_acknowledged() {
    let operations = operations_of_a_put().await;
    assert!(operations > 8, "{operations}");
    let mut seen = [false; 2];
    for crash_at in 1..=operations + 1 {
        let directory = SimDirectory::new();
        directory.crash_at(crash_at);
        let outcome = fs(&directory).put_new(None, &path("a/b/c"), Body::from(vec![7; 100])).await;
        for seed in 0..SEEDS {
            let recovered = directory.after_crash(seed);
            let found = read(&recovered, "a/b/c").await;
            assert!(
                found.is_none() || found.as_deref() == Some(&[7; 100]),
                "crash at {crash_at}, seed {seed}"
            );
            assert!(
                outcome.is_err() || found.is_some(),
                "acknowledged and lost: crash at {crash_at}, seed {seed}"
            );
            seen[usize::from(found.is_some())] = true;
            // The place can be used again.
            if found.is_none() {
                fs(&recovered).put_new(None, &path("a/b/c"), Body::from(vec![8; 10])).await.unwrap();
                assert_eq!(read(&recovered, "a/b/c").await.as_deref(), Some(&[8; 10][..]));
            }
        }
    }
    assert_eq!(seen, [true, true], "both outcomes are possible");
}

/// An earlier process may have stopped after it created a directory and before it synced its name. It exists; that
/// does not make it durable.
#[tokio::test]
async fn a_directory_that_a_killed_process_created_is_made_durable_by_the_next_one() {
    for crash_at in 1..=operations_of_a_put().await {
        let directory = SimDirectory::new();
        directory.crash_at(crash_at);
        let killed = fs(&directory).put_new(None, &path("a/b/c"), Body::from(vec![7; 100])).await;
        directory.restart();
        fs(&directory).put_new(None, &path("a/b/d"), Body::from(vec![8; 100])).await.unwrap();
        for seed in 0..SEEDS {
            let recovered = directory.after_crash(seed);
            let context = format!("killed at {crash_at} ({killed:?}), seed {seed}");
            assert_eq!(read(&recovered, "a/b/d").await.as_deref(), Some(&[8; 100][..]), "{context}");
        }
    }
}

/// The same for the object itself: whoever is told that it exists may rely on it.
#[tokio::test]
async fn an_object_that_a_killed_process_created_is_durable_once_it_is_said_to_exist() {
    for crash_at in 1..=operations_of_a_put().await {
        let directory = SimDirectory::new();
        directory.crash_at(crash_at);
        let killed = fs(&directory).put_new(None, &path("a/b/c"), Body::from(vec![7; 100])).await;
        directory.restart();
        let again = fs(&directory).put_new(None, &path("a/b/c"), Body::from(vec![7; 100])).await;
        assert!(matches!(again, Ok(()) | Err(Error::AlreadyExists { .. })), "{again:?}");
        for seed in 0..SEEDS {
            let context = format!("killed at {crash_at} ({killed:?}), seed {seed}");
            let found = read(&directory.after_crash(seed), "a/b/c").await;
            assert_eq!(found.as_deref(), Some(&[7; 100][..]), "{context}");
        }
    }
}

#[tokio::test]
async fn a_failed_operation_is_an_error_and_leaves_no_half_object() {
    let operations = operations_of_a_put().await;
    for fail_at in 1..=operations {
        for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
            let directory = SimDirectory::new();
            directory.fail_at(fail_at, kind);
            let outcome = fs(&directory).put_new(None, &path("a/b/c"), Body::from(vec![7; 100])).await;
            directory.fail_at(u64::MAX, kind);
            let found = read(&directory, "a/b/c").await;
            match &outcome {
                // Only the removal of the hidden name may fail without consequence.
                Ok(()) => assert!(found.is_some()),
                Err(Error::Unknown { .. }) => {}
                Err(_) => assert!(found.is_none(), "operation {fail_at}: {outcome:?}"),
            }
            assert!(found.is_none() || found.as_deref() == Some(&[7; 100]));
            if kind == ErrorKind::StorageFull && found.is_none() {
                assert!(
                    matches!(outcome, Err(Error::Exhausted { .. } | Error::Unknown { .. })),
                    "{outcome:?}"
                );
            }
        }
    }
}

/// A namespace with one commit in a simulated store.
async fn store() -> (Bucket, Vec<u8>) {
    let bucket = Bucket::new(Arc::new(fs(&SimDirectory::new())), None).unwrap();
    let (handles, _) = handles(1, 1);
    let small = PageSize::new(512).unwrap();
    let mut writer = Writer::open(&bucket, &"a".parse().unwrap(), small, &handles).await.unwrap();
    let mut log = PageLog::new(small, writer.hash_seed(), FrameNo::FIRST);
    log.commit(&[(1, vec![1; 512]), (2, vec![2; 512])], 3, 1);
    writer.store(&log.seal(&writer, 1, Compression::None)).await.unwrap();
    (bucket, log.file())
}

async fn restore(view: &View, directory: &SimDirectory, force: bool) -> walkeep::Result<()> {
    let mut target = FileTarget::new(Arc::new(directory.clone()), "x.db", force, &SeededRandom::new(3))?;
    view.write_to(&RestorePlan::new(view), &mut target, &RestoreOptions::default()).await?;
    target.publish().map(drop)
}

#[tokio::test]
async fn after_a_crash_a_replaced_database_is_the_old_or_the_new_one_and_never_meets_a_foreign_log() {
    let (bucket, new) = store().await;
    let view =
        View::open(&bucket, &"a".parse().unwrap(), RestorePoint::Latest, DATABASE_BYTES_MAX).await.unwrap();
    let prepare = || {
        let directory = SimDirectory::new();
        for (name, content) in [("x.db", &b"old"[..]), ("x.db-wal", b"old log"), ("x.db-shm", b"old index")] {
            directory.put(name, content);
        }
        directory
    };
    let directory = prepare();
    directory.crash_at(u64::MAX);
    restore(&view, &directory, true).await.unwrap();
    assert_eq!(directory.files(), [("x.db".to_string(), new.clone())].into());
    let mut seen = [false; 2];
    for crash_at in 1..=directory.operations() + 1 {
        let directory = prepare();
        directory.crash_at(crash_at);
        let outcome = restore(&view, &directory, true).await;
        for seed in 0..SEEDS {
            let files = directory.after_crash(seed).files();
            let is_new = files["x.db"] == new;
            assert!(is_new || files["x.db"] == b"old", "crash at {crash_at}, seed {seed}");
            assert!(!is_new || !files.contains_key("x.db-wal"), "crash at {crash_at}, seed {seed}");
            assert!(outcome.is_err() || is_new, "crash at {crash_at}, seed {seed}");
            seen[usize::from(is_new)] = true;
        }
    }
    assert_eq!(seen, [true, true], "both outcomes are possible");
}

#[tokio::test]
async fn a_failed_restore_leaves_the_target_untouched_and_no_hidden_file() {
    let (bucket, new) = store().await;
    let view =
        View::open(&bucket, &"a".parse().unwrap(), RestorePoint::Latest, DATABASE_BYTES_MAX).await.unwrap();
    let directory = SimDirectory::new();
    directory.fail_at(u64::MAX, ErrorKind::Other);
    restore(&view, &directory, false).await.unwrap();
    for fail_at in 1..=directory.operations() {
        let directory = SimDirectory::new();
        directory.fail_at(fail_at, ErrorKind::StorageFull);
        let outcome = restore(&view, &directory, false).await;
        let files = directory.files();
        match outcome {
            Ok(()) => assert_eq!(files["x.db"], new),
            // In place, though perhaps not for good.
            Err(Error::Unknown { .. }) => assert_eq!(files["x.db"], new),
            Err(_) => assert!(files.is_empty(), "operation {fail_at}: {:?}", files.keys()),
        }
    }
}

/// Opening a namespace and storing its first segment; the frame that was acknowledged, if any.
async fn open_and_store(directory: &SimDirectory, seed: u64) -> walkeep::Result<Vec<u8>> {
    let bucket = Bucket::new(Arc::new(fs(directory)), None)?;
    let (handles, _) = handles(1, seed);
    let small = PageSize::new(512)?;
    let mut writer = Writer::open(&bucket, &"a".parse()?, small, &handles).await?;
    let mut log = PageLog::new(small, writer.hash_seed(), writer.next_frame_no()?);
    log.commit(&[(1, vec![7; 512])], 1, 1);
    writer.store(&log.seal(&writer, 1, Compression::None)).await?;
    Ok(log.file())
}

async fn latest(directory: &SimDirectory) -> walkeep::Result<Vec<u8>> {
    let bucket = Bucket::new(Arc::new(fs(directory)), None)?;
    let view = View::open(&bucket, &"a".parse()?, RestorePoint::Latest, DATABASE_BYTES_MAX).await?;
    let mut target = MemoryTarget::default();
    view.write_to(&RestorePlan::new(&view), &mut target, &RestoreOptions::default()).await?;
    Ok(target.file())
}

/// The writer repeats what failed. A sync of a directory that failed is not repaired by the next one, so that what a
/// repetition finds in place must not be taken for durable.
#[tokio::test(start_paused = true)]
async fn what_a_writer_acknowledges_after_a_failed_operation_survives_a_power_loss() {
    let directory = SimDirectory::new();
    directory.crash_at(u64::MAX);
    open_and_store(&directory, 1).await.unwrap();
    let mut acknowledged = 0;
    for fail_at in 1..=directory.operations() {
        let directory = SimDirectory::new();
        directory.fail_at(fail_at, ErrorKind::Other);
        let outcome = open_and_store(&directory, 1).await;
        let Ok(file) = outcome else { continue };
        acknowledged += 1;
        for seed in 0..SEEDS {
            let found = latest(&directory.after_crash(seed)).await;
            assert!(found.as_ref().ok() == Some(&file), "failed at {fail_at}, seed {seed}: {found:?}");
        }
    }
    assert!(acknowledged > 0, "some failures are overcome by repeating");
}

/// A power loss at any operation of a writer: what it leaves can be opened and written again.
#[tokio::test(start_paused = true)]
async fn after_a_crash_a_namespace_can_be_opened_again() {
    let directory = SimDirectory::new();
    directory.crash_at(u64::MAX);
    open_and_store(&directory, 1).await.unwrap();
    let (operations, mut crashes) = (directory.operations(), 0);
    for crash_at in 1..=operations {
        let directory = SimDirectory::new();
        directory.crash_at(crash_at);
        if open_and_store(&directory, 1).await.is_ok() {
            // The creates of a probe are concurrent: their order decides how many operations there are.
            assert!(directory.operations() < crash_at, "it crashed at {crash_at}, and nobody was told");
            continue;
        }
        crashes += 1;
        for seed in 0..SEEDS {
            let recovered = directory.after_crash(seed);
            let file = open_and_store(&recovered, 2 + seed).await;
            let file = file.unwrap_or_else(|error| panic!("crash at {crash_at}, seed {seed}: {error}"));
            assert!(latest(&recovered).await.unwrap() == file, "crash at {crash_at}, seed {seed}");
        }
    }
    assert!(crashes + 10 > operations, "{crashes} crashes at {operations} operations");
}
