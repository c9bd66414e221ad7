//! Tiered stores in memory: what is a segment, and when it is shipped.

use walkeep_core::conformance;

use super::*;
use crate::Memory;

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

fn tiered(ack: TieredAck) -> Tiered<Memory, Memory> {
    Tiered::new(Arc::new(Memory::new()), Arc::new(Memory::new()), TieredOptions::new(ack)).unwrap()
}

#[test]
fn segments_are_told_from_everything_else() {
    for (name, segment) in [
        ("namespaces/a/segments/1", true),
        ("namespaces/a/segments/b/1", true),
        ("namespaces/a/segments", false),
        ("namespaces/segments/manifest/1.json", false),
        ("namespaces/segments/segments/1", true),
        ("namespaces/a/manifest/1.json", false),
        ("v2/a/segments/1", false),
    ] {
        assert_eq!(is_segment(&path(name)), segment, "{name}");
    }
    for (folder, holds) in [
        ("namespaces", true),
        ("namespaces/a", true),
        ("namespaces/a/segments", true),
        ("namespaces/a/segments/b", true),
        ("namespaces/a/manifest", false),
        ("v2", false),
    ] {
        assert_eq!(may_hold_segments(&path(folder)), holds, "{folder}");
    }
}

#[tokio::test]
async fn it_conforms_and_what_decides_is_remote_alone() {
    for ack in [TieredAck::Both, TieredAck::Local] {
        let tiered = tiered(ack);
        conformance::everything(&tiered, None).await;
        let config = |bucket: &str| crate::memory::MemoryConfig { bucket: bucket.into() };
        conformance::everything(&tiered, Some(&(config("a"), config("b")))).await;
        assert!(tiered.local().objects().is_empty());
    }
}

#[tokio::test]
async fn a_segment_that_is_said_to_exist_is_in_both() {
    let tiered = tiered(TieredAck::Both);
    let name = path("namespaces/a/segments/1");
    tiered.remote().put_new(None, &name, vec![1; 3].into()).await.unwrap();
    let put = tiered.put_new(None, &name, vec![2; 3].into()).await;
    assert!(matches!(put, Err(Error::AlreadyExists { .. })), "{put:?}");
    assert_eq!(tiered.local().objects()[&name], vec![1; 3]);
}

#[tokio::test]
async fn segments_are_shipped_before_a_manifest_is_created() {
    let tiered = tiered(TieredAck::Local);
    for n in 0..5 {
        tiered.put_new(None, &path(&format!("namespaces/a/segments/{n}")), vec![n].into()).await.unwrap();
    }
    tiered.put_new(None, &path("namespaces/a/manifest/1"), vec![9].into()).await.unwrap();
    assert_eq!((tiered.remote().objects().len(), tiered.local().objects().len()), (6, 5));
    assert!(tiered.status().is_caught_up());
}

#[tokio::test]
async fn a_segment_that_differs_from_the_remote_one_keeps_manifests_from_being_created() {
    let tiered = tiered(TieredAck::Local);
    tiered.remote().put_new(None, &path("namespaces/a/segments/1"), vec![9; 3].into()).await.unwrap();
    tiered.put_new(None, &path("namespaces/a/segments/1"), vec![1; 2].into()).await.unwrap();
    let put = tiered.put_new(None, &path("namespaces/a/manifest/1"), vec![9].into()).await;
    assert!(matches!(put, Err(Error::Corrupt(_))), "{put:?}");
    assert_eq!(tiered.status().conflicts_total, 1);
    tiered.put_new(None, &path("namespaces/b/manifest/1"), vec![9].into()).await.unwrap();
}
