//! Compactors beside a writer, readers and each other, on a store that fails and lies.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use walkeep::backends::faulty::{Faults, Faulty};
use walkeep::compact::{Identity, LogReduction, Outcome, Strategy, Tiered};
use walkeep::core::Error;
use walkeep::verify::verify;
use walkeep::{Bucket, DATABASE_BYTES_MAX, RestorePoint, View};
use walkeep_tests::compact_scene::{all_exact, compactor_in, empty, store};
use walkeep_tests::handles::SeededRandom;
use walkeep_tests::history::restore;

const ROUNDS: u64 = 100;

const FAULTS: Faults = Faults {
    fail_before: 0.02,
    throttled: 0.02,
    conflict: 0.05,
    late_apply: 0.1,
    apply_then_hang: 0.0,
    lost_put_reply: 0.1,
    lost_delete_reply: 0.0,
    short_body: 0.03,
    flipped_body: 0.05,
    stale_listing: 0.05,
    partial_listing: 0.03,
    duplicate_in_listing: 0.03,
    unsorted_listing: 0.0,
};

/// What a compactor may meet on such a store. Whatever it is, it must not do harm.
fn is_expected(error: &Error) -> bool {
    matches!(
        error,
        Error::Unavailable { .. } | Error::Unknown { .. } | Error::Corrupt(_) | Error::NotFound { .. }
    )
}

async fn round(seed: u64) -> (usize, usize) {
    let mut log = empty().await;
    for time in 1..=6 {
        store(&mut log, &[1, 2 + time as u32, 30], time).await;
    }
    let strategies: [&dyn Strategy; 2] =
        [&Identity, if seed.is_multiple_of(2) { &LogReduction as &dyn Strategy } else { &Tiered }];
    let mut compactors = Vec::new();
    for (number, strategy) in strategies.into_iter().enumerate() {
        let faulty = Faulty::new(Arc::clone(&log.backend), FAULTS, seed * 2 + number as u64).unwrap();
        let bucket = Bucket::new(Arc::new(faulty), None).unwrap();
        // By this clock every minute is over: `Tiered` has work, too.
        compactors.push((compactor_in(&bucket, &log, 1 << 40), strategy));
    }
    let compacting = async |at: usize| {
        let (mut stored, mut failed) = (0, 0);
        for _ in 0..4 {
            let (compactor, strategy) = &compactors[at];
            match compactor.compact(*strategy, &|_| ()).await {
                Ok(compacted) => {
                    let ours = |outcome: &Outcome| matches!(outcome, Outcome::Stored { .. });
                    stored += compacted.done.iter().filter(|(_, outcome)| ours(outcome)).count();
                }
                Err(error) => {
                    assert!(is_expected(&error), "seed {seed}: {error}");
                    failed += 1;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (stored, failed)
    };
    let (bucket, namespace) = (log.bucket.clone(), log.namespace.clone());
    let writing = async {
        let random = SeededRandom::new(seed);
        for time in 7..=16 {
            let pages = [1 + random.below(20) as u32, 21 + random.below(20) as u32];
            store(&mut log, &pages, time).await;
            tokio::time::sleep(Duration::from_millis(random.below(30))).await;
        }
    };
    let reading = async {
        for _ in 0..10 {
            let view =
                View::open(&bucket, &namespace, RestorePoint::Latest, DATABASE_BYTES_MAX).await.unwrap();
            restore(&view).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let (first, second, (), ()) = futures::join!(compacting(0), compacting(1), writing, reading);
    log.relist().await;
    all_exact(&log).await;
    let report = verify(&log.bucket, &log.namespace, true).await.unwrap();
    assert!(report.problems.is_empty(), "seed {seed}: {:?}", report.problems);
    (first.0 + second.0, first.1 + second.1)
}

#[test]
fn compactors_on_a_store_that_fails_and_lies_do_no_harm_to_writer_and_restores() {
    let (mut stored, mut failed) = (0, 0);
    for seed in 0..ROUNDS {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        let (done, errors) = runtime.block_on(round(seed));
        (stored, failed) = (stored + done, failed + errors);
    }
    assert!(stored as u64 > ROUNDS && failed as u64 > ROUNDS, "{stored} were stored, {failed} calls failed");
}
