//! A log against a model: random transactions, savepoints, seals, checkpoints and restarts. The database is what the
//! model says at every step, and every commit is restored from the sealed segments as it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use walkeep::core::Directory;
use walkeep::core::storage::Durable;
use walkeep::log::{Log, LogOptions, SyncPolicy};
use walkeep_tests::handles::{SeededRandom, TestClock};
use walkeep_tests::log_scene::{
    DATABASE, Model, Store, bucket, checkpoint, image, open_log, read_all, seeded,
};
use walkeep_tests::recorded::{frame_no, page_no};
use walkeep_tests::sim_directory::SimDirectory;

struct Run {
    random: SeededRandom,
    clock: Arc<TestClock>,
    directory: Arc<dyn Directory>,
    model: Model,
    /// The database after each commit, by its frame.
    commits: BTreeMap<u64, Model>,
    stored: u64,
    /// How often something happened that the test is about.
    seen: BTreeMap<&'static str, u32>,
}

impl Run {
    fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn transaction(&mut self, log: &mut Log) {
        let size_before = self.model.size;
        let mut transaction = log.begin().unwrap();
        let mut model = self.model.clone();
        let mut savepoints = Vec::new();
        for _ in 0..self.random.below(12) {
            match self.random.below(8) {
                0 => savepoints.push((transaction.savepoint(), model.clone())),
                1 if !savepoints.is_empty() => {
                    let place = self.random.below(savepoints.len() as u64) as usize;
                    transaction.rollback_to(&savepoints[place].0).unwrap();
                    model = savepoints[place].1.clone();
                    for (gone, _) in savepoints.drain(place + 1..) {
                        assert!(transaction.rollback_to(&gone).is_err(), "it was rolled back over");
                    }
                    *self.seen.entry("rollback to a savepoint").or_default() += 1;
                }
                2 if !savepoints.is_empty() => {
                    let place = self.random.below(savepoints.len() as u64) as usize;
                    let (released, _) = savepoints.drain(place..).next().unwrap();
                    transaction.release(released).unwrap();
                    *self.seen.entry("release").or_default() += 1;
                }
                _ => {
                    let page = self.random.below(u64::from(model.size) + 4) as u32 + 1;
                    let image = image(&self.random);
                    transaction.write(page_no(page), image.clone()).unwrap();
                    if model.pages.insert(page, image).is_some() {
                        *self.seen.entry("rewrite").or_default() += 1;
                    }
                    let highest = model.pages.keys().last().copied().unwrap_or(0);
                    model.size = model.size.max(highest);
                }
            }
        }
        for page in 1..=model.size + 1 {
            if let Some(seen) = transaction.read(page_no(page)).unwrap() {
                let expected = model.pages.get(&page).cloned().unwrap_or_else(|| vec![0; 512].into());
                assert_eq!(seen, expected, "page {page} in the transaction");
            }
        }
        let size = match self.random.below(6) {
            0 => self.random.below(u64::from(model.size) + 1) as u32,
            1 => model.size + self.random.below(5) as u32,
            _ => model.size,
        };
        if self.random.below(6) == 0 {
            drop(transaction);
            self.saw("rollback");
            return;
        }
        let wrote = model.pages.iter().any(|(page, image)| self.model.pages.get(page) != Some(image));
        model.resize(size);
        let commit = transaction.commit(walkeep::core::PageCount(size)).unwrap();
        self.model = model;
        if let Some(commit) = commit {
            assert_eq!(commit.state, Some(log.table().state()));
            self.commits.insert(commit.frame_no.get(), self.model.clone());
            let what = match size.cmp(&size_before) {
                std::cmp::Ordering::Less if !wrote => "shrink alone",
                std::cmp::Ordering::Less => "shrink",
                std::cmp::Ordering::Greater if !wrote => "growth alone",
                _ => "commit",
            };
            self.saw(what);
        } else {
            assert_eq!(size, size_before);
            self.saw("nothing to commit");
        }
    }

