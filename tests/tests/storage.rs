//! The storage that a server embeds: what is taken is stored, in order, once, whatever the store does.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use tokio::time::Instant;
use walkeep::backends::faulty::{Faults, Faulty};
use walkeep::backends::memory::MemoryConfig;
use walkeep::backends::{Memory, Metered};
use walkeep::core::segment::SegmentSummary;
use walkeep::core::{
    Backend, Body, Error, FrameNo, Layout, Namespace, NativeLayout, PageNo, PageSize, RestorePoint,
    SealedSegment, Storage, UnixMillis,
};
use walkeep::storage::{AsyncStorage, Durable, FindSegment, StorageOptions};
use walkeep::verify::verify;
use walkeep::{Bucket, Writer};
use walkeep_tests::handles::handles;
use walkeep_tests::history::History;
use walkeep_tests::recorded::frame_no;
use walkeep_tests::sick::{Ailment, Sick};
use walkeep_tests::tenant::Tenant;

const MINUTE: Duration = Duration::from_secs(60);

fn options() -> StorageOptions {
    StorageOptions { attempt_timeout_ms: 5000, ..StorageOptions::default() }
}

fn storage_with<B: Backend>(backend: &Arc<B>, options: StorageOptions, seed: u64) -> AsyncStorage<B> {
    AsyncStorage::new(Arc::clone(backend), options, handles(2000, seed).0).unwrap()
}

fn storage<B: Backend>(backend: &Arc<B>) -> AsyncStorage<B> {
    storage_with(backend, options(), 1)
}

/// Options that store each segment on its own.
fn one_by_one() -> StorageOptions {
    StorageOptions { batch_bytes_max: 0, ..options() }
}

async fn everything_is_proven<B: Backend>(backend: &Arc<B>, tenant: &Tenant) {
    let bucket = Bucket::new(Arc::clone(backend), None).unwrap();
    let report = verify(&bucket, &tenant.namespace, true).await.unwrap();
    assert!(report.problems.is_empty(), "{}: {:?}", tenant.namespace, report.problems);
}

#[tokio::test(start_paused = true)]
async fn segments_arrive_in_order_and_once_in_a_store_that_fails_and_lies() {
    let memory = Arc::new(Memory::new());
    let backend = Arc::new(Faulty::new(Arc::clone(&memory), Faults::default(), 7).unwrap());
    let storage = storage(&backend);
    let mut tenants = Vec::new();
    for number in 0..20 {
        tenants.push(Tenant::open(&storage, &format!("tenant-{number}")).await);
    }
    let fault = 0.2 / 3.0;
    let faults = Faults {
        fail_before: fault,
        throttled: fault,
        conflict: fault,
        late_apply: fault,
        apply_then_hang: fault,
        lost_put_reply: fault,
        short_body: fault,
        flipped_body: fault,
        ..Faults::default()
    };
    backend.set_faults(faults).unwrap();
    for round in 0..50 {
        for tenant in &mut tenants {
            tenant.store(&storage).unwrap();
        }
        // Sometimes segments wait and are merged, sometimes they do not.
        if round % 5 > 0 {
            tokio::time::sleep(MINUTE).await;
        }
    }
    for tenant in &tenants {
        tokio::time::timeout(60 * MINUTE, tenant.told(50)).await.expect("all are told in an hour");
    }
    let happened = backend.happened();
    assert!(happened.len() >= 8 && happened.values().all(|count| *count >= 5), "{happened:?}");
    backend.set_faults(Faults::default()).unwrap();
    backend.apply_late().await;
    assert!(storage.shutdown(MINUTE).await.is_empty());
    for tenant in &tenants {
        let expected = tenant.states.iter().map(|(frame, _)| *frame).collect::<Vec<_>>();
        assert_eq!(tenant.durable(), expected, "each once and in order");
        everything_is_proven(&memory, tenant).await;
    }
    let check = storage_with(&memory, options(), 2);
    for tenant in &tenants {
        tenant.check_states(&check).await;
    }
}

