//! A mirror is one store, whatever becomes of either side of it: one writer wins, and no acknowledged commit is only in
//! the side that is lost.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{TryStreamExt, future};
use walkeep::backends::faulty::{Faults, Faulty};
use walkeep::backends::fs::FsConfig;
use walkeep::backends::mirror::{Mirror, MirrorAck, MirrorOptions};
use walkeep::backends::{Fs, Memory};
use walkeep::core::{Backend, Body, ByteRange, Error, ObjectPath, PageSize};
use walkeep::verify::verify;
use walkeep::{Bucket, RestorePoint, Writer};
use walkeep_tests::away::{self, set_away};
use walkeep_tests::cut_off::{Cut, CutOff};
use walkeep_tests::handles::handles;
use walkeep_tests::history::History;
use walkeep_tests::interrupted::Interrupted;
use walkeep_tests::persistent::Persistent;
use walkeep_tests::sick::Sick;

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

fn mirror<A: Backend, B: Backend>(first: Arc<A>, second: Arc<B>, ack: MirrorAck) -> Mirror<A, B> {
    Mirror::new(first, second, MirrorOptions::new(ack).unwrap())
}

async fn settled<A: Backend, B: Backend>(mirror: &Mirror<A, B>) {
    for _ in 0..100_000 {
        if mirror.status().is_caught_up() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}", mirror.status());
}

fn transact<B: Backend>(log: &mut History<B>, byte: u8) {
    let before = log.commits.last().map_or(1000, |last| last.commit.time.get());
    log.fill(u32::from(byte % 4) + 1, byte);
    log.commit(4, before + 10);
}

#[tokio::test]
async fn directories_and_mixed_mirrors_conform() {
    for ack in [MirrorAck::Both, MirrorAck::First] {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let fs = |directory: &tempfile::TempDir| Arc::new(Fs::new(FsConfig::open(directory.path()).unwrap()));
        let both = mirror(fs(&one), fs(&other), ack);
        walkeep_core::conformance::everything(&both, None).await;
        settled(&both).await;
        let third = tempfile::tempdir().unwrap();
        let mixed = mirror(Arc::new(Memory::new()), fs(&third), ack);
        walkeep_core::conformance::everything(&mixed, None).await;
    }
}

/// Everything that fails and is noticed. What a store lies about in listings is not the mirror's to heal.
const NOTICED: Faults = Faults {
    fail_before: 0.1,
    throttled: 0.1,
    conflict: 0.0,
    late_apply: 0.0,
    apply_then_hang: 0.0,
    lost_put_reply: 0.15,
    lost_delete_reply: 0.15,
    short_body: 0.0,
    flipped_body: 0.0,
    stale_listing: 0.0,
    partial_listing: 0.0,
    duplicate_in_listing: 0.0,
    unsorted_listing: 0.0,
};

#[tokio::test(start_paused = true)]
async fn a_mirror_over_stores_that_fail_conforms_for_who_does_not_give_up() {
    for (seed, ack) in
        [(1, MirrorAck::Both), (2, MirrorAck::First), (3, MirrorAck::Both), (4, MirrorAck::First)]
    {
        let first = Arc::new(Faulty::new(Memory::new(), NOTICED, seed).unwrap());
        let second = Arc::new(Faulty::new(Memory::new(), NOTICED, seed + 100).unwrap());
        let mirror = Persistent(mirror(Arc::clone(&first), Arc::clone(&second), ack));
        walkeep_core::conformance::everything(&mirror, None).await;
        settled(&mirror.0).await;
        assert!(first.happened().len() >= 3 && second.happened().len() >= 3);
        assert_eq!(first.inner().objects(), second.inner().objects());
        assert_eq!(mirror.0.status().conflicts, []);
    }
}

