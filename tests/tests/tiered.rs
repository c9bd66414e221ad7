//! A local store in front of a remote one: the remote one is at any time a whole log, what was acknowledged is never lost
//! with the process, and nobody writes whom the remote store has fenced.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use walkeep::backends::faulty::{Faults, Faulty};
use walkeep::backends::fs::FsConfig;
use walkeep::backends::tiered::{Tiered, TieredAck, TieredOptions};
use walkeep::backends::{Fs, Memory};
use walkeep::core::{Backend, Body, Epoch, Error, ObjectPath, PageSize};
use walkeep::verify::verify;
use walkeep::{Bucket, RestorePoint, Timeline, Writer};
use walkeep_tests::away::{self, set_away};
use walkeep_tests::cut_off::{Cut, CutOff};
use walkeep_tests::handles::handles;
use walkeep_tests::history::History;
use walkeep_tests::interrupted::Interrupted;
use walkeep_tests::persistent::Persistent;
use walkeep_tests::under::Under;

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

fn tiered<L: Backend, R: Backend>(local: &Arc<L>, remote: &Arc<R>, ack: TieredAck) -> Tiered<L, R> {
    Tiered::new(Arc::clone(local), Arc::clone(remote), TieredOptions::new(ack)).unwrap()
}

async fn settled<L: Backend, R: Backend>(tiered: &Tiered<L, R>) {
    for _ in 0..100_000 {
        if tiered.status().is_caught_up() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}", tiered.status());
}

fn transact<B: Backend>(log: &mut History<B>, byte: u8) {
    let before = log.commits.last().map_or(1000, |last| last.commit.time.get());
    log.fill(u32::from(byte % 4) + 1, byte);
    log.commit(4, before + 10);
}

const ACKS: [TieredAck; 2] = [TieredAck::Both, TieredAck::Local];

#[tokio::test]
async fn directories_conform_as_a_whole_and_among_segments() {
    for ack in ACKS {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let local = Arc::new(Fs::new(FsConfig::open(one.path()).unwrap()));
        let remote = Arc::new(Fs::new(FsConfig::open(other.path()).unwrap()));
        walkeep_core::conformance::everything(&tiered(&local, &remote, ack), None).await;
        let segments = Under::new(tiered(&local, &remote, ack), path("namespaces/x/segments"));
        walkeep_core::conformance::everything(&segments, None).await;
        settled(segments.inner()).await;
        assert_eq!(segments.inner().status().conflicts, []);
    }
}

#[tokio::test(start_paused = true)]
async fn over_stores_that_fail_it_conforms_for_who_does_not_give_up() {
    let noticed = Faults {
        fail_before: 0.1,
        throttled: 0.1,
        lost_put_reply: 0.15,
        lost_delete_reply: 0.15,
        ..Faults::default()
    };
    for (seed, ack) in [(1, ACKS[0]), (2, ACKS[1]), (3, ACKS[0]), (4, ACKS[1])] {
        let local = Arc::new(Faulty::new(Memory::new(), noticed, seed).unwrap());
        let remote = Arc::new(Faulty::new(Memory::new(), noticed, seed + 100).unwrap());
        let whole = Persistent(tiered(&local, &remote, ack));
        walkeep_core::conformance::everything(&whole, None).await;
        let segments = Under::new(Persistent(tiered(&local, &remote, ack)), path("namespaces/x/segments"));
        walkeep_core::conformance::everything(&segments, None).await;
        settled(&segments.inner().0).await;
        assert!(local.happened().len() >= 3 && remote.happened().len() >= 3);
        let shipped = local.inner().objects();
        assert!(!shipped.is_empty());
        let remote = remote.inner().objects();
        assert!(shipped.iter().all(|(name, bytes)| remote.get(name) == Some(bytes)));
        assert_eq!(segments.inner().0.status().conflicts, []);
    }
}

