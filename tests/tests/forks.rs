//! Forks: a namespace of any restore point, that goes on apart from its parent, and reads as any other does.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;

use futures::TryStreamExt;
use walkeep::backends::{Memory, Metered};
use walkeep::core::manifest::codec;
use walkeep::core::{
    Backend, Body, Error, FrameNo, Layout, Manifest, Namespace, NativeLayout, Nonce, PageSize, RestorePoint,
    Result, UnixMillis,
};
use walkeep::verify::verify;
use walkeep::{DATABASE_BYTES_MAX, Timeline, View, fork, history, newest_manifest, remove};
use walkeep_tests::handles::handles;
use walkeep_tests::history::{History, restore};
use walkeep_tests::recorded::frame_no;

const SMALL: PageSize = PageSize::MIN;

fn name(text: &str) -> Namespace {
    Namespace::new(text).unwrap()
}

/// Three segments: frames 1 to 3 (one commit), 4 to 8 (commits 5, 7 and 8; the last shrinks), and 9 (grows again).
async fn parent<B: Backend>(backend: Arc<B>) -> History<B> {
    parent_of(backend, 1).await
}

async fn parent_of<B: Backend>(backend: Arc<B>, seed: u64) -> History<B> {
    let mut parent = History::open(backend, SMALL, seed).await;
    for page in 1..=3 {
        parent.fill(page, 1);
    }
    parent.commit(3, 100);
    parent.store().await;
    parent.fill(2, 2);
    parent.fill(4, 2);
    parent.commit(4, 200);
    parent.fill(1, 3);
    parent.fill(3, 3);
    parent.commit(4, 300);
    parent.fill(1, 4);
    parent.commit(2, 400);
    parent.store().await;
    parent.fill(5, 5);
    parent.commit(5, 500);
    parent.store().await;
    parent
}

async fn fork_at<B: Backend>(parent: &History<B>, child: &str, point: RestorePoint) -> Result<Manifest> {
    let (handles, _) = handles(2000, child.len() as u64);
    fork(&parent.bucket, &parent.namespace, &name(child), point, &handles).await
}

/// Every commit from the fork on restores as it was, by frame and by time; every one before is the parent's.
async fn check<B: Backend>(child: &History<B>, from: FrameNo) {
    let timeline = Timeline::load(&child.bucket, &child.namespace).await.unwrap();
    let listed: Vec<_> = history(&child.bucket, &timeline).try_collect().await.unwrap();
    let listed: Vec<FrameNo> = listed.iter().rev().map(|logged| logged.commit.frame_no).collect();
    let expected =
        child.commits.iter().map(|recorded| recorded.commit.frame_no).filter(|frame| *frame >= from);
    assert_eq!(listed, expected.collect::<Vec<_>>());
    for recorded in &child.commits {
        let commit = recorded.commit;
        for point in [RestorePoint::Frame(commit.frame_no), RestorePoint::Time(commit.time)] {
            let restored = child.restore(point).await;
            if commit.frame_no >= from {
                assert_eq!(restored.unwrap(), recorded.file, "{point}");
            } else {
                let Err(Error::Unreachable(no)) = restored else { panic!("{point}: {restored:?}") };
                assert!(no.why.contains("before namespace"), "{no:?}");
                assert_eq!(no.restorable.first().map(|range| *range.start()), Some(from));
            }
        }
    }
    let last = child.commits.last().unwrap();
    assert_eq!(child.restore(RestorePoint::Latest).await.unwrap(), last.file);
    for deep in [false, true] {
        let report = verify(&child.bucket, &child.namespace, deep).await.unwrap();
        assert!(report.problems.is_empty(), "{:?}", report.problems);
    }
}

