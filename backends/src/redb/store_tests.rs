//! Sharded redb as a store: the conformance suite, chunks, commits of many, and what is in the wrong shard.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, future};
use walkeep_core::shards::{ShardCount, ShardLayout, ShardNo, ShardPurpose};
use walkeep_core::{Backend, Body, BodySource, ByteRange, Clock, Error, ObjectPath, UnixMillis, conformance};

use super::pack_tests::open;
use super::recent::Change;
use super::writing::Writing;
use super::{Redb, RedbConfig, ShardsOptions, Step, objects};
use crate::os::{SystemClock, SystemRandom};

fn count(count: u32) -> ShardCount {
    ShardCount::new(count).unwrap()
}

fn options(shards: u32) -> ShardsOptions {
    ShardsOptions {
        shards: Some(count(shards)),
        lock_wait: Duration::from_millis(30),
        ..ShardsOptions::new(ShardPurpose::Segments)
    }
}

fn in_memory(shards: u32) -> Redb {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Redb::new(RedbConfig::in_memory(count(shards), &clock, &SystemRandom).unwrap())
}

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

#[tokio::test]
async fn it_conforms_in_files_and_in_memory() {
    for shards in [1, 8] {
        let root = tempfile::tempdir().unwrap();
        let redb = Redb::new(RedbConfig::open(root.path(), &options(shards)).unwrap());
        conformance::everything(&redb, None).await;
        let other = RedbConfig::open(&root.path().join("other"), &options(shards)).unwrap();
        conformance::everything(&redb, Some(&other)).await;
        conformance::everything(&in_memory(shards), None).await;
    }
}

