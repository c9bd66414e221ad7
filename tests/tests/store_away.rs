//! The store is away while a database is written: log and spool stay bounded, everything is stored in order when it
//! comes back, and what the spool could not hold is a gap that is told.

use std::sync::Arc;
use std::time::Duration;

use walkeep::backends::Memory;
use walkeep::backends::faulty::{Faults, Faulty};
use walkeep::core::{Clock as _, CommitKind, DynBackend, Erased};
use walkeep::storage::StorageOptions;
use walkeep_sqlite::replication::{Phase, Way, state_directory};
use walkeep_tests::app::App;
use walkeep_tests::handles::handles;
use walkeep_tests::replication_scene::{ReplicationScene, rows};

const AWAY: Faults = Faults {
    fail_before: 1.0,
    throttled: 0.0,
    conflict: 0.0,
    late_apply: 0.0,
    apply_then_hang: 0.0,
    lost_put_reply: 0.0,
    lost_delete_reply: 0.0,
    short_body: 0.0,
    flipped_body: 0.0,
    stale_listing: 0.0,
    partial_listing: 0.0,
    duplicate_in_listing: 0.0,
    unsorted_listing: 0.0,
};

fn scene() -> (ReplicationScene, Arc<Faulty<Memory>>) {
    let backend = Arc::new(Faulty::new(Memory::new(), Faults::default(), 1).unwrap());
    let erased: DynBackend = Arc::new(Erased::new(Arc::clone(&backend)));
    let mut scene = ReplicationScene::over(erased).with_rows("");
    scene.options.checkpoint_bytes = 128 << 10;
    (scene, backend)
}