#[tokio::test]
async fn a_fork_at_any_commit_restores_and_goes_on_apart_from_its_parent() {
    let mut parent = parent(Arc::new(Memory::new())).await;
    let before = parent.commits.clone();
    let mut children = Vec::new();
    for at in [3, 5, 7, 8, 9] {
        let child = format!("at-{at}");
        let manifest = fork_at(&parent, &child, RestorePoint::Frame(frame_no(at))).await.unwrap();
        assert_eq!(manifest.parent().map(|parent| parent.frame), Some(frame_no(at)));
        // Before anybody writes to it.
        let view = View::open(&parent.bucket, &name(&child), RestorePoint::Latest, DATABASE_BYTES_MAX)
            .await
            .unwrap();
        let expected = before.iter().find(|recorded| recorded.commit.frame_no == frame_no(at)).unwrap();
        assert_eq!(view.commit().frame_no, frame_no(at));
        assert_eq!(restore(&view).await.unwrap().0, expected.file);
        children.push((at, parent.forked(&name(&child), frame_no(at)).await));
    }
    // All go on: the parent, and each child in its own way.
    parent.fill(2, 100);
    parent.commit(5, 600);
    parent.store().await;
    for (at, child) in &mut children {
        check(child, frame_no(*at)).await;
        child.fill(1, *at as u8 + 10);
        child.fill(6, *at as u8 + 10);
        child.commit(6, 1000 + *at);
        child.store().await;
        child.fill(2, 7);
        child.commit(2, 2000 + *at);
        child.fill(3, 8);
        child.commit(3, 3000 + *at);
        child.store().await;
        check(child, frame_no(*at)).await;
        // The time between the fork and the child's first commit of its own is that of the fork.
        let forked = child.commits.iter().find(|recorded| recorded.commit.frame_no == frame_no(*at)).unwrap();
        let between = RestorePoint::Time(UnixMillis(forked.commit.time.0 + 1));
        assert_eq!(child.restore(between).await.unwrap(), forked.file);
    }
    check(&parent, FrameNo::FIRST).await;
}

#[tokio::test]
async fn a_fork_costs_the_same_few_requests_whatever_the_size() {
    let mut seen = Vec::new();
    for pages in [4, 4000] {
        let mut parent = History::open(Arc::new(Metered::new(Memory::new())), PageSize::DEFAULT, 1).await;
        for page in 1..=pages {
            parent.fill(page, page as u8);
        }
        parent.commit(pages, 100);
        parent.store().await;
        let before = parent.backend.requests();
        fork_at(&parent, "child", RestorePoint::Latest).await.unwrap();
        let used = parent.backend.requests().since(&before);
        seen.push((used.total(), used.puts, used.gets, used.lists));
        assert!(used.bytes_read + used.bytes_written < 4096, "{used:?}");
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].0 <= 10, "{seen:?}");
}

/// An opening that was cut short leaves the parent's newest commits unconfirmed. What was forked was confirmed.
#[tokio::test]
async fn a_parent_that_is_being_opened_does_not_keep_its_forks_from_being_read() {
    let parent = parent(Arc::new(Memory::new())).await;
    fork_at(&parent, "inside", RestorePoint::Frame(frame_no(7))).await.unwrap();
    fork_at(&parent, "newest", RestorePoint::Latest).await.unwrap();
    let layout = NativeLayout::new().unwrap();
    let newest = newest_manifest(&parent.bucket, &parent.namespace).await.unwrap().unwrap();
    let claimed = newest.claim(Nonce(99), SMALL).unwrap();
    let path = layout.manifest(&parent.namespace, claimed.version());
    let body = Body::from(codec::encode(&claimed).unwrap());
    parent.backend.put_new(None, &path, body).await.unwrap();

    for (child, at) in [("inside", 7), ("newest", 9)] {
        check(&parent.forked(&name(child), frame_no(at)).await, frame_no(at)).await;
    }
    let refused = fork_at(&parent, "x", RestorePoint::Frame(frame_no(3))).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. } | Error::Unreachable(_))), "{refused:?}");
    assert!(newest_manifest(&parent.bucket, &name("x")).await.unwrap().is_none());
}

