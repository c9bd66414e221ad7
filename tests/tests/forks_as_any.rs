//! A fork is a namespace as any other: for the storage of a server, for replicas, and for whoever races to make or open it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use walkeep::backends::{Memory, Metered};
use walkeep::core::manifest::Life;
use walkeep::core::{Backend, Error, Namespace, PageSize, RestorePoint, Storage, UnixMillis};
use walkeep::replica::{Replica, ReplicaOptions, Step};
use walkeep::storage::{AsyncStorage, Durable, FindSegment, StorageOptions};
use walkeep::{Bucket, Writer, fork, freeze, newest_manifest, remove};
use walkeep_tests::handles::{SeededRandom, handles};
use walkeep_tests::history::History;
use walkeep_tests::memory_target::MemoryTarget;
use walkeep_tests::recorded::frame_no;
use walkeep_tests::sick::Sick;
use walkeep_tests::sim_directory::SimDirectory;

fn name(text: &str) -> Namespace {
    Namespace::new(text).unwrap()
}

/// Frames 1 and 2 in one segment, 3 to 5 in another with commits 4 and 5, and 6 in a third.
async fn parent<B: Backend>(backend: Arc<B>) -> History<B> {
    let mut parent = History::open(backend, PageSize::MIN, 1).await;
    parent.fill(1, 1);
    parent.fill(2, 1);
    parent.commit(2, 100);
    parent.store().await;
    parent.fill(1, 2);
    parent.fill(3, 2);
    parent.commit(3, 200);
    parent.fill(2, 3);
    parent.commit(3, 300);
    parent.store().await;
    parent.fill(1, 9);
    parent.commit(3, 400);
    parent.store().await;
    parent
}

async fn fork_at(bucket: &Bucket, child: &str, frame: u64, seed: u64) -> walkeep::Result<()> {
    let point = RestorePoint::Frame(frame_no(frame));
    fork(bucket, &name("shop"), &name(child), point, &handles(2000, seed).0).await.map(drop)
}

#[tokio::test]
async fn a_server_opens_finds_and_restores_a_fork() {
    let parent = parent(Arc::new(Memory::new())).await;
    fork_at(&parent.bucket, "child", 4, 2).await.unwrap();
    let backend = Arc::clone(&parent.backend);
    let storage = AsyncStorage::new(backend, StorageOptions::default(), handles(2000, 3).0).unwrap();
    let child = name("child");
    let durable = Durable::Until(frame_no(4));
    assert_eq!(storage.durable_frame_no(&child, None).await.unwrap(), durable);
    let head = storage.open(&child, PageSize::MIN, None).await.unwrap();
    assert_eq!(
        head.durable.map(|commit| (commit.frame_no, commit.time)),
        Some((frame_no(4), UnixMillis(200)))
    );
    assert_eq!(head.time_floor, UnixMillis(200));
    assert_ne!(head.log_id, parent.writer.log_id());
    assert_eq!(head.hash_seed, parent.writer.hash_seed());
    assert_eq!(storage.durable_frame_no(&child, None).await.unwrap(), durable);

    let listed = storage.list_segments(&child, None, None).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(listed.iter().map(|info| info.key.end().get()).collect::<Vec<_>>(), [4, 2]);
    for find in [
        FindSegment::EndingAtOrBefore(frame_no(9)),
        FindSegment::EndingAtOrBefore(frame_no(4)),
        FindSegment::Containing(frame_no(4)),
        FindSegment::Time(UnixMillis(250)),
    ] {
        assert_eq!(storage.find_segment(&child, find, None).await.unwrap(), listed[0].key, "{find:?}");
    }
    for find in [FindSegment::EndingAtOrBefore(frame_no(3)), FindSegment::Time(UnixMillis(150))] {
        let found = storage.find_segment(&child, find, None).await;
        assert!(matches!(found, Err(Error::Unreachable(_))), "{found:?}");
    }
    for info in &listed {
        let data = storage.fetch_segment_data(&child, &info.key, None).await.unwrap();
        let index = storage.fetch_segment_index(&child, &info.key, None).await.unwrap();
        assert_eq!(data.index().frames(), index.frames());
    }
    let mut target = MemoryTarget::default();
    storage.restore(&mut target, &child, RestorePoint::Latest, None).await.unwrap();
    assert_eq!(target.file(), parent.commits[1].file);
    assert!(storage.shutdown(Duration::from_secs(5)).await.is_empty());
}

