//! A database that is replicated to a real server that speaks S3 (see [`walkeep_tests::s3`]): what it asks of the store.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use walkeep::backends::Metered;
use walkeep::core::{DynBackend, Erased};
use walkeep_tests::replication_scene::ReplicationScene;
use walkeep_tests::s3::S3;

/// 50 transactions a second for so long, sealed each second; then nothing.
async fn a_steady_writer_takes_one_put_an_interval_and_no_listing(seconds: u32) {
    let backend = Arc::new(Metered::new(S3::fenced().backend("steady")));
    let erased: DynBackend = Arc::new(Erased::new(Arc::clone(&backend)));
    let mut scene = ReplicationScene::over(erased).with_rows("");
    scene.options.sync_interval = Duration::from_secs(1);
    scene.options.poll_interval = Duration::from_secs(2);
    let running = scene.start().await;
    let mut app = scene.app();
    app.run("INSERT INTO t (b) VALUES (0)");
    scene.is_exact(&running).await;

    // Reading it back for `is_exact` lists: only what comes from here on counts.
    let before = backend.requests();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    for number in 0..50 * seconds {
        tick.tick().await;
        app.run(&format!("INSERT INTO t (b) VALUES ({number})"));
    }
    let last = running.replication.flush().await.unwrap();
    let while_writing = backend.requests().since(&before);
    // One more for the flush, and one for where it began between two ticks.
    assert!(while_writing.puts <= u64::from(seconds) + 2, "{while_writing:?} in {seconds} s");
    assert!(while_writing.puts >= u64::from(seconds) / 2, "it kept up: {while_writing:?}");
    assert_eq!((while_writing.lists, while_writing.deletes), (0, 0));
    assert!(while_writing.gets <= while_writing.puts, "{while_writing:?}");

    let before = backend.requests();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(backend.requests().since(&before).total(), 0, "nothing happens, so nothing is asked");
    assert_eq!(running.status().durable.map(|durable| durable.frame_no), last);
    scene.is_exact(&running).await;
    println!("{seconds} s: {while_writing:?}");
    running.stop().await;
    assert_eq!(scene.is_continuous().await, 50 * seconds as usize + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn steady_and_idle() {
    a_steady_writer_takes_one_put_an_interval_and_no_listing(8).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes more than two minutes"]
async fn steady_for_two_minutes() {
    a_steady_writer_takes_one_put_an_interval_and_no_listing(120).await;
}