/// A process that is killed at any call to the remote store: what it acknowledged is there when the next one has opened the
/// namespace, and the remote store alone is a whole log before, between and after.
#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_survives_an_end_at_any_call() {
    for ack in ACKS {
        let mut at = 0;
        loop {
            for applied in [false, true] {
                let local = Arc::new(Memory::new());
                let remote = Arc::new(CutOff::new(Memory::new()));
                let mut log = History::open(Arc::new(tiered(&local, &remote, ack)), PageSize::MIN, 3).await;
                remote.cut(Some(Cut { at, applied }));
                let mut acknowledged = 0;
                for byte in 0..4 {
                    transact(&mut log, byte);
                    let sealed = log.seal().unwrap();
                    if log.writer.store(&sealed).await.is_err() {
                        break;
                    }
                    acknowledged = log.commits.len();
                }
                let calls = remote.cut(None);
                check_alone(&remote, &log.namespace, &log.commits, acknowledged, ack).await;
                // Nothing of the process is left but the two stores.
                let bucket = Bucket::new(Arc::new(tiered(&local, &remote, ack)), None).unwrap();
                let (next, _) = handles(2000, 9);
                let writer = Writer::open(&bucket, &log.namespace, PageSize::MIN, &next).await.unwrap();
                assert_eq!(writer.epoch(), Epoch(2));
                let durable = writer.tip().map_or(0, |tip| tip.end().get());
                let wanted = log.commits[..acknowledged].last().map_or(0, |last| last.commit.frame_no.get());
                assert!(durable >= wanted, "{ack:?}, cut at {at}: frame {durable}, acknowledged {wanted}");
                let alone = Bucket::new(Arc::clone(&remote), None).unwrap();
                let report = verify(&alone, &log.namespace, true).await.unwrap();
                assert!(report.problems.is_empty(), "{:?}", report.problems);
                assert_eq!(report.segments, writer.tip().map_or(0, |_| log.position_of(durable)));
                if applied && calls < at {
                    at = u64::MAX;
                    break;
                }
            }
            if at == u64::MAX {
                break;
            }
            at += 1;
        }
    }
}

trait Position {
    fn position_of(&self, frame: u64) -> usize;
}

impl<B> Position for History<B> {
    fn position_of(&self, frame: u64) -> usize {
        self.commits.iter().filter(|recorded| recorded.commit.frame_no.get() <= frame).count()
    }
}

async fn check_alone<R: Backend>(
    remote: &Arc<R>,
    namespace: &walkeep::core::Namespace,
    commits: &[walkeep_tests::recorded::Recorded],
    acknowledged: usize,
    ack: TieredAck,
) {
    let alone = Bucket::new(Arc::clone(remote), None).unwrap();
    let report = verify(&alone, namespace, true).await.unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert!(report.segments <= commits.len());
    if ack == TieredAck::Both {
        assert!(report.segments >= acknowledged, "{} of {acknowledged}", report.segments);
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_local_disk_the_remote_store_is_a_whole_log() {
    for ack in ACKS {
        let (local, remote) = (Arc::new(Memory::new()), away::store());
        let mut log = History::open(Arc::new(tiered(&local, &remote, ack)), PageSize::MIN, 3).await;
        for byte in 0..10 {
            transact(&mut log, byte);
            log.store().await;
            let report = verify(&Bucket::new(Arc::clone(&remote), None).unwrap(), &log.namespace, true).await;
            assert!(report.unwrap().problems.is_empty());
        }
        settled(&log.backend).await;
        // Another machine, with an empty disk.
        let other = Arc::new(tiered(&Arc::new(Memory::new()), &remote, ack));
        let bucket = Bucket::new(Arc::clone(&other), None).unwrap();
        let (second, _) = handles(2000, 9);
        let writer = Writer::open(&bucket, &log.namespace, PageSize::MIN, &second).await.unwrap();
        assert_eq!(writer.tip().unwrap().end(), log.commits[9].commit.frame_no);
        // The first machine is fenced, and stores nothing that counts.
        transact(&mut log, 77);
        let late = log.seal().unwrap();
        assert!(matches!(log.writer.store(&late).await, Err(Error::Fenced { .. })));
        settled(&log.backend).await;
        for bucket in [bucket, log.bucket.clone(), Bucket::new(Arc::clone(&remote), None).unwrap()] {
            let seen = Timeline::load(&bucket, &log.namespace).await.unwrap();
            assert_eq!((seen.segments().len(), seen.ignored().fenced), (10, 1));
        }
        assert!(log.restore(RestorePoint::Latest).await.unwrap() == log.commits[9].file);
    }
}

/// A manifest is never created on the local disk alone, and nobody is told that there is none by a store that does not know.
#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_while_the_remote_store_is_away() {
    for ack in ACKS {
        let (local, remote) = (Arc::new(Memory::new()), away::store());
        let mut log = History::open(Arc::new(tiered(&local, &remote, ack)), PageSize::MIN, 3).await;
        transact(&mut log, 1);
        log.store().await;
        set_away(&remote, true);
        transact(&mut log, 2);
        let sealed = log.seal().unwrap();
        let stored = log.writer.store(&sealed).await;
        assert!(!matches!(stored, Ok(_) | Err(Error::Fenced { .. })), "{stored:?}");
        let (next, _) = handles(2000, 9);
        let opened = Writer::open(&log.bucket, &log.namespace, PageSize::MIN, &next).await;
        assert!(matches!(opened, Err(Error::Unavailable { .. })), "{opened:?}");
        assert!(local.objects().keys().all(|name| name.as_str().contains("/segments/")));
        set_away(&remote, false);
        log.writer.store(&sealed).await.unwrap();
        settled(&log.backend).await;
        assert!(log.restore(RestorePoint::Latest).await.unwrap() == log.commits[1].file);
    }
}

/// What makes a segment superfluous is shipped before that is deleted.
#[tokio::test(start_paused = true)]
async fn what_replaces_a_segment_is_shipped_before_it_is_deleted() {
    let (local, remote) = (Arc::new(Memory::new()), away::store());
    let mut log = History::open(Arc::new(tiered(&local, &remote, TieredAck::Local)), PageSize::MIN, 3).await;
    for byte in 0..3 {
        transact(&mut log, byte);
        log.store().await;
    }
    settled(&log.backend).await;
    set_away(&remote, true);
    log.compact(1, 3, 1).await;
    let old = log.stored.iter().filter(|key| key.level() == 0).copied().collect::<Vec<_>>();
    let names = old.iter().map(|key| log.path(key)).collect::<Vec<_>>();
    assert!(log.backend.delete(None, &names).await.is_err());
    assert!(names.iter().all(|name| local.objects().contains_key(name)), "nothing is deleted yet");
    set_away(&remote, false);
    log.backend.delete(None, &names).await.unwrap();
    let alone = Bucket::new(Arc::clone(&remote), None).unwrap();
    let report = verify(&alone, &log.namespace, true).await.unwrap();
    assert_eq!((report.segments, report.problems.len()), (1, 0), "{:?}", report.problems);
}

/// What is deleted in part is still in the remote store: what the local one alone has would be taken for unshipped, and come
/// back.
#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_from_the_remote_store_alone() {
    for ack in ACKS {
        let (local, remote) = (away::store(), Arc::new(Memory::new()));
        let tiered = tiered(&local, &remote, ack);
        let name = path("namespaces/a/segments/1");
        tiered.put_new(None, &name, Body::from(vec![7])).await.unwrap();
        tiered.ship().await.unwrap();
        // The group is known to be shipped.
        tiered.put_new(None, &path("namespaces/a/manifest/1"), Body::from(vec![7])).await.unwrap();
        set_away(&local, true);
        assert!(tiered.delete(None, std::slice::from_ref(&name)).await.is_err());
        assert!(remote.objects().contains_key(&name), "{ack:?}");
        set_away(&local, false);
        tiered.delete(None, std::slice::from_ref(&name)).await.unwrap();
        tiered.ship().await.unwrap();
        assert!(!remote.objects().contains_key(&name) && local.inner().objects().is_empty(), "{ack:?}");
    }
}