#[tokio::test]
async fn a_replica_follows_a_fork_from_its_first_moment_and_notices_that_it_is_gone() {
    let parent = parent(Arc::new(Metered::new(Memory::new()))).await;
    fork_at(&parent.bucket, "child", 4, 2).await.unwrap();
    let directory = SimDirectory::new();
    let there = Arc::new(directory.clone());
    let random = Arc::new(SeededRandom::new(9));
    let child = name("child");
    let options = ReplicaOptions::default();
    let mut replica = Replica::open(&parent.bucket, &child, there, "r.db", random, options).await.unwrap();
    let file = || directory.files().remove("r.db").unwrap();
    assert!(matches!(replica.step().await.unwrap(), Step::Applied(_)));
    assert_eq!(file(), parent.commits[1].file);
    // While nobody writes, a look is as cheap as at any namespace.
    replica.step().await.unwrap();
    let before = parent.backend.requests();
    assert!(matches!(replica.step().await.unwrap(), Step::UpToDate(_)));
    let used = parent.backend.requests().since(&before);
    assert_eq!((used.lists, used.gets), (2, 0), "{used:?}");

    let mut log = parent.forked(&child, frame_no(4)).await;
    for byte in 20..23 {
        log.fill(2, byte);
        log.commit(3, 1000 + u64::from(byte));
        log.store().await;
        assert!(matches!(replica.step().await.unwrap(), Step::Applied(_)));
        assert_eq!(file(), log.commits.last().unwrap().file);
    }
    remove(&parent.bucket, &child, &handles(3000, 5).0).await.unwrap();
    let gone = replica.step().await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
}

/// Of several that make one fork at once, one succeeds; what the parent lists is that one.
#[tokio::test(start_paused = true)]
async fn of_two_forks_of_one_name_at_once_one_comes_about() {
    let mut both_at_once = 0;
    for delay in 0..40 {
        let memory = Arc::new(Memory::new());
        let parent = parent(Arc::clone(&memory)).await;
        let slow = Arc::new(Sick::over(memory, Duration::from_millis(3)));
        let bucket = Bucket::new(slow, None).unwrap();
        let second = async {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            fork_at(&bucket, "child", 5, 11).await
        };
        let (first, second) = tokio::join!(fork_at(&bucket, "child", 4, 10), second);
        let refused = |one: &walkeep::Result<()>| matches!(one, Err(Error::AlreadyExists { .. }));
        assert!(first.is_ok() != second.is_ok(), "{delay}: {first:?} {second:?}");
        assert!(refused(&first) != refused(&second), "{delay}: {first:?} {second:?}");
        both_at_once += u32::from(second.is_ok());
        let manifest = newest_manifest(&bucket, &parent.namespace).await.unwrap().unwrap();
        let child = newest_manifest(&bucket, &name("child")).await.unwrap().unwrap();
        let listed = manifest.children().iter().map(|child| (child.log_id, child.frame)).collect::<Vec<_>>();
        let frame = if first.is_ok() { 4 } else { 5 };
        assert_eq!(listed, [(child.log_id(), frame_no(frame))], "{delay}");
        assert_eq!(child.life(), Life::Active);
        let log = parent.forked(&name("child"), frame_no(frame)).await;
        assert_eq!(log.restore(RestorePoint::Latest).await.unwrap(), log.commits.last().unwrap().file);
    }
    assert!(both_at_once > 0, "the second one never won");
}

