//! A log whose power fails, or whose disk fails, at every single operation. With a sync at every commit nothing that was
//! acknowledged is lost; whatever the policy, whole transactions are kept, oldest first, and nothing is mixed.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use walkeep::core::storage::Durable;
use walkeep::core::{Directory, Error, PageCount};
use walkeep::log::{Log, LogOptions, SyncPolicy};
use walkeep::{Bucket, Handles, Result};
use walkeep_tests::handles::SeededRandom;
use walkeep_tests::log_scene::{Model, Store, bucket, checkpoint, image, open_log, read_all, seeded};
use walkeep_tests::recorded::{frame_no, page_no};
use walkeep_tests::sim_directory::SimDirectory;

static PROCESSES: AtomicU64 = AtomicU64::new(1);

/// Crashes come out differently: so many ways are tried for each operation.
const SEEDS: u64 = 12;

#[derive(Clone, Copy, Debug)]
enum Step {
    Write,
    Seal,
    Store,
    Checkpoint,
    Reopen,
}

/// Each step follows each other one that matters.
const SCRIPT: [Step; 20] = {
    use Step::{Checkpoint, Reopen, Seal, Store, Write};
    [
        Write, Write, Seal, Write, Store, Write, Checkpoint, Write, Seal, Write, Reopen, Write, Write, Store,
        Checkpoint, Write, Write, Reopen, Write, Seal,
    ]
};

struct Scene {
    bucket: Bucket,
    handles: Handles,
    options: LogOptions,
    log_directory: SimDirectory,
    database: SimDirectory,
    random: SeededRandom,
    /// The database after each commit, by its frame.
    commits: BTreeMap<u64, Model>,
    /// The same for a transaction that may have been committed, for every frame that it could be.
    unknown: BTreeMap<u64, Model>,
    acknowledged: u64,
    stored: u64,
    log: Option<(Log, Store)>,
}

impl Scene {
    /// Log and database in one directory, or the database in one of its own.
    fn new(sync: SyncPolicy, log_directory: &SimDirectory, database: &SimDirectory) -> Self {
        Self {
            bucket: bucket(),
            handles: seeded(PROCESSES.fetch_add(1, Ordering::Relaxed) << 32).0,
            options: LogOptions { sync, ..LogOptions::default() },
            log_directory: log_directory.clone(),
            database: database.clone(),
            random: SeededRandom::new(5),
            commits: BTreeMap::new(),
            unknown: BTreeMap::new(),
            acknowledged: 0,
            stored: 0,
            log: None,
        }
    }

    /// As after a restart of the process. What was recovered must be one of the states, and at least what is safe.
    async fn open(&mut self, safe: u64) -> Result<()> {
        self.log = None;
        let store = Store::open(&self.bucket, &self.handles).await?;
        let base = walkeep_tests::log_scene::table_of(
            &walkeep_tests::log_scene::database_file(&self.database)?,
            store.head.hash_seed,
        );
        let directory: Arc<dyn Directory> = Arc::new(self.log_directory.clone());
        let opened = Log::open(directory, &store.head, base, self.options.clone(), &self.handles)?;
        let walkeep::log::Opened::Ready(log, recovered) = opened else {
            panic!(
                "{opened:?} of {:?}",
                self.log_directory.files().iter().map(|(n, f)| (n, f.len())).collect::<Vec<_>>()
            )
        };
        let last = recovered.last.map_or(0, |last| last.frame_no.get());
        assert!(last >= safe, "frame {safe} is lost: {recovered:?}");
        let unknown = std::mem::take(&mut self.unknown);
        self.commits.extend(unknown.into_iter().filter(|(frame, _)| *frame == last));
        assert!(
            last == 0 || self.commits.contains_key(&last),
            "{last} is no commit of {:?}",
            self.commits.keys()
        );
        self.commits.retain(|frame, _| *frame <= last);
        assert!(read_all(&log, &self.database)? == self.model().file(), "at frame {last}");
        self.acknowledged = last;
        self.log = Some((*log, store));
        Ok(())
    }

    fn model(&self) -> Model {
        self.commits.values().last().cloned().unwrap_or_default()
    }

