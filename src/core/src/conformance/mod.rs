//! What every [`Backend`] must do, as plain async functions that panic where one does not; and in [`catalog`] what every
//! [`Catalog`](crate::Catalog) must do.
//!
//! Run [`everything`] in a test of your backend, over an empty store. Each function uses names of its own, so that
//! they can also be run one by one.
//!
//! Not here: durability, which only a crash can show.

pub mod catalog;

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future};

use crate::backend::{Backend, ByteRange, ObjectMeta};
use crate::body::{Body, BodySource};
use crate::error::Error;
use crate::object_path::ObjectPath;

/// Runs the whole suite.
///
/// # Panics
///
/// Where the backend does not conform.
pub async fn everything<B: Backend>(backend: &B, config: Option<&B::Config>) {
    objects_read_back_in_every_range(backend, config).await;
    large_bodies_read_back(backend, config).await;
    objects_are_created_once(backend, config).await;
    one_of_many_concurrent_creates_wins(backend, config).await;
    listings_are_in_key_order(backend, config).await;
    listings_begin_behind_a_key_and_end_at_a_limit(backend, config).await;
    listings_stay_below_their_prefix(backend, config).await;
    directories_are_listed_once_and_in_order(backend, config).await;
    deleted_objects_are_gone_and_may_be_deleted_again(backend, config).await;
}

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap_or_else(|error| panic!("{error}"))
}

async fn put<B: Backend>(backend: &B, config: Option<&B::Config>, name: &str, content: &[u8]) {
    let body = Body::Bytes(Bytes::copy_from_slice(content));
    backend.put_new(config, &path(name), body).await.unwrap_or_else(|error| panic!("put {name}: {error}"));
}

async fn get<B: Backend>(backend: &B, config: Option<&B::Config>, name: &str, range: ByteRange) -> Bytes {
    backend.get(config, &path(name), range).await.unwrap_or_else(|error| panic!("get {name}: {error}"))
}

async fn list<B: Backend>(
    backend: &B,
    config: Option<&B::Config>,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Vec<ObjectMeta> {
    let (prefix, after) = (path(prefix), after.map(path));
    let listing = backend.list(config, &prefix, after.as_ref(), limit);
    listing.try_collect().await.unwrap_or_else(|error| panic!("list {prefix}: {error}"))
}

fn names(listing: &[ObjectMeta]) -> Vec<&str> {
    listing.iter().map(|object| object.path.as_str()).collect()
}

/// Objects read back, whole and in every kind of range, also beyond their end; missing ones are `NotFound`.
///
/// # Panics
///
/// Where the backend does not conform.
pub async fn objects_read_back_in_every_range<B: Backend>(backend: &B, config: Option<&B::Config>) {
    put(backend, config, "ranges/ten", b"0123456789").await;
    put(backend, config, "ranges/empty", b"").await;
    for (range, expected) in [
        (ByteRange::Full, &b"0123456789"[..]),
        (ByteRange::Bounded(2..5), b"234"),
        (ByteRange::Bounded(8..20), b"89"),
        (ByteRange::From(7), b"789"),
        (ByteRange::Suffix(4), b"6789"),
        (ByteRange::Suffix(40), b"0123456789"),
    ] {
        assert_eq!(get(backend, config, "ranges/ten", range.clone()).await, expected, "{range:?}");
    }
    assert!(get(backend, config, "ranges/empty", ByteRange::Full).await.is_empty());
    let missing = backend.get(config, &path("ranges/missing"), ByteRange::Full).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
}

#[derive(Debug)]
struct Pattern(u64);

impl Pattern {
    fn byte(offset: u64) -> u8 {
        offset.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[7]
    }
}

impl BodySource for Pattern {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        if offset + bytes.len() as u64 > self.0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = Self::byte(offset + i as u64);
        }
        Ok(())
    }
}

/// Bodies that are read from a source, longer than any buffer, arrive whole.
///
/// # Panics
///
/// Where the backend does not conform.
pub async fn large_bodies_read_back<B: Backend>(backend: &B, config: Option<&B::Config>) {
    const LEN: u64 = (20 << 20) + 12_345;
    let body = Body::Source(Arc::new(Pattern(LEN)));
    backend.put_new(config, &path("large/body"), body).await.unwrap_or_else(|error| panic!("{error}"));
    let whole = get(backend, config, "large/body", ByteRange::Full).await;
    assert_eq!(whole.len() as u64, LEN);
    assert!(whole.iter().enumerate().all(|(i, byte)| *byte == Pattern::byte(i as u64)), "content differs");
    let objects = list(backend, config, "large", None, usize::MAX).await;
    let objects = objects.into_iter().map(|object| (object.path, object.size)).collect::<Vec<_>>();
    assert_eq!(objects, [(path("large/body"), LEN)]);
}

/// A second object of one name is refused, and the first one stays as it is.
///
/// # Panics
///
/// Where the backend does not conform.
pub async fn objects_are_created_once<B: Backend>(backend: &B, config: Option<&B::Config>) {
    put(backend, config, "once/a", b"first").await;
    let second = backend.put_new(config, &path("once/a"), Body::from(b"second".to_vec())).await;
    assert!(matches!(second, Err(Error::AlreadyExists { .. })), "{second:?}");
    assert_eq!(get(backend, config, "once/a", ByteRange::Full).await, &b"first"[..]);
}