/// Writes for some rounds of about 60 KiB, and returns the longest that the log was.
async fn write(app: &mut App, scene: &ReplicationScene, rounds: u32, pause: Duration) -> u64 {
    let mut longest = 0;
    for _ in 0..rounds {
        app.run(&rows(40));
        tokio::time::sleep(pause).await;
        longest = longest.max(std::fs::metadata(scene.wal()).unwrap().len());
    }
    longest
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_while_the_store_was_away_is_stored_in_order() {
    let (scene, backend) = scene();
    let running = scene.start().await;
    let mut app = scene.app();
    backend.set_faults(AWAY).unwrap();
    let longest = write(&mut app, &scene, 100, Duration::from_millis(30)).await;
    let status = running.status();
    assert!(status.spool_segments > 2, "{status:#?}");
    assert!(status.last_error.is_some(), "it says so: {status:#?}");
    assert!(status.lag_ms(scene.handles.clock.now()) > 1000, "and since when: {status:#?}");
    // Three times what it is checkpointed from, and what is written until the next look.
    assert!(longest < 3 * (128 << 10) + 512 * 1024, "the log grew to {longest}");
    backend.set_faults(Faults::default()).unwrap();
    scene.is_exact(&running).await;
    let status = running.reach(|status| status.waiting_since.is_none()).await;
    assert_eq!((status.fall_back, status.spool_segments), (None, 0));
    assert_eq!(scene.is_continuous().await, 100);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_is_bounded_and_its_gap_is_told() {
    let (mut scene, backend) = scene();
    scene.options.spool_bytes_max = 1 << 20;
    scene.options.poll_interval = Duration::from_millis(200);
    let running = scene.start().await;
    let mut app = scene.app();
    backend.set_faults(AWAY).unwrap();
    write(&mut app, &scene, 60, Duration::from_millis(20)).await;
    let status = running.reach(|status| status.phase == Phase::SpoolFull).await;
    // One segment more than it may have.
    assert!(status.spool_bytes < (1 << 20) + (1 << 20), "{status:#?}");
    let longest = write(&mut app, &scene, 60, Duration::from_millis(50)).await;
    assert!(longest < 2 << 20, "nobody captures, and the log grew to {longest}");
    backend.set_faults(Faults::default()).unwrap();
    scene.is_exact(&running).await;
    running.fell_back(Way::Difference, "the spool was full");
    let gaps = scene.kinds().await.into_iter().filter(|kind| *kind == CommitKind::Discontinuous).count();
    assert_eq!(gaps, 1, "one commit has what was not recorded");
    assert_eq!(running.status().phase, Phase::Capturing);
    app.run("INSERT INTO t (b) VALUES (1)");
    scene.is_exact(&running).await;
    running.stop().await;
}

/// A segment is damaged, or removed, while it waits in the spool: it is not stored, nothing is tried for ever, and what was
/// lost is one commit that is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_is_damaged_while_it_waits_is_captured_anew() {
    for removed in [false, true] {
        let (scene, backend) = scene();
        let running = scene.start().await;
        let mut app = scene.app();
        app.run(&rows(5));
        scene.is_exact(&running).await;
        backend.set_faults(AWAY).unwrap();
        write(&mut app, &scene, 60, Duration::from_millis(20)).await;
        running.reach(|status| status.spool_segments > 4).await;
        let spool = state_directory(&scene.db());
        let names = std::fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().path());
        let mut names = names.filter(|path| path.to_string_lossy().ends_with(".segment")).collect::<Vec<_>>();
        names.sort_unstable();
        if removed {
            std::fs::remove_file(&names[2]).unwrap();
        } else {
            let mut bytes = std::fs::read(&names[2]).unwrap();
            bytes[300] ^= 1;
            std::fs::write(&names[2], bytes).unwrap();
        }
        backend.set_faults(Faults::default()).unwrap();
        scene.is_exact(&running).await;
        running.fell_back(Way::Difference, "the log");
        let gaps = scene.kinds().await.into_iter().filter(|kind| *kind == CommitKind::Discontinuous).count();
        assert_eq!(gaps, 1, "one commit has what was not recorded");
        app.run("INSERT INTO t (b) VALUES (1)");
        scene.is_exact(&running).await;
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_while_the_store_is_away_loses_nothing() {
    let (scene, backend) = scene();
    let running = scene.start().await;
    let mut app = scene.app();
    app.run(&rows(5));
    scene.is_exact(&running).await;
    running.stop().await;
    backend.set_faults(AWAY).unwrap();
    let running = scene.start_any();
    running.reach(|status| status.last_error.is_some()).await;
    // Less than it holds.
    write(&mut app, &scene, 20, Duration::from_millis(20)).await;
    app.run("PRAGMA wal_checkpoint(RESTART)");
    app.run(&rows(3));
    assert_eq!(running.status().phase, Phase::Opening);
    backend.set_faults(Faults::default()).unwrap();
    scene.is_exact(&running).await;
    assert_eq!(running.status().fall_back, None);
    assert_eq!(scene.is_continuous().await, 22);
    running.stop().await;
}

/// An hour by the clocks of the replication and of its timers, which stand still while anything works. What is written and
/// checkpointed is real.
#[tokio::test(start_paused = true)]
async fn an_hour_without_a_store() {
    const STEPS: u32 = 360;
    let (mut scene, backend) = scene();
    let (handles, clock) = handles(1_700_000_000_000, 7);
    scene.handles = handles;
    scene.options.sync_interval = Duration::from_secs(1);
    scene.storage = StorageOptions::default();
    let running = scene.start().await;
    let mut app = scene.app();
    backend.set_faults(AWAY).unwrap();
    let begun = tokio::time::Instant::now();
    let mut longest = 0;
    for _ in 0..STEPS {
        app.run(&rows(40));
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            clock.advance(1000);
        }
        longest = longest.max(std::fs::metadata(scene.wal()).unwrap().len());
    }
    assert!(begun.elapsed() >= Duration::from_secs(3600), "{:?}", begun.elapsed());
    let status = running.status();
    assert!(status.lag_ms(clock.now()) >= 3_580_000, "how long it has waited: {status:#?}");
    assert!(status.spool_bytes <= scene.options.spool_bytes_max, "{status:#?}");
    assert!(longest < 3 * (128 << 10) + 512 * 1024, "the log grew to {longest}");
    backend.set_faults(Faults::default()).unwrap();
    scene.is_exact(&running).await;
    assert_eq!(running.status().fall_back, None);
    assert_eq!(
        scene.is_continuous().await,
        STEPS as usize,
        "every transaction is a commit of its own, in order"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute and more"]
async fn a_minute_without_a_store() {
    let (scene, backend) = scene();
    let running = scene.start().await;
    let mut app = scene.app();
    backend.set_faults(AWAY).unwrap();
    let longest = write(&mut app, &scene, 600, Duration::from_millis(100)).await;
    assert!(longest < 3 * (128 << 10) + 512 * 1024, "the log grew to {longest}");
    backend.set_faults(Faults::default()).unwrap();
    scene.is_exact(&running).await;
    assert_eq!(scene.is_continuous().await, 600);
    running.stop().await;
}