#[tokio::test(start_paused = true)]
async fn a_fork_that_races_an_opening_of_its_parent_comes_about_and_so_does_the_opening() {
    for delay in 0..40 {
        let memory = Arc::new(Memory::new());
        let parent = parent(Arc::clone(&memory)).await;
        let slow = Arc::new(Sick::over(memory, Duration::from_millis(3)));
        let bucket = Bucket::new(slow, None).unwrap();
        let opening = async {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            Writer::open(&bucket, &parent.namespace, PageSize::MIN, &handles(4000, 12).0).await
        };
        let (forked, opened) = tokio::join!(fork_at(&bucket, "child", 6, 10), opening);
        forked.unwrap();
        assert_eq!(opened.unwrap().next_frame_no().unwrap(), frame_no(7));
        let manifest = newest_manifest(&bucket, &parent.namespace).await.unwrap().unwrap();
        assert_eq!(manifest.children().len(), 1, "{delay}");
        let log = parent.forked(&name("child"), frame_no(6)).await;
        assert_eq!(log.restore(RestorePoint::Latest).await.unwrap(), log.commits.last().unwrap().file);
    }
}

#[tokio::test]
async fn a_writer_of_what_is_frozen_or_deleted_is_told_and_nothing_lands() {
    for deleted in [false, true] {
        let mut parent = parent(Arc::new(Memory::new())).await;
        let (handles, _) = handles(3000, 6);
        if deleted {
            remove(&parent.bucket, &parent.namespace, &handles).await.unwrap();
        } else {
            freeze(&parent.bucket, &parent.namespace, &handles).await.unwrap();
        }
        parent.fill(1, 50);
        parent.commit(3, 5000);
        let sealed = parent.seal().unwrap();
        let stored = parent.writer.store(&sealed).await;
        assert!(matches!(stored, Err(Error::Fenced { .. })), "{stored:?}");
        let latest = parent.restore(RestorePoint::Latest).await;
        if deleted {
            assert!(matches!(latest, Err(Error::NotFound { .. })), "{latest:?}");
            // The name begins anew, and what the old writer left does not count.
            let fresh =
                Writer::open(&parent.bucket, &parent.namespace, PageSize::MIN, &handles).await.unwrap();
            assert_eq!(fresh.next_frame_no().unwrap(), frame_no(1));
            assert_ne!(fresh.log_id(), parent.writer.log_id());
        } else {
            assert_eq!(latest.unwrap(), parent.commits[3].file);
            let opened = Writer::open(&parent.bucket, &parent.namespace, PageSize::MIN, &handles).await;
            let Err(Error::Invalid { why, .. }) = opened else { panic!("{opened:?}") };
            assert!(why.contains("thaw"), "{why}");
        }
    }
}

/// The name is taken by a fork of another namespace, at the same moment: the promise that this parent gave is taken back.
#[tokio::test(start_paused = true)]
async fn of_two_forks_of_one_name_from_two_parents_one_comes_about_and_one_parent_lists_it() {
    let mut taken_back = 0;
    for delay in 0..60 {
        let memory = Arc::new(Memory::new());
        drop(parent(Arc::clone(&memory)).await);
        let slow = Arc::new(Metered::new(Sick::over(memory, Duration::from_millis(3))));
        let bucket = Bucket::new(Arc::clone(&slow), None).unwrap();
        fork_at(&bucket, "other", 6, 20).await.unwrap();
        let before = slow.requests();
        let second = async {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            let point = RestorePoint::Latest;
            fork(&bucket, &name("other"), &name("child"), point, &handles(2000, 11).0).await.map(drop)
        };
        let (first, second) = tokio::join!(fork_at(&bucket, "child", 4, 10), second);
        assert!(first.is_ok() != second.is_ok(), "{delay}: {first:?} {second:?}");
        let refused = first.and(second).unwrap_err();
        assert!(matches!(refused, Error::AlreadyExists { .. }), "{refused}");
        let child = newest_manifest(&bucket, &name("child")).await.unwrap().unwrap();
        let by = child.parent().unwrap().namespace.clone();
        for parent in [name("shop"), name("other")] {
            let manifest = newest_manifest(&bucket, &parent).await.unwrap().unwrap();
            let lists = manifest.children().iter().any(|child| child.namespace == name("child"));
            assert_eq!(lists, parent == by, "{delay}: {parent}");
        }
        taken_back += u32::from(slow.requests().since(&before).puts > 3);
    }
    assert!(taken_back > 0, "no promise had to be taken back");
}