/// Damaged and late answers never get into the copy: what the second store has is what the first one has.
#[tokio::test(start_paused = true)]
async fn what_is_bent_on_the_way_is_not_copied() {
    for seed in 0..20 {
        let bent = Faults { short_body: 0.2, flipped_body: 0.2, conflict: 0.2, late_apply: 0.2, ..NOTICED };
        let first = Arc::new(Faulty::new(Memory::new(), Faults::default(), seed).unwrap());
        let mut log = History::open(Arc::clone(&first), PageSize::MIN, seed).await;
        for byte in 0..10 {
            transact(&mut log, byte);
            log.store().await;
        }
        first.set_faults(Faults { short_body: 0.2, flipped_body: 0.2, ..Faults::default() }).unwrap();
        let second = Arc::new(Faulty::new(Memory::new(), bent, seed + 100).unwrap());
        let mirror = mirror(Arc::clone(&first), Arc::clone(&second), MirrorAck::First);
        while mirror.catch_up().await.is_err() {}
        second.apply_late().await;
        mirror.catch_up().await.unwrap_or_default();
        assert!(first.inner().objects() == second.inner().objects(), "seed {seed}");
        assert_eq!(mirror.status().conflicts, [], "seed {seed}");
    }
}

/// Creates of the same names through mirrors in several processes: for each name one content, in both stores, and whoever
/// was told that it won has written it.
#[tokio::test(start_paused = true)]
async fn of_several_creates_one_wins_whatever_fails() {
    const NAMES: usize = 6;
    const WRITERS: u8 = 4;
    let faults = Faults { conflict: 0.1, late_apply: 0.15, stale_listing: 0.1, ..NOTICED };
    let mut won = 0;
    for seed in 0..60 {
        let ack = if seed % 2 == 0 { MirrorAck::Both } else { MirrorAck::First };
        let first = Arc::new(Faulty::new(Memory::new(), faults, seed).unwrap());
        let second = Arc::new(Faulty::new(Memory::new(), faults, seed + 1000).unwrap());
        let names = (0..NAMES).map(|n| path(&format!("namespaces/a/manifest/{n}"))).collect::<Vec<_>>();
        let writers = (0..WRITERS).map(|writer| {
            let mirror = mirror(Arc::clone(&first), Arc::clone(&second), ack);
            let names = &names;
            async move {
                let mut outcomes = Vec::new();
                for name in names {
                    let mut outcome = Err(Error::Unknown { what: String::new() });
                    for _ in 0..3 {
                        outcome = mirror.put_new(None, name, Body::from(vec![writer; 100])).await;
                        if outcome.is_ok() {
                            break;
                        }
                    }
                    outcomes.push((writer, outcome));
                }
                (mirror, outcomes)
            }
        });
        let done = future::join_all(writers).await;
        first.apply_late().await;
        second.apply_late().await;
        let mut winners: BTreeMap<usize, u8> = BTreeMap::new();
        for (_, outcomes) in &done {
            for (n, (writer, outcome)) in outcomes.iter().enumerate() {
                if outcome.is_ok() {
                    won += 1;
                    assert_eq!(winners.insert(n, *writer), None, "seed {seed}: two have won {n}");
                    assert_eq!(first.inner().objects()[&names[n]], vec![*writer; 100], "seed {seed}");
                    if ack == MirrorAck::Both {
                        assert_eq!(second.inner().objects()[&names[n]], vec![*writer; 100], "seed {seed}");
                    }
                }
            }
        }
        first.set_faults(Faults::default()).unwrap();
        second.set_faults(Faults::default()).unwrap();
        done[0].0.catch_up().await.unwrap();
        assert_eq!(first.inner().objects(), second.inner().objects(), "seed {seed}");
        assert!(done.iter().all(|(mirror, _)| mirror.status().conflicts.is_empty()), "seed {seed}");
    }
    assert!(won > 100, "{won}");
}

