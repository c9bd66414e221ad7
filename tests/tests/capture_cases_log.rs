//! Cases that broke other tools, and that must work: what happens to the log of a database that is replicated, while the
//! replication runs and while it does not.
//!
//! Each restore is compared with the database byte for byte and is proven by its state checksum; the store is verified;
//! what can be continuous is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests make and damage files directly")]

use std::time::{Duration, Instant};

use walkeep::core::CommitKind;
use walkeep_sqlite::replication::{Phase, Way};
use walkeep_tests::app::App;
use walkeep_tests::database::{beside, make_accounts};
use walkeep_tests::handles::SeededRandom;
use walkeep_tests::replication_scene::{ReplicationScene, Running, checkpoint, copy_files, rows};
use walkeep_tests::wal_file::{WRITE_LOCK, WalFiles};

const UPDATE_ONE: &str = "UPDATE t SET b = randomblob(1000) WHERE a = 1";

/// A database, an application that has it open, and a replication that has everything.
async fn live() -> (ReplicationScene, App, Running) {
    let scene = ReplicationScene::new().with_rows("");
    let mut app = scene.app();
    app.run(&rows(5));
    let running = scene.start().await;
    scene.is_exact(&running).await;
    (scene, app, running)
}

/// Case 1: nobody captures; transactions are added to the log, all of it is copied into the database, and the log
/// begins anew with fewer frames than had been captured. The last captured frame still stands where it stood.
#[tokio::test(flavor = "multi_thread")]
async fn case_01_the_hole() {
    for seed in 0..20 {
        let random = SeededRandom::new(seed);
        let (scene, mut app, running) = live().await;
        let captured_rows = 20 + u32::try_from(random.below(40)).unwrap();
        app.run(&rows(captured_rows));
        let before = scene.is_exact(&running).await;
        scene.kill(running).await;

        let missed = 1 + random.below(5);
        for _ in 0..missed {
            app.run(&rows(1 + u32::try_from(random.below(20)).unwrap()));
        }
        let (log, done) = checkpoint(&mut app, "PASSIVE");
        assert_eq!(log, done, "all of it is in the database");
        app.run(UPDATE_ONE);

        let running = scene.start().await;
        let after = scene.is_exact(&running).await;
        assert!(after > before);
        running.fell_back(Way::OldTail, &format!("{missed} transactions"));
        // The one before the start is in the snapshot; then those of the round before, then the new one.
        assert_eq!(scene.is_continuous().await as u64, 1 + missed + 1, "seed {seed}");
        running.stop().await;
    }
}

/// Case 1, when the log has begun anew with more frames than that: what was missed is gone.
#[tokio::test(flavor = "multi_thread")]
async fn case_01_the_hole_with_the_tail_overwritten() {
    let (scene, mut app, running) = live().await;
    scene.kill(running).await;
    app.run(&rows(30));
    let (log, done) = checkpoint(&mut app, "PASSIVE");
    assert_eq!(log, done);
    app.run(&rows(60));

    let running = scene.start().await;
    scene.is_exact(&running).await;
    running.fell_back(Way::Difference, "overwritten");
    assert_eq!(scene.kinds().await, [CommitKind::Snapshot, CommitKind::Discontinuous]);
    running.stop().await;
}

/// Case 2: the log begins anew several times, or is deleted and made again, while nobody captures.
#[tokio::test(flavor = "multi_thread")]
async fn case_02_several_restarts_while_down() {
    let (scene, mut app, running) = live().await;
    scene.kill(running).await;
    for _ in 0..3 {
        app.run(&rows(3));
        checkpoint(&mut app, "PASSIVE");
    }
    app.run(UPDATE_ONE);
    let running = scene.start().await;
    scene.is_exact(&running).await;
    running.fell_back(Way::Difference, "more than once");
    scene.kill(running).await;

    app.run(&rows(3));
    app.close();
    assert!(!scene.wal().exists());
    let mut app = scene.app();
    app.run(&rows(2));
    let running = scene.start().await;
    scene.is_exact(&running).await;
    running.fell_back(Way::Difference, "log");
    app.run(&rows(2));
    scene.is_exact(&running).await;
    let (first, gap) = (CommitKind::Snapshot, CommitKind::Discontinuous);
    assert_eq!(scene.kinds().await, [first, gap, gap, CommitKind::Transaction]);
    running.stop().await;
}

