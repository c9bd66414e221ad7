//! Mirrors of stores in memory: what is copied, what is reported, and what is read.

use std::time::Duration;

use futures::TryStreamExt;

use super::*;
use crate::Memory;

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

fn mirror(ack: MirrorAck) -> Mirror<Memory, Memory> {
    Mirror::new(Arc::new(Memory::new()), Arc::new(Memory::new()), MirrorOptions::new(ack).unwrap())
}

async fn settled<A: Backend, B: Backend>(mirror: &Mirror<A, B>) {
    for _ in 0..1000 {
        if mirror.status().is_caught_up() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", mirror.status());
}

#[tokio::test]
async fn it_conforms() {
    for ack in [MirrorAck::Both, MirrorAck::First] {
        let mirror = mirror(ack);
        walkeep_core::conformance::everything(&mirror, None).await;
        let config = |bucket: &str| crate::memory::MemoryConfig { bucket: bucket.into() };
        walkeep_core::conformance::everything(&mirror, Some(&(config("a"), config("b")))).await;
        settled(&mirror).await;
        assert_eq!(mirror.first().objects(), mirror.second().objects());
        assert_eq!(mirror.status().conflicts, []);
    }
}

#[tokio::test]
async fn what_the_second_store_lacks_is_copied_when_it_is_written_to() {
    let first = Memory::new();
    for n in 0..100 {
        first
            .put_new(None, &path(&format!("namespaces/a/segments/{n:03}")), vec![n; 10].into())
            .await
            .unwrap();
    }
    first.put_new(None, &path("namespaces/a/manifest/1"), vec![1].into()).await.unwrap();
    let options = MirrorOptions::new(MirrorAck::First).unwrap();
    let mirror = Mirror::new(Arc::new(first), Arc::new(Memory::new()), options);
    mirror.get(None, &path("namespaces/a/manifest/1"), ByteRange::Full).await.unwrap();
    assert!(mirror.second().objects().is_empty(), "reading copies nothing");
    mirror.put_new(None, &path("namespaces/b/manifest/1"), vec![2].into()).await.unwrap();
    settled(&mirror).await;
    assert_eq!(mirror.first().objects(), mirror.second().objects());
    assert_eq!((mirror.status().copied, mirror.status().copied_bytes), (102, 1002));
}

#[tokio::test]
async fn an_object_that_differs_is_reported_and_stays() {
    let mirror = mirror(MirrorAck::Both);
    mirror.second().put_new(None, &path("namespaces/a/manifest/1"), vec![9; 3].into()).await.unwrap();
    let put = mirror.put_new(None, &path("namespaces/a/manifest/1"), vec![1; 3].into()).await;
    assert!(matches!(put, Err(Error::Corrupt(_))), "{put:?}");
    let conflicts = mirror.status().conflicts;
    assert_eq!(conflicts.len(), 1);
    assert!(conflicts[0].why.contains("second store"), "{conflicts:?}");
    let read = mirror.get(None, &path("namespaces/a/manifest/1"), ByteRange::Full).await.unwrap();
    assert_eq!(read, vec![1; 3], "the first one decides");
    assert_eq!(mirror.second().objects()[&path("namespaces/a/manifest/1")], vec![9; 3]);
}

/// Whoever is told that an object exists takes it for stored, and reads on: it must survive the loss of the first store.
#[tokio::test]
async fn what_is_said_to_exist_is_in_both() {
    let mirror = mirror(MirrorAck::Both);
    let name = path("namespaces/a/manifest/1");
    mirror.first().put_new(None, &name, vec![1; 3].into()).await.unwrap();
    let put = mirror.put_new(None, &name, vec![2; 3].into()).await;
    assert!(matches!(put, Err(Error::AlreadyExists { .. })), "{put:?}");
    assert_eq!(
        mirror.second().objects()[&name],
        vec![1; 3],
        "at once, and not when the background comes to it"
    );
}

#[tokio::test]
async fn a_listing_reports_an_object_that_has_two_lengths() {
    let mirror = mirror(MirrorAck::Both);
    let name = path("namespaces/a/segments/1");
    mirror.first().put_new(None, &name, vec![1; 3].into()).await.unwrap();
    mirror.second().put_new(None, &name, vec![1; 4].into()).await.unwrap();
    let folder = path("namespaces/a");
    let listed = mirror.list(None, &folder, None, 9).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!((listed.len(), listed[0].size), (1, 3), "the first one decides");
    let conflicts = mirror.status().conflicts;
    assert!(conflicts[0].why.contains("3 bytes in the first store, 4 in the second"), "{conflicts:?}");
}

#[tokio::test]
async fn reads_fall_back_and_listings_are_of_both() {
    let mirror = mirror(MirrorAck::Both);
    for name in ["namespaces/a/segments/1", "namespaces/a/segments/2"] {
        mirror.put_new(None, &path(name), vec![7].into()).await.unwrap();
    }
    mirror.first().delete(None, &[path("namespaces/a/segments/1")]).await.unwrap();
    let read = mirror.get(None, &path("namespaces/a/segments/1"), ByteRange::Full).await.unwrap();
    assert_eq!((read, mirror.status().fallen_back), (vec![7].into(), 1));
    let prefix = path("namespaces/a");
    let listed = mirror.list(None, &prefix, None, 9).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(listed.len(), 2);
    mirror.delete(None, &[path("namespaces/a/segments/1")]).await.unwrap();
    assert_eq!(mirror.list(None, &prefix, None, 9).try_collect::<Vec<_>>().await.unwrap().len(), 1);
}
