//! Storages of every kind behind one trait: one of two, without its type, keeping nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use walkeep::backends::Memory;
use walkeep::backends::memory::MemoryConfig;
use walkeep::core::{AnyConfig, Either, Erased, Error, PageSize, RestorePoint, SegmentKey, Storage};
use walkeep::storage::{
    AsyncStorage, Durable, DynStorage, FindSegment, NoStorage, StorageOptions, test_storage,
};
use walkeep_tests::handles::handles;
use walkeep_tests::memory_target::MemoryTarget;
use walkeep_tests::recorded::frame_no;
use walkeep_tests::tenant::Tenant;

fn in_memory() -> AsyncStorage<Memory> {
    AsyncStorage::new(Arc::new(Memory::new()), StorageOptions::default(), handles(2000, 1).0).unwrap()
}

/// A server's use of a storage that keeps.
async fn keeps<S: Storage + ?Sized>(storage: &S) {
    let mut tenant = Tenant::open(storage, "shop").await;
    for _ in 0..5 {
        tenant.store(storage).unwrap();
    }
    tenant.told(5).await;
    assert_eq!(
        storage.durable_frame_no(&tenant.namespace, None).await.unwrap(),
        Durable::Until(frame_no(10))
    );
    tenant.check_states(storage).await;
    let listed = storage.list_segments(&tenant.namespace, None, None).try_collect::<Vec<_>>().await.unwrap();
    let found =
        storage.find_segment(&tenant.namespace, FindSegment::Containing(frame_no(10)), None).await.unwrap();
    assert_eq!(found, listed[0].key);
    let data = storage.fetch_segment_data(&tenant.namespace, &found, None).await.unwrap();
    let index = storage.fetch_segment_index(&tenant.namespace, &found, None).await.unwrap();
    assert_eq!(data.index().frames(), index.frames());
    drop(storage.subscribe(&tenant.namespace).unwrap());
    assert!(storage.shutdown(Duration::from_secs(5)).await.is_empty());
}

/// Every call with this configuration is refused as `Invalid`, before anything happens.
async fn refuses_everywhere<S: Storage + ?Sized>(storage: &S, wrong: S::Config) {
    let mut tenant = Tenant::open(storage, "shop").await;
    let (namespace, wrong) = (tenant.namespace.clone(), Some(&wrong));
    let key =
        SegmentKey::new(tenant.head.epoch, frame_no(1), frame_no(1), tenant.head.time_floor, 0).unwrap();
    tenant.commit(1);
    let segment = tenant.seal();
    let errors = [
        storage.open(&namespace, PageSize::MIN, wrong).await.unwrap_err(),
        storage.store(&namespace, segment, wrong.cloned(), tenant.note()).unwrap_err(),
        storage.durable_frame_no(&namespace, wrong).await.unwrap_err(),
        storage
            .restore(&mut MemoryTarget::default(), &namespace, RestorePoint::Latest, wrong)
            .await
            .unwrap_err(),
        storage.find_segment(&namespace, FindSegment::Containing(frame_no(1)), wrong).await.unwrap_err(),
        storage.fetch_segment_index(&namespace, &key, wrong).await.unwrap_err(),
        storage.fetch_segment_data(&namespace, &key, wrong).await.unwrap_err(),
        storage.list_segments(&namespace, None, wrong).try_collect::<Vec<_>>().await.unwrap_err(),
    ];
    for error in errors {
        let about_it = matches!(&error, Error::Invalid { what, .. } if what.contains("configuration"));
        assert!(about_it, "{error}");
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((tenant.told_count(), tenant.head.epoch.get()), (0, 1), "nothing was taken");
}

#[tokio::test(start_paused = true)]
async fn either_is_the_storage_it_holds() {
    keeps(&Either::<_, NoStorage>::Left(in_memory())).await;
    keeps(&Either::<NoStorage, _>::Right(in_memory())).await;
    keeps(&test_storage::keeping(Memory::new(), handles(2000, 1).0).unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn a_configuration_for_the_other_side_is_refused_by_every_call() {
    refuses_everywhere(&Either::<_, NoStorage>::Left(in_memory()), Either::Right(())).await;
    refuses_everywhere(&Either::<NoStorage, _>::Right(in_memory()), Either::Left(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_storage_without_its_type_is_the_same_storage() {
    let storage: DynStorage = Erased::shared_storage(in_memory());
    keeps(&*storage).await;
    keeps(&Erased::shared_storage(in_memory())).await;
    let right = AnyConfig::new(MemoryConfig::default());
    let storage = Erased::shared_storage(in_memory());
    assert!(storage.open(&"shop".parse().unwrap(), PageSize::MIN, Some(&right)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_configuration_of_another_type_is_refused_by_every_call() {
    refuses_everywhere(&*Erased::shared_storage(in_memory()), AnyConfig::new(7_u8)).await;
}

#[tokio::test(start_paused = true)]
async fn no_storage_is_unbounded_and_reads_nothing() {
    let storage = NoStorage::default();
    let mut tenant = Tenant::open(&storage, "shop").await;
    for _ in 0..10 {
        tenant.store(&storage).unwrap();
    }
    tenant.told(10).await;
    assert!(tenant.durable().is_sorted(), "callbacks in order");
    let durable = storage.durable_frame_no(&tenant.namespace, None).await.unwrap();
    assert!(durable == Durable::Unbounded && durable.covers(walkeep::core::FrameNo::MAX));
    let mut target = MemoryTarget::default();
    let key =
        SegmentKey::new(tenant.head.epoch, frame_no(1), frame_no(1), tenant.head.time_floor, 0).unwrap();
    let namespace = &tenant.namespace;
    let errors = [
        storage.restore(&mut target, namespace, RestorePoint::Latest, None).await.unwrap_err(),
        storage.find_segment(namespace, FindSegment::Containing(frame_no(1)), None).await.unwrap_err(),
        storage.fetch_segment_index(namespace, &key, None).await.unwrap_err(),
        storage.fetch_segment_data(namespace, &key, None).await.unwrap_err(),
        storage.list_segments(namespace, None, None).try_collect::<Vec<_>>().await.unwrap_err(),
        storage.subscribe(namespace).map(drop).unwrap_err(),
    ];
    assert!(errors.iter().all(|error| matches!(error, Error::Invalid { .. })), "{errors:?}");
}

#[tokio::test(start_paused = true)]
async fn a_forgetting_storage_says_how_far_it_would_be() {
    let storage = test_storage::forgetting();
    let mut tenant = Tenant::open(&storage, "shop").await;
    for _ in 0..3 {
        tenant.store(&storage).unwrap();
    }
    tenant.told(3).await;
    assert_eq!(storage.durable_frame_no(&tenant.namespace, None).await.unwrap(), Durable::Until(frame_no(6)));
    let mut target = MemoryTarget::default();
    assert!(storage.restore(&mut target, &tenant.namespace, RestorePoint::Latest, None).await.is_err());
}