/// Case 3: the application's last connection closes while nobody captures. The log goes into the database and away.
#[tokio::test(flavor = "multi_thread")]
async fn case_03_the_last_connection_closes_while_down() {
    let (scene, mut app, running) = live().await;
    scene.kill(running).await;
    app.run(&rows(4));
    app.close();
    assert!(!scene.wal().exists());

    let running = scene.start().await;
    scene.is_exact(&running).await;
    running.fell_back(Way::Difference, "removed");
    assert_eq!(scene.kinds().await, [CommitKind::Snapshot, CommitKind::Discontinuous]);
    scene.kill(running).await;

    // An empty log is not known again: another one may have come and gone.
    scene.app().close();
    let running = scene.start().await;
    scene.is_exact(&running).await;
    scene.kill(running).await;
    let mut app = scene.app();
    app.run(&rows(1));
    app.close();
    let running = scene.start().await;
    scene.is_exact(&running).await;
    running.fell_back(Way::Difference, "log");
    scene.kill(running).await;

    // And when nothing was written, nothing is stored, and nothing is told.
    scene.app().close();
    let running = scene.start().await;
    scene.is_exact(&running).await;
    assert_eq!(running.status().fall_back, None);
    assert_eq!(scene.kinds().await.len(), 3);
    running.stop().await;
}

/// Case 7: the window around our own checkpoint. A writer at full speed, and a log that is checkpointed all the time:
/// every transaction is a commit of its own.
#[tokio::test(flavor = "multi_thread")]
async fn case_07_our_own_checkpoint_while_others_write() {
    for python in [false, true] {
        let mut scene = ReplicationScene::new();
        scene.options.checkpoint_bytes = 60_000;
        make_accounts(&scene.db(), "PRAGMA journal_mode = wal;");
        let running = scene.start().await;
        let first = scene.is_exact(&running).await;
        let writer = if python { App::python_transfers(&scene.db()) } else { App::transfers(&scene.db()) };
        running.reach(|status| status.checkpoints >= 8).await;
        let done = writer.finish();
        assert!(scene.is_exact(&running).await > first);
        assert_eq!(scene.is_continuous().await as u64, done, "python: {python}");
        assert_eq!(running.status().fall_back, None);
        running.stop().await;
    }
}

/// Case 8: others checkpoint in every way, also with `TRUNCATE`, between commits and without any.
#[tokio::test(flavor = "multi_thread")]
async fn case_08_truncate_by_others() {
    let (scene, mut app, running) = live().await;
    let mut python = App::python(&scene.db());
    python.run("PRAGMA wal_autocheckpoint = 0");
    python.run("PRAGMA busy_timeout = 3000");
    app.run("PRAGMA busy_timeout = 3000");
    let mut written = 0;
    for round in 0..6 {
        for mode in ["PASSIVE", "FULL", "RESTART", "TRUNCATE"] {
            let (writer, other) =
                if round % 2 == 0 { (&mut app, &mut python) } else { (&mut python, &mut app) };
            writer.run(UPDATE_ONE);
            other.run(&format!("PRAGMA wal_checkpoint({mode})"));
            writer.run(&format!("PRAGMA wal_checkpoint({mode})"));
            other.run(&rows(2));
            written += 2;
        }
    }
    scene.is_exact(&running).await;
    assert_eq!(scene.is_continuous().await, written);
    assert_eq!(running.status().fall_back, None);
    running.stop().await;
}

/// Case 8, seen from the application: a checkpoint that wants the log for itself does not have to wait for a
/// replication that has nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn case_08_an_idle_replication_lets_others_truncate() {
    let (scene, mut app, running) = live().await;
    app.run("PRAGMA busy_timeout = 10000");
    for mode in ["TRUNCATE", "RESTART", "TRUNCATE", "FULL"] {
        app.run(UPDATE_ONE);
        scene.is_exact(&running).await;
        // Long enough for the replication to be at rest, on a busy machine too: until then it may hold what others wait for.
        // At rest it is after two seconds, and checkpoints then itself.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let begun = Instant::now();
        let row = app.run(&format!("PRAGMA wal_checkpoint({mode})"));
        let waited = begun.elapsed();
        assert!(row.starts_with("0|"), "{mode} was refused after {waited:?}: {row}");
        assert!(waited < Duration::from_secs(2), "{mode} waited {waited:?}");
    }
    scene.is_exact(&running).await;
    scene.is_continuous().await;
    running.stop().await;
}

