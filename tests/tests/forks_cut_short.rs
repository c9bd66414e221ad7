//! Forking, detaching and deleting, cut off at every call to the store, and then done again.
#![allow(clippy::unwrap_used, reason = "test code: a panic is a failed test")]

use std::sync::Arc;

use walkeep::backends::Memory;
use walkeep::core::manifest::Life;
use walkeep::core::{Error, Namespace, PageSize, RestorePoint};
use walkeep::verify::verify;
use walkeep::{Timeline, Writer, detach, fork, newest_manifest, remove};
use walkeep_tests::cut_off::{Cut, CutOff};
use walkeep_tests::handles::handles;
use walkeep_tests::history::History;
use walkeep_tests::recorded::frame_no;
use walkeep_tests::sim_directory::SimDirectory;

type Log = History<CutOff<Memory>>;

fn name(text: &str) -> Namespace {
    Namespace::new(text).unwrap()
}

/// Frames 1 to 2, and 3 to 5 (commits 4 and 5).
async fn parent() -> Log {
    let mut parent = History::open(Arc::new(CutOff::new(Memory::new())), PageSize::MIN, 1).await;
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
    parent
}

async fn fork_at(log: &Log, child: &str, frame: u64, seed: u64) -> walkeep::Result<()> {
    let point = RestorePoint::Frame(frame_no(frame));
    fork(&log.bucket, &log.namespace, &name(child), point, &handles(2000, seed).0).await.map(drop)
}

/// A fork inside the second segment, with a commit of its own.
async fn child(parent: &Log) -> Log {
    fork_at(parent, "child", 4, 50).await.unwrap();
    let mut child = parent.forked(&name("child"), frame_no(4)).await;
    child.fill(1, 9);
    child.commit(3, 400);
    child.store().await;
    child
}

async fn is_whole(log: &Log, from: u64) {
    for recorded in log.commits.iter().filter(|recorded| recorded.commit.frame_no >= frame_no(from)) {
        assert_eq!(log.restore(RestorePoint::Frame(recorded.commit.frame_no)).await.unwrap(), recorded.file);
    }
    let report = verify(&log.bucket, &log.namespace, true).await.unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

async fn children(log: &Log) -> usize {
    newest_manifest(&log.bucket, &log.namespace).await.unwrap().unwrap().children().len()
}

/// Every place to cut, until there is none left: `run` says whether the cut was behind the end.
macro_rules! each_cut {
    ($cut:ident => $body:block) => {
        let mut cuts = 0;
        'all: for at in 0.. {
            for applied in [false, true] {
                let $cut = Cut { at, applied };
                let done: bool = $body;
                if done {
                    break 'all;
                }
                cuts += 1;
            }
        }
        assert!(cuts > 10, "{cuts}");
    };
}

#[tokio::test(start_paused = true)]
async fn a_fork_that_was_cut_short_is_made_by_making_it_again() {
    each_cut!(cut => {
        let parent = parent().await;
        parent.backend.cut(Some(cut));
        let first = fork_at(&parent, "child", 4, 7).await;
        let done = parent.backend.cut(None) <= cut.at;
        match fork_at(&parent, "child", 4, 8).await {
            Ok(()) => assert!(first.is_err(), "made twice, {cut:?}"),
            Err(Error::AlreadyExists { .. }) => {}
            Err(error) => panic!("{error}, {cut:?}"),
        }
        assert_eq!(children(&parent).await, 1);
        is_whole(&parent.forked(&name("child"), frame_no(4)).await, 4).await;
        is_whole(&parent, 1).await;
        done
    });
}

#[tokio::test(start_paused = true)]
async fn a_fork_that_was_cut_short_does_not_keep_its_parent_from_being_deleted() {
    each_cut!(cut => {
        let parent = parent().await;
        parent.backend.cut(Some(cut));
        let _ = fork_at(&parent, "child", 4, 7).await;
        let done = parent.backend.cut(None) <= cut.at;
        let exists = Timeline::load(&parent.bucket, &name("child")).await.is_ok();
        let listed = children(&parent).await > 0;
        let removed = remove(&parent.bucket, &parent.namespace, &handles(3000, 9).0).await.unwrap();
        let expected = if exists { vec![name("child")] } else { Vec::new() };
        assert_eq!(removed.needed_by, expected, "{cut:?}");
        if exists {
            is_whole(&parent.forked(&name("child"), frame_no(4)).await, 4).await;
        } else {
            assert_eq!(segments(&parent), 0);
            // What was under way does not come about any more: its manifest is taken. And the name can be used.
            let taken = newest_manifest(&parent.bucket, &name("child")).await.unwrap();
            assert_eq!(taken.map(|taken| taken.life()), listed.then_some(Life::Aborted));
            Writer::open(&parent.bucket, &name("child"), PageSize::MIN, &handles(3000, 10).0).await.unwrap();
        }
        done
    });
}

fn segments(log: &Log) -> usize {
    log.backend.inner().objects().keys().filter(|path| path.as_str().contains("/segments/")).count()
}

#[tokio::test(start_paused = true)]
async fn a_detaching_that_was_cut_short_is_ended_by_doing_it_again() {
    each_cut!(cut => {
        let parent = parent().await;
        let child = child(&parent).await;
        let spool = || Arc::new(SimDirectory::new());
        parent.backend.cut(Some(cut));
        let _ = detach(&child.bucket, &child.namespace, spool(), &handles(3000, 9).0).await;
        let done = parent.backend.cut(None) <= cut.at;
        is_whole(&child, 4).await;
        detach(&child.bucket, &child.namespace, spool(), &handles(3000, 10).0).await.unwrap();
        assert_eq!(children(&parent).await, 0, "{cut:?}");
        is_whole(&child, 4).await;
        let removed = remove(&parent.bucket, &parent.namespace, &handles(3000, 11).0).await.unwrap();
        assert!(removed.needed_by.is_empty());
        assert_eq!(segments(&parent), 2, "its image and its own segment");
        is_whole(&child, 4).await;
        done
    });
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_was_cut_short_is_ended_by_doing_it_again() {
    each_cut!(cut => {
        let parent = parent().await;
        let child = child(&parent).await;
        let remove = async |log: &Log, seed| remove(&log.bucket, &log.namespace, &handles(3000, seed).0).await;
        parent.backend.cut(Some(cut));
        let mut done = remove(&parent, 9).await.is_ok();
        parent.backend.cut(None);
        is_whole(&child, 4).await;
        let kept = remove(&parent, 10).await.unwrap();
        assert_eq!((kept.segments, kept.needed_by), (0, vec![child.namespace.clone()]));
        for gone in [parent.view(RestorePoint::Latest).await.map(drop), Timeline::load(&parent.bucket, &parent.namespace).await.map(drop)] {
            assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
        }
        is_whole(&child, 4).await;

        parent.backend.cut(Some(cut));
        done &= remove(&child, 11).await.is_ok();
        parent.backend.cut(None);
        remove(&child, 12).await.unwrap();
        assert_eq!(segments(&parent), 0, "{cut:?}");
        assert_eq!(children(&parent).await, 0);
        done
    });
}
