//! Cases that broke other tools, and that must work: limits of the machine, and a store that fails. See
//! `capture_cases_log.rs` and `capture_cases_database.rs` for the others.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests make and damage files directly")]

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use walkeep::backends::Memory;
use walkeep::backends::faulty::{Fault as StoreFault, Faults, Faulty};
use walkeep::core::{Clock, CommitKind, DynBackend, Erased, UnixMillis};
use walkeep_sqlite::replication::{Phase, Way};
use walkeep_tests::app::App;
use walkeep_tests::command::Walkeep;
use walkeep_tests::daemon::Daemon;
use walkeep_tests::database::{beside, sql};
use walkeep_tests::flaky::{Fault, Flaky};
use walkeep_tests::replication_scene::{ReplicationScene, SOON, checkpoint, rows};

const UPDATE_ONE: &str = "UPDATE t SET b = randomblob(1000) WHERE a = 1";

async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Fails unless two files are equal, without reading them here.
fn compare_files(a: &std::path::Path, b: &std::path::Path) {
    let ran = Command::new("cmp").arg(a).arg(b).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}

/// The database as it must be restored, in a file of its own: for those too large to compare in memory.
fn checkpointed_copy(scene: &ReplicationScene) -> std::path::PathBuf {
    let copy = scene.path("checkpointed.db");
    for suffix in ["", "-wal"] {
        let (from, to) = (beside(&scene.db(), suffix), beside(&copy, suffix));
        if from.exists() {
            assert!(Command::new("cp").arg("--sparse=always").arg(from).arg(to).status().unwrap().success());
        }
    }
    sql(&copy, "PRAGMA wal_checkpoint(TRUNCATE)");
    copy
}

/// Case 12: a transaction larger than memory.
#[tokio::test(flavor = "multi_thread")]
async fn case_12_a_transaction_larger_than_memory() {
    let scene = ReplicationScene::new().with_rows("");
    let mut app = App::start(&scene.db());
    let mut daemon = Daemon::start(&scene, &[]);
    daemon.reach(|status| status.durable.is_some());
    app.run("PRAGMA cache_size = 100; PRAGMA wal_autocheckpoint = 0");
    app.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 75000) \
         INSERT INTO t (b) SELECT randomblob(20) || zeroblob(3600) FROM n;",
    );
    let len = fs::metadata(scene.wal()).unwrap().len();
    assert!(len > 300_000_000, "{len}");
    let expected = checkpointed_copy(&scene);
    let pages = fs::metadata(&expected).unwrap().len() / 4096;
    for _ in 0..600 {
        daemon.assert_runs();
        pause(200).await;
        if daemon.status().is_some_and(|status| status.frames > pages / 2 && status.durable == status.seen) {
            break;
        }
    }
    let peak = daemon.memory_peak();
    assert!(peak < 120_000_000, "{peak} bytes of memory");
    let walkeep = Walkeep::at(&scene.path(""));
    let ran = walkeep.ok(&["restore", "store", "-n", "app", "-o", "restored.db", "--json"]);
    assert_eq!(ran.json()["verified"], true);
    compare_files(&scene.path("restored.db"), &expected);
    assert_eq!(scene.is_continuous().await, 1);
    assert_eq!(daemon.stop().code(), Some(0));
}

