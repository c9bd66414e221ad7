//! Two compactors and two collectors beside a writer and readers, on a store that fails and lies: nothing that is promised
//! is lost, and no restore fails that the promise covers.
//!
//! 100 rounds; `WALKEEP_ROUNDS=1000 cargo test --release --test gc_race` runs more.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use walkeep::backends::Memory;
use walkeep::backends::faulty::{Faults, Faulty};
use walkeep::compact::{CompactOptions, Compactor, Identity, LogReduction, Strategy};
use walkeep::core::{Error, PageSize, RestorePoint, Retention};
use walkeep::gc::{GcOptions, collect};
use walkeep::verify::verify;
use walkeep::{Bucket, Timeline, retain};
use walkeep_tests::handles::{SeededRandom, handles};
use walkeep_tests::history::History;
use walkeep_tests::sim_directory::SimDirectory;

const FAULTS: Faults = Faults {
    fail_before: 0.03,
    throttled: 0.02,
    conflict: 0.05,
    late_apply: 0.05,
    apply_then_hang: 0.0,
    lost_put_reply: 0.1,
    lost_delete_reply: 0.2,
    short_body: 0.02,
    flipped_body: 0.02,
    stale_listing: 0.0,
    partial_listing: 0.02,
    duplicate_in_listing: 0.03,
    unsorted_listing: 0.0,
};

const MINUTE: u64 = 60_000;

/// What may come of working on such a store. Whatever it is, it must not do harm.
fn is_expected(error: &Error) -> bool {
    let lies = matches!(error, Error::Corrupt(_) | Error::NotFound { .. } | Error::Unreachable(_));
    lies || matches!(error, Error::Unavailable { .. } | Error::Unknown { .. })
}

/// How many objects were deleted.
async fn round(seed: u64) -> usize {
    let (handles, clock) = handles(1_772_323_200_000, seed);
    let memory = Memory::with_clock(Arc::clone(&clock) as _);
    let mut log = History::open(Arc::new(memory), PageSize::MIN, seed).await;
    log.handles = handles.clone();
    let (bucket, namespace) = (log.bucket.clone(), log.namespace.clone());
    let retention = Retention::new(Duration::from_secs(120), Vec::new()).unwrap();
    retain(&bucket, &namespace, Some(&retention)).await.unwrap();
    let faulty = |number: u64| {
        let faulty = Faulty::new(Arc::clone(&log.backend), FAULTS, seed * 8 + number).unwrap();
        Bucket::new(Arc::new(faulty), None).unwrap()
    };
    let buckets = [faulty(0), faulty(1), faulty(2), faulty(3)];
    let ended = std::cell::Cell::new(false);
    let compacting = async |at: usize, strategy: &dyn Strategy| {
        let options = CompactOptions::new(Arc::new(SimDirectory::new()), handles.clone());
        let compactor = Compactor::new(&buckets[at], &namespace, options).unwrap();
        while !ended.get() {
            if let Err(error) = compactor.compact(strategy, &|_| ()).await {
                assert!(is_expected(&error), "seed {seed}: {error}");
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    };
    let collecting = async |at: usize| {
        let mut deleted = 0;
        let options = GcOptions { grace: Duration::from_secs(180) };
        while !ended.get() {
            match collect(&buckets[at], &namespace, &options, &handles).await {
                Ok(collected) => deleted += collected.deleted,
                Err(error) => assert!(is_expected(&error), "seed {seed}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        deleted
    };
    let reading = async || {
        while !ended.get() {
            let timeline = Timeline::load(&bucket, &namespace).await.unwrap();
            for range in timeline.restorable() {
                let point = RestorePoint::Frame(*range.end());
                let view = walkeep::View::open(&bucket, &namespace, point, walkeep::DATABASE_BYTES_MAX).await;
                match view {
                    Ok(view) => drop(walkeep_tests::history::restore(&view).await.unwrap()),
                    // Dropped since it was listed: it is not promised any more.
                    Err(Error::Unreachable(_)) => {
                        let now = Timeline::load(&bucket, &namespace).await.unwrap();
                        assert!(!now.manifest().promises(*range.end()), "seed {seed}: {point} is lost");
                    }
                    Err(error) => panic!("seed {seed}: {error}"),
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let writing = async {
        let random = SeededRandom::new(seed);
        for _ in 0..24 {
            for _ in 0..=random.below(3) {
                log.fill(1 + random.below(12) as u32, random.below(200) as u8);
            }
            let size = if random.below(4) == 0 {
                1 + random.below(12) as u32
            } else {
                log.highest_written().max(log.size())
            };
            log.commit(size, log.handles.clock.now().get());
            log.store().await;
            clock.advance(MINUTE / 2);
            tokio::time::sleep(Duration::from_millis(5 + random.below(30))).await;
        }
        ended.set(true);
    };
    let (_, (), (), first, second, ()) = futures::join!(
        writing,
        compacting(0, &Identity),
        compacting(1, &LogReduction),
        collecting(2),
        collecting(3),
        reading()
    );
    let timeline = Timeline::load(&bucket, &namespace).await.unwrap();
    for recorded in &log.commits {
        let frame = recorded.commit.frame_no;
        match log.restore(RestorePoint::Frame(frame)).await {
            Ok(file) => {
                assert!(timeline.manifest().promises(frame) && file == recorded.file, "seed {seed}: {frame}")
            }
            Err(Error::Unreachable(_)) => {
                assert!(!timeline.manifest().promises(frame), "seed {seed}: {frame}")
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    let report = verify(&bucket, &namespace, true).await.unwrap();
    assert!(report.problems.is_empty(), "seed {seed}: {:?}", report.problems);
    first + second
}

#[test]
fn collectors_and_compactors_lose_nothing_that_is_promised() {
    let rounds = std::env::var("WALKEEP_ROUNDS").ok().map_or(100, |rounds| rounds.parse().unwrap());
    let mut deleted = 0;
    for seed in 0..rounds {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        deleted += runtime.block_on(round(seed));
    }
    assert!(deleted as u64 > rounds, "{deleted} objects were deleted");
}