#[tokio::test(start_paused = true)]
async fn either_store_can_be_lost_once_a_commit_is_acknowledged_by_both() {
    for lost in 0..2 {
        let (first, second) = (away::store(), away::store());
        let both = mirror(Arc::clone(&first), Arc::clone(&second), MirrorAck::Both);
        let mut log = History::open(Arc::new(both), PageSize::MIN, 3).await;
        for byte in 0..8 {
            transact(&mut log, byte);
            log.store().await;
        }
        let left = if lost == 0 { &second } else { &first };
        let gone = if lost == 0 { &first } else { &second };
        set_away(gone, true);
        // A mirror that was opened anew, and only reads.
        let reader = mirror(Arc::clone(&first), Arc::clone(&second), MirrorAck::Both);
        for bucket in
            [Bucket::new(Arc::new(reader), None).unwrap(), Bucket::new(Arc::clone(left), None).unwrap()]
        {
            let report = verify(&bucket, &log.namespace, true).await.unwrap();
            assert!(report.problems.is_empty(), "{:?}", report.problems);
            assert_eq!((report.segments, report.states_proven), (8, 8));
        }
        // Nothing is acknowledged that would be in one store alone.
        transact(&mut log, 99);
        let sealed = log.seal().unwrap();
        let stored = log.writer.store(&sealed).await;
        assert!(stored.is_err(), "{stored:?}");
        set_away(gone, false);
        log.writer.store(&sealed).await.unwrap();
        assert!(log.restore(RestorePoint::Latest).await.unwrap() == log.commits[8].file);
    }
}

/// A second store that lags has no newer manifest. A writer that took its word would acknowledge what another one has cut
/// off.
#[tokio::test(start_paused = true)]
async fn a_second_store_that_lags_fences_nobody() {
    let (first, second) = (away::store(), away::store());
    let open = || Arc::new(mirror(Arc::clone(&first), Arc::clone(&second), MirrorAck::First));
    let ours = open();
    let mut log = History::open(Arc::clone(&ours), PageSize::MIN, 3).await;
    transact(&mut log, 1);
    log.store().await;
    settled(&ours).await;

    // Another one takes over; the second store does not hear of it.
    set_away(&second, true);
    let bucket = Bucket::new(open(), None).unwrap();
    let (other, _) = handles(2000, 77);
    let taken = Writer::open(&bucket, &log.namespace, PageSize::MIN, &other).await.unwrap();
    assert_eq!(taken.epoch().get(), 2);

    // We lose the first store between our PUT and the look for a newer manifest: only the second one answers.
    transact(&mut log, 2);
    let sealed = log.seal().unwrap();
    first.inner().put_new(None, &log.path(&sealed.summary.key), sealed.body.clone()).await.unwrap();
    set_away(&second, false);
    set_away(&first, true);
    let manifests = path("namespaces/shop/manifest");
    let listed = ours.list(None, &manifests, None, 8).try_collect::<Vec<_>>().await;
    assert!(matches!(listed, Err(Error::Unavailable { .. })), "{listed:?}");
    let newer = path("namespaces/shop/manifest/00000000000000000000.json");
    assert!(matches!(ours.get(None, &newer, ByteRange::Full).await, Err(Error::Unavailable { .. })));
    let stored = log.writer.store(&sealed).await;
    assert!(!matches!(stored, Ok(_) | Err(Error::Fenced { .. })), "nobody knows: {stored:?}");
    set_away(&first, false);
    assert!(matches!(log.writer.store(&sealed).await, Err(Error::Fenced { .. })));

    // Who only reads is answered by the second store, as it was.
    set_away(&first, true);
    let reader = Bucket::new(open(), None).unwrap();
    let report = verify(&reader, &log.namespace, true).await.unwrap();
    assert_eq!((report.segments, report.problems.len()), (1, 0));
}

