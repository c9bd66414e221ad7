//! The storage that a server embeds, on a real server that speaks S3 (see [`walkeep_tests::s3`]).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use walkeep::backends::{Metered, Object};
use walkeep::core::{Error, PageSize, Storage};
use walkeep::storage::{AsyncStorage, StorageOptions};
use walkeep::verify::verify;
use walkeep::{Bucket, Handles};
use walkeep_tests::recorded::frame_no;
use walkeep_tests::s3::S3;
use walkeep_tests::tenant::Tenant;

const SOON: Duration = Duration::from_secs(60);

type Backend = Arc<Metered<Object>>;

fn storage(backend: &Backend, batch_bytes_max: u64) -> AsyncStorage<Metered<Object>> {
    let options = StorageOptions { batch_bytes_max, ..StorageOptions::default() };
    AsyncStorage::new(Arc::clone(backend), options, Handles::system()).unwrap()
}

fn backend(store: &str) -> Backend {
    Arc::new(Metered::new(S3::fenced().backend(store)))
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tenants_store_and_restore_every_commit() {
    let backend = backend("tenants");
    let storage = storage(&backend, 8 << 20);
    let mut tenants = Vec::new();
    for number in 0..5 {
        tenants.push(Tenant::open(&storage, &format!("tenant-{number}")).await);
    }
    for _ in 0..20 {
        for tenant in &mut tenants {
            tenant.store(&storage).unwrap();
        }
    }
    assert!(storage.shutdown(SOON).await.is_empty());
    let bucket = Bucket::new(Arc::clone(&backend), None).unwrap();
    for tenant in &tenants {
        assert_eq!(tenant.durable().len(), 20);
        tenant.check_states(&storage).await;
        let report = verify(&bucket, &tenant.namespace, true).await.unwrap();
        assert!(report.problems.is_empty(), "{:?}", report.problems);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_takes_one_put_and_one_get_and_no_listing() {
    let backend = backend("requests");
    let storage = storage(&backend, 0);
    let mut tenant = Tenant::open(&storage, "shop").await;
    let before = backend.requests();
    for count in 1..=10 {
        tenant.store(&storage).unwrap();
        tokio::time::timeout(SOON, tenant.told(count)).await.unwrap();
    }
    let now = backend.requests();
    assert_eq!((now.puts - before.puts, now.gets - before.gets, now.lists - before.lists), (10, 10, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_takes_over_and_the_first_is_told() {
    let backend = backend("takeover");
    let (old, new) = (storage(&backend, 0), storage(&backend, 0));
    let mut tenant = Tenant::open(&old, "shop").await;
    let subscription = old.subscribe(&tenant.namespace).unwrap();
    tenant.store(&old).unwrap();
    tokio::time::timeout(SOON, tenant.told(1)).await.unwrap();
    let head = new.open(&tenant.namespace, PageSize::MIN, None).await.unwrap();
    assert_eq!((head.durable.unwrap().frame_no, head.epoch.get()), (frame_no(2), 2));
    tenant.store(&old).unwrap();
    tokio::time::timeout(SOON, tenant.told(2)).await.unwrap();
    assert!(matches!(tenant.outcomes()[1], Err(Error::Fenced { .. })), "{:?}", tenant.outcomes());
    assert_eq!(subscription.collect::<Vec<_>>().await, [frame_no(2)]);
    tenant.states.pop();
    tenant.check_states(&new).await;
}
