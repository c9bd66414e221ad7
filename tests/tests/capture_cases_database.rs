//! Cases that broke other tools, and that must work: what happens to a database that is replicated as a whole, and who
//! else replicates it. See `capture_cases_log.rs` for its log.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests make and damage files directly")]

use std::fs;
use std::time::Duration;

use walkeep::core::{CommitKind, Error, RestorePoint};
use walkeep_sqlite::replication::{Phase, Way};
use walkeep_tests::database::{assert_same, beside, sql};
use walkeep_tests::replication_scene::{ReplicationScene, Running, checkpoint, copy_files, rows};

const FIRST: CommitKind = CommitKind::Snapshot;
const NEXT: CommitKind = CommitKind::Transaction;
const GAP: CommitKind = CommitKind::Discontinuous;

/// Waits until a replication cannot go on; what it says.
async fn refusal(mut running: Running) -> Error {
    let ended = tokio::time::timeout(Duration::from_secs(20), running.replication.ended()).await;
    let error = ended.expect("it ends").unwrap_err();
    assert_eq!(running.status().phase, Phase::Failed);
    assert_eq!(running.status().last_error, Some(error.to_string()));
    error
}

#[track_caller]
fn says(error: &Error, texts: &[&str]) {
    for text in texts {
        assert!(error.to_string().contains(text), "it does not say {text:?}: {error}");
    }
}

fn remove(database: &std::path::Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(beside(database, suffix));
    }
}

/// Case 4: another database is put in the place of this one, while the replication runs and while it does not. It is
/// refused, and nothing of it is stored; with `rewind` the difference goes on top.
#[tokio::test(flavor = "multi_thread")]
async fn case_04_the_database_is_replaced() {
    for down in [true, false] {
        let mut scene = ReplicationScene::new().with_rows("");
        scene.options.poll_interval = Duration::from_millis(200);
        let mut running = scene.start().await;
        let frame = scene.is_exact(&running).await;
        let mine = scene.expected();
        let other = scene.path("other.db");
        sql(
            &other,
            &format!(
                "PRAGMA journal_mode = wal; CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB); {}",
                rows(9)
            ),
        );
        if down {
            scene.kill(running).await;
            remove(&scene.db());
            fs::rename(&other, scene.db()).unwrap();
            running = scene.start_any();
        } else {
            fs::rename(&other, scene.db()).unwrap();
            for suffix in ["-wal", "-shm"] {
                fs::remove_file(beside(&scene.db(), suffix)).unwrap();
            }
        }
        let error = refusal(running).await;
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
        says(&error, &["does not continue the newest state", "--rewind", "replaced"]);
        assert_eq!(scene.kinds().await, [FIRST], "down: {down}");

        scene.options.rewind = true;
        let running = scene.start().await;
        scene.is_exact(&running).await;
        running.fell_back(Way::Difference, "--rewind");
        assert_same(&scene.restored(RestorePoint::Frame(frame)).await, &mine, "the state before");
        assert_eq!(scene.kinds().await, [FIRST, GAP]);
        running.stop().await;
    }
}