/// Something of an earlier life of the name, which was stored late: its epoch owns its end in the table that the fork
/// repeats from its parent.
#[tokio::test]
async fn what_is_left_of_an_earlier_life_of_the_name_does_not_count_in_a_fork() {
    let parent = parent(Arc::new(Memory::new())).await;
    let mut other = History::open(Arc::new(Memory::new()), SMALL, 44).await;
    other.fill(1, 77);
    other.commit(1, 50);
    let stray = other.seal().unwrap();
    fork_at(&parent, "child", RestorePoint::Frame(frame_no(3))).await.unwrap();
    let child = parent.forked(&name("child"), frame_no(3)).await;
    let layout = NativeLayout::new().unwrap();
    let path = layout.segment(&child.namespace, &stray.summary.key);
    parent.backend.put_new(None, &path, stray.body).await.unwrap();
    check(&child, frame_no(3)).await;
}

#[tokio::test]
async fn a_name_whose_deletion_has_not_ended_cannot_be_forked_to() {
    let parent = parent(Arc::new(Memory::new())).await;
    fork_at(&parent, "child", RestorePoint::Latest).await.unwrap();
    let mut child = parent.forked(&name("child"), frame_no(9)).await;
    child.fill(1, 9);
    child.commit(5, 900);
    child.store().await;
    let key = *child.stored.last().unwrap();
    let path = child.path(&key);
    let body = Body::from(parent.backend.objects()[&path].to_vec());
    remove(&parent.bucket, &child.namespace, &handles(1, 2).0).await.unwrap();
    // As if it had been cut short before the last object.
    parent.backend.put_new(None, &path, body).await.unwrap();
    let before = parent.backend.objects();
    let refused = fork_at(&parent, "child", RestorePoint::Latest).await;
    let Err(Error::AlreadyExists { what }) = refused else { panic!("{refused:?}") };
    assert!(what.contains("walkeep rm"), "{what}");
    assert_eq!(parent.backend.objects(), before);
    remove(&parent.bucket, &child.namespace, &handles(1, 3).0).await.unwrap();
    fork_at(&parent, "child", RestorePoint::Latest).await.unwrap();
}

/// A parent whose folder was replaced by another log's is damage: it is never read as if it were the parent.
#[tokio::test]
async fn a_fork_whose_parent_is_gone_or_another_log_is_damaged_and_says_so() {
    let parent = parent(Arc::new(Memory::new())).await;
    fork_at(&parent, "child", RestorePoint::Latest).await.unwrap();
    let manifests: Vec<_> = parent.backend.objects().into_keys().collect();
    let manifests: Vec<_> =
        manifests.into_iter().filter(|path| path.as_str().contains("shop/manifest")).collect();
    parent.backend.delete(None, &manifests).await.unwrap();
    let is_damaged = async || {
        let view = View::open(&parent.bucket, &name("child"), RestorePoint::Latest, DATABASE_BYTES_MAX).await;
        let Err(Error::Corrupt(damage)) = view else { panic!("{view:?}") };
        assert!(damage.expected.contains("which namespace child was forked from"), "{damage:?}");
    };
    is_damaged().await;
    let segments: Vec<_> = parent.backend.objects().into_keys().collect();
    let segments: Vec<_> =
        segments.into_iter().filter(|path| path.as_str().contains("shop/segments")).collect();
    parent.backend.delete(None, &segments).await.unwrap();
    drop(parent_of(Arc::clone(&parent.backend), 2).await);
    is_damaged().await;
}

/// The ends of compacted segments that lead to a fork are the parent's restore points, not the fork's.
#[tokio::test]
async fn a_fork_of_what_was_compacted_begins_where_it_forked_off() {
    let mut parent = parent(Arc::new(Memory::new())).await;
    for (start, end) in [(1, 3), (4, 8)] {
        parent.compact(start, end, 1).await;
        let raw = parent.stored.iter().find(|key| key.level() == 0 && key.end() == frame_no(end)).copied();
        parent.delete(raw.unwrap()).await;
    }
    fork_at(&parent, "child", RestorePoint::Frame(frame_no(8))).await.unwrap();
    let mut child = parent.forked(&name("child"), frame_no(8)).await;
    let timeline = Timeline::load(&child.bucket, &child.namespace).await.unwrap();
    assert_eq!(timeline.restorable(), [frame_no(8)..=frame_no(8)]);
    child.fill(1, 9);
    child.commit(3, 900);
    child.store().await;
    check(&child, frame_no(8)).await;
}
