//! Quotas: what is stored never exceeds them, whatever the store does; nothing is lost that waits, and it goes on when there
//! is room.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use walkeep::backends::Memory;
use walkeep::backends::faulty::{Faults, Faulty};
use walkeep::core::{Backend, Namespace, Quota, Storage};
use walkeep::storage::{AsyncStorage, StorageOptions, Usage};
use walkeep_tests::handles::{SeededRandom, handles};
use walkeep_tests::tenant::Tenant;

fn options() -> StorageOptions {
    StorageOptions { attempt_timeout_ms: 5000, batch_bytes_max: 0, ..StorageOptions::default() }
}

fn storage<B: Backend>(backend: &Arc<B>, options: StorageOptions) -> AsyncStorage<B> {
    AsyncStorage::new(Arc::clone(backend), options, handles(2000, 1).0).unwrap()
}

/// What is stored of a namespace.
fn stored(memory: &Memory, namespace: &Namespace) -> Usage {
    let folder = format!("namespaces/{namespace}/segments/");
    let objects = memory.objects();
    let segments = objects.iter().filter(|(path, _)| path.as_str().starts_with(&folder));
    let sizes = segments.map(|(_, bytes)| bytes.len() as u64).collect::<Vec<_>>();
    Usage { segments: sizes.len() as u64, bytes: sizes.iter().sum() }
}

fn bytes(max: u64) -> Quota {
    Quota { bytes: NonZeroU64::new(max), ..Quota::UNLIMITED }
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_never_exceeds_a_quota_and_what_waits_goes_on() {
    let faults = Faults {
        fail_before: 0.1,
        throttled: 0.1,
        late_apply: 0.1,
        lost_put_reply: 0.1,
        apply_then_hang: 0.05,
        flipped_body: 0.05,
        ..Faults::default()
    };
    let (mut waited, mut full) = (0, 0);
    for seed in 0..12 {
        let random = SeededRandom::new(seed);
        let memory = Arc::new(Memory::new());
        let backend = Arc::new(Faulty::new(Arc::clone(&memory), Faults::default(), seed).unwrap());
        let total = 12_000 + random.below(8_000);
        let storage =
            storage(&backend, StorageOptions { total_bytes_max: NonZeroU64::new(total), ..options() });
        let mut tenants = Vec::new();
        for number in 0..6 {
            let tenant = Tenant::open(&storage, &format!("tenant-{number}")).await;
            let quota = Quota {
                bytes: NonZeroU64::new(1000 + random.below(6000)),
                segments: NonZeroU64::new(1 + random.below(6)),
                stores_per_second: None,
            };
            storage.set_quota(&tenant.namespace, Some(quota));
            tenants.push((tenant, quota));
        }
        backend.set_faults(faults).unwrap();
        for _ in 0..8 {
            for (tenant, _) in &mut tenants {
                tenant.store(&storage).unwrap();
            }
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_secs(3)).await;
                let used = tenants.iter().map(|(tenant, quota)| {
                    let used = stored(&memory, &tenant.namespace);
                    assert!(
                        quota.bytes.is_none_or(|max| used.bytes <= max.get()),
                        "{seed}: {used:?} {quota}"
                    );
                    assert!(quota.segments.is_none_or(|max| used.segments <= max.get()), "{seed}: {used:?}");
                    used.bytes
                });
                let used: u64 = used.sum();
                assert!(used <= total, "{seed}: {used} of {total}");
            }
        }
        backend.set_faults(Faults::default()).unwrap();
        backend.apply_late().await;
        tokio::time::sleep(Duration::from_secs(120)).await;
        for (tenant, _) in &tenants {
            let status = storage.status(&tenant.namespace).unwrap();
            assert_eq!(status.used, Some(stored(&memory, &tenant.namespace)), "{seed}: settled, it is exact");
            waited += status.segments;
            if status.segments > 0 {
                full += usize::from(status.over_quota);
                let error = status.last_error.unwrap();
                assert!(error.contains("quota") && error.contains("bytes"), "{error}");
            }
        }
        // Raised, everything that waited is stored, in order and whole.
        storage.set_total(None);
        for (tenant, _) in &tenants {
            storage.set_quota(&tenant.namespace, Some(Quota::UNLIMITED));
        }
        for (tenant, _) in &tenants {
            tokio::time::timeout(Duration::from_secs(600), tenant.told(8)).await.expect("all are stored");
            assert_eq!(tenant.durable(), tenant.states.iter().map(|(frame, _)| *frame).collect::<Vec<_>>());
            tenant.check_states(&storage).await;
        }
    }
    assert!(waited > 100 && full > 20, "{waited} waited, {full} were over their quota");
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_is_counted_at_the_opening_and_what_is_deleted_makes_room() {
    let memory = Arc::new(Memory::new());
    let first = storage(&memory, options());
    let mut tenant = Tenant::open(&first, "shop").await;
    for _ in 0..3 {
        tenant.store(&first).unwrap();
    }
    tenant.told(3).await;
    first.shutdown(Duration::from_secs(9)).await;
    let before = stored(&memory, &tenant.namespace);

    let second = storage(&memory, StorageOptions { quota: bytes(before.bytes + 10), ..options() });
    tenant.head = second.open(&tenant.namespace, walkeep::core::PageSize::MIN, None).await.unwrap();
    assert_eq!(second.status(&tenant.namespace).unwrap().used, Some(before));
    tenant.store(&second).unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let status = second.status(&tenant.namespace).unwrap();
    assert!(status.over_quota && status.segments == 1 && !status.closed, "{status:?}");
    // A collection frees space: the next look finds it.
    let oldest = memory.objects().keys().rfind(|path| path.as_str().contains("/segments/")).cloned().unwrap();
    memory.delete(None, &[oldest]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(120), tenant.told(4)).await.expect("it goes on");
    let status = second.status(&tenant.namespace).unwrap();
    assert_eq!((status.used, status.over_quota), (Some(stored(&memory, &tenant.namespace)), false));
}

#[tokio::test(start_paused = true)]
async fn a_rate_delays_and_does_not_fail() {
    let memory = Arc::new(Memory::new());
    let (given, clock) = handles(2000, 1);
    let quota = Quota { stores_per_second: 2.try_into().ok(), ..Quota::UNLIMITED };
    let storage =
        AsyncStorage::new(Arc::clone(&memory), StorageOptions { quota, ..options() }, given).unwrap();
    let mut tenant = Tenant::open(&storage, "shop").await;
    for _ in 0..6 {
        tenant.store(&storage).unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        seen.push(stored(&memory, &tenant.namespace).segments);
        assert_eq!(storage.status(&tenant.namespace).unwrap().failures, 0);
        clock.advance(500);
    }
    assert_eq!(seen, [2, 3, 4, 5, 6]);
    tenant.told(6).await;
}
