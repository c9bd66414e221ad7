//! An application does everything to its database that it may do, while it is replicated to a store that fails and lies:
//! whatever is listed can be restored, to a database that is whole and in which the bank's total is the same as ever.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rusqlite::Connection;
use walkeep::backends::Memory;
use walkeep::backends::faulty::{Faults, Faulty};
use walkeep::core::{CommitKind, DynBackend, Erased, RestorePoint};
use walkeep_sqlite::IntegrityCheck;
use walkeep_tests::database::sql;
use walkeep_tests::replication_scene::{ReplicationScene, SOON};

const TOTAL: i64 = 200 * 1000;

/// Each twentieth call of a kind that can go wrong in these ways does.
const FIVE_PERCENT: Faults = Faults {
    fail_before: 0.01,
    throttled: 0.01,
    conflict: 0.01,
    late_apply: 0.01,
    apply_then_hang: 0.002,
    lost_put_reply: 0.01,
    short_body: 0.02,
    flipped_body: 0.01,
    stale_listing: 0.02,
    partial_listing: 0.02,
    lost_delete_reply: 0.0,
    duplicate_in_listing: 0.0,
    unsorted_listing: 0.0,
};

/// Replicates a bank for some seconds, and restores it at every `each`th commit. Returns how many there were.
async fn a_bank_is_whole_at_every_commit(seconds: f64, rate: f64, seed: u64, each: usize) -> usize {
    let backend = Arc::new(Faulty::new(Memory::new(), FIVE_PERCENT, seed).unwrap());
    let erased: DynBackend = Arc::new(Erased::new(Arc::clone(&backend)));
    let mut scene = ReplicationScene::over(erased);
    scene.storage.attempt_timeout_ms = 500;
    scene.options.checkpoint_bytes = 256 << 10;
    sql(
        &scene.db(),
        "PRAGMA journal_mode = wal;
         CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, note BLOB);
         CREATE TABLE papers (id INTEGER PRIMARY KEY, body BLOB);
         CREATE TABLE step (n INTEGER NOT NULL); INSERT INTO step VALUES (0);
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 199)
           INSERT INTO accounts SELECT i, 1000, NULL FROM n;",
    );
    // Opening is tried in `one_writer`; here it has to come about.
    backend.set_faults(Faults::default()).unwrap();
    let running = scene.start().await;
    backend.set_faults(FIVE_PERCENT).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/mixed_load.py");
    let load = Command::new("python3")
        .arg(script)
        .arg(scene.db())
        .args([seconds.to_string(), rate.to_string(), seed.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let load = tokio::task::spawn_blocking(move || load.wait_with_output().unwrap()).await.unwrap();
    assert!(load.status.success(), "the load failed: {load:?}");
    let said = String::from_utf8(load.stdout).unwrap();
    let steps: i64 = said.trim().strip_prefix("ok ").unwrap().parse().unwrap();
    // The last commit may be in any state of being captured: ask for it.
    tokio::time::timeout(SOON * 3, running.replication.flush()).await.unwrap().unwrap();
    let status = running.status();
    assert_eq!(status.fall_back, None, "nothing was missed");
    backend.set_faults(Faults::default()).unwrap();
    scene.is_exact(&running).await;
    running.stop().await;

    let commits = scene.commits().await;
    let transactions = commits.iter().filter(|logged| logged.commit.kind == CommitKind::Transaction).count();
    assert_eq!(transactions + 1, commits.len(), "one whole image, then transactions");
    let (mut last_step, mut restored) = (-1, 0);
    for logged in commits.iter().rev().step_by(each).rev() {
        let frame = logged.commit.frame_no;
        let bytes = scene.restored(RestorePoint::Frame(frame)).await;
        let path = scene.path("restored.db");
        std::fs::write(&path, bytes).unwrap();
        let findings = walkeep_sqlite::check(&path, IntegrityCheck::Full).unwrap();
        assert!(findings.is_empty(), "frame {frame}: {findings:?}");
        let connection = Connection::open(format!("file:{}?immutable=1", path.display())).unwrap();
        let number = |query: &str| connection.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(number("SELECT sum(balance) FROM accounts"), TOTAL, "frame {frame}");
        let step = number("SELECT n FROM step");
        assert!(step >= last_step, "frame {frame}: step {step} after {last_step}");
        assert!(
            each > 1 || step <= last_step + 1,
            "frame {frame}: step {step} after {last_step}: one is missing"
        );
        last_step = step;
        restored += 1;
    }
    assert_eq!(last_step, steps, "the newest restore has the last transaction");
    assert!(backend.happened().values().sum::<u64>() > 0, "the store was to fail");
    println!("{transactions} transactions, {restored} restored; faults: {:?}", backend.happened());
    transactions
}

#[tokio::test(flavor = "multi_thread")]
async fn every_commit_of_a_mixed_load_is_restorable_and_whole() {
    let transactions = a_bank_is_whole_at_every_commit(12.0, 40.0, 7, 1).await;
    assert!(transactions > 100, "{transactions}");
}

/// 10 minutes; every 20th commit is restored, the state of every one is proven.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 12 minutes"]
async fn ten_minutes_of_mixed_load() {
    let transactions = a_bank_is_whole_at_every_commit(600.0, 40.0, 8, 20).await;
    assert!(transactions > 5000, "{transactions}");
}