/// Of many creates of one name at the same time at most one wins, and the content of one is what is read: the winner's,
/// if a reply named one. (The reply to the winner may be lost, and the backend's own repetition of that call meets what it
/// created: then all are answered with *exists*. That may not happen each time.)
///
/// # Panics
///
/// Where the backend does not conform.
pub async fn one_of_many_concurrent_creates_wins<B: Backend>(backend: &B, config: Option<&B::Config>) {
    let mut won = 0;
    for round in 0..8 {
        let name = path(&format!("race/{round}"));
        let attempts = (0..8_u8).map(|i| backend.put_new(config, &name, Body::from(vec![i; 10_000])));
        let outcomes = future::join_all(attempts).await;
        let winners = outcomes.iter().enumerate().filter(|(_, outcome)| outcome.is_ok()).collect::<Vec<_>>();
        assert!(winners.len() <= 1, "{} of 8 creates won", winners.len());
        let winner = winners.first().map(|(winner, _)| *winner);
        won += winners.len();
        for outcome in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert!(matches!(outcome, Error::AlreadyExists { .. }), "{outcome:?}");
        }
        let content = get(backend, config, name.as_str(), ByteRange::Full).await;
        let written = usize::from(content.first().copied().unwrap_or(u8::MAX));
        assert_eq!(content.len(), 10_000, "the content is not whole");
        assert!(
            content.iter().all(|byte| usize::from(*byte) == written),
            "the content is of several creates"
        );
        assert!(winner.is_none_or(|winner| winner == written), "the content is not the winner's");
    }
    assert!(won > 0, "none of 64 creates was told that it won");
}

/// Listings come in the byte order of whole keys.
///
/// # Panics
///
/// Where the backend does not conform.
pub async fn listings_are_in_key_order<B: Backend>(backend: &B, config: Option<&B::Config>) {
    let mut keys = (0..40).map(|n| format!("order/{:03}", n * 7919 % 997)).collect::<Vec<_>>();
    for key in &keys {
        put(backend, config, key, b"x").await;
    }
    keys.sort();
    assert_eq!(names(&list(backend, config, "order", None, usize::MAX).await), keys);
}

/// Listings begin strictly behind a key, which need not exist, and hold no more objects than asked for.
///
/// # Panics
///
/// Where the backend does not conform.
pub async fn listings_begin_behind_a_key_and_end_at_a_limit<B: Backend>(
    backend: &B,
    config: Option<&B::Config>,
) {
    for n in [1, 3, 5, 7, 9] {
        put(backend, config, &format!("after/{n}"), b"x").await;
    }
    let objects = list(backend, config, "after", Some("after/3"), usize::MAX).await;
    assert_eq!(names(&objects), ["after/5", "after/7", "after/9"]);
    let objects = list(backend, config, "after", Some("after/4"), 2).await;
    assert_eq!(names(&objects), ["after/5", "after/7"]);
    assert_eq!(names(&list(backend, config, "after", None, 1).await), ["after/1"]);
    assert!(list(backend, config, "after", Some("after/9"), 5).await.is_empty());
    assert!(list(backend, config, "after", None, 0).await.is_empty());
}

/// A listing holds what lies below its prefix, at any depth, and nothing whose name merely begins like it.
///
/// # Panics
///
/// Where the backend does not conform.
pub async fn listings_stay_below_their_prefix<B: Backend>(backend: &B, config: Option<&B::Config>) {
    for key in ["below/a/1", "below/a/b/2", "below/ab/3"] {
        put(backend, config, key, b"x").await;
    }
    assert_eq!(
        names(&list(backend, config, "below/a", None, usize::MAX).await),
        ["below/a/1", "below/a/b/2"]
    );
    assert!(list(backend, config, "below/missing", None, usize::MAX).await.is_empty());
}

/// Directories are listed once each, in order of `{name}/`, behind a name and up to a limit.
///
/// # Panics
///
/// Where the backend does not conform.
pub async fn directories_are_listed_once_and_in_order<B: Backend>(backend: &B, config: Option<&B::Config>) {
    for key in ["dirs/b/1", "dirs/b/x/2", "dirs/a/1", "dirs/a-b/1", "dirs/file", "dirs/c/y/3"] {
        put(backend, config, key, b"x").await;
    }
    let prefix = path("dirs");
    let listed = async |after: Option<&str>, limit: usize| {
        let stream = backend.list_directories(config, &prefix, after, limit);
        stream.map(|name| name.unwrap_or_else(|error| panic!("{error}"))).collect::<Vec<_>>().await
    };
    assert_eq!(listed(None, usize::MAX).await, ["a-b", "a", "b", "c"]);
    assert_eq!(listed(Some("a"), usize::MAX).await, ["b", "c"]);
    assert_eq!(listed(Some("a-b"), 2).await, ["a", "b"]);
    backend.delete(config, &[path("dirs/c/y/3")]).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(listed(Some("b"), usize::MAX).await, Vec::<String>::new());
}

/// Deleted objects are gone from reads and listings; deleting what is not there is done already.
///
/// # Panics
///
/// Where the backend does not conform.
pub async fn deleted_objects_are_gone_and_may_be_deleted_again<B: Backend>(
    backend: &B,
    config: Option<&B::Config>,
) {
    for key in ["gone/1", "gone/2", "gone/3"] {
        put(backend, config, key, b"x").await;
    }
    for _ in 0..2 {
        let paths = [path("gone/1"), path("gone/3")];
        backend.delete(config, &paths).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(names(&list(backend, config, "gone", None, usize::MAX).await), ["gone/2"]);
        let read = backend.get(config, &path("gone/1"), ByteRange::Full).await;
        assert!(matches!(read, Err(Error::NotFound { .. })), "{read:?}");
    }
    put(backend, config, "gone/1", b"again").await;
    assert_eq!(get(backend, config, "gone/1", ByteRange::Full).await, &b"again"[..]);
}
