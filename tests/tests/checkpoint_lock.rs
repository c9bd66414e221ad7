//! While a log is written fast, only the replication checkpoints it: the writers' own attempts, one after every commit,
//! would cost them more the longer the log is. When nothing is written, everybody may again.
#![allow(clippy::unwrap_used, reason = "test code: a panic is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use walkeep_tests::replication_scene::{ReplicationScene, rows};
use walkeep_tests::wal_file::{CHECKPOINT_LOCK, WalFiles};

/// How many of 200 looks, 10 ms apart, find that somebody has the lock of checkpoints.
async fn looks_that_find_it_locked(files: &WalFiles) -> usize {
    let mut locked = 0;
    for _ in 0..200 {
        locked += usize::from(files.is_locked(CHECKPOINT_LOCK));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    locked
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_full_speed_are_spared_their_own_checkpoints_and_only_they() {
    let mut scene = ReplicationScene::new().with_rows("");
    scene.options.sync_interval = Duration::from_secs(1);
    scene.options.checkpoint_bytes = 1 << 20;
    let (mut app, mut other) = (scene.app(), scene.app());
    let running = scene.start().await;
    scene.is_exact(&running).await;
    let files = WalFiles::open(&scene.db());
    let before = looks_that_find_it_locked(&files).await;
    assert!(before < 20, "locked at {before} of 200 looks while nothing is written");

    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writer = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            app.run("UPDATE t SET b = randomblob(20000) WHERE a < 10");
        }
        app
    });
    // Until it is known to be fast.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let during = looks_that_find_it_locked(&files).await;
    let checkpoints = running.status().checkpoints;
    stop.store(true, Ordering::Relaxed);
    let mut app = writer.join().unwrap();
    // Our own checkpoints have it for a small part of the time.
    assert!(during > 120, "locked at {during} of 200 looks while much is written");
    assert!(checkpoints > 0, "the replication checkpoints meanwhile");

    // As a writer leaves it that is killed at the wrong moment: the next one puts it right, for which it needs the lock.
    files.tear_index_header();
    let begun = Instant::now();
    app.run(&rows(1));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "a torn -shm was not put right for {:?}",
        begun.elapsed()
    );

    scene.is_exact(&running).await;
    while !other.run("PRAGMA wal_checkpoint(TRUNCATE)").starts_with("0|") {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "others cannot checkpoint although nothing is written"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    scene.is_exact(&running).await;
    scene.is_continuous().await;
    running.stop().await;
}