/// Case 9: frames of a transaction that did not fit into the cache are rolled back, and written over in place.
#[tokio::test(flavor = "multi_thread")]
async fn case_09_rolled_back_frames_are_overwritten_in_place() {
    let (scene, mut app, running) = live().await;
    let spill = "PRAGMA cache_size = 2; BEGIN IMMEDIATE; UPDATE t SET b = randomblob(1200)";
    let mut running = running;
    let mut written = 0;
    for round in 0..4 {
        let visible = std::fs::metadata(scene.wal()).unwrap().len();
        app.run(spill);
        app.run(&rows(20));
        assert!(std::fs::metadata(scene.wal()).unwrap().len() > visible, "the test needs spilled frames");
        tokio::time::sleep(Duration::from_millis(60)).await;
        if round % 2 == 1 {
            scene.kill(running).await;
            app.run("ROLLBACK");
            app.run(UPDATE_ONE);
            running = scene.start().await;
        } else {
            app.run("ROLLBACK");
            app.run(UPDATE_ONE);
        }
        scene.is_exact(&running).await;
        // And one that is committed after it was spilled.
        app.run(spill);
        app.run(&rows(3));
        app.run("COMMIT");
        scene.is_exact(&running).await;
        written += 2;
        assert_eq!(running.status().fall_back, None);
    }
    assert_eq!(scene.is_continuous().await, written);
    running.stop().await;
}

/// Case 10: frames of the round before stand past the end, after a restart of the log and of the replication.
#[tokio::test(flavor = "multi_thread")]
async fn case_10_stale_frames_past_the_end() {
    let (mut scene, mut app, running) = live().await;
    app.run(&rows(40));
    scene.is_exact(&running).await;
    scene.kill(running).await;
    let often = std::mem::replace(&mut scene.options.checkpoint_bytes, 1);
    let running = scene.start().await;
    app.run(&rows(1));
    running.reach(|status| status.checkpoints >= 1).await;
    scene.kill(running).await;
    scene.options.checkpoint_bytes = often;
    // The log begins anew, and is far shorter than what stands behind its end.
    app.run(UPDATE_ONE);
    assert!(std::fs::metadata(scene.wal()).unwrap().len() > 20 * 1200, "the test needs an old tail");
    let running = scene.start().await;
    scene.is_exact(&running).await;
    assert_eq!(running.status().fall_back, None, "nothing was missed");
    scene.kill(running).await;
    app.run(UPDATE_ONE);
    let running = scene.start().await;
    scene.is_exact(&running).await;
    assert_eq!(running.status().fall_back, None);
    assert_eq!(scene.is_continuous().await, 4);
    running.stop().await;
}

/// A commit that never happened: written whole behind the end of the log by a writer that was killed before it could say
/// so. `at` is a copy of the database and its log, to which the same transaction is added for real.
fn plant_ghost(scene: &ReplicationScene, sql: &str) {
    let copy = scene.path("ghost.db");
    copy_files(&scene.db(), &copy);
    let len = |path: &std::path::Path| usize::try_from(std::fs::metadata(path).unwrap().len()).unwrap();
    let mut app = App::start(&copy);
    app.run("PRAGMA wal_autocheckpoint = 0");
    let before = len(&beside(&copy, "-wal"));
    app.run(sql);
    assert!(len(&beside(&copy, "-wal")) >= before);
    let ghost = std::fs::read(beside(&copy, "-wal")).unwrap();
    app.close();
    WalFiles::open(&scene.db()).set_wal(&ghost);
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(beside(&copy, suffix));
    }
}

