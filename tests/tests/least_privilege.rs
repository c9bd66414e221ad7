//! What replication asks of a store: the policy of `docs/operations.md` grants no more.
#![allow(clippy::unwrap_used, reason = "test code: a panic is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use walkeep::backends::memory::Memory;
use walkeep::backends::metered::Metered;
use walkeep::core::Erased;
use walkeep::storage::StorageOptions;
use walkeep::{Fencing, Handles};
use walkeep_sqlite::replication::{DatabaseSpec, Phase, ReplicationOptions, ReplicationStore, Replicator};

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_deletes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("app.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").unwrap();
    let metered = Arc::new(Metered::new(Memory::new()));
    for start in 1..=3 {
        let store = ReplicationStore::new(
            Erased::shared(Arc::clone(&metered)),
            "memory",
            Fencing::Required,
            StorageOptions::default(),
            Handles::system(),
        );
        let options = ReplicationOptions { sync_interval: Duration::ZERO, ..ReplicationOptions::default() };
        let spec = DatabaseSpec {
            path: path.clone(),
            namespace: "app".parse().unwrap(),
            store: store.unwrap(),
            options,
        };
        let replication = Replicator::new(Handles::system()).start(spec).unwrap();
        replication.watch().wait_for(|status| status.phase == Phase::Capturing).await.unwrap();
        for _ in 0..5 {
            connection.execute_batch("INSERT INTO t VALUES (randomblob(9000))").unwrap();
            replication.flush().await.unwrap().unwrap();
        }
        assert!(replication.stop(Duration::from_secs(60)).await.unwrap());
        assert!(metered.requests().puts >= start * 5, "{start}: {:?}", metered.requests());
    }
    assert_eq!(metered.requests().deletes, 0);
}