/// Copying that ends at any call leaves a whole log in the second store, perhaps an older one: whether what is missing was found
/// by comparing, which does not know between which segments another writer has opened, or waited in the order in which it was
/// created.
#[tokio::test(start_paused = true)]
async fn the_second_store_is_a_whole_log_wherever_copying_ends() {
    for found in [true, false] {
        let mut seen = Vec::new();
        for at in 0.. {
            let first = Arc::new(Memory::new());
            let inner = Arc::new(Memory::new());
            let second = Arc::new(CutOff::new(Arc::clone(&inner)));
            let ours = Arc::new(mirror(Arc::clone(&first), Arc::clone(&second), MirrorAck::First));
            let mut log = History::open(Arc::clone(&ours), PageSize::MIN, 3).await;
            transact(&mut log, 0);
            log.store().await;
            settled(&ours).await;
            second.cut(Some(Cut { at: 0, applied: false }));
            for byte in 1..5 {
                transact(&mut log, byte);
                log.store().await;
                if !found {
                    log.reopen(PageSize::MIN).await.unwrap();
                }
            }
            // One that was opened anew knows of nothing that waits.
            let copying = match found {
                true => Arc::new(mirror(Arc::clone(&first), Arc::clone(&second), MirrorAck::First)),
                false => ours,
            };
            second.cut(Some(Cut { at, applied: false }));
            if found {
                drop(copying.catch_up().await);
            } else {
                tokio::time::sleep(Duration::from_secs(120)).await;
            }
            second.cut(None);
            let alone = Bucket::new(Arc::clone(&inner), None).unwrap();
            let report = verify(&alone, &log.namespace, true).await.unwrap();
            assert!(report.problems.is_empty(), "cut at {at}: {:?}", report.problems);
            seen.push(report.segments);
            if report.segments == 5 && first.objects() == inner.objects() {
                break;
            }
        }
        seen.dedup();
        // While an opening is under way, none of its predecessor's commits is confirmed.
        assert!(
            if found { seen == [1, 2, 3, 4, 5] } else { seen.len() > 5 && seen.contains(&0) },
            "{seen:?}"
        );
    }
}

/// What is damaged in the first store is not copied over what can still be whole elsewhere.
#[tokio::test(start_paused = true)]
async fn a_damaged_segment_is_reported_and_not_copied() {
    let (first, second) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let mut log = History::open(Arc::clone(&first), PageSize::MIN, 3).await;
    for byte in 0..3 {
        transact(&mut log, byte);
        log.store().await;
    }
    let damaged = log.path(&log.stored[1]);
    let mut bytes = first.objects()[&damaged].to_vec();
    bytes[120] ^= 1;
    first.replace(&damaged, bytes.into());
    let mirror = mirror(Arc::clone(&first), Arc::clone(&second), MirrorAck::First);
    mirror.catch_up().await.unwrap();
    let conflicts = mirror.status().conflicts;
    assert_eq!(conflicts.iter().map(|conflict| &conflict.path).collect::<Vec<_>>(), [&damaged]);
    assert!(conflicts[0].why.contains("checksum"), "{conflicts:?}");
    assert_eq!(second.objects().len(), first.objects().len() - 1);
    assert!(!second.objects().contains_key(&damaged));
}

/// What is being copied when it is deleted is in neither store afterwards.
#[tokio::test(start_paused = true)]
async fn copying_and_deleting_one_object_exclude_each_other() {
    let (first, inner) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let second = Arc::new(Interrupted::over(Arc::clone(&inner)));
    let name = path("namespaces/a/segments/1");
    first.put_new(None, &name, Body::from(vec![7; 9])).await.unwrap();
    for at in 0.. {
        let mirror = Arc::new(mirror(Arc::clone(&first), Arc::clone(&second), MirrorAck::First));
        let (deleting, names) = (Arc::clone(&mirror), [name.clone()]);
        let (done, deleted) = tokio::sync::oneshot::channel();
        second.interrupt(at, async move {
            tokio::spawn(async move {
                deleting.delete(None, &names).await.unwrap();
                done.send(()).unwrap();
            });
            tokio::time::sleep(Duration::from_secs(5)).await;
        });
        mirror.catch_up().await.unwrap();
        if !second.was_interrupted() {
            break;
        }
        deleted.await.unwrap();
        settled(&mirror).await;
        assert!(first.objects().is_empty() && inner.objects().is_empty(), "at call {at}");
        first.put_new(None, &name, Body::from(vec![7; 9])).await.unwrap();
    }
}

/// What the first store alone has after an error is copied all the same: somebody may have read it.
#[tokio::test(start_paused = true)]
async fn what_was_stored_by_half_gets_into_the_second_store() {
    let (first, second) = (away::store(), away::store());
    let mirror = mirror(Arc::clone(&first), Arc::clone(&second), MirrorAck::Both);
    mirror.put_new(None, &path("namespaces/a/manifest/1"), Body::from(vec![1])).await.unwrap();
    settled(&mirror).await;
    set_away(&second, true);
    let name = path("namespaces/a/manifest/2");
    let put = mirror.put_new(None, &name, Body::from(vec![2])).await;
    assert!(matches!(put, Err(Error::Unavailable { .. })), "{put:?}");
    set_away(&second, false);
    settled(&mirror).await;
    assert_eq!(second.inner().objects()[&name], vec![2]);
}

