//! Small objects in packs: what is deleted gives its space back, and sets of older versions go on as they were.
#![expect(clippy::disallowed_methods, reason = "older sets are begun by hand")]

use std::path::Path;

use futures::{TryStreamExt, future};
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata};
use walkeep_core::shards::{ShardCount, ShardLayout, ShardPurpose, ShardSetState};
use walkeep_core::{Backend, Body, ByteRange, Error, ObjectPath, ShardSetId, UnixMillis, conformance};

use super::objects::{CHUNKS_TABLE, OBJECTS_TABLE};
use super::packs::{self, PACKS_TABLE};
use super::recent::MARKS_TABLE;
use super::writing::Writing;
use super::{Redb, RedbConfig, ShardsOptions, Step};

fn path(name: &str) -> ObjectPath {
    ObjectPath::new(format!("a/b/{name}")).unwrap()
}

fn content(n: usize) -> Vec<u8> {
    (0..3000).flat_map(|at: usize| (at * 31 + n * 7).to_le_bytes().into_iter().take(1)).collect()
}

/// One shard, in files.
pub(super) fn open(root: &Path) -> Redb {
    let options =
        ShardsOptions { shards: Some(ShardCount::ONE), ..ShardsOptions::new(ShardPurpose::Segments) };
    Redb::new(RedbConfig::open(root, &options).unwrap())
}

async fn put_all(redb: &Redb, numbers: impl Iterator<Item = usize>) {
    let puts = numbers.map(|n| async move {
        redb.put_new(None, &path(&format!("{n:03}")), Body::from(content(n))).await.unwrap();
    });
    future::join_all(puts).await;
}

fn read<T>(redb: &Redb, work: impl FnOnce(&ReadTransaction) -> Step<T>) -> T {
    let config = redb.default_config();
    config.shards().iter().next().unwrap().read(work).unwrap()
}

/// How many packs there are, and the bytes of all of them.
fn packs(redb: &Redb) -> (u64, u64) {
    read(redb, |transaction| {
        let table = transaction.open_table(PACKS_TABLE)?;
        let lens = table.iter()?.map(|entry| Ok(entry?.1.value().len() as u64));
        Ok((table.len()?, lens.sum::<Step<u64>>()?))
    })
}

#[tokio::test]
async fn deletes_leave_packs_that_are_at_least_half_alive_and_everything_else_readable() {
    let root = tempfile::tempdir().unwrap();
    let redb = open(root.path());
    let put = redb.default_config().shards().iter().next().unwrap().write_rows(|transaction, rows| {
        let mut writing = Writing::begin(transaction, ShardLayout::ROWS_LATER, rows, 1000)?;
        for n in 0..100 {
            writing.put_new(&path(&format!("{n:03}")), &Body::from(content(n)), UnixMillis(1))??;
        }
        Ok(((), writing.finish()?))
    });
    put.unwrap();
    assert_eq!(packs(&redb).0, 5);
    // In an order that tears every pack.
    let order = (0..100).map(|n| n * 37 % 100).collect::<Vec<_>>();
    for (done, gone) in order.chunks(9).enumerate() {
        let names = gone.iter().map(|n| path(&format!("{n:03}"))).collect::<Vec<_>>();
        redb.delete(None, &names).await.unwrap();
        let alive = &order[(done * 9 + gone.len())..];
        let (count, bytes) = packs(&redb);
        let needed = alive.len() as u64 * 3016;
        assert!(bytes <= 2 * needed + 16 * count, "{count} packs of {bytes} for {needed}");
        for n in alive {
            let got = redb.get(None, &path(&format!("{n:03}")), ByteRange::Full).await.unwrap();
            assert!(got == content(*n), "{n}");
        }
        for name in &names {
            let got = redb.get(None, name, ByteRange::Full).await;
            assert!(matches!(got, Err(Error::NotFound { .. })), "{name}: {got:?}");
        }
    }
    assert_eq!(packs(&redb), (0, 0));
}

#[tokio::test]
async fn what_is_put_and_deleted_in_one_commit_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let redb = open(root.path());
    for round in 0..50 {
        let name = path(&format!("{round:03}"));
        let put = redb.put_new(None, &name, Body::from(content(round)));
        let both = future::join(put, redb.delete(None, std::slice::from_ref(&name))).await;
        both.0.unwrap();
        both.1.unwrap();
        redb.delete(None, &[name]).await.unwrap();
        put_all(&redb, std::iter::once(500 + round)).await;
    }
    let listed =
        redb.list(None, &ObjectPath::new("a/b").unwrap(), None, 1000).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(listed.len(), 50);
    assert!(listed.iter().all(|object| object.size == 3000 && object.path > path("499")));
    assert_eq!(packs(&redb).0, 50);
}