    async fn step(&mut self, step: Step) -> Result<()> {
        if matches!(step, Step::Reopen) {
            return self.open(self.acknowledged).await;
        }
        let mut model = self.model();
        let Some((log, store)) = &mut self.log else { panic!("a log that is open") };
        match step {
            Step::Write => {
                // Which frame it will be is known only afterwards: it is remembered for any that it can be.
                let next = log.last().map_or(1, |last| last.frame_no.get() + 1);
                let mut transaction = log.begin()?;
                for _ in 0..self.random.below(4) {
                    let page = self.random.below(u64::from(model.size) + 2) as u32 + 1;
                    let image = image(&self.random);
                    transaction.write(page_no(page), image.clone())?;
                    model.pages.insert(page, image);
                    model.size = model.size.max(page);
                }
                let written = model.pages.len();
                let size = match self.random.below(4) {
                    0 => model.size / 2,
                    1 => model.size + 2,
                    _ => model.size,
                };
                model.resize(size);
                let outcome = transaction.commit(PageCount(size));
                match &outcome {
                    Ok(Some(commit)) => {
                        self.commits.insert(commit.frame_no.get(), model);
                        self.acknowledged = commit.frame_no.get();
                    }
                    Ok(None) => {}
                    Err(_) => {
                        let frames = next..=next + written as u64;
                        self.unknown.extend(frames.map(|frame| (frame, model.clone())));
                    }
                }
                outcome.map(drop)
            }
            Step::Seal => log.seal().map(drop),
            Step::Store => {
                log.seal()?;
                for segment in log.sealed() {
                    if segment.summary.key.end().get() > self.stored {
                        self.stored = store.writer.store(&segment).await?.get();
                    }
                }
                Ok(())
            }
            Step::Checkpoint if self.stored > 0 => {
                checkpoint(log, &self.database, Durable::Until(frame_no(self.stored)))
            }
            Step::Checkpoint | Step::Reopen => Ok(()),
        }
    }

    /// Everything up to the first error.
    async fn run(&mut self) -> Result<()> {
        self.open(0).await?;
        for step in SCRIPT {
            self.step(step).await?;
        }
        Ok(())
    }

    /// The same after a crash: what is there, and a store that goes on.
    fn crashed(&self, directory: SimDirectory) -> Self {
        let mut after = Self::new(self.options.sync, &directory, &directory);
        after.bucket = self.bucket.clone();
        (after.commits, after.unknown) = (self.commits.clone(), self.unknown.clone());
        after.stored = self.stored;
        after
    }

    /// The log goes on, and everything that was ever stored or is here can be restored.
    async fn goes_on(&mut self) {
        for step in [Step::Write, Step::Reopen, Step::Write, Step::Store, Step::Checkpoint, Step::Write] {
            self.step(step).await.unwrap();
        }
        let (_, store) = self.log.as_ref().unwrap();
        for (frame, model) in self.commits.range(..=self.stored) {
            assert!(store.restore(*frame).await.unwrap() == model.file(), "frame {frame}");
        }
    }
}

async fn operations(sync: SyncPolicy) -> u64 {
    let directory = SimDirectory::new();
    directory.crash_at(u64::MAX);
    Scene::new(sync, &directory, &directory).run().await.unwrap();
    directory.operations()
}

#[tokio::test]
async fn a_power_loss_at_any_operation_loses_nothing_that_the_policy_keeps() {
    for sync in [SyncPolicy::EveryCommit, SyncPolicy::Never] {
        let mut lost = 0;
        for crash_at in 1..=operations(sync).await {
            let directory = SimDirectory::new();
            directory.crash_at(crash_at);
            let mut scene = Scene::new(sync, &directory, &directory);
            scene.run().await.unwrap_err();
            let safe = if sync == SyncPolicy::EveryCommit { scene.acknowledged } else { scene.stored };
            for seed in 0..SEEDS {
                let mut after = scene.crashed(directory.after_crash(seed));
                after
                    .open(safe)
                    .await
                    .unwrap_or_else(|error| panic!("crash at {crash_at}, seed {seed}: {error}"));
                lost += u32::from(after.acknowledged < scene.acknowledged);
                if seed + 1 == SEEDS {
                    after.goes_on().await;
                }
            }
        }
        assert_eq!(lost > 0, sync == SyncPolicy::Never, "a policy that never syncs costs something: {lost}");
    }
}

#[tokio::test]
async fn a_process_that_is_killed_at_any_operation_loses_nothing_whatever_the_policy() {
    for sync in [SyncPolicy::EveryCommit, SyncPolicy::Never] {
        for crash_at in 1..=operations(sync).await {
            let directory = SimDirectory::new();
            directory.crash_at(crash_at);
            let mut scene = Scene::new(sync, &directory, &directory);
            scene.run().await.unwrap_err();
            directory.restart();
            let mut after = scene.crashed(directory);
            after
                .open(scene.acknowledged)
                .await
                .unwrap_or_else(|error| panic!("killed at {crash_at}: {error}"));
            after.goes_on().await;
        }
    }
}