/// How long it takes until nine tenants have stored 40 segments each, while `ill` others are.
async fn time_of_the_others(ill: usize, ailment: Ailment) -> Duration {
    let backend = Arc::new(Sick::over(Arc::new(Memory::new()), Duration::from_millis(10)));
    let storage = storage_with(&backend, one_by_one(), 3);
    let mut tenants = Vec::new();
    for number in 0..ill + 9 {
        tenants.push(Tenant::open(&storage, &format!("tenant-{number}")).await);
    }
    // The ill ones are known to be: the first failure of each has cost its time.
    for (number, tenant) in tenants.iter_mut().enumerate().take(ill) {
        backend.ail(&format!("tenant-{number}"), Some(ailment));
        tenant.store(&storage).unwrap();
    }
    tokio::time::sleep(MINUTE).await;
    let start = Instant::now();
    for _ in 0..40 {
        for tenant in &mut tenants {
            tenant.store(&storage).unwrap();
        }
    }
    for tenant in &tenants[ill..] {
        tenant.told(40).await;
    }
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn tenants_that_always_fail_stop_nobody() {
    let alone = time_of_the_others(0, Ailment::Refused).await;
    for ailment in [Ailment::Refused, Ailment::Hangs, Ailment::Panics] {
        let beside = time_of_the_others(1, ailment).await;
        assert!(beside < alone * 6 / 5, "{ailment:?}: {beside:?} beside it, {alone:?} alone");
        // Of eight uploads they get two.
        let beside = time_of_the_others(30, ailment).await;
        assert!(beside < alone * 3 / 2, "{ailment:?}: {beside:?} beside 30, {alone:?} alone");
    }
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_cost_few_requests_and_shutdown_keeps_its_deadline() {
    let memory = Arc::new(Memory::new());
    let backend = Arc::new(Sick::over(Arc::clone(&memory), Duration::ZERO));
    let storage = storage(&backend);
    let mut tenant = Tenant::open(&storage, "shop").await;
    tenant.store(&storage).unwrap();
    tenant.told(1).await;
    backend.ail("shop", Some(Ailment::Refused));
    let before = backend.requests("shop");
    for _ in 0..5 {
        tenant.store(&storage).unwrap();
    }
    tokio::time::sleep(10 * MINUTE).await;
    let requests = backend.requests("shop") - before;
    assert!((20..=200).contains(&requests), "{requests} requests in 10 minutes");
    let status = storage.status(&tenant.namespace).unwrap();
    assert!(status.segments == 5 && status.failures > 20 && !status.closed, "{status:?}");
    assert!(status.last_error.unwrap().contains("credentials refused"));

    let start = Instant::now();
    let left = storage.shutdown(Duration::from_secs(7)).await;
    assert!(start.elapsed() <= Duration::from_secs(8), "{:?}", start.elapsed());
    // Those that waited were merged into one turn or stand behind it: all five are named.
    let frames = left.iter().map(|left| left.frames.clone()).collect::<Vec<_>>();
    let expected = (0..5).map(|at| frame_no(3 + 2 * at)..=frame_no(4 + 2 * at)).collect::<Vec<_>>();
    assert_eq!(frames, expected);
    assert!(left.iter().all(|left| left.why.as_ref().unwrap().contains("credentials refused")), "{left:?}");
    tenant.told(6).await;
    let told = tenant.outcomes();
    assert!(told[1..].iter().all(|outcome| matches!(outcome, Err(Error::Unknown { .. }))), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_ends_is_followed_by_everything_in_order() {
    let backend = Arc::new(Sick::over(Arc::new(Memory::new()), Duration::from_millis(1)));
    let storage = storage(&backend);
    let mut tenant = Tenant::open(&storage, "shop").await;
    backend.ail("shop", Some(Ailment::Panics));
    for _ in 0..5 {
        tenant.store(&storage).unwrap();
    }
    while storage.status(&tenant.namespace).unwrap().failures < 12 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(tenant.told_count(), 0);
    let error = storage.status(&tenant.namespace).unwrap().last_error.unwrap();
    assert!(error.contains("panic"), "{error}");
    backend.ail("shop", None);
    // The pause has just begun and takes 15 seconds or more: a shutdown does not wait for it.
    assert!(storage.shutdown(Duration::from_secs(2)).await.is_empty());
    assert_eq!(tenant.durable().len(), 5);
    everything_is_proven(&backend, &tenant).await;
}

#[tokio::test(start_paused = true)]
async fn a_segment_takes_one_put_and_one_get_and_no_listing() {
    let backend = Arc::new(Metered::new(Memory::new()));
    let storage = storage_with(&backend, one_by_one(), 1);
    let mut tenant = Tenant::open(&storage, "shop").await;
    let before = backend.requests();
    for count in 1..=20 {
        tenant.store(&storage).unwrap();
        tenant.told(count).await;
    }
    let now = backend.requests();
    let difference = (now.puts - before.puts, now.gets - before.gets, now.lists - before.lists);
    assert_eq!(difference, (20, 20, 0), "of the get, only that a newer manifest is not there");
}

#[tokio::test(start_paused = true)]
async fn segments_that_wait_are_merged_and_keep_all_their_commits() {
    let backend = Arc::new(Metered::new(Memory::new()));
    let storage = storage(&backend);
    let mut tenant = Tenant::open(&storage, "shop").await;
    let before = backend.requests().puts;
    for _ in 0..100 {
        tenant.store(&storage).unwrap();
    }
    tenant.told(100).await;
    let puts = backend.requests().puts - before;
    assert!(puts <= 3, "{puts} objects for 100 segments");
    assert_eq!(tenant.durable().len(), 100);
    tenant.check_states(&storage).await;
    everything_is_proven(&backend, &tenant).await;
}

#[tokio::test(start_paused = true)]
async fn the_same_segment_again_is_done_and_anything_else_is_refused_with_both_ranges() {
    let backend = Arc::new(Memory::new());
    let storage = storage(&backend);
    let mut tenant = Tenant::open(&storage, "shop").await;
    let mut segments = Vec::new();
    for _ in 0..4 {
        tenant.commit(2);
        segments.push(tenant.seal());
    }
    for segment in [0, 0, 1, 2, 1, 0] {
        storage.store(&tenant.namespace, segments[segment].clone(), None, tenant.note()).unwrap();
    }
    tenant.told(6).await;
    assert_eq!(tenant.durable().iter().map(|frame| frame.get()).collect::<Vec<_>>(), [2, 2, 4, 6, 4, 2]);
    // Much later as well, when nothing of it is in memory, and in another epoch.
    let storage = storage_with(&backend, options(), 9);
    let head = storage.open(&tenant.namespace, PageSize::MIN, None).await.unwrap();
    assert_eq!((head.durable.unwrap().frame_no, head.epoch.get()), (frame_no(6), 2));
    storage.store(&tenant.namespace, segments[1].clone(), None, tenant.note()).unwrap();
    tenant.told(7).await;
    assert_eq!(tenant.durable()[6], frame_no(4));

    // A gap: frames 7 and 8 are not there yet.
    tenant.head = head;
    tenant.commit(2);
    let gap = tenant.seal();
    let error = storage.store(&tenant.namespace, gap, None, tenant.note()).unwrap_err().to_string();
    assert!(
        error.contains("frames 9 to 10") && error.contains("frames 1 to 6") && error.contains("gap"),
        "{error}"
    );
    // An overlap beyond what is there.
    let mut other = Tenant::with_head(tenant.namespace.clone(), head);
    other.commit(5);
    other.commit(3);
    let overlap = other.seal();
    let error = storage.store(&tenant.namespace, overlap, None, tenant.note()).unwrap_err().to_string();
    assert!(error.contains("frames 1 to 8") && error.contains("frames 1 to 6"), "{error}");
    // Other bytes of the same frames: the verdict needs a look at what is stored.
    let mut other = Tenant::with_head(tenant.namespace.clone(), head);
    other.commit(4);
    let different = other.seal();
    storage.store(&tenant.namespace, different, None, other.note()).unwrap();
    other.told(1).await;
    let told = other.outcomes();
    let error = told[0].as_ref().unwrap_err().to_string();
    assert!(error.contains("frames 1 to 4") && error.contains("frames 3 to 6 are stored"), "{error}");
    // Of another log.
    let stranger = Tenant::open(&storage, "stranger").await;
    let error =
        storage.store(&stranger.namespace, segments[0].clone(), None, tenant.note()).unwrap_err().to_string();
    assert!(error.contains("of log"), "{error}");
    assert!(!storage.status(&tenant.namespace).unwrap().closed, "a refused segment closes nothing");
    assert_eq!(storage.durable_frame_no(&tenant.namespace, None).await.unwrap(), Durable::Until(frame_no(6)));
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_is_damaged_on_its_way_is_not_stored() {
    let backend = Arc::new(Memory::new());
    let storage = storage(&backend);
    let mut tenant = Tenant::open(&storage, "shop").await;
    tenant.commit(3);
    let sealed = tenant.seal();
    let Body::Bytes(bytes) = &sealed.body else { panic!("a segment in memory") };
    let mut damaged = bytes.to_vec();
    damaged[150] ^= 1;
    let damaged = SealedSegment { summary: sealed.summary.clone(), body: damaged.into() };
    storage.store(&tenant.namespace, damaged, None, tenant.note()).unwrap();
    tenant.commit(3);
    let next = tenant.seal();
    storage.store(&tenant.namespace, next, None, tenant.note()).unwrap();
    tokio::time::sleep(MINUTE).await;
    let status = storage.status(&tenant.namespace).unwrap();
    assert!(status.last_error.unwrap().contains("damaged"), "and it says so");
    assert_eq!((status.durable, status.closed, status.segments), (None, true, 0), "trying again cannot help");
    let outcomes = tenant.outcomes();
    assert!(matches!(&outcomes[..], [Err(Error::Corrupt(_)), Err(Error::Corrupt(_))]), "{outcomes:?}");
    let next = storage.store(&tenant.namespace, sealed, None, tenant.note());
    assert!(matches!(next, Err(Error::Corrupt(_))), "{next:?}");
    assert!(
        backend.objects().keys().all(|path| !path.as_str().contains("segments")),
        "{:?}",
        backend.objects()
    );
    let mut again = Tenant::open(&storage, "shop").await;
    again.store(&storage).unwrap();
    again.told(1).await;
    again.check_states(&storage).await;
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_is_dropped_still_stores_what_it_took() {
    let backend = Arc::new(Sick::over(Arc::new(Memory::new()), Duration::from_millis(10)));
    let storage = storage_with(&backend, one_by_one(), 1);
    let mut tenant = Tenant::open(&storage, "shop").await;
    for _ in 0..10 {
        tenant.store(&storage).unwrap();
    }
    drop(storage);
    tokio::time::timeout(MINUTE, tenant.told(10)).await.unwrap();
    tenant.check_states(&storage_with(&backend, options(), 2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_was_shut_down_refuses_and_does_not_panic() {
    let backend = Arc::new(Memory::new());
    let storage = storage(&backend);
    let mut tenant = Tenant::open(&storage, "shop").await;
    let durable = storage.subscribe(&tenant.namespace).unwrap();
    tenant.store(&storage).unwrap();
    assert!(storage.shutdown(MINUTE).await.is_empty());
    assert_eq!(tenant.durable(), [frame_no(2)]);
    assert_eq!(durable.collect::<Vec<_>>().await, [frame_no(2)], "the subscription ends");
    let error = tenant.store(&storage).unwrap_err();
    assert!(matches!(&error, Error::Invalid { why, .. } if why.contains("shut down")), "{error}");
    assert!(storage.open(&tenant.namespace, PageSize::MIN, None).await.is_err());
    assert!(storage.shutdown(MINUTE).await.is_empty(), "a second time too");
    // Reading goes on.
    tenant.states.pop();
    tenant.check_states(&storage).await;
}

#[tokio::test(start_paused = true)]
async fn a_subscription_ends_when_the_namespace_is_deleted() {
    let backend = Arc::new(Sick::over(Arc::new(Memory::new()), Duration::from_millis(10)));
    let storage = storage_with(&backend, one_by_one(), 1);
    let (mut shop, mut other) = (Tenant::open(&storage, "shop").await, Tenant::open(&storage, "other").await);
    let mut durable = storage.subscribe(&shop.namespace).unwrap();
    let mut of_other = storage.subscribe(&other.namespace).unwrap();
    shop.store(&storage).unwrap();
    assert_eq!(durable.next().await, Some(frame_no(2)));
    for _ in 0..3 {
        shop.store(&storage).unwrap();
    }
    storage.remove(&shop.namespace, None).await.unwrap();
    assert_eq!(
        durable.collect::<Vec<_>>().await.last().copied(),
        shop.durable().last().copied().filter(|last| *last > frame_no(2))
    );
    shop.told(4).await;
    assert!(storage.subscribe(&shop.namespace).is_err() && shop.store(&storage).is_err());
    other.store(&storage).unwrap();
    assert_eq!(of_other.next().await, Some(frame_no(2)), "the others go on");
    // The name is free for a new one.
    let mut again = Tenant::open(&storage, "shop").await;
    let mut durable = storage.subscribe(&again.namespace).unwrap();
    again.store(&storage).unwrap();
    assert_eq!(durable.next().await, Some(frame_no(2)));

    // Deleted elsewhere: the next segment tells.
    let bucket = Bucket::new(Arc::clone(&backend), None).unwrap();
    walkeep::remove(&bucket, &again.namespace, &handles(2000, 9).0).await.unwrap();
    again.store(&storage).unwrap();
    assert_eq!(durable.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_takeover_tells_everybody_who_waits_that_they_are_fenced() {
    let backend = Arc::new(Sick::over(Arc::new(Memory::new()), Duration::from_millis(10)));
    let storage = storage_with(&backend, one_by_one(), 1);
    let mut tenant = Tenant::open(&storage, "shop").await;
    let mut durable = storage.subscribe(&tenant.namespace).unwrap();
    tenant.store(&storage).unwrap();
    assert_eq!(durable.next().await, Some(frame_no(2)));
    let bucket = Bucket::new(Arc::clone(&backend), None).unwrap();
    let new = Writer::open(&bucket, &tenant.namespace, PageSize::MIN, &handles(2000, 8).0).await.unwrap();
    assert_eq!(new.epoch().get(), 2);
    for _ in 0..3 {
        tenant.store(&storage).unwrap();
    }
    tenant.told(4).await;
    let told = tenant.outcomes();
    assert!(told[1..].iter().all(|outcome| matches!(outcome, Err(Error::Fenced { .. }))), "{told:?}");
    assert!(matches!(tenant.store(&storage), Err(Error::Fenced { .. })));
    assert!(storage.status(&tenant.namespace).unwrap().closed);
    assert_eq!(storage.durable_frame_no(&tenant.namespace, None).await.unwrap(), Durable::Until(frame_no(2)));
    assert_eq!(durable.next().await, None, "the subscription ends");
    assert!(storage.subscribe(&tenant.namespace).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_opened_again_gives_up_what_waited() {
    let backend = Arc::new(Sick::over(Arc::new(Memory::new()), Duration::from_millis(1)));
    let storage = storage_with(&backend, one_by_one(), 1);
    let mut tenant = Tenant::open(&storage, "shop").await;
    backend.ail("shop", Some(Ailment::Refused));
    for _ in 0..3 {
        tenant.store(&storage).unwrap();
    }
    tokio::time::sleep(MINUTE).await;
    backend.ail("shop", None);
    let head = storage.open(&tenant.namespace, PageSize::MIN, None).await.unwrap();
    tenant.told(3).await;
    let told = tenant.outcomes();
    assert!(matches!(told[0], Err(Error::Unknown { .. })), "it was being stored: {told:?}");
    assert!(told[1..].iter().all(|outcome| matches!(outcome, Err(Error::Fenced { .. }))), "{told:?}");
    // What the head says is where it goes on.
    let durable = head.durable.map_or(0, |commit| commit.frame_no.get());
    let at = usize::try_from(durable / 2).unwrap();
    tenant.states.truncate(at);
    assert_eq!(storage.status(&tenant.namespace).unwrap().segments, 0);
    tenant.check_states(&storage).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_callback_is_its_own() {
    let backend = Arc::new(Memory::new());
    let storage = storage(&backend);
    let mut tenant = Tenant::open(&storage, "shop").await;
    tenant.commit(1);
    let segment = tenant.seal();
    let panics = Box::new(|_| panic!("a defect of the callback, on purpose"));
    storage.store(&tenant.namespace, segment, None, panics).unwrap();
    tenant.store(&storage).unwrap();
    tenant.told(1).await;
    assert_eq!(tenant.durable(), [frame_no(3)]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_pushes_back_and_loses_nothing() {
    let backend = Arc::new(Sick::over(Arc::new(Memory::new()), Duration::ZERO));
    let few = StorageOptions { queue_segments_max: 3, ..options() };
    let storage = storage_with(&backend, few, 1);
    let mut tenant = Tenant::open(&storage, "shop").await;
    backend.ail("shop", Some(Ailment::Refused));
    for _ in 0..3 {
        tenant.store(&storage).unwrap();
    }
    tenant.commit(1);
    let fourth = tenant.seal();
    let refused = storage.store(&tenant.namespace, fourth.clone(), None, tenant.note()).unwrap_err();
    assert!(
        matches!(&refused, Error::Exhausted { what } if what.contains("queue_segments_max")),
        "{refused}"
    );
    backend.ail("shop", None);
    tenant.told(3).await;
    storage.store(&tenant.namespace, fourth, None, tenant.note()).unwrap();
    tenant.told(4).await;
    tenant.check_states(&storage).await;

    let little = StorageOptions { queue_memory_bytes_max: 4000, ..options() };
    let storage = storage_with(&backend, little, 2);
    let mut tenant = Tenant::open(&storage, "other").await;
    backend.ail("other", Some(Ailment::Refused));
    let mut taken = 0;
    let refused = loop {
        match tenant.store(&storage) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&refused, Error::Exhausted { what } if what.contains("queue_memory_bytes_max")),
        "{refused}"
    );
    assert!((1..10).contains(&taken), "{taken}");
    backend.ail("other", None);
    tenant.told(taken).await;
    assert!(tenant.store(&storage).is_err(), "the refused one is missing: a gap");
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_leads_elsewhere_acknowledges_nothing() {
    let backend = Arc::new(Memory::new());
    let storage = storage(&backend);
    let mut tenant = Tenant::open(&storage, "shop").await;
    // The default bucket by its name: other credentials, the same place.
    let same = MemoryConfig::default();
    tenant.commit(1);
    let segment = tenant.seal();
    storage.store(&tenant.namespace, segment, Some(same), tenant.note()).unwrap();
    tenant.told(1).await;
    assert_eq!(tenant.durable(), [frame_no(1)]);
    // Another place, where no newer manifest is because none is at all.
    let elsewhere = MemoryConfig { bucket: "elsewhere".into() };
    tenant.commit(1);
    let segment = tenant.seal();
    storage.store(&tenant.namespace, segment, Some(elsewhere.clone()), tenant.note()).unwrap();
    tenant.told(2).await;
    let told = tenant.outcomes();
    assert!(matches!(&told[1], Err(Error::Invalid { why, .. }) if why.contains("manifest")), "{told:?}");
    let there = Bucket::new(Arc::clone(&backend), Some(elsewhere)).unwrap();
    assert!(there.namespaces().await.unwrap().0.is_empty(), "nothing was put there");
}

#[tokio::test(start_paused = true)]
async fn segments_are_found_listed_and_read() {
    let backend = Arc::new(Memory::new());
    let storage = storage_with(&backend, one_by_one(), 1);
    let mut tenant = Tenant::open(&storage, "shop").await;
    let namespace = &"shop".parse::<Namespace>().unwrap();
    assert_eq!(storage.durable_frame_no(namespace, None).await.unwrap(), Durable::Nothing);
    for count in 1..=12 {
        tenant.commit(2);
        tenant.commit(1);
        let segment = tenant.seal();
        storage.store(namespace, segment, None, tenant.note()).unwrap();
        tenant.told(count).await;
    }
    let find = |find| storage.find_segment(namespace, find, None);
    let end = |key: walkeep::core::SegmentKey| key.end().get();
    assert_eq!(end(find(FindSegment::EndingAtOrBefore(frame_no(8))).await.unwrap()), 6);
    assert_eq!(end(find(FindSegment::EndingAtOrBefore(frame_no(9))).await.unwrap()), 9);
    assert_eq!(end(find(FindSegment::EndingAtOrBefore(FrameNo::MAX)).await.unwrap()), 36);
    assert_eq!(end(find(FindSegment::Containing(frame_no(8))).await.unwrap()), 9);
    // Commit 4 is the second of segment 3, and was made at 1004.
    assert_eq!(end(find(FindSegment::Time(UnixMillis(1004))).await.unwrap()), 9);
    for none in [FindSegment::EndingAtOrBefore(frame_no(2)), FindSegment::Time(UnixMillis(5))] {
        let error = find(none).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable(_)), "{error}");
    }
    assert!(find(FindSegment::Containing(frame_no(37))).await.is_err());

    let all = storage.list_segments(namespace, None, None).try_collect::<Vec<_>>().await.unwrap();
    let until = storage.list_segments(namespace, Some(frame_no(31)), None);
    let until = until.try_collect::<Vec<_>>().await.unwrap();
    assert_eq!((all.len(), until.len()), (12, 2));
    assert!(until[1].key.includes(frame_no(31)) && until[1].size > 0);
    assert_eq!(until[1].created_at(), UnixMillis(1021));

    let key = all[3].key;
    let index = storage.fetch_segment_index(namespace, &key, None).await.unwrap();
    assert_eq!(index.frames().len(), 3);
    let data = storage.fetch_segment_data(namespace, &key, None).await.unwrap();
    let at = RestorePoint::Frame(key.end());
    let bucket = Bucket::new(Arc::clone(&backend), None).unwrap();
    let view = walkeep::View::open(&bucket, namespace, at, u64::MAX).await.unwrap();
    let newest = index.newest_until(index.pages()[0], key.end()).unwrap();
    assert_eq!(data.image(newest).await.unwrap(), view.page(index.pages()[0]).await.unwrap());
    assert!(matches!(data.image(3).await, Err(Error::Invalid { .. })));
    assert!(matches!(find(FindSegment::Containing(frame_no(1))).await, Ok(key) if key.end() == frame_no(3)));
    let foreign =
        walkeep::core::SegmentKey::new(key.epoch(), key.start(), key.end(), UnixMillis(1), 0).unwrap();
    assert!(matches!(
        storage.fetch_segment_index(namespace, &foreign, None).await,
        Err(Error::NotFound { .. })
    ));
    assert_eq!(PageNo::FIRST, index.pages()[0].min(PageNo::FIRST));
}

#[tokio::test(start_paused = true)]
async fn a_storage_over_a_store_without_the_namespace_says_so() {
    let storage = storage(&Arc::new(Memory::new()));
    let none: Namespace = "none".parse().unwrap();
    assert_eq!(storage.durable_frame_no(&none, None).await.unwrap(), Durable::Nothing);
    assert!(storage.subscribe(&none).is_err());
    assert!(storage.status(&none).is_none());
    let error = storage.find_segment(&none, FindSegment::Containing(frame_no(1)), None).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    let mut tenant = Tenant::open(&storage, "shop").await;
    tenant.commit(1);
    let segment = tenant.seal();
    let SegmentSummary { key, .. } = segment.summary;
    let error = storage.store(&none, segment, None, tenant.note()).unwrap_err().to_string();
    assert!(error.contains("not open") && error.contains(&key.to_string()), "{error}");
}

#[tokio::test(start_paused = true)]
async fn segments_that_keep_coming_do_not_end_a_pause() {
    let backend = Arc::new(Sick::over(Arc::new(Memory::new()), Duration::ZERO));
    let storage = storage(&backend);
    let mut tenant = Tenant::open(&storage, "shop").await;
    backend.ail("shop", Some(Ailment::Refused));
    let before = backend.requests("shop");
    for _ in 0..900 {
        tenant.store(&storage).unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let requests = backend.requests("shop") - before;
    assert!((4..=10).contains(&requests), "{requests} requests in 9 seconds");
}

#[tokio::test(start_paused = true)]
async fn a_configuration_counts_for_its_own_segment_alone() {
    let backend = Arc::new(Memory::new());
    let storage = storage_with(&backend, one_by_one(), 1);
    let mut tenant = Tenant::open(&storage, "shop").await;
    tenant.store(&storage).unwrap();
    tenant.told(1).await;
    // A copy of the store, which cannot be told from it.
    let copy = MemoryConfig { bucket: "copy".into() };
    for (path, bytes) in backend.objects() {
        backend.put_new(Some(&copy), &path, bytes.into()).await.unwrap();
    }
    tenant.commit(1);
    let there = tenant.seal();
    let path = |segment: &SealedSegment| {
        NativeLayout::new().unwrap().segment(&"shop".parse().unwrap(), &segment.summary.key)
    };
    storage.store(&tenant.namespace, there.clone(), Some(copy), tenant.note()).unwrap();
    tenant.commit(1);
    let here = tenant.seal();
    storage.store(&tenant.namespace, here.clone(), None, tenant.note()).unwrap();
    tenant.told(3).await;
    let objects = backend.objects();
    assert_eq!((objects.contains_key(&path(&there)), objects.contains_key(&path(&here))), (false, true));
}

#[tokio::test(start_paused = true)]
async fn a_repeated_segment_with_a_configuration_that_leads_elsewhere_stops_nothing() {
    let backend = Arc::new(Memory::new());
    let storage = storage_with(&backend, one_by_one(), 1);
    let mut tenant = Tenant::open(&storage, "shop").await;
    tenant.commit(1);
    let first = tenant.seal();
    storage.store(&tenant.namespace, first.clone(), None, tenant.note()).unwrap();
    let elsewhere = MemoryConfig { bucket: "elsewhere".into() };
    storage.store(&tenant.namespace, first, Some(elsewhere), tenant.note()).unwrap();
    tenant.store(&storage).unwrap();
    tokio::time::timeout(MINUTE, tenant.told(3)).await.unwrap();
    let told = tenant.outcomes();
    assert!(matches!(&told[1], Err(Error::Invalid { why, .. }) if why.contains("manifest")), "{told:?}");
    assert!(told[0].is_ok() && told[2].is_ok(), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn every_caller_of_a_shutdown_is_told_what_is_left() {
    let backend = Arc::new(Sick::over(Arc::new(Memory::new()), Duration::ZERO));
    let storage = storage_with(&backend, one_by_one(), 1);
    let mut tenant = Tenant::open(&storage, "shop").await;
    backend.ail("shop", Some(Ailment::Hangs));
    tenant.store(&storage).unwrap();
    tenant.store(&storage).unwrap();
    // A shutdown that is given up by its caller does not keep the next one from waiting.
    assert!(tokio::time::timeout(Duration::from_secs(1), storage.shutdown(MINUTE)).await.is_err());
    let start = Instant::now();
    let (one, two) =
        tokio::join!(storage.shutdown(Duration::from_secs(9)), storage.shutdown(Duration::from_secs(9)));
    assert!(start.elapsed() >= Duration::from_secs(9));
    assert_eq!((one.len(), &one), (2, &two));
    assert_eq!(tenant.told_count(), 2, "callbacks had a moment");
    assert!(storage.shutdown(Duration::MAX).await == one, "later as well, and without a deadline");
}

#[tokio::test(start_paused = true)]
async fn callbacks_stay_in_order_when_a_namespace_is_opened_again() {
    let backend = Arc::new(Memory::new());
    let storage = storage_with(&backend, one_by_one(), 1);
    let mut tenant = Tenant::open(&storage, "shop").await;
    tenant.commit(1);
    let segment = tenant.seal();
    let note = tenant.note();
    let slow = Box::new(move |outcome| -> futures::future::BoxFuture<'static, ()> {
        Box::pin(async move {
            tokio::time::sleep(MINUTE).await;
            note(outcome).await;
        })
    });
    storage.store(&tenant.namespace, segment, None, slow).unwrap();
    while storage.durable_frame_no(&tenant.namespace, None).await.unwrap() == Durable::Nothing {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tenant.head = storage.open(&tenant.namespace, PageSize::MIN, None).await.unwrap();
    tenant.store(&storage).unwrap();
    tokio::time::timeout(3 * MINUTE, tenant.told(2)).await.unwrap();
    assert_eq!(tenant.durable(), [frame_no(1), frame_no(3)]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_tenant_that_holds_all_memory_does_not_stop_others() {
    let backend = Arc::new(Sick::over(Arc::new(Memory::new()), Duration::ZERO));
    let little = StorageOptions { queue_memory_bytes_max: 2000, ..options() };
    let storage = storage_with(&backend, little, 2);
    let (mut ill, mut well) = (Tenant::open(&storage, "ill").await, Tenant::open(&storage, "well").await);
    backend.ail("ill", Some(Ailment::Refused));
    while ill.store(&storage).is_ok() {}
    for count in 1..=5 {
        well.store(&storage).unwrap();
        well.told(count).await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_several_segments_that_hold_a_frame_the_rawest_is_found() {
    let mut log = History::open(Arc::new(Memory::new()), PageSize::MIN, 3).await;
    for byte in 1..=4 {
        log.fill(1, byte);
        log.commit(4, 1000 + u64::from(byte));
        log.store().await.unwrap();
    }
    let compacted = log.compact(1, 4, 1).await;
    let bucket = log.bucket.clone();
    let storage: AsyncStorage<Memory> =
        AsyncStorage::with_buckets(move |_| Ok(bucket.clone()), options(), handles(2000, 5).0).unwrap();
    let find = |find| storage.find_segment(&log.namespace, find, None);
    let containing = find(FindSegment::Containing(frame_no(4))).await.unwrap();
    assert_eq!((containing.level(), containing.start()), (0, frame_no(4)));
    assert_eq!(find(FindSegment::EndingAtOrBefore(frame_no(4))).await.unwrap(), compacted);
}
