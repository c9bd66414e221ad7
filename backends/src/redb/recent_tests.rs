//! How many rows wait, and how many packs would be read back: both are bounded, whatever is stored.

use futures::future;
use walkeep_core::shards::{ShardCount, ShardPurpose};
use walkeep_core::{Backend, Body, ByteRange, Error, ObjectPath};

use super::objects::existing;
use super::pack_tests::open;
use super::recent::{self, MARKS_TABLE, Recent};
use super::{Redb, RedbConfig, ShardsOptions};

const ROWS: usize = 40;

#[tokio::test]
async fn rounds_bound_what_waits_and_what_would_be_read_back() {
    let root = tempfile::tempdir().unwrap();
    let options = ShardsOptions {
        shards: Some(ShardCount::ONE),
        rows_waiting: ROWS,
        ..ShardsOptions::new(ShardPurpose::Segments)
    };
    let redb = Redb::new(RedbConfig::open(root.path(), &options).unwrap());
    let config = redb.default_config();
    let shard = config.shards().iter().next().unwrap();
    let (mut marks, mut most) = (Vec::new(), 0);
    for batch in 0..200_usize {
        let puts = (0..5).map(|n| {
            let path = ObjectPath::new(format!("a/b/{:04}", (batch * 5 + n) * 7919 % 10_000)).unwrap();
            let redb = redb.clone();
            async move { redb.put_new(None, &path, Body::from(vec![7; 100])).await.unwrap() }
        });
        future::join_all(puts).await;
        let (waiting, mark, read_back) = shard
            .read_rows(Recent::len, |transaction, waiting| {
                let mark = recent::mark(existing(transaction.open_table(MARKS_TABLE))?.as_ref())?;
                Ok((waiting, mark, Recent::load(transaction)?.len()))
            })
            .unwrap();
        assert!(waiting <= ROWS + 10, "{waiting} wait");
        assert!(waiting <= read_back);
        most = most.max(read_back);
        marks.push(mark);
    }
    // What a round begins with, what comes until it is over, and what waits for the next.
    assert!(most <= 4 * ROWS, "{most} would be read back");
    assert!(marks.is_sorted());
    marks.dedup();
    assert!(marks.len() > 10, "{marks:?}");
}

/// What deletions move into new packs has its row in the table: nothing of it is read back.
#[tokio::test]
async fn what_was_moved_is_not_read_back() {
    let root = tempfile::tempdir().unwrap();
    let path = |n: u32| ObjectPath::new(format!("a/b/{n:02}")).unwrap();
    let redb = open(root.path());
    let puts = (0..60).map(|n| {
        let redb = redb.clone();
        async move { redb.put_new(None, &path(n), Body::from(vec![7; 5000])).await.unwrap() }
    });
    future::join_all(puts).await;
    drop(redb);
    let redb = open(root.path());
    redb.delete(None, &(0..60).filter(|n| n % 6 != 0).map(path).collect::<Vec<_>>()).await.unwrap();
    let config = redb.default_config();
    let shard = config.shards().iter().next().unwrap();
    let read_back = shard.read(|transaction| Ok(Recent::load(transaction)?.len())).unwrap();
    assert_eq!(read_back, 0);
    for n in (0..60).step_by(6) {
        assert_eq!(redb.get(None, &path(n), ByteRange::Full).await.unwrap(), vec![7; 5000]);
    }
}

/// What collects garbage looks at the time of the store so, once for each namespace.
#[tokio::test]
async fn what_has_no_bytes_comes_and_goes_without_the_rows_of_others() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| ObjectPath::new(format!("a/b/{name}")).unwrap();
    let redb = open(root.path());
    redb.put_new(None, &path("other"), Body::from(vec![7; 100])).await.unwrap();
    redb.put_new(None, &path("probe"), Body::from(Vec::new())).await.unwrap();
    redb.put_new(None, &path("stays"), Body::from(Vec::new())).await.unwrap();
    redb.delete(None, &[path("probe")]).await.unwrap();
    let waiting = |redb: &Redb| {
        let config = redb.default_config();
        config.shards().iter().next().unwrap().read_rows(Recent::len, |_, waiting| Ok(waiting)).unwrap()
    };
    assert_eq!(waiting(&redb), 1);
    assert!(matches!(
        redb.put_new(None, &path("stays"), Body::from(Vec::new())).await,
        Err(Error::AlreadyExists { .. })
    ));
    drop(redb);
    let redb = open(root.path());
    assert_eq!(redb.get(None, &path("stays"), ByteRange::Full).await.unwrap(), Vec::new());
    assert!(matches!(redb.get(None, &path("probe"), ByteRange::Full).await, Err(Error::NotFound { .. })));
    redb.delete(None, &[path("other")]).await.unwrap();
    assert!(matches!(redb.get(None, &path("other"), ByteRange::Full).await, Err(Error::NotFound { .. })));
}