/// A put that nobody waits for any more, and then a deletion: nothing is left, whatever else is deleted with it.
#[tokio::test]
async fn a_deletion_is_not_carried_out_before_a_put_that_was_given_up() {
    let root = tempfile::tempdir().unwrap();
    let redb = open(root.path());
    for round in 0..30 {
        // Something is under way, so that what follows waits for one commit.
        let (busy, late) = (path(&format!("{round:03}")), path(&format!("{round:03}-late")));
        let names = [path("000-first"), late.clone()];
        let mut put = Box::pin(redb.put_new(None, &late, Body::from(content(1))));
        let mut ahead = Box::pin(redb.put_new(None, &busy, Body::from(content(2))));
        let _ = future::poll_immediate(&mut ahead).await;
        let _ = future::poll_immediate(&mut put).await;
        drop(put);
        redb.delete(None, &names).await.unwrap();
        ahead.await.unwrap();
        let got = redb.get(None, &late, ByteRange::Full).await;
        assert!(matches!(got, Err(Error::NotFound { .. })), "{round}: {got:?}");
    }
}

/// A set of an older version, with 20 objects of which one is deleted again.
async fn older(root: &Path, version: u32) -> Redb {
    let layout = ShardLayout {
        version,
        id: ShardSetId(7),
        purpose: ShardPurpose::Segments,
        shards: ShardCount::ONE,
        state: ShardSetState::Creating,
    };
    std::fs::write(root.join("layout.json"), layout.encode().unwrap()).unwrap();
    let redb = open(root);
    put_all(&redb, 0..20).await;
    drop(redb);

    let redb = open(root);
    assert_eq!(redb.default_config().shards().layout().version, version);
    // What comes before all others is known to be new, and found as soon as it is there.
    for len in [1, 0] {
        let (new, bytes) = (path(&format!("-{len}")), vec![7; len]);
        for _ in 0..2 {
            let got = redb.get(None, &new, ByteRange::Full).await;
            assert!(matches!(got, Err(Error::NotFound { .. })), "{got:?}");
        }
        redb.put_new(None, &new, Body::from(bytes.clone())).await.unwrap();
        assert_eq!(redb.get(None, &new, ByteRange::Full).await.unwrap(), bytes);
        let again = redb.put_new(None, &new, Body::from(bytes)).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    }
    redb.delete(None, &[path("-1"), path("-0")]).await.unwrap();
    redb.delete(None, &[path("003")]).await.unwrap();
    for n in (0..20).filter(|n| *n != 3) {
        let got = redb.get(None, &path(&format!("{n:03}")), ByteRange::Full).await.unwrap();
        assert!(got == content(n), "{n}");
    }
    redb
}

/// Deletes all of it; what can be asked of a store can be asked of it still.
async fn empty_it(redb: Redb) {
    redb.delete(None, &(0..20).map(|n| path(&format!("{n:03}"))).collect::<Vec<_>>()).await.unwrap();
    conformance::everything(&redb, None).await;
}

#[tokio::test]
async fn a_set_of_version_1_works_and_stays_one() {
    let root = tempfile::tempdir().unwrap();
    let redb = older(root.path(), 1).await;
    let (chunks, no_packs) = read(&redb, |transaction| {
        let no_packs =
            matches!(transaction.open_table(PACKS_TABLE), Err(redb::TableError::TableDoesNotExist(_)));
        Ok((transaction.open_table(CHUNKS_TABLE)?.len()?, no_packs))
    });
    assert_eq!((chunks, no_packs), (19, true));
    empty_it(redb).await;
}

/// All its rows are in the table, and its packs have no dates.
#[tokio::test]
async fn a_set_of_version_2_works_and_stays_one() {
    let root = tempfile::tempdir().unwrap();
    let redb = older(root.path(), 2).await;
    put_all(&redb, std::iter::once(3)).await;
    let (rows, marks, dates) = read(&redb, |transaction| {
        let marks = transaction.open_table(MARKS_TABLE).is_ok();
        let packs = transaction.open_table(PACKS_TABLE)?;
        let mut dates = 0;
        for entry in packs.iter()? {
            let (number, stored) = entry?;
            let content = packs::open("a pack", number.value(), stored.value())?;
            dates += packs::records(content).filter(|record| record.path.is_empty()).count();
        }
        Ok((transaction.open_table(OBJECTS_TABLE)?.len()?, marks, dates))
    });
    assert_eq!((rows, marks, dates), (20, false, 0));
    empty_it(redb).await;
}