/// Case 10, with a whole transaction past the end that chains: it was never committed.
#[tokio::test(flavor = "multi_thread")]
async fn case_10_a_ghost_past_the_end_is_never_captured() {
    // While the replication runs, and while it does not.
    for down in [false, true] {
        let (scene, mut app, running) = live().await;
        let mut running = running;
        let exact = scene.is_exact(&running).await;
        if down {
            scene.kill(running).await;
            plant_ghost(&scene, "UPDATE t SET b = 'ghost'");
            running = scene.start().await;
        } else {
            plant_ghost(&scene, "UPDATE t SET b = 'ghost'");
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(running.replication.flush().await.unwrap(), Some(exact), "down: {down}");
        // The next commit is written over it.
        app.run("UPDATE t SET b = 'a' WHERE a = 2");
        scene.is_exact(&running).await;
        assert_eq!(running.status().fall_back, None);
        assert_eq!(scene.is_continuous().await, 1, "down: {down}");
        running.stop().await;
    }
}

/// Cases 1 and 10 together: the ghost stands in the old tail behind real transactions, and looks like one of them.
#[tokio::test(flavor = "multi_thread")]
async fn case_10_a_ghost_in_the_old_tail_is_never_captured() {
    let (scene, mut app, running) = live().await;
    app.run(&rows(40));
    scene.is_exact(&running).await;
    scene.kill(running).await;
    app.run(&rows(3));
    plant_ghost(&scene, "UPDATE t SET b = 'ghost' WHERE a = 3");
    let (log, done) = checkpoint(&mut app, "PASSIVE");
    assert_eq!(log, done);
    app.run(UPDATE_ONE);
    let running = scene.start().await;
    scene.is_exact(&running).await;
    running.fell_back(Way::Difference, "did not lead to the state of the database");
    let (first, one, gap) = (CommitKind::Snapshot, CommitKind::Transaction, CommitKind::Discontinuous);
    assert_eq!(scene.kinds().await, [first, one, gap]);
    running.stop().await;
}

/// Case 11: half a frame behind the end, or half a header, is the end of the log and not an error.
#[tokio::test(flavor = "multi_thread")]
async fn case_11_a_torn_frame_or_half_a_header_is_an_end() {
    let (scene, mut app, running) = live().await;
    let before = scene.is_exact(&running).await;
    let end = std::fs::read(scene.wal()).unwrap();
    for torn in [1, 12, 24, 100, 24 + 4095] {
        // As a writer that is at it leaves it for a moment.
        let mut bytes = end.clone();
        bytes.extend(std::iter::repeat_n(7, torn));
        WalFiles::open(&scene.db()).set_wal(&bytes);
        assert_eq!(running.replication.flush().await.unwrap(), Some(before));
    }
    app.run(UPDATE_ONE);
    scene.is_exact(&running).await;
    let status = running.status();
    assert_eq!((status.phase, status.last_error, status.fall_back), (Phase::Capturing, None, None));
    scene.is_continuous().await;
    scene.kill(running).await;
    app.kill();

    // The machine went down while the last commit was written: it never happened, and the log ends before it.
    let len = std::fs::metadata(scene.wal()).unwrap().len();
    for cut in [len - 10, 40, 16, 0] {
        std::fs::File::options().write(true).open(scene.wal()).unwrap().set_len(cut).unwrap();
        let _ = std::fs::remove_file(beside(&scene.db(), "-shm"));
        let running = scene.start().await;
        scene.is_exact(&running).await;
        scene.kill(running).await;
    }
    let running = scene.start().await;
    let mut app = scene.app();
    app.run(&rows(1));
    scene.is_exact(&running).await;
    running.stop().await;
}

/// Case 11, with the header of the `-shm`: a writer stands still in the middle of it. Nobody can read then, and it is no
/// reason to give up.
#[tokio::test(flavor = "multi_thread")]
async fn case_11_a_writer_stands_still_in_the_middle_of_the_shm() {
    let (scene, mut app, running) = live().await;
    scene.kill(running).await;
    app.run(UPDATE_ONE);
    let files = WalFiles::open(&scene.db());
    let held = files.with_lock(WRITE_LOCK, || {
        files.tear_index_header();
        let running = scene.start_any();
        let begun = Instant::now();
        while running.status().last_error.is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:#?}", running.status());
            std::thread::sleep(Duration::from_millis(20));
        }
        running
    });
    let running = held;
    assert_eq!(running.status().phase, Phase::Opening, "{:#?}", running.status());
    // The next one to look makes it anew.
    app.run(UPDATE_ONE);
    running.reach(|status| status.phase == Phase::Capturing).await;
    scene.is_exact(&running).await;
    running.stop().await;
}

/// Case 18: a long reader blocks the restart. The log grows, writers never wait for us, and we say so.
#[tokio::test(flavor = "multi_thread")]
async fn case_18_a_long_reader() {
    let mut scene = ReplicationScene::new().with_rows("");
    scene.options.checkpoint_bytes = 100_000;
    let mut app = scene.app();
    let running = scene.start().await;
    let mut reader = scene.app();
    app.run(&rows(2));
    reader.run("BEGIN; SELECT count(*) FROM t");
    let mut slowest = Duration::ZERO;
    let mut written = 1;
    while !running.status().blocked_by_reader {
        let begun = Instant::now();
        app.run(&rows(10));
        slowest = slowest.max(begun.elapsed());
        written += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(written < 2_000, "{:#?}", running.status());
    }
    scene.is_exact(&running).await;
    let status = running.status();
    assert!(status.wal_bytes > 100_000, "{status:#?}");
    assert_eq!(status.phase, Phase::Capturing);
    assert_eq!(reader.run("SELECT count(*) FROM t"), "22", "the reader is left alone");
    reader.run("COMMIT");
    // Now it goes on by itself with the next commits.
    while running.status().blocked_by_reader || running.status().wal_bytes > 100_000 {
        app.run(&rows(1));
        written += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(written < 4_000, "{:#?}", running.status());
    }
    scene.is_exact(&running).await;
    assert_eq!(scene.is_continuous().await, written);
    assert!(slowest < Duration::from_millis(1000), "a writer waited {slowest:?}");
    running.stop().await;
}
