//! What the daemon does for a history in the background: retention is written down, segments are merged, what nothing
//! needs is deleted, restores are tried.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use walkeep::backends::StoreUrl;
use walkeep::core::Namespace;
use walkeep::verify::{last_drill, verify};
use walkeep::{Bucket, Timeline};
use walkeep_tests::command::Walkeep;
use walkeep_tests::database::sql;

const CONFIG: &str = "upkeep_interval = \"0.2s\"\n[[database]]\npath = \"app.db\"\nstore = \"store\"\n\
                      keep_all = \"24h\"\nkeep_daily = \"30d\"\nrestore_drill = \"1s\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_looked_after_in_the_background() {
    let root = tempfile::tempdir().unwrap();
    let (walkeep, at) = (Walkeep::at(root.path()), root.path());
    sql(&at.join("app.db"), "PRAGMA journal_mode = wal; CREATE TABLE t (a)");

    // Many small segments, of a daemon that leaves them as they are.
    let mut daemon =
        walkeep.background(&["replicate", "app.db", "store", "--sync-interval", "0", "--no-compact"]);
    daemon.says("replicating ");
    for row in 0..50 {
        sql(&at.join("app.db"), &format!("INSERT INTO t VALUES ({row})"));
        std::thread::sleep(Duration::from_millis(30));
    }
    assert_eq!(daemon.stop(), Some(0), "{:#?}", daemon.stderr);

    let url: StoreUrl = at.join("store").to_str().unwrap().parse().unwrap();
    let bucket = Bucket::new(Arc::new(url.open().unwrap()), None).unwrap();
    let namespace: Namespace = "app".parse().unwrap();
    let before = Timeline::load(&bucket, &namespace).await.unwrap();
    assert!(before.segments().len() >= 40, "{}", before.segments().len());
    assert!(before.segments().iter().all(|segment| segment.key.level() == 0));
    assert!(before.manifest().retention().is_none());

    fs::write(at.join("w.toml"), CONFIG).unwrap();
    let mut daemon = walkeep.background(&["replicate", "--config", "w.toml"]);
    daemon.says("replicating ");
    let until = Instant::now() + Duration::from_secs(120);
    let newest = loop {
        let timeline = Timeline::load(&bucket, &namespace).await.unwrap();
        let merged = timeline.segments().iter().any(|segment| segment.key.level() > 0);
        let drill = last_drill(&bucket, &timeline).await.unwrap();
        if let Some(drill) = drill.filter(|_| merged && timeline.manifest().retention().is_some()) {
            assert!(timeline.restorable().iter().any(|range| range.contains(&drill.frame)));
            break timeline;
        }
        assert!(Instant::now() < until, "{merged} {drill:?}: {:#?}", daemon.stderr);
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(daemon.stop(), Some(0), "{:#?}", daemon.stderr);
    let said = newest.manifest().retention().unwrap().to_string();
    assert_eq!(said, "every commit for 1d, one each day for 30d");
    // Every commit is younger than a day: each can be restored as before.
    assert_eq!(newest.restorable(), before.restorable());
    assert!(verify(&bucket, &namespace, true).await.unwrap().problems.is_empty());
    walkeep.ok(&["restore", "store", "-o", "restored.db"]);
}
