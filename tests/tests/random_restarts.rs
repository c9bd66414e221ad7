//! Writers at full speed, and a daemon that is stopped and killed at any moment and stays away for a while: whatever
//! happened meanwhile, the newest restore is the database, and older ones are what it was.
//!
//! The long forms are `cargo test --release --test random_restarts -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests make and damage files directly")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use walkeep::LoggedCommit;
use walkeep::core::{CommitKind, FrameNo, RestorePoint};
use walkeep_sqlite::replication::Phase;
use walkeep_tests::app::App;
use walkeep_tests::daemon::Daemon;
use walkeep_tests::database::{ACCOUNTS, BALANCE, assert_same, make_accounts};
use walkeep_tests::handles::SeededRandom;
use walkeep_tests::replication_scene::ReplicationScene;

async fn wait(random: &SeededRandom, from: u64, to: u64) {
    tokio::time::sleep(Duration::from_millis(from + random.below(to - from))).await;
}

fn scene() -> ReplicationScene {
    let scene = ReplicationScene::new();
    make_accounts(&scene.db(), "PRAGMA journal_mode = wal;");
    scene
}

/// While all writers stand still: waits until everything is stored, and the daemon says so.
async fn exact(scene: &ReplicationScene, daemon: &mut Daemon) -> (FrameNo, Vec<u8>) {
    let frame = scene.is_exact_in_store(|| daemon.said()).await;
    daemon.reach(|status| {
        let durable = status.durable.map(|commit| commit.frame_no);
        status.phase == Phase::Capturing && durable == Some(frame) && status.waiting_since.is_none()
    });
    (frame, scene.expected())
}

/// Every gap in the history has been told, with the way over it and the reason; how many were told.
fn told_gaps(commits: &[LoggedCommit], said: &str) -> usize {
    let gaps = commits.iter().filter(|logged| logged.commit.kind == CommitKind::Discontinuous).count();
    let told = said.lines().filter(|line| line.contains("commits were not captured as they happened"));
    let told = told.collect::<Vec<_>>();
    for line in &told {
        assert!(line.contains("way=") && line.contains("why="), "{line}");
    }
    let differences = told.iter().filter(|line| line.contains("difference")).count();
    // One that was killed before it could store the difference has told it as well.
    assert!(gaps <= differences, "{gaps} gaps, {differences} told:\n{said}");
    told.len()
}

async fn restarts(seed: u64, count: u64, away: (u64, u64)) {
    let random = SeededRandom::new(seed);
    let scene = scene();
    let mut writer =
        if seed.is_multiple_of(2) { App::transfers(&scene.db()) } else { App::python_transfers(&scene.db()) };
    let mut daemon = Daemon::start(&scene, &[]);
    daemon.reach(|status| status.durable.is_some());
    let mut points = Vec::new();
    for _ in 0..count {
        wait(&random, 50, 600).await;
        if random.below(2) == 0 {
            writer.pause();
            points.push(exact(&scene, &mut daemon).await);
            writer.go_on();
            wait(&random, 1, 100).await;
        }
        if random.below(2) == 0 {
            let said = daemon.said();
            assert_eq!(daemon.stop().code(), Some(0), "{said}");
        } else {
            daemon.kill();
        }
        wait(&random, away.0, away.1).await;
        daemon = Daemon::start(&scene, &[]);
        wait(&random, 1, 400).await;
        writer.pause();
        points.push(exact(&scene, &mut daemon).await);
        writer.go_on();
    }
    let transfers = writer.finish();
    exact(&scene, &mut daemon).await;
    let commits = scene.commits().await;
    let told = told_gaps(&commits, &daemon.said());
    for _ in 0..10 {
        let (frame, bytes) = &points[usize::try_from(random.below(points.len() as u64)).unwrap()];
        assert_same(&scene.restored(RestorePoint::Frame(*frame)).await, bytes, &format!("at frame {frame}"));
    }
    println!(
        "seed {seed}: {count} restarts, {transfers} transfers, {} restore points, {told} fall-backs told, 0 wrong",
        commits.len()
    );
    assert_eq!(daemon.stop().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_beside_a_writer_at_full_speed() {
    restarts(1, 4, (50, 500)).await;
    restarts(2, 4, (50, 500)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: 100 restarts, of which each takes some seconds"]
async fn a_hundred_restarts_beside_a_writer_at_full_speed() {
    restarts(3, 50, (300, 3000)).await;
    restarts(4, 50, (300, 3000)).await;
}

/// The number of transfers in a database of which the accounts add up.
fn transfers_in(file: &Path, what: &str) -> i64 {
    let connection = Connection::open(file).unwrap();
    let sum = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(sum("SELECT sum(balance) FROM accounts"), ACCOUNTS * BALANCE, "{what}");
    sum("SELECT transfers FROM done")
}

/// Writers that are killed leave whole transactions in the log that nobody has seen, and that the next one writes over.
/// A transaction that never happened would have the number of the one that then did.
async fn killed_writers(seed: u64, kills: u64) {
    let random = SeededRandom::new(seed);
    let scene = scene();
    // Somebody has it open all the time, so that no recovery makes them happen after all.
    let mut witness = scene.app();
    let mut daemon = Daemon::start(&scene, &["--checkpoint", "200K"]);
    daemon.reach(|status| status.durable.is_some());
    for kill in 0..kills {
        let writer = if random.below(3) == 0 {
            App::python_transfers(&scene.db())
        } else {
            App::transfers(&scene.db())
        };
        wait(&random, 30, 200).await;
        if random.below(3) == 0 {
            daemon.kill();
            wait(&random, 1, 30).await;
            writer.kill();
            if random.below(2) == 0 {
                // The log begins anew with whoever writes next, and the ghost stands in the old tail.
                witness.run("PRAGMA wal_checkpoint(PASSIVE)");
                witness.run("UPDATE done SET transfers = transfers + 1");
            }
            daemon = Daemon::start(&scene, &["--checkpoint", "200K"]);
            daemon.reach(|status| status.phase == Phase::Capturing);
        } else {
            writer.kill();
            // Left to be seen for a while, or written over at once.
            wait(&random, 1, 80).await;
        }
        if kill % 10 == 9 {
            // Its place is taken by a transaction that happens.
            witness.run("UPDATE done SET transfers = transfers + 1");
            exact(&scene, &mut daemon).await;
        }
    }
    witness.run("UPDATE done SET transfers = transfers + 1");
    exact(&scene, &mut daemon).await;
    let commits = scene.commits().await;
    let told = told_gaps(&commits, &daemon.said());
    let file = scene.path("point.db");
    let mut before = None;
    for LoggedCommit { commit, .. } in &commits {
        fs::write(&file, scene.restored(RestorePoint::Frame(commit.frame_no)).await).unwrap();
        let what = format!("seed {seed}, {commit:?}");
        let transfers = transfers_in(&file, &what);
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(walkeep_tests::database::beside(&file, suffix));
        }
        if let Some(before) = before {
            let next = match commit.kind {
                CommitKind::Transaction => transfers == before + 1,
                _ => transfers > before,
            };
            assert!(next, "{what}: {transfers} after {before}\n{}", daemon.said());
        }
        before = Some(transfers);
    }
    println!("seed {seed}: {kills} kills, {} restore points, {told} fall-backs told, 0 wrong", commits.len());
    assert_eq!(daemon.stop().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_transaction_is_stored_that_a_killed_writer_never_finished() {
    killed_writers(5, 12).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: restores at each of many thousand points"]
async fn no_transaction_is_stored_that_any_of_many_killed_writers_never_finished() {
    for seed in 6..10 {
        killed_writers(seed, 50).await;
    }
}
