//! How many rows wait, and how many packs would be read back: both are bounded, whatever is stored.

use futures::future;
use walkeep_core::shards::{ShardCount, ShardPurpose};
use walkeep_core::{Backend, Body, ObjectPath};

use super::objects::existing;
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