/// Case 15: the database grows over the page that SQLite never writes, at 1 GiB. The pages below it are a hole in the
/// file.
async fn grow_over_the_lock_page(page_size: u32) {
    let scene = ReplicationScene::new().with_rows(&format!("PRAGMA page_size = {page_size}"));
    sql(&scene.db(), "PRAGMA journal_mode = delete; VACUUM");
    let lock_page = (1_u32 << 30) / page_size + 1;
    let mut header = fs::read(scene.db()).unwrap();
    header[28..32].copy_from_slice(&(lock_page - 3).to_be_bytes());
    fs::write(scene.db(), &header).unwrap();
    let file = fs::File::options().write(true).open(scene.db()).unwrap();
    file.set_len(u64::from(lock_page - 3) * u64::from(page_size)).unwrap();
    drop(file);
    sql(&scene.db(), "PRAGMA journal_mode = wal");

    let mut app = scene.app();
    assert_eq!(app.run("PRAGMA page_count"), (lock_page - 3).to_string());
    let mut running = scene.start().await;
    for round in 0..3 {
        app.run(&format!("INSERT INTO t (b) VALUES (randomblob({}))", 4 * page_size));
        if round == 1 {
            running.replication.flush().await.unwrap();
            checkpoint(&mut app, "PASSIVE");
            scene.kill(running).await;
            app.run(&format!("INSERT INTO t (b) VALUES (randomblob({}))", 4 * page_size));
            running = scene.start().await;
        }
        let frame = running.replication.flush().await.unwrap().unwrap().to_string();
        let expected = checkpointed_copy(&scene);
        let walkeep = Walkeep::at(&scene.path(""));
        let args =
            ["restore", "store", "-n", "app", "--frame", &frame, "-o", "restored.db", "--force", "--json"];
        let ran = walkeep.ok(&[&args[..], &["--integrity-check", "none"]].concat());
        assert_eq!(ran.json()["verified"], true);
        compare_files(&scene.path("restored.db"), &expected);
    }
    assert!(app.run("PRAGMA page_count").parse::<u32>().unwrap() > lock_page + 5);
    // While nobody captured, the log may have begun anew and be as long as it was.
    let kinds = scene.kinds().await;
    assert_eq!(kinds.len(), 5, "{kinds:?}");
    assert!(kinds.iter().filter(|kind| **kind == CommitKind::Discontinuous).count() <= 1, "{kinds:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_15_the_lock_page_in_pages_of_65536() {
    grow_over_the_lock_page(65536).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_15_the_lock_page_in_pages_of_4096() {
    grow_over_the_lock_page(4096).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: a file of 1 GiB for each page size"]
async fn case_15_the_lock_page_in_pages_of_every_other_size() {
    for page_size in [512, 1024, 2048, 8192, 16384, 32768] {
        grow_over_the_lock_page(page_size).await;
    }
}

/// Case 19: the daemon may open no more files for a while.
#[tokio::test(flavor = "multi_thread")]
async fn case_19_too_many_files() {
    let scene = ReplicationScene::new().with_rows("");
    let mut app = scene.app();
    let mut daemon = Daemon::start(&scene, &[]);
    daemon.reach(|status| status.durable.is_some());
    scene.is_exact_in_store(|| daemon.said()).await;
    for _ in 0..3 {
        // Those that are open already stay open.
        daemon.limit("--nofile=8:1024");
        for _ in 0..5 {
            app.run(&rows(2));
            pause(100).await;
            daemon.assert_runs();
        }
        daemon.limit("--nofile=1024:1024");
        scene.is_exact_in_store(|| daemon.said()).await;
    }
    scene.is_continuous().await;
    assert_eq!(daemon.stop().code(), Some(0));
}

/// Case 19: the disk is full for a while, as far as files of some length go.
#[tokio::test(flavor = "multi_thread")]
async fn case_19_the_disk_is_full() {
    let scene = ReplicationScene::new().with_rows("");
    let mut app = scene.app();
    let walkeep = Walkeep::at(&scene.path("")).after("trap '' XFSZ");
    let mut daemon = Daemon::start_by(&walkeep, &scene, &[]);
    daemon.reach(|status| status.durable.is_some());
    scene.is_exact_in_store(|| daemon.said()).await;
    for _ in 0..2 {
        daemon.limit("--fsize=2000:unlimited");
        for _ in 0..5 {
            app.run(&rows(5));
            pause(300).await;
            daemon.assert_runs();
        }
        daemon.limit("--fsize=unlimited:unlimited");
        scene.is_exact_in_store(|| daemon.said()).await;
    }
    scene.is_continuous().await;
    // And a stop meanwhile does not say that all is well.
    daemon.limit("--fsize=2000:unlimited");
    app.run(&rows(5));
    assert_ne!(daemon.stop().code(), Some(0));
    let daemon = Daemon::start(&scene, &[]);
    scene.is_exact_in_store(|| daemon.said()).await;
    scene.is_continuous().await;
}

/// Case 19: killed at any moment, again and again, while it captures, stores and checkpoints.
#[tokio::test(flavor = "multi_thread")]
async fn case_19_killed_at_any_moment() {
    let scene = ReplicationScene::new().with_rows("");
    let mut app = scene.app();
    for round in 0..40 {
        let daemon = Daemon::start(&scene, &["--checkpoint", "20K"]);
        // From before it is open to after it has done its work.
        for step in 0..3 {
            app.run(&rows(1 + step));
            pause(round * 3 % 53).await;
        }
        daemon.kill();
        if round % 8 == 7 {
            let daemon = Daemon::start(&scene, &[]);
            scene.is_exact_in_store(|| daemon.said()).await;
            daemon.kill();
        }
    }
    let gaps = scene.kinds().await.iter().filter(|kind| **kind == CommitKind::Discontinuous).count();
    // The log may begin anew while nobody captures; then that is said, with the reason.
    let said = fs::read_to_string(scene.path("said")).unwrap();
    let told = said.matches("commits were not captured as they happened").count();
    assert!(gaps <= told, "{gaps} gaps, of which {told} were told: {said}");
    assert_eq!(said.matches("overwritten what followed").count(), told, "{said}");
}

/// A clock that goes far forward, and back again, with every look.
#[derive(Debug)]
struct JumpingClock(AtomicU64);

impl Clock for JumpingClock {
    fn now(&self) -> UnixMillis {
        let looks = self.0.fetch_add(1, Ordering::SeqCst);
        UnixMillis(1_900_000_000_000 + 10 * looks + looks % 2 * 5_000)
    }
}

/// Case 20: the store loses replies, is too busy, answers with less than it has; the clock jumps back and forth, so
/// that many commits have one time.
#[tokio::test(flavor = "multi_thread")]
async fn case_20_a_store_that_fails_and_a_clock_that_jumps() {
    for seed in 0..6 {
        let faults = Faults {
            fail_before: 0.1,
            throttled: 0.1,
            lost_put_reply: 0.2,
            short_body: 0.1,
            ..Faults::default()
        };
        // To open takes many requests, and begins again after each that failed.
        let some = Faults { throttled: 0.02, lost_put_reply: 0.1, short_body: 0.02, ..Faults::default() };
        let faulty = Arc::new(Faulty::new(Memory::new(), Faults::default(), seed).unwrap());
        let backend: DynBackend = Erased::shared(Arc::clone(&faulty));
        let mut scene = ReplicationScene::over(backend).with_rows("");
        scene.handles.clock = Arc::new(JumpingClock(AtomicU64::new(0)));
        let mut app = scene.app();
        let mut running = scene.start().await;
        let mut written = 0;
        for round in 0..6 {
            faulty.set_faults(faults).unwrap();
            for _ in 0..10 {
                app.run(&rows(1));
                written += 1;
                pause(15).await;
            }
            assert_eq!(running.status().phase, Phase::Capturing, "{:#?}", running.status());
            if round % 3 == 1 {
                scene.kill(running).await;
                for _ in 0..3 {
                    app.run(&rows(1));
                }
                let (log, done) = checkpoint(&mut app, "PASSIVE");
                assert_eq!(log, done);
                app.run(UPDATE_ONE);
                written += 4;
                faulty.set_faults(some).unwrap();
                running = scene.start().await;
            }
            running.replication.flush().await.unwrap();
            faulty.set_faults(Faults::default()).unwrap();
            scene.is_exact(&running).await;
        }
        assert_eq!(scene.is_continuous().await, written, "seed {seed}");
        for fault in [StoreFault::Throttled, StoreFault::LostPutReply] {
            assert!(faulty.happened().contains_key(&fault), "{fault:?} did not happen");
        }
        running.stop().await;
    }
}

/// Case 20: the store is away while more happens than the spool takes. The log and the spool stay bounded, the gap is
/// told, and a stop says what it has left.
#[tokio::test(flavor = "multi_thread")]
async fn case_20_a_store_that_is_away_and_a_spool_that_is_full() {
    for stop_first in [false, true] {
        let flaky = Arc::new(Flaky::new(Memory::new()));
        let backend: DynBackend = Erased::shared(Arc::clone(&flaky));
        let mut scene = ReplicationScene::over(backend).with_rows("");
        scene.options.spool_bytes_max = 100_000;
        scene.options.checkpoint_bytes = 40_000;
        scene.options.poll_interval = Duration::from_millis(500);
        let mut app = scene.app();
        let running = scene.start().await;
        scene.is_exact(&running).await;
        flaky.always(Some(Fault::Unavailable));
        let begun = std::time::Instant::now();
        while running.status().phase != Phase::SpoolFull {
            app.run(&rows(3));
            pause(5).await;
            assert!(begun.elapsed() < SOON, "{:#?}", running.status());
        }
        assert!(running.status().spool_bytes < 300_000, "{:#?}", running.status());
        for _ in 0..3 {
            app.run(&rows(3));
            app.run("PRAGMA wal_checkpoint(PASSIVE)");
        }
        let asked = running.replication.flush().await;
        assert!(asked.is_err(), "what is not captured is not stored: {asked:?}");
        assert!(running.status().waiting_since.is_some(), "it lags");
        if stop_first {
            let stopping = tokio::spawn(running.replication.stop(SOON));
            pause(50).await;
            flaky.always(None);
            let all = stopping.await.unwrap().unwrap();
            let newest = scene.restored(walkeep::core::RestorePoint::Latest).await;
            assert_eq!(all, newest == scene.expected(), "what it says of the store is so");
            continue;
        }
        flaky.always(None);
        scene.is_exact(&running).await;
        running.fell_back(Way::Difference, "the spool was full");
        let kinds = scene.kinds().await;
        assert_eq!(kinds.iter().filter(|kind| **kind == CommitKind::Discontinuous).count(), 1, "{kinds:?}");
        app.run(&rows(1));
        scene.is_exact(&running).await;
        running.stop().await;
    }
}

/// Case 20: more segments wait than the queue of a store takes.
#[tokio::test(flavor = "multi_thread")]
async fn case_20_more_segments_than_the_queue_takes() {
    let flaky = Arc::new(Flaky::new(Memory::new()));
    let backend: DynBackend = Erased::shared(Arc::clone(&flaky));
    let mut scene = ReplicationScene::over(backend).with_rows("");
    scene.storage.queue_segments_max = 8;
    scene.options.checkpoint_bytes = 1;
    let mut app = scene.app();
    let running = scene.start().await;
    scene.is_exact(&running).await;
    flaky.always(Some(Fault::Unavailable));
    for _ in 0..40 {
        app.run(UPDATE_ONE);
        pause(10).await;
    }
    assert_eq!(running.status().phase, Phase::Capturing, "{:#?}", running.status());
    flaky.always(None);
    scene.is_exact(&running).await;
    assert_eq!(scene.is_continuous().await, 40);
    scene.kill(running).await;
    let running = scene.start().await;
    scene.is_exact(&running).await;
    running.stop().await;
}

/// Case 20 with case 19: what was captured while the store was away outlives kills, and is stored in order.
#[tokio::test(flavor = "multi_thread")]
async fn case_20_killed_while_the_store_is_away() {
    let flaky = Arc::new(Flaky::new(Memory::new()));
    let backend: DynBackend = Erased::shared(Arc::clone(&flaky));
    let mut scene = ReplicationScene::over(backend).with_rows("");
    scene.options.checkpoint_bytes = 1;
    let mut app = scene.app();
    let mut running = scene.start().await;
    scene.is_exact(&running).await;
    let mut written = 0;
    flaky.always(Some(Fault::Unavailable));
    for round in 0..3 {
        for _ in 0..3 {
            app.run(&rows(2));
            written += 1;
            pause(60).await;
        }
        if round == 0 {
            running.reach(|status| status.spool_segments > 0).await;
        }
        scene.kill(running).await;
        app.run(UPDATE_ONE);
        written += 1;
        running = scene.start_any();
        running.reach(|status| status.last_error.is_some()).await;
    }
    flaky.always(None);
    scene.is_exact(&running).await;
    let gaps = scene.kinds().await.iter().filter(|kind| **kind == CommitKind::Discontinuous).count();
    let told = usize::from(running.status().fall_back.is_some());
    assert!(gaps <= told, "{gaps} gaps: {:#?}", running.status());
    if gaps == 0 {
        assert_eq!(scene.is_continuous().await, written);
    }
    running.stop().await;
}