#[tokio::test]
async fn ranges_across_chunks_are_exact() {
    let redb = in_memory(1);
    let content =
        (0..50_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect::<Vec<_>>();
    let name = path("a/b/c");
    redb.put_new(None, &name, Body::from(content.clone())).await.unwrap();
    let chunk = 62 << 10;
    let edges = [0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 3 * chunk - 1, 3 * chunk, 199_999, 200_000];
    for start in edges {
        for end in edges.into_iter().filter(|end| *end >= start) {
            let got = redb.get(None, &name, ByteRange::Bounded(start as u64..end as u64)).await.unwrap();
            assert!(got == content[start..end], "{start}..{end}");
        }
    }
}

#[derive(Debug)]
struct Unreadable;

impl BodySource for Unreadable {
    fn len(&self) -> u64 {
        200_000
    }

    fn read_exact_at(&self, offset: u64, _: &mut [u8]) -> std::io::Result<()> {
        if offset > 100_000 { Err(std::io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_leaves_nothing_and_stops_nobody_else() {
    let redb = in_memory(1);
    let (bad, good) = (path("a/b/bad"), path("a/b/good"));
    let bad_put = redb.put_new(None, &bad, Body::Source(Arc::new(Unreadable)));
    let good_put = redb.put_new(None, &good, Body::from(b"x".to_vec()));
    let (bad_put, good_put) = future::join(bad_put, good_put).await;
    assert!(matches!(bad_put, Err(Error::Unavailable { .. })), "{bad_put:?}");
    good_put.unwrap();
    redb.put_new(None, &bad, Body::from(b"whole".to_vec())).await.unwrap();
    assert_eq!(redb.get(None, &bad, ByteRange::Full).await.unwrap(), &b"whole"[..]);
}

#[tokio::test]
async fn objects_are_as_old_as_the_clock_says() {
    #[derive(Debug)]
    struct At(u64);
    impl Clock for At {
        fn now(&self) -> UnixMillis {
            UnixMillis(self.0)
        }
    }
    let clock: Arc<dyn Clock> = Arc::new(At(4711));
    let redb = Redb::new(RedbConfig::in_memory(count(2), &clock, &SystemRandom).unwrap());
    redb.put_new(None, &path("a/b/c"), Body::from(b"x".to_vec())).await.unwrap();
    let prefix = path("a");
    let listed = redb.list(None, &prefix, None, 9).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(listed[0].modified.unwrap().get(), 4711);
}

#[tokio::test]
async fn long_listings_over_many_shards_are_in_order_and_stop_at_any_limit() {
    let redb = in_memory(8);
    let mut names =
        (0..3000).map(|n| format!("namespaces/t{:04}/x{}", n * 7919 % 3000, n % 3)).collect::<Vec<_>>();
    let puts = names.iter().map(|name| async {
        redb.put_new(None, &path(name), Body::from(b"x".to_vec())).await.unwrap();
    });
    future::join_all(puts).await;
    names.sort();
    let prefix = path("namespaces");
    let listed = |after: Option<ObjectPath>, limit: usize| {
        let (redb, prefix) = (&redb, &prefix);
        async move {
            let listing = redb.list(None, prefix, after.as_ref(), limit);
            listing.map(|object| object.unwrap().path.to_string()).collect::<Vec<_>>().await
        }
    };
    assert!(listed(None, usize::MAX).await == names);
    for limit in [1, 127, 128, 129, 1500] {
        assert!(listed(Some(path(&names[700])), limit).await == names[701..701 + limit]);
    }
    let folders = redb.list_directories(None, &prefix, Some("t1499"), 600);
    let folders = folders.map(|name| name.unwrap()).collect::<Vec<_>>().await;
    assert!(folders == (1500..2100).map(|n| format!("t{n}")).collect::<Vec<_>>());
}

fn put_into(config: &RedbConfig, shard: u8, name: &ObjectPath) {
    let shard = config.shards().shard(ShardNo(shard)).unwrap();
    let body = Body::from(b"x".to_vec());
    let put = shard.write_rows(|transaction, rows| {
        let mut writing = Writing::begin(transaction, ShardLayout::ROWS_LATER, rows, 1000)?;
        let put = writing.put_new(name, &body, UnixMillis(1))?;
        Ok((put, writing.finish()?))
    });
    put.unwrap().unwrap();
}

#[tokio::test]
async fn a_group_in_the_wrong_shard_is_used_and_one_in_two_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let open = || RedbConfig::open(root.path(), &options(4));
    let config = open().unwrap();
    let names = (0..).map(|n| path(&format!("namespaces/t{n}/x")));
    let at_home_in_3 = |name: &ObjectPath| config.shards().home_of(objects::group_of(name.as_str())).0 == 3;
    let name = names.into_iter().find(at_home_in_3).unwrap();
    put_into(&config, 0, &name);
    drop(config);

    let config = open().unwrap();
    assert_eq!(config.misplaced().map(|misplaced| misplaced.shard.0).collect::<Vec<_>>(), [0]);
    let redb = Redb::new(config.clone());
    assert_eq!(redb.get(None, &name, ByteRange::Full).await.unwrap(), &b"x"[..]);
    let again = redb.put_new(None, &name, Body::from(b"y".to_vec())).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    drop(redb);

    put_into(&config, 3, &name);
    drop(config);
    let error = open().unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_space_is_given_back_by_every_shard() {
    let root = tempfile::tempdir().unwrap();
    let redb = Redb::new(RedbConfig::open(root.path(), &options(2)).unwrap());
    let names = (0..200).map(|n| path(&format!("namespaces/t{}/{n}", n % 10))).collect::<Vec<_>>();
    for name in &names {
        redb.put_new(None, name, Body::from(vec![7; 100_000])).await.unwrap();
    }
    let len = |shard| std::fs::metadata(root.path().join(format!("shard-00{shard}.redb"))).unwrap().len();
    let full = [0, 1].map(len);
    redb.delete(None, &names[1..]).await.unwrap();
    let shrunk = redb.compact().await.unwrap();
    let left = [0, 1].map(len);
    for (full, left) in full.iter().zip(left) {
        assert!(*full > 4_000_000 && left < full / 4, "{full}, then {left}");
    }
    let (full, left) = (full.iter().sum::<u64>(), left.iter().sum::<u64>());
    assert!(shrunk.bytes_before >= full && shrunk.bytes == left, "{shrunk:?}");
    assert_eq!(redb.get(None, &names[0], ByteRange::Full).await.unwrap().len(), 100_000);
}

/// A runtime that ends takes its turn to commit with it; the next one commits again.
#[test]
fn a_store_outlives_the_runtime_that_used_it() {
    let redb = in_memory(1);
    for n in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let name = path(&format!("a/b/{n}"));
        runtime.block_on(redb.put_new(None, &name, Body::from(b"x".to_vec()))).unwrap();
        let abandoned = path(&format!("a/b/{n}-abandoned"));
        runtime.block_on(async {
            let put = redb.put_new(None, &abandoned, Body::from(b"x".to_vec()));
            let _ = future::poll_immediate(Box::pin(put)).await;
        });
    }
}

/// A commit that deletes the first one of a directory, puts another one that is then the first, and is not made.
#[tokio::test]
async fn what_a_commit_that_was_not_made_knew_is_not_believed() {
    let root = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    for config in [
        open(root.path()).default_config(),
        RedbConfig::in_memory(ShardCount::ONE, &clock, &SystemRandom).unwrap(),
    ] {
        let redb = Redb::new(config.clone());
        let path = |name: &str| ObjectPath::new(format!("a/b/{name}")).unwrap();
        redb.put_new(None, &path("1"), Body::from(vec![1; 100])).await.unwrap();
        let shard = config.shards().iter().next().unwrap();
        assert!(shard.leads("a/b/0") && !shard.leads("a/b/1"));
        let aborted = shard.write_rows(|transaction, rows| -> Step<((), Change)> {
            let mut writing = Writing::begin(transaction, ShardLayout::ROWS_LATER, rows, 1000)?;
            writing.delete(&path("1"))?;
            writing.put_new(&path("5"), &Body::from(vec![5; 100]), UnixMillis(1))??;
            writing.put_new(&path("4"), &Body::from(Vec::new()), UnixMillis(1))??;
            let taken = writing.put_new(&path("4"), &Body::from(vec![4]), UnixMillis(1))?;
            assert!(matches!(taken, Err(Error::AlreadyExists { .. })));
            Err(Error::not_found("on purpose").into())
        });
        assert!(matches!(aborted, Err(Error::NotFound { .. })));
        let again = redb.put_new(None, &path("1"), Body::from(vec![2; 100])).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
        assert_eq!(redb.get(None, &path("1"), ByteRange::Full).await.unwrap(), vec![1; 100]);
        for name in ["4", "5"] {
            redb.put_new(None, &path(name), Body::from(Vec::new())).await.unwrap();
        }
    }
}