    async fn store(&mut self, log: &mut Log, store: &mut Store) {
        let segments = match log.seal().unwrap() {
            Some(_) | None => log.sealed(),
        };
        for segment in &segments {
            if segment.summary.key.end().get() <= self.stored {
                continue;
            }
            self.stored = store.writer.store(segment).await.unwrap().get();
        }
    }
}

/// Runs so many steps; what was seen, by name.
async fn run(seed: u64, steps: u32) -> BTreeMap<&'static str, u32> {
    let bucket = bucket();
    let (handles, clock) = seeded(seed);
    let policies = [SyncPolicy::EveryCommit, SyncPolicy::IntervalMs(50), SyncPolicy::Never];
    let options = LogOptions { sync: policies[seed as usize % 3], ..LogOptions::default() };
    let mut store = Store::open(&bucket, &handles).await.unwrap();
    let directory: Arc<dyn Directory> = Arc::new(SimDirectory::new());
    let (mut log, _) = open_log(&directory, &store.head, &options, &handles).unwrap();
    let mut run = Run {
        random: SeededRandom::new(seed),
        clock,
        directory,
        model: Model::default(),
        commits: BTreeMap::new(),
        stored: 0,
        seen: BTreeMap::new(),
    };
    for step in 0..steps {
        match run.random.below(16) {
            0 => drop(log.seal().unwrap()),
            1 => run.store(&mut log, &mut store).await,
            2 if run.stored > 0 => {
                checkpoint(&mut log, &*run.directory, Durable::Until(frame_no(run.stored))).unwrap();
                run.saw("checkpoint");
            }
            3 => {
                drop(log);
                store = Store::open(&bucket, &handles).await.unwrap();
                let (opened, recovered) = open_log(&run.directory, &store.head, &options, &handles).unwrap();
                log = opened;
                let last = run.commits.keys().last().copied();
                assert_eq!(recovered.last.map(|last| last.frame_no.get()), last);
                assert_eq!(recovered.frames_not_durable, last.unwrap_or(0) - run.stored);
                run.saw("restart");
            }
            4 => {
                let back = run.random.below(2) == 0;
                run.clock.set(1_000_000 + run.random.below(100) * 1000 - if back { 500_000 } else { 0 });
            }
            _ => run.transaction(&mut log),
        }
        let seen = read_all(&log, &*run.directory).unwrap();
        assert!(seen == run.model.file(), "seed {seed}, step {step}");
    }
    run.store(&mut log, &mut store).await;
    for (frame, model) in &run.commits {
        let restored = store.restore(*frame).await.unwrap_or_else(|error| panic!("frame {frame}: {error}"));
        assert!(restored == model.file(), "seed {seed}, frame {frame}");
    }
    if run.stored > 0 {
        checkpoint(&mut log, &*run.directory, Durable::Until(frame_no(run.stored))).unwrap();
        let names = run.directory.entries("".as_ref()).unwrap();
        assert_eq!(names.len(), 2, "the database and one current file are left: {names:?}");
        assert!(names.iter().any(|entry| entry.name == DATABASE));
    }
    run.seen
}

#[tokio::test]
async fn every_commit_is_what_the_model_was_through_seals_checkpoints_and_restarts() {
    let mut seen = BTreeMap::new();
    for seed in 0..60 {
        for (what, count) in run(seed, 60).await {
            *seen.entry(what).or_insert(0) += count;
        }
    }
    println!("{seen:?}");
    for what in [
        "checkpoint",
        "commit",
        "growth alone",
        "nothing to commit",
        "release",
        "restart",
        "rewrite",
        "rollback",
        "rollback to a savepoint",
        "shrink",
        "shrink alone",
    ] {
        assert!(seen.get(what).is_some_and(|count| *count > 5), "{what} was not tried: {seen:?}");
    }
}