/// What the first store has lost may be in the second: as long as that cannot be asked, nobody knows.
#[tokio::test(start_paused = true)]
async fn what_only_the_second_store_may_have_is_not_said_to_be_gone() {
    let (first, second) = (away::store(), away::store());
    let mirror = mirror(Arc::clone(&first), Arc::clone(&second), MirrorAck::Both);
    let name = path("namespaces/a/segments/1");
    mirror.put_new(None, &name, Body::from(vec![7])).await.unwrap();
    first.inner().delete(None, std::slice::from_ref(&name)).await.unwrap();
    set_away(&second, true);
    let got = mirror.get(None, &name, ByteRange::Full).await;
    assert!(matches!(got, Err(Error::Unavailable { .. })), "{got:?}");
    set_away(&second, false);
    assert_eq!(mirror.get(None, &name, ByteRange::Full).await.unwrap(), vec![7]);
}

/// An object that is deleted in part is one that the first store still has: it says what there is.
#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_from_the_first_store_alone() {
    let (first, second) = (away::store(), away::store());
    let mirror = mirror(Arc::clone(&first), Arc::clone(&second), MirrorAck::Both);
    let name = path("namespaces/a/segments/1");
    mirror.put_new(None, &name, Body::from(vec![7])).await.unwrap();
    set_away(&second, true);
    assert!(mirror.delete(None, std::slice::from_ref(&name)).await.is_err());
    assert!(first.inner().objects().contains_key(&name));
    set_away(&second, false);
    mirror.delete(None, std::slice::from_ref(&name)).await.unwrap();
    assert!(first.inner().objects().is_empty() && second.inner().objects().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_second_store_catches_up_after_it_was_away_and_is_at_any_time_what_the_first_was() {
    let (first, second) = (away::store(), away::store());
    let ours = Arc::new(mirror(Arc::clone(&first), Arc::clone(&second), MirrorAck::First));
    let mut log = History::open(Arc::clone(&ours), PageSize::MIN, 3).await;
    set_away(&second, true);
    for byte in 0..30 {
        transact(&mut log, byte);
        log.store().await;
        if byte % 10 == 9 {
            log.reopen(PageSize::MIN).await.unwrap();
        }
    }
    assert!(ours.status().waiting >= 30, "{:?}", ours.status());
    set_away(&second, false);
    // At any time what the second store holds is a whole log.
    let alone = Bucket::new(Arc::clone(&second), None).unwrap();
    let mut seen = Vec::new();
    while !ours.status().is_caught_up() {
        match verify(&alone, &log.namespace, true).await {
            Ok(report) => {
                assert!(report.problems.is_empty(), "{:?}", report.problems);
                seen.push(report.segments);
            }
            Err(Error::NotFound { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let report = verify(&alone, &log.namespace, true).await.unwrap();
    assert_eq!((report.segments, report.problems.len()), (30, 0));
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!(first.inner().objects(), second.inner().objects());
}

/// A copy that is under way when its object is deleted would bring it back, in the second store alone.
#[tokio::test(start_paused = true)]
async fn what_is_deleted_while_it_is_copied_stays_deleted() {
    let (first, slow) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let second = Arc::new(Sick::over(Arc::clone(&slow), Duration::from_secs(10)));
    let ours = mirror(Arc::clone(&first), second, MirrorAck::First);
    let name = path("namespaces/a/segments/1");
    ours.put_new(None, &name, vec![1; 100].into()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(ours.status().waiting > 0 && slow.objects().is_empty(), "{:?}", ours.status());
    ours.delete(None, &[name]).await.unwrap();
    settled(&ours).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(first.objects().is_empty() && slow.objects().is_empty(), "{:?}", slow.objects());
}
