//! The `object` backend on a real server that speaks S3.
//!
//! Which one, the environment says: `WALKEEP_TEST_S3_ENDPOINT`, `_BUCKET`, `_ACCESS_KEY`, `_SECRET_KEY`. Without them
//! these tests fail; `tests/with-s3` starts a server and sets them. Every test uses a prefix of its own.
#![expect(clippy::unwrap_used, reason = "in test code a panic is a failed test")]

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use walkeep_backends::Object;
use walkeep_backends::object::{Credentials, ObjectConfig, ObjectLocation, Secret, Service};
use walkeep_backends::os::SystemRandom;
use walkeep_core::{Backend, Body, BodySource, ByteRange, Error, ObjectPath, Random, Result};

const SECRET_CANARY: &str = "canary-5f1d-secret";

fn variable(name: &str) -> String {
    let name = format!("WALKEEP_TEST_S3_{name}");
    std::env::var(&name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `tests/with-s3 cargo test ...`, or set it for a server of your own")
    })
}

fn location(prefix: &str) -> ObjectLocation {
    let mut run = [0; 8];
    SystemRandom.fill(&mut run).unwrap();
    let prefix = format!("walkeep-test-{:016x}/{prefix}", u64::from_le_bytes(run));
    ObjectLocation {
        prefix: Some(path(&prefix)),
        endpoint: Some(variable("ENDPOINT")),
        allow_http: true,
        ..ObjectLocation::new(Service::S3, variable("BUCKET")).unwrap()
    }
}

fn credentials() -> Credentials {
    Credentials::access_key(variable("ACCESS_KEY"), Secret::new(variable("SECRET_KEY")))
}

fn open(prefix: &str) -> Object {
    Object::new(ObjectConfig::open(&location(prefix), &credentials()).unwrap())
}

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

async fn put_all(object: &Object, keys: &[String]) {
    let puts = stream::iter(keys).map(|key| async move {
        object.put_new(None, &path(key), Body::from(key.as_bytes().to_vec())).await
    });
    puts.buffer_unordered(16).try_collect::<()>().await.unwrap();
}

async fn names(object: &Object, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let (prefix, after) = (path(prefix), after.map(path));
    let listing = object.list(None, &prefix, after.as_ref(), limit);
    listing.map_ok(|found| found.path.to_string()).try_collect().await.unwrap()
}

async fn folders(object: &Object, after: Option<&str>, limit: usize) -> Vec<String> {
    let prefix = path("d");
    object.list_directories(None, &prefix, after, limit).try_collect().await.unwrap()
}

#[tokio::test]
async fn it_conforms() {
    let object = open("conformance");
    walkeep_core::conformance::everything(&object, None).await;
    let tenant = ObjectConfig::open(&location("tenant"), &credentials()).unwrap();
    walkeep_core::conformance::everything(&object, Some(&tenant)).await;
}

#[tokio::test]
async fn empty_objects_and_empty_ranges_are_read() {
    let object = open("empty");
    object.put_new(None, &path("a/none"), Body::from(Vec::new())).await.unwrap();
    object.put_new(None, &path("a/ten"), Body::from(b"0123456789".to_vec())).await.unwrap();
    for (name, range) in [
        ("a/none", ByteRange::Full),
        ("a/none", ByteRange::Suffix(4)),
        ("a/none", ByteRange::From(0)),
        ("a/none", ByteRange::Bounded(0..4)),
        ("a/ten", ByteRange::Suffix(0)),
        ("a/ten", ByteRange::From(10)),
        ("a/ten", ByteRange::From(11)),
        ("a/ten", ByteRange::Bounded(3..3)),
        ("a/ten", ByteRange::Bounded(10..20)),
        ("a/ten", ByteRange::Bounded(12..20)),
    ] {
        let bytes = object.get(None, &path(name), range.clone()).await.unwrap();
        assert!(bytes.is_empty(), "{name} {range:?}: {bytes:?}");
    }
    let missing = object.get(None, &path("a/missing"), ByteRange::Suffix(0)).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
}

/// A server that lists folder by folder has `a/` before `a-b`, although `-` sorts before `/`.
#[tokio::test]
async fn folders_beside_names_that_begin_like_them_are_in_key_order() {
    let object = open("order");
    let keys =
        ["d/a/1", "d/a/2", "d/a-b/1", "d/a-b-c/1", "d/a.b", "d/ab/1", "d/a0/1", "d/b/1", "d/z", "d/a-/1"];
    let mut keys = keys.map(String::from);
    put_all(&object, &keys).await;
    keys.sort();
    assert_eq!(names(&object, "d", None, usize::MAX).await, keys);

    let mut sorted = ["a/", "a-b/", "a-b-c/", "ab/", "a0/", "b/", "a-/"];
    sorted.sort_unstable();
    let sorted = sorted.map(|name| name.trim_end_matches('/'));
    for limit in 0..=sorted.len() {
        let expected = &sorted[..limit];
        assert_eq!(folders(&object, None, limit).await, expected, "limit {limit}");
        for (nth, after) in sorted.iter().enumerate() {
            let rest = &sorted[nth + 1..];
            let expected = &rest[..limit.min(rest.len())];
            assert_eq!(folders(&object, Some(after), limit).await, expected, "after {after}, limit {limit}");
        }
    }
}