/// What is being shipped when it is deleted is in neither store afterwards.
#[tokio::test(start_paused = true)]
async fn shipping_and_deleting_one_segment_exclude_each_other() {
    let (local, inner) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let remote = Arc::new(Interrupted::over(Arc::clone(&inner)));
    let name = path("namespaces/a/segments/1");
    for at in 0.. {
        local.put_new(None, &name, Body::from(vec![7; 9])).await.unwrap();
        // Known to be shipped before, so that deleting does not wait for that.
        let tiered = Arc::new(tiered(&local, &remote, TieredAck::Both));
        tiered
            .put_new(None, &path(&format!("namespaces/a/manifest/{at}")), Body::from(vec![7]))
            .await
            .unwrap();
        inner.delete(None, std::slice::from_ref(&name)).await.unwrap();
        let (deleting, names) = (Arc::clone(&tiered), [name.clone()]);
        let (done, deleted) = tokio::sync::oneshot::channel();
        remote.interrupt(at, async move {
            tokio::spawn(async move {
                deleting.delete(None, &names).await.unwrap();
                done.send(()).unwrap();
            });
            tokio::time::sleep(Duration::from_secs(5)).await;
        });
        tiered.ship().await.unwrap();
        if !remote.was_interrupted() {
            break;
        }
        deleted.await.unwrap();
        settled(&tiered).await;
        assert!(local.objects().is_empty() && !inner.objects().contains_key(&name), "at call {at}");
    }
}

/// The local directory is not a store, and is refused as one.
#[tokio::test(start_paused = true)]
async fn the_local_store_alone_is_refused() {
    let (local, remote) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let mut log = History::open(Arc::new(tiered(&local, &remote, TieredAck::Local)), PageSize::MIN, 3).await;
    transact(&mut log, 1);
    log.store().await;
    let alone = Bucket::new(Arc::clone(&local), None).unwrap();
    let (next, _) = handles(2000, 9);
    let opened = Writer::open(&alone, &log.namespace, PageSize::MIN, &next).await;
    assert!(matches!(opened, Err(Error::Corrupt(_))), "{opened:?}");
    let strange = local.put_new(None, &path("namespaces/shop/other"), Body::from(vec![1])).await;
    strange.unwrap();
    settled(&log.backend).await;
    assert!(!remote.objects().keys().any(|name| name.name() == "other"), "only segments are shipped");
}
