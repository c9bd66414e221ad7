//! A replication whose namespace is over its quota: nothing is lost, it is said, and it goes on when there is room.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use walkeep::Timeline;
use walkeep::core::Quota;
use walkeep_tests::replication_scene::{ReplicationScene, rows};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_the_quota_waits_on_disk_is_said_and_stored_when_the_quota_is_raised() {
    let mut scene = ReplicationScene::new().with_rows("");
    scene.options.quota = Quota { segments: 3.try_into().ok(), ..Quota::UNLIMITED };
    let running = scene.start().await;
    let mut app = scene.app();
    for _ in 0..4 {
        app.run(&rows(10));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let over =
        running.reach(|status| status.last_error.as_ref().is_some_and(|error| error.contains("quota"))).await;
    assert!(over.waiting_since.is_some() && over.spool_segments > 0, "{over:#?}");
    let stored = Timeline::load(&scene.bucket(), &scene.namespace()).await.unwrap();
    assert_eq!(stored.segments().len(), 3, "{over:#?}");
    for _ in 0..5 {
        app.run(&rows(10));
    }
    scene.kill(running).await;

    scene.options.quota = Quota::UNLIMITED;
    let running = scene.start().await;
    scene.is_exact(&running).await;
    assert_eq!(scene.is_continuous().await, 9, "each transaction is a commit of its own");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quota_of_its_own_the_default_of_the_store_holds() {
    let mut scene = ReplicationScene::new().with_rows("");
    scene.storage.quota = Quota { segments: 2.try_into().ok(), ..Quota::UNLIMITED };
    let running = scene.start().await;
    let mut app = scene.app();
    for _ in 0..3 {
        app.run(&rows(10));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let over = running.reach(|status| status.quota.over).await;
    assert_eq!(over.quota.limit, scene.storage.quota);
    let stored = Timeline::load(&scene.bucket(), &scene.namespace()).await.unwrap();
    assert_eq!(stored.segments().len(), 2, "{over:#?}");
    scene.kill(running).await;

    // One of its own takes the place of the default, whichever is larger.
    scene.options.quota = Quota { segments: 9.try_into().ok(), ..Quota::UNLIMITED };
    let running = scene.start().await;
    scene.is_exact(&running).await;
    assert_eq!(running.status().quota.limit, scene.options.quota);
    running.stop().await;
}