/// The shape of Walkeep's own folders: no folders in them, and '-' in every name.
#[tokio::test]
async fn many_objects_are_listed_in_pages_and_deleted_together() {
    let object = open("many");
    let mut keys = (0..1_100).map(|n| format!("d/{:010}-{:05}", 7, n * 7919 % 1_103)).collect::<Vec<_>>();
    put_all(&object, &keys).await;
    keys.sort();
    assert_eq!(names(&object, "d", None, usize::MAX).await, keys);
    assert_eq!(names(&object, "d", None, 1_050).await, keys[..1_050]);
    for at in [0, 1, 500, 1_098, 1_099] {
        assert_eq!(names(&object, "d", Some(&keys[at]), usize::MAX).await, keys[at + 1..], "after {at}");
        let few = &keys[at + 1..(at + 3).min(keys.len())];
        assert_eq!(names(&object, "d", Some(&keys[at]), 2).await, few, "two after {at}");
    }
    assert_eq!(names(&object, "d", Some("c/x"), 1).await, keys[..1]);
    assert_eq!(names(&object, "d", Some("e"), 1).await, Vec::<String>::new());
    let paths = keys.iter().map(|key| path(key)).collect::<Vec<_>>();
    object.delete(None, &paths).await.unwrap();
    assert_eq!(names(&object, "d", None, usize::MAX).await, Vec::<String>::new());
    object.delete(None, &paths[..2]).await.unwrap();
}

#[derive(Debug)]
struct Numbers(u64);

impl BodySource for Numbers {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        for (at, byte) in (offset..).zip(bytes) {
            *byte = at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[7];
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_body_that_is_sent_in_parts_arrives_whole_and_once() {
    const LEN: u64 = (70 << 20) + 321;
    let object = open("parts");
    let numbers = Arc::new(Numbers(LEN));
    object.put_new(None, &path("a/large"), Body::Source(numbers.clone())).await.unwrap();
    let whole = object.get(None, &path("a/large"), ByteRange::Full).await.unwrap();
    let mut expected = vec![0; usize::try_from(LEN).unwrap()];
    numbers.read_exact_at(0, &mut expected).unwrap();
    assert!(whole == expected, "the content differs");
    let again = object.put_new(None, &path("a/large"), Body::Source(numbers)).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    object.delete(None, &[path("a/large")]).await.unwrap();
}

async fn every_call(object: &Object) -> Vec<Error> {
    let name = path("a/b");
    let prefix = path("a");
    fn error<T>(outcome: Result<T>) -> Error {
        outcome.err().expect("a call that fails")
    }
    vec![
        error(object.put_new(None, &name, Body::from(vec![1])).await),
        error(object.get(None, &name, ByteRange::Full).await),
        error(object.list(None, &prefix, None, 1).try_collect::<Vec<_>>().await),
        error(object.list_directories(None, &prefix, None, 1).try_collect::<Vec<_>>().await),
        error(object.delete(None, &[name]).await),
    ]
}

#[tokio::test]
async fn wrong_credentials_are_said_and_not_shown() {
    let wrong = [
        Credentials::access_key(variable("ACCESS_KEY"), Secret::new(SECRET_CANARY)),
        Credentials::access_key("no-such-key", Secret::new(SECRET_CANARY)),
    ];
    for credentials in wrong {
        let object = Object::new(ObjectConfig::open(&location("wrong"), &credentials).unwrap());
        assert!(!format!("{object:?} {credentials:?}").contains(SECRET_CANARY));
        for error in every_call(&object).await {
            assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
            let shown = format!("{error} {error:?}");
            assert!(
                shown.contains("the credentials were refused") && !shown.contains(SECRET_CANARY),
                "{shown}"
            );
        }
    }
}

/// Only reads: some servers create a bucket when something is written to it.
#[tokio::test]
async fn a_bucket_that_is_not_there_is_not_an_empty_store() {
    let mut name = [0; 4];
    SystemRandom.fill(&mut name).unwrap();
    let bucket = format!("walkeep-none-{:08x}", u32::from_le_bytes(name));
    let location = ObjectLocation { bucket, ..location("nowhere") };
    let object = Object::new(ObjectConfig::open(&location, &credentials()).unwrap());
    let prefix = path("a");
    for error in [
        object.get(None, &path("a/b"), ByteRange::Full).await.unwrap_err(),
        object.list(None, &prefix, None, 1).try_collect::<Vec<_>>().await.unwrap_err(),
        object.list_directories(None, &prefix, None, 1).try_collect::<Vec<_>>().await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert!(error.to_string().contains("there is no such bucket"), "{error}");
    }
}
