//! Compaction against a copy of the database that was made at each commit: whatever is compacted by whichever strategy,
//! what can be restored is exact.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;

use walkeep::backends::Memory;
use walkeep::compact::{CompactOptions, Compactor, Identity, LogReduction, Outcome, Strategy, Tiered};
use walkeep::core::segment::Compression;
use walkeep::core::{Error, PageSize, SegmentKey};
use walkeep::verify::verify;
use walkeep::{RestorePoint, Timeline};
use walkeep_tests::handles::{SeededRandom, handles};
use walkeep_tests::history::{History, restore};
use walkeep_tests::scenario::{Step, run};
use walkeep_tests::sim_directory::SimDirectory;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap().block_on(work)
}

fn strategies() -> [Box<dyn Strategy>; 3] {
    [Box::new(Identity), Box::new(LogReduction), Box::new(Tiered)]
}

fn compactor(log: &History<Memory>, now: u64, seed: u64) -> Compactor {
    let (handles, _) = handles(now, seed ^ 77);
    let mut options = CompactOptions::new(Arc::new(SimDirectory::new()), handles);
    options.compression = log.compression;
    Compactor::new(&log.bucket, &log.namespace, options).unwrap()
}

/// Every commit is what its copy says, or unreachable where no segments lead to it.
async fn check(log: &History<Memory>) {
    for recorded in &log.commits {
        let frame = recorded.commit.frame_no;
        let view = log.view(RestorePoint::Frame(frame)).await;
        if !log.is_reachable(recorded) {
            assert!(matches!(view, Err(Error::Unreachable(_))), "frame {frame}: {view:?}");
            continue;
        }
        let view = view.unwrap();
        assert_eq!(*view.commit(), recorded.commit);
        let (file, restored) = restore(&view).await.unwrap();
        assert!(file == recorded.file, "the restored file at frame {frame} differs");
        assert!(restored.verified);
        view.page_hashes().unwrap();
    }
    let report = verify(&log.bucket, &log.namespace, true).await.unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

/// Deletes what lies strictly inside a compacted segment, newest first: what collecting does where nothing is promised.
async fn collect(log: &mut History<Memory>) {
    let inside = |inner: &SegmentKey, outer: &SegmentKey| {
        outer.start() <= inner.start()
            && inner.end() <= outer.end()
            && (inner.start(), inner.end()) != (outer.start(), outer.end())
    };
    let stored = log.stored.clone();
    for key in &stored {
        if stored.iter().any(|outer| outer.level() > 0 && inside(key, outer)) {
            log.delete(*key).await;
        }
    }
}

/// Compacts, checks, collects, checks again, and wants nothing more of the same strategy.
async fn compact_and_check(log: &mut History<Memory>, strategy: &dyn Strategy, now: u64, seed: u64) {
    let before = Timeline::load(&log.bucket, &log.namespace).await.unwrap();
    let compactor = compactor(log, now, seed);
    let compacted = compactor.compact(strategy, &|_| ()).await.unwrap();
    log.relist().await;
    let stored = compacted.done.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Stored { .. }));
    assert_eq!(log.stored.len(), before.segments().len() + stored.clone().count(), "nothing is deleted");
    for (plan, _) in stored {
        assert!(log.stored.contains(plan.output()), "{plan:?}");
        let after = Timeline::load(&log.bucket, &log.namespace).await.unwrap();
        let end = plan.output().end();
        let (was, is) = (before.cover(end).unwrap().len(), after.cover(end).unwrap().len());
        assert!(is <= was, "{plan:?}: {was} segments led to it, and now {is}");
    }
    check(log).await;
    collect(log).await;
    check(log).await;
}

#[test]
fn random_histories_stay_exact_under_every_strategy() {
    for seed in 0..150 {
        let steps = Step::sequence(seed, false);
        let checked = std::panic::catch_unwind(|| {
            block_on(async {
                for strategy in strategies() {
                    let mut log = run(seed, &steps).await;
                    if !log.stored.is_empty() {
                        compact_and_check(&mut log, &*strategy, 1_000_000_000, seed).await;
                    }
                }
            });
        });
        assert!(checked.is_ok(), "seed {seed} failed: {steps:?}");
    }
}

/// A history that goes over days, and is compacted again and again while it grows, by strategies in turn.
async fn grow_and_compact(seed: u64, collected: bool) -> usize {
    let random = SeededRandom::new(seed);
    let below = |bound: u64| random.below(bound);
    let mut log = History::open(Arc::new(Memory::new()), PageSize::MIN, seed).await;
    log.compression = [Compression::None, Compression::Zstd(1), Compression::Lz4][(seed % 3) as usize];
    let (mut time, mut done) = (1_000, 0);
    for round in 0..120 {
        for _ in 0..=below(3) {
            for _ in 0..=below(6) {
                let page = 1 + below(60) as u32;
                let noise: Vec<u8> = (0..64).flat_map(|_| below(u64::MAX).to_le_bytes()).collect();
                let zeros = below(8) == 0;
                log.write(page, if zeros { vec![0; 512] } else { noise });
            }
            let size = if below(6) == 0 { below(61) as u32 } else { log.size().max(log.highest_written()) };
            time += [0, 1, 700, 9_000, 200_000, 2_000_000, 30_000_000][below(7) as usize];
            log.commit(size, time);
        }
        log.store().await;
        if below(15) == 0 {
            log.reopen(log.page_size()).await.unwrap();
        }
        if round % 20 == 19 {
            let strategy = &strategies()[if below(3) == 0 { below(3) as usize } else { 2 }];
            let compacted = compactor(&log, time, round).compact(&**strategy, &|_| ()).await.unwrap();
            done += compacted.done.len();
            log.relist().await;
            if collected {
                collect(&mut log).await;
            }
            check(&log).await;
        }
    }
    done
}

#[test]
fn a_history_that_grows_over_days_stays_exact_while_it_is_compacted() {
    let mut done = 0;
    for seed in 0..12 {
        done += block_on(grow_and_compact(seed, seed % 2 == 0));
    }
    assert!(done > 100, "only {done} compactions");
}