/// A second crash while the first one is recovered from.
#[tokio::test]
async fn a_power_loss_during_recovery_loses_nothing() {
    let mut recoveries = 0;
    for crash_at in 1..=operations(SyncPolicy::EveryCommit).await {
        let directory = SimDirectory::new();
        directory.crash_at(crash_at);
        let mut scene = Scene::new(SyncPolicy::EveryCommit, &directory, &directory);
        scene.run().await.unwrap_err();
        let crashed = directory.after_crash(crash_at);
        for second in 1.. {
            // The same once more, from a directory as the crash left it.
            let recovering = crashed.after_crash(0);
            recovering.crash_at(second);
            if scene.crashed(recovering.clone()).open(scene.acknowledged).await.is_ok() {
                break;
            }
            recoveries += 1;
            let mut after = scene.crashed(recovering.after_crash(second));
            let opened = after.open(scene.acknowledged).await;
            opened.unwrap_or_else(|error| panic!("crash at {crash_at}, then {second}: {error}"));
        }
    }
    assert!(recoveries > 1000, "{recoveries}");
}

/// An operation fails, once; the process goes on, and later the power fails. What a failed sync covered is not durable
/// whatever is synced later: only what was written anew is.
#[tokio::test]
async fn after_any_failed_operation_what_is_acknowledged_survives_a_power_loss() {
    for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
        let (mut failures, mut went_on) = (0, 0);
        for fail_at in 1..=operations(SyncPolicy::EveryCommit).await {
            let (directory, database) = (SimDirectory::new(), SimDirectory::new());
            let mut scene = Scene::new(SyncPolicy::EveryCommit, &directory, &database);
            directory.fail_at(fail_at, kind);
            for step in [Step::Reopen].into_iter().chain(SCRIPT) {
                let acknowledged = scene.acknowledged;
                let Err(error) = scene.step(step).await else { continue };
                failures += 1;
                assert!(
                    matches!(error, Error::Unknown { .. } | Error::Exhausted { .. } | Error::Io { .. }),
                    "{error}"
                );
                let writable = scene.log.as_mut().is_some_and(|(log, _)| log.begin().is_ok());
                if writable {
                    // It did not happen, or was only the removal or the reading of a file.
                    went_on += u32::from(matches!(step, Step::Write | Step::Seal));
                    scene.unknown.clear();
                } else {
                    let opened = scene.open(acknowledged).await;
                    opened.unwrap_or_else(|error| panic!("failed at {fail_at} ({kind}): {error}"));
                }
            }
            for seed in 0..SEEDS {
                let mut after = scene.crashed(directory.after_crash(seed));
                after.database = database.after_crash(seed);
                let opened = after.open(scene.acknowledged).await;
                opened.unwrap_or_else(|error| panic!("failed at {fail_at} ({kind}), seed {seed}: {error}"));
            }
        }
        assert!(failures > 50, "{failures}");
        assert_eq!(
            went_on > 0,
            kind == ErrorKind::StorageFull,
            "only a full disk does nothing else: {went_on}"
        );
    }
}

#[tokio::test]
async fn a_log_whose_sync_failed_takes_nothing_more_until_it_is_opened_again() {
    let (directory, database) = (SimDirectory::new(), SimDirectory::new());
    let handles = seeded(1).0;
    let store = Store::open(&bucket(), &handles).await.unwrap();
    let shared: Arc<dyn Directory> = Arc::new(directory.clone());
    let (mut log, _) = open_log(&shared, &store.head, &LogOptions::default(), &handles).unwrap();
    // A commit is a write, and then a sync.
    directory.fail_at(2, ErrorKind::Other);
    let mut transaction = log.begin().unwrap();
    transaction.write(page_no(1), vec![1; 512]).unwrap();
    let error = transaction.commit(PageCount(1)).unwrap_err();
    assert!(matches!(&error, Error::Unknown { what } if what.contains("sync")), "{error}");
    for error in [log.begin().map(drop), log.sync(), log.seal().map(drop)] {
        assert!(
            matches!(&error, Err(Error::Unknown { what }) if what.contains("open it again")),
            "{error:?}"
        );
    }
    drop(log);
    let (mut log, _) = open_log(&shared, &store.head, &LogOptions::default(), &handles).unwrap();
    assert!(log.begin().is_ok());
    drop(database);
}