/// Case 4, when an older copy is written over the file: the inode is the same, and the change counter may be too.
#[tokio::test(flavor = "multi_thread")]
async fn case_04_an_older_copy_is_written_over_the_database() {
    for counter_changes in [true, false] {
        for log_stays in [false, true] {
            let scene = ReplicationScene::new().with_rows("");
            let mut app = scene.app();
            checkpoint(&mut app, "TRUNCATE");
            let backup = scene.path("backup.db");
            copy_files(&scene.db(), &backup);
            let running = scene.start().await;
            if counter_changes {
                app.run("CREATE TABLE u (a)");
            }
            app.run("UPDATE t SET b = randomblob(1200) WHERE a < 10");
            scene.is_exact(&running).await;
            scene.kill(running).await;
            checkpoint(&mut app, "PASSIVE");
            app.run("UPDATE t SET b = randomblob(1200) WHERE a = 20");
            // The application is killed, so that its log stays; then somebody copies the old file over the new one.
            app.kill();
            if !log_stays {
                fs::remove_file(scene.wal()).unwrap();
            }
            fs::remove_file(beside(&scene.db(), "-shm")).unwrap();
            fs::copy(&backup, scene.db()).unwrap();

            let what = format!("counter changes: {counter_changes}, log stays: {log_stays}");
            let mut running = scene.start_any();
            let open = running.replication.watch();
            let begun = tokio::time::Instant::now();
            while open.borrow().phase == Phase::Opening {
                assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            if running.status().phase == Phase::Failed {
                let error = running.replication.ended().await.unwrap_err();
                says(&error, &["does not continue the newest state"]);
                continue;
            }
            // Taken for what the application did meanwhile: then what is stored is what is there, and it is told.
            scene.is_exact(&running).await;
            assert_eq!(
                running.status().fall_back.map(|fall_back| fall_back.way),
                Some(Way::Difference),
                "{what}"
            );
            running.stop().await;
        }
    }
}

/// Case 4, when the log that stays still has the place where the capture ended: all that was copied into the database from
/// earlier logs is that of the older copy now.
#[tokio::test(flavor = "multi_thread")]
async fn case_04_an_older_copy_under_a_log_that_goes_on() {
    let scene = ReplicationScene::new().with_rows("");
    let mut app = scene.app();
    checkpoint(&mut app, "TRUNCATE");
    let backup = scene.path("backup.db");
    copy_files(&scene.db(), &backup);
    let running = scene.start().await;
    app.run("UPDATE t SET b = randomblob(1200) WHERE a < 10");
    scene.is_exact(&running).await;
    app.run("PRAGMA busy_timeout = 10000");
    checkpoint(&mut app, "TRUNCATE");
    app.run("UPDATE t SET b = randomblob(1200) WHERE a = 20");
    scene.is_exact(&running).await;
    scene.kill(running).await;
    app.kill();
    fs::remove_file(beside(&scene.db(), "-shm")).unwrap();
    fs::copy(&backup, scene.db()).unwrap();

    let mut app = scene.app();
    let running = scene.start().await;
    scene.is_exact(&running).await;
    running.fell_back(Way::Difference, "not what its log continues");
    app.run(&rows(1));
    scene.is_exact(&running).await;
    assert_eq!(scene.kinds().await, [FIRST, NEXT, NEXT, GAP, NEXT]);
    running.stop().await;
}

/// Case 5: two replications of one database, and two databases in one namespace.
#[tokio::test(flavor = "multi_thread")]
async fn case_05_two_daemons() {
    let scene = ReplicationScene::new().with_rows("");
    let mut app = scene.app();
    let first = scene.start().await;
    scene.is_exact(&first).await;

    // With one local state: the second one is refused.
    let error = refusal(scene.start_any()).await;
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    says(&error, &["another process replicates this database"]);
    app.run(&rows(1));
    scene.is_exact(&first).await;

    // Another database of the same namespace: it is refused, and takes nothing over.
    let stranger = scene.path("stranger.db");
    sql(&stranger, "PRAGMA journal_mode = wal; CREATE TABLE x (a)");
    let error = refusal(scene.start_at(&stranger, scene.options.clone())).await;
    says(&error, &["does not continue the newest state", "choose another namespace"]);
    app.run(&rows(1));
    scene.is_exact(&first).await;
    assert_eq!(scene.is_continuous().await, 2);

    // With a local state of its own it takes over: the first one ends and says so.
    let mut elsewhere = scene.options.clone();
    elsewhere.state_directory = Some(scene.path("elsewhere"));
    let second = scene.start_at(&scene.db(), elsewhere);
    second.reach(|status| status.phase == Phase::Capturing).await;
    app.run(&rows(1));
    let error = refusal(first).await;
    assert!(matches!(error, Error::Fenced { .. }), "{error}");
    scene.is_exact(&second).await;
    let kinds = scene.kinds().await;
    // The first one may have stored that commit before it knew.
    assert!(kinds == [FIRST, NEXT, NEXT, NEXT], "{kinds:?}");
    second.stop().await;
}

/// Case 6: the database is restored from an older point, and replicated to the same namespace again.
#[tokio::test(flavor = "multi_thread")]
async fn case_06_restored_and_replicated_again() {
    for by_updates_only in [false, true] {
        let mut scene = ReplicationScene::new().with_rows("");
        let mut app = scene.app();
        let running = scene.start().await;
        let old = scene.is_exact(&running).await;
        let old_bytes = scene.expected();
        app.run(if by_updates_only { "UPDATE t SET b = zeroblob(1200)" } else { "CREATE TABLE u (a)" });
        let new = scene.is_exact(&running).await;
        let new_bytes = scene.expected();
        app.close();
        running.stop().await;

        // Restored to the newest state: it goes on.
        remove(&scene.db());
        fs::write(scene.db(), &new_bytes).unwrap();
        let running = scene.start().await;
        assert_eq!(scene.is_exact(&running).await, new);
        assert_eq!(running.status().fall_back, None);
        running.stop().await;

        // Restored to an older one: only if that is meant.
        let restored = scene.path("restored.db");
        fs::write(&restored, &old_bytes).unwrap();
        remove(&scene.db());
        fs::rename(&restored, scene.db()).unwrap();
        let error = refusal(scene.start_any()).await;
        says(&error, &["does not continue the newest state", "--rewind"]);

        scene.options.rewind = true;
        let running = scene.start().await;
        assert!(scene.is_exact(&running).await > new);
        running.fell_back(Way::Difference, "--rewind");
        assert_same(&scene.restored(RestorePoint::Frame(old)).await, &old_bytes, "the older state");
        assert_same(&scene.restored(RestorePoint::Frame(new)).await, &new_bytes, "the one left behind");
        assert_eq!(scene.kinds().await, [FIRST, NEXT, GAP]);
        running.stop().await;
    }
}

/// Case 13: the database grows by pages that are never written to the log, as far as that happens: by free pages, in
/// each mode of auto-vacuum.
#[tokio::test(flavor = "multi_thread")]
async fn case_13_growth() {
    for mode in ["none", "full", "incremental"] {
        let scene = ReplicationScene::new().with_rows(&format!("PRAGMA auto_vacuum = {mode}"));
        let mut app = scene.app();
        let running = scene.start().await;
        for size in [1, 10_000, 300_000, 1_000_000] {
            app.run(&format!("BEGIN; INSERT INTO t (b) VALUES (zeroblob({size})); DELETE FROM t WHERE a = (SELECT max(a) FROM t); INSERT INTO t (b) VALUES (randomblob({size})); COMMIT"));
            app.run("SAVEPOINT s; INSERT INTO t (b) VALUES (zeroblob(200000)); ROLLBACK TO s; INSERT INTO t (b) VALUES (1); RELEASE s");
            scene.is_exact(&running).await;
        }
        assert_eq!(scene.is_continuous().await, 8, "{mode}");
        running.stop().await;
    }
}

/// Case 14: the database shrinks, and grows again.
#[tokio::test(flavor = "multi_thread")]
async fn case_14_shrinking_and_growing() {
    for mode in ["none", "full", "incremental"] {
        let scene = ReplicationScene::new().with_rows(&format!("PRAGMA auto_vacuum = {mode}"));
        let mut app = scene.app();
        let mut running = scene.start().await;
        let mut points = Vec::new();
        for (round, shrink) in
            ["VACUUM", "PRAGMA incremental_vacuum", "SELECT 1"].iter().cycle().take(6).enumerate()
        {
            app.run(&rows(60));
            points.push((scene.is_exact(&running).await, scene.expected()));
            app.run("DELETE FROM t WHERE a > 4");
            app.run(shrink);
            points.push((scene.is_exact(&running).await, scene.expected()));
            if round == 3 {
                scene.kill(running).await;
                app.run(&rows(10));
                app.run("VACUUM");
                running = scene.start().await;
            }
            app.run("INSERT INTO t (b) VALUES (zeroblob(100000))");
            points.push((scene.is_exact(&running).await, scene.expected()));
        }
        for (frame, bytes) in points {
            assert_same(
                &scene.restored(RestorePoint::Frame(frame)).await,
                &bytes,
                &format!("{mode}, {frame}"),
            );
        }
        scene.is_continuous().await;
        running.stop().await;
    }
}

/// Case 16: the smallest and the largest pages, and pages with reserved bytes.
#[tokio::test(flavor = "multi_thread")]
async fn case_16_page_sizes() {
    for size in [512, 1024, 8192, 65536] {
        let scene = ReplicationScene::new().with_rows(&format!("PRAGMA page_size = {size}"));
        let mut app = scene.app();
        let running = scene.start().await;
        for count in [1, 30] {
            app.run(&rows(count));
            scene.is_exact(&running).await;
        }
        assert_eq!(scene.is_continuous().await, 2, "{size}");
        running.stop().await;
    }
}

/// Case 16, reserved bytes: the header says how many at the end of each page are not SQLite's.
#[tokio::test(flavor = "multi_thread")]
async fn case_16_reserved_bytes() {
    let scene = ReplicationScene::new();
    sql(&scene.db(), "PRAGMA page_size = 4096; VACUUM");
    // An empty database with 32 reserved bytes.
    let mut bytes = fs::read(scene.db()).unwrap();
    if bytes.is_empty() {
        sql(&scene.db(), "CREATE TABLE x (a); DROP TABLE x");
        bytes = fs::read(scene.db()).unwrap();
    }
    bytes[20] = 32;
    bytes[105..107].copy_from_slice(&(4096_u16 - 32).to_be_bytes());
    fs::write(scene.db(), &bytes).unwrap();
    let scene = scene.with_rows("VACUUM");
    assert_eq!(fs::read(scene.db()).unwrap()[20], 32, "the test needs reserved bytes");
    let mut app = scene.app();
    let running = scene.start().await;
    app.run(&rows(30));
    scene.is_exact(&running).await;
    assert_eq!(scene.is_continuous().await, 1);
    running.stop().await;
}

/// Case 16: the page size is changed while nobody captures.
#[tokio::test(flavor = "multi_thread")]
async fn case_16_the_page_size_changes_while_down() {
    let scene = ReplicationScene::new().with_rows("PRAGMA page_size = 4096");
    let mut app = scene.app();
    let running = scene.start().await;
    app.run(&rows(3));
    let before = scene.is_exact(&running).await;
    let bytes = scene.expected();
    app.close();
    running.stop().await;
    for (size, way) in [(1024, Way::Whole), (65536, Way::Whole)] {
        sql(
            &scene.db(),
            &format!(
                "PRAGMA journal_mode = delete; PRAGMA page_size = {size}; VACUUM; PRAGMA journal_mode = wal"
            ),
        );
        let running = scene.start().await;
        scene.is_exact(&running).await;
        running.fell_back(way, "page size");
        let mut app = scene.app();
        app.run(&rows(2));
        scene.is_exact(&running).await;
        app.close();
        running.stop().await;
    }
    assert_same(&scene.restored(RestorePoint::Frame(before)).await, &bytes, "with the pages of before");
    assert_eq!(scene.kinds().await, [FIRST, NEXT, GAP, NEXT, GAP, NEXT]);
}

/// Case 17: the application leaves WAL mode, or has the database for itself. Both are said with a remedy, and it goes on
/// as soon as it can.
#[tokio::test(flavor = "multi_thread")]
async fn case_17_journal_mode_and_exclusive_locking() {
    let scene = ReplicationScene::new().with_rows("");
    let mut app = scene.app();
    let running = scene.start().await;
    scene.is_exact(&running).await;
    // Not while it is replicated.
    app.run("PRAGMA busy_timeout = 0");
    assert_eq!(app.try_run("PRAGMA journal_mode = delete"), Err("database is locked".into()));
    app.run("PRAGMA locking_mode = exclusive");
    assert!(app.try_run(&rows(1)).is_err(), "our connection is there");
    app.run("PRAGMA locking_mode = normal; SELECT count(*) FROM t");
    app.run(&rows(1));
    scene.is_exact(&running).await;
    scene.kill(running).await;

    assert_eq!(app.run("PRAGMA journal_mode = delete"), "delete");
    app.run(&rows(1));
    let error = refusal(scene.start_any()).await;
    says(&error, &["not in WAL mode", "--set-wal", "--once"]);
    assert_eq!(app.run("PRAGMA journal_mode = wal"), "wal");
    let running = scene.start().await;
    scene.is_exact(&running).await;
    running.fell_back(Way::Difference, "log");
    scene.kill(running).await;
    app.close();

    let mut app = walkeep_tests::app::App::start(&scene.db());
    app.run("PRAGMA locking_mode = exclusive");
    app.run(&rows(1));
    let running = scene.start_any();
    let status = running.reach(|status| status.last_error.is_some()).await;
    assert!(status.last_error.unwrap().contains("locked"), "it says why it waits");
    app.close();
    // It waits until it can be had.
    running.reach(|status| status.phase == Phase::Capturing).await;
    scene.is_exact(&running).await;
    running.stop().await;
}

/// Case 17, a database that may not be written: said with the remedy, before anything is stored.
#[tokio::test(flavor = "multi_thread")]
async fn case_17_a_database_that_may_not_be_written() {
    let scene = ReplicationScene::new();
    fs::create_dir(scene.path("media")).unwrap();
    let media = scene.path("media/app.db");
    sql(&media, "PRAGMA journal_mode = wal; CREATE TABLE t (a)");
    let mut options = scene.options.clone();
    options.state_directory = Some(scene.path("state"));
    let mount = |arguments: &[&str]| {
        std::process::Command::new("mount")
            .args(arguments)
            .arg(scene.path("media"))
            .status()
            .unwrap()
            .success()
    };
    // The user of the tests may be allowed everything: only a mount keeps that one from writing.
    let bound =
        mount(&["--bind", scene.path("media").to_str().unwrap()]) && mount(&["-o", "remount,bind,ro"]);
    if !bound {
        fs::set_permissions(&media, std::os::unix::fs::PermissionsExt::from_mode(0o444)).unwrap();
        fs::set_permissions(scene.path("media"), std::os::unix::fs::PermissionsExt::from_mode(0o555))
            .unwrap();
    }
    let writable = fs::OpenOptions::new().write(true).open(&media).is_ok();
    assert!(!writable, "this test needs a user that cannot write everywhere, or one that may mount");
    let error = refusal(scene.start_at(&media, options)).await;
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    says(&error, &["--once", "write access"]);
    if bound {
        let unmounted =
            std::process::Command::new("umount").arg("-l").arg(scene.path("media")).status().unwrap();
        assert!(unmounted.success());
    } else {
        fs::set_permissions(scene.path("media"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    }
}
