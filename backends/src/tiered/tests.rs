//! Tiered stores in memory: what is a segment, and when it is shipped.

use futures::TryStreamExt;
use walkeep_core::{Clock, conformance};

use super::*;
use crate::faulty::Faults;
use crate::memory::MemoryConfig;
use crate::os::OsDirectory;
use crate::{Faulty, Memory};

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
        let config = |bucket: &str| MemoryConfig { bucket: bucket.into() };
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

#[tokio::test]
async fn what_the_local_store_has_besides_segments_is_neither_read_nor_listed() {
    let tiered = tiered(TieredAck::Both);
    for name in ["namespaces/a/manifest/1", "namespaces/a/other"] {
        tiered.local().put_new(None, &path(name), vec![1].into()).await.unwrap();
        let got = tiered.get(None, &path(name), ByteRange::Full).await;
        assert!(matches!(got, Err(Error::NotFound { .. })), "{name}: {got:?}");
    }
    tiered.local().put_new(None, &path("namespaces/a/segments/1"), vec![1].into()).await.unwrap();
    for folder in ["namespaces", "namespaces/a"] {
        let listed = tiered.list(None, &path(folder), None, 1).try_collect::<Vec<_>>().await.unwrap();
        assert_eq!(
            listed.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(),
            ["namespaces/a/segments/1"]
        );
    }
}

/// What the local store cannot read the remote one may have.
#[tokio::test]
async fn a_segment_that_cannot_be_read_here_is_read_there() {
    let broken = Faults { fail_before: 1.0, ..Faults::default() };
    let local = Faulty::new(Memory::new(), broken, 1).unwrap();
    let options = TieredOptions::new(TieredAck::Both);
    let tiered = Tiered::new(Arc::new(local), Arc::new(Memory::new()), options).unwrap();
    let [one, other] = [1, 2].map(|n| path(&format!("namespaces/a/segments/{n}")));
    tiered.remote().put_new(None, &one, vec![7; 3].into()).await.unwrap();
    assert_eq!(tiered.get(None, &one, ByteRange::Full).await.unwrap(), vec![7; 3]);
    assert_eq!(tiered.status().fallen_back, 1);
    // What is not there may be here.
    let got = tiered.get(None, &other, ByteRange::Full).await;
    assert!(matches!(got, Err(Error::Unavailable { .. })), "{got:?}");
}

#[tokio::test]
async fn listings_tell_of_segments_that_differ_in_size() {
    let tiered = tiered(TieredAck::Both);
    let name = path("namespaces/a/segments/1");
    tiered.local().put_new(None, &name, vec![1; 3].into()).await.unwrap();
    tiered.remote().put_new(None, &name, vec![1; 4].into()).await.unwrap();
    let folder = path("namespaces/a/segments");
    assert_eq!(tiered.list(None, &folder, None, 9).try_collect::<Vec<_>>().await.unwrap().len(), 1);
    assert_eq!(tiered.status().conflicts_total, 1);
}

/// The cache is of one place: calls that name another one have other objects under the same names.
#[tokio::test]
async fn objects_of_another_place_are_not_read_from_the_cache() {
    #[derive(Debug)]
    struct Stopped;
    impl Clock for Stopped {
        fn now(&self) -> UnixMillis {
            UnixMillis(5)
        }
    }
    let root = tempfile::tempdir().unwrap();
    let directory = Arc::new(OsDirectory::open(root.path()).unwrap());
    let cache = CacheOptions { directory, store: "s3://b".into(), bytes_max: 1 << 20 };
    let options = TieredOptions::new(TieredAck::Both).with_cache(cache);
    let remote = Arc::new(Memory::with_clock(Arc::new(Stopped)));
    let tiered = Tiered::new(Arc::new(Memory::new()), Arc::clone(&remote), options).unwrap();
    let name = path("namespaces/a/segments/1");
    let places = [None, Some("a"), Some("b")]
        .map(|bucket| bucket.map(|bucket| MemoryConfig { bucket: bucket.into() }));
    for (byte, place) in (1..).zip(&places) {
        remote.put_new(place.as_ref(), &name, vec![byte; 9].into()).await.unwrap();
    }
    for _ in 0..4 {
        for (byte, place) in (1..).zip(&places) {
            let config = place.clone().map(|remote| (MemoryConfig::default(), remote));
            let folder = path("namespaces/a/segments");
            tiered.list(config.as_ref(), &folder, None, 9).try_collect::<Vec<_>>().await.unwrap();
            let got = tiered.get(config.as_ref(), &name, ByteRange::Full).await.unwrap();
            assert_eq!(got, vec![byte; 9], "{place:?}");
        }
    }
    assert!(tiered.cache_status().unwrap().hits > 0);
}

/// A segment counts as stored when both stores have it, and the same one.
#[tokio::test]
async fn a_segment_of_which_the_local_store_has_another_one_is_not_stored() {
    let tiered = tiered(TieredAck::Both);
    let name = path("namespaces/a/segments/1");
    tiered.local().put_new(None, &name, vec![9; 3].into()).await.unwrap();
    let put = tiered.put_new(None, &name, vec![1; 3].into()).await;
    assert!(matches!(put, Err(Error::Corrupt(_))), "{put:?}");
    assert_eq!(tiered.status().conflicts_total, 1);
}
