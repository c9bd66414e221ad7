//! What tests of continuous replication stand on: a database that applications in processes of their own write, its
//! replication in this process, and what a restore gives.
//!
//! While a replication runs, nothing here opens the files of the database itself: closing a descriptor would take away
//! the locks that SQLite has on them in this process. Copies are made by `cp`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use tempfile::TempDir;
use walkeep::backends::StoreUrl;
use walkeep::core::{CommitKind, DynBackend, FrameNo, Namespace, RestorePoint};
use walkeep::restore::{RestoreOptions, RestorePlan};
use walkeep::storage::StorageOptions;
use walkeep::{Bucket, DATABASE_BYTES_MAX, Fencing, Handles, LoggedCommit, Timeline, View};
use walkeep_sqlite::replication::{
    DatabaseSpec, FallBack, Phase, Replication, ReplicationOptions, ReplicationStore, Replicator, Status,
    Way, state_directory,
};

use crate::app::App;
use crate::database::{assert_same, beside, expected_bytes, sql};
use crate::memory_target::MemoryTarget;

/// How long anything may take that happens at once on an idle machine. Shorter than the safety poll of the scene.
pub const SOON: Duration = Duration::from_secs(20);

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(10);

/// A database in a folder of its own, and a store beside it.
#[derive(Debug)]
pub struct ReplicationScene {
    root: TempDir,
    /// How it is replicated: often, and with a safety poll that is too rare to hide an event that was missed.
    pub options: ReplicationOptions,
    /// Clock and randomness of the replication.
    pub handles: Handles,
    /// How the storage works.
    pub storage: StorageOptions,
    backend: DynBackend,
}

/// A replication that runs in this process.
#[derive(Debug)]
pub struct Running {
    /// It.
    pub replication: Replication,
    _replicator: Replicator,
}

impl ReplicationScene {
    /// With a store in a directory, and no database yet.
    #[expect(clippy::new_without_default, reason = "it makes folders")]
    #[must_use]
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = StoreUrl::from_os_str(root.path().join("store").as_os_str()).unwrap();
        let backend = store.create().unwrap();
        Self::in_folder(root, backend)
    }

    /// With a store of another kind.
    #[must_use]
    pub fn over(backend: DynBackend) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), backend)
    }

    fn in_folder(root: TempDir, backend: DynBackend) -> Self {
        let options = ReplicationOptions {
            sync_interval: Duration::from_millis(20),
            busy_timeout: Duration::from_secs(2),
            poll_interval: Duration::from_secs(60),
            ..ReplicationOptions::default()
        };
        let storage =
            StorageOptions { back_off_first_ms: 10, back_off_max_ms: 200, ..StorageOptions::default() };
        Self { root, options, handles: Handles::system(), storage, backend }
    }

    /// With a database in WAL mode that has a table `t (a, b)` of some rows.
    #[must_use]
    pub fn with_rows(self, pragmas: &str) -> Self {
        let table = "CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)";
        sql(&self.db(), &format!("{pragmas}; PRAGMA journal_mode = wal; {table}; {}", rows(20)));
        self
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The database.
    #[must_use]
    pub fn db(&self) -> PathBuf {
        self.path("app.db")
    }

    /// The log of the database.
    #[must_use]
    pub fn wal(&self) -> PathBuf {
        beside(&self.db(), "-wal")
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        "app".parse().unwrap()
    }

    /// The store, for reading.
    #[must_use]
    pub fn bucket(&self) -> Bucket {
        Bucket::new(Arc::new(Arc::clone(&self.backend)), None).unwrap()
    }

    /// An application that has looked at the database, and leaves checkpoints to others.
    #[must_use]
    pub fn app(&self) -> App {
        let mut app = App::start(&self.db());
        app.run("PRAGMA wal_autocheckpoint = 0; SELECT count(*) FROM sqlite_schema");
        app
    }

    /// Starts a replication, whatever comes of it.
    #[must_use]
    pub fn start_any(&self) -> Running {
        self.start_at(&self.db(), self.options.clone())
    }

    /// Starts a replication of some database to the namespace of the scene.
    #[must_use]
    pub fn start_at(&self, database: &Path, options: ReplicationOptions) -> Running {
        let replicator = Replicator::new(self.handles.clone());
        let backend = Arc::clone(&self.backend);
        let (storage, handles) = (self.storage.clone(), self.handles.clone());
        let store = ReplicationStore::new(backend, "the store", Fencing::Required, storage, handles).unwrap();
        let spec = DatabaseSpec { path: database.to_path_buf(), namespace: self.namespace(), store, options };
        let replication = replicator.start(spec).unwrap();
        Running { replication, _replicator: replicator }
    }

    /// Starts a replication, which captures then.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn start(&self) -> Running {
        let running = self.start_any();
        running.reach(|status| status.phase == Phase::Capturing).await;
        running
    }

    /// Ends a replication without a last capture, and waits until it is gone.
    ///
    /// # Panics
    ///
    /// When it stays.
    pub async fn kill(&self, running: Running) {
        drop(running);
        let lock = state_directory(&self.canonical()).join("lock");
        let begun = Instant::now();
        while std::fs::File::open(&lock).is_ok_and(|lock| lock.try_lock_shared().is_err()) {
            assert!(begun.elapsed() < SOON, "the replication goes on");
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn canonical(&self) -> PathBuf {
        std::fs::canonicalize(self.root.path()).unwrap().join("app.db")
    }

    /// Copies the database and its log as they are, for whoever may change them; not the `-shm`.
    pub fn copy_to(&self, copy: &Path) {
        copy_files(&self.db(), copy);
    }

    /// The bytes that a restore of the newest state must give. Nobody may be writing.
    #[must_use]
    pub fn expected(&self) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.db");
        self.copy_to(&copy);
        expected_bytes(&copy)
    }

    /// Restores, and fails unless that is proven.
    ///
    /// # Panics
    ///
    /// When it cannot be restored.
    pub async fn restored(&self, point: RestorePoint) -> Vec<u8> {
        let bucket = self.bucket();
        let view = View::open(&bucket, &self.namespace(), point, DATABASE_BYTES_MAX).await.unwrap();
        let mut target = MemoryTarget::default();
        let plan = RestorePlan::new(&view);
        let restored = view.write_to(&plan, &mut target, &RestoreOptions::default()).await.unwrap();
        assert!(restored.verified, "at {point:?}");
        target.file()
    }

    /// Waits until everything is stored that is committed, without asking for it, and fails unless a restore gives the
    /// database byte for byte. Nobody may be writing.
    ///
    /// # Panics
    ///
    /// When it is not so soon.
    #[track_caller]
    pub fn is_exact<'a>(&'a self, running: &'a Running) -> impl Future<Output = FrameNo> + 'a {
        let from = std::panic::Location::caller();
        async move {
            let expected = self.expected();
            let begun = Instant::now();
            loop {
                let status = running.replication.status();
                if let Some(durable) = status.durable {
                    let found = self.restored(RestorePoint::Frame(durable.frame_no)).await;
                    if found == expected {
                        return durable.frame_no;
                    }
                    if begun.elapsed() > SOON {
                        assert_same(&found, &expected, &format!("{from}: {status:#?}"));
                    }
                }
                assert!(begun.elapsed() < SOON + SOON, "{from}: nothing is stored: {status:#?}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// The same of a replication that runs elsewhere.
    ///
    /// # Panics
    ///
    /// When it is not so soon.
    #[track_caller]
    pub fn is_exact_in_store<'a>(
        &'a self,
        said: impl Fn() -> String + 'a,
    ) -> impl Future<Output = FrameNo> + 'a {
        let from = std::panic::Location::caller();
        async move {
            let expected = self.expected();
            let (bucket, namespace) = (self.bucket(), self.namespace());
            let begun = Instant::now();
            loop {
                // Before it has stored something there is nothing to be found.
                let view = View::open(&bucket, &namespace, RestorePoint::Latest, DATABASE_BYTES_MAX).await;
                if let Ok(frame_no) = view.map(|view| view.commit().frame_no) {
                    let found = self.restored(RestorePoint::Frame(frame_no)).await;
                    if found == expected {
                        return frame_no;
                    }
                    if begun.elapsed() > SOON {
                        assert_same(&found, &expected, &format!("{from}: {}", said()));
                    }
                }
                assert!(begun.elapsed() < SOON + SOON, "{from}: nothing is stored: {}", said());
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// The commits that can be restored, oldest first. Fails unless the store is whole and times do not fall.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub async fn commits(&self) -> Vec<LoggedCommit> {
        let (bucket, namespace) = (self.bucket(), self.namespace());
        let report = walkeep::verify::verify(&bucket, &namespace, true).await.unwrap();
        assert!(report.problems.is_empty(), "{report:#?}");
        assert!(report.states_proven > 0, "{report:#?}");
        let timeline = Timeline::load(&bucket, &namespace).await.unwrap();
        let mut commits: Vec<_> = walkeep::history(&bucket, &timeline).try_collect().await.unwrap();
        commits.reverse();
        let times = commits.iter().map(|logged| logged.commit.time).collect::<Vec<_>>();
        assert!(times.is_sorted(), "times fall: {times:?}");
        commits
    }

    /// How the commits came to be recorded, oldest first; the store is checked as by [`ReplicationScene::commits`].
    pub async fn kinds(&self) -> Vec<CommitKind> {
        self.commits().await.iter().map(|logged| logged.commit.kind).collect()
    }

    /// Fails unless every commit behind the first one is a transaction; how many there are.
    ///
    /// # Panics
    ///
    /// When one is not.
    #[track_caller]
    pub fn is_continuous(&self) -> impl Future<Output = usize> + '_ {
        let from = std::panic::Location::caller();
        async move {
            let kinds = self.kinds().await;
            let (first, others) = kinds.split_first().unwrap();
            assert_eq!(*first, CommitKind::Snapshot, "{from}");
            let gaps = others.iter().filter(|kind| **kind != CommitKind::Transaction).count();
            assert_eq!(gaps, 0, "{from}: {kinds:?}");
            others.len()
        }
    }
}

impl Running {
    /// Waits for a status.
    ///
    /// # Panics
    ///
    /// When it does not come.
    #[track_caller]
    pub fn reach(&self, wanted: impl Fn(&Status) -> bool) -> impl Future<Output = Status> {
        let from = std::panic::Location::caller();
        let mut watch = self.replication.watch();
        async move {
            let reached = tokio::time::timeout(SOON, watch.wait_for(|status| wanted(status))).await;
            match reached {
                Ok(Ok(status)) => return status.clone(),
                other => drop(other),
            }
            let status = watch.borrow().clone();
            panic!("{from}: it does not come to that: {status:#?}")
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.replication.status()
    }

    /// How it went on after a gap: fails unless it says so, with a reason.
    ///
    /// # Panics
    ///
    /// When there is none, or another one.
    #[track_caller]
    pub fn fell_back(&self, way: Way, why: &str) -> FallBack {
        let status = self.status();
        let fall_back = status.fall_back.expect("a fall-back that is told");
        assert!(status.fall_backs > 0, "a fall-back is counted");
        assert_eq!(fall_back.way, way, "{fall_back:?}");
        assert!(fall_back.why.contains(why), "{fall_back:?} does not say {why:?}");
        fall_back
    }

    /// Captures, stores and ends; fails unless everything is stored.
    ///
    /// # Panics
    ///
    /// When that does not come about.
    pub async fn stop(self) {
        assert!(self.replication.stop(SOON).await.unwrap(), "not everything is stored");
    }
}

/// Copies a database and its log with a process of its own.
///
/// # Panics
///
/// When that fails.
pub fn copy_files(database: &Path, copy: &Path) {
    for suffix in ["", "-wal"] {
        let (from, to) = (beside(database, suffix), beside(copy, suffix));
        if from.exists() {
            assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
        }
    }
}

/// SQL that adds rows of about a third of a page to `t`, on one line.
#[must_use]
pub fn rows(count: u32) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
         INSERT INTO t (b) SELECT randomblob(1200) FROM n;"
    )
}

/// The number of frames of a log and of those in the database file, after a checkpoint by an application.
///
/// # Panics
///
/// When the checkpoint is refused.
pub fn checkpoint(app: &mut App, mode: &str) -> (u64, u64) {
    let row = app.run(&format!("PRAGMA wal_checkpoint({mode})"));
    let numbers = row.split('|').map(|number| number.parse::<i64>().unwrap()).collect::<Vec<_>>();
    assert_eq!(numbers[0], 0, "{mode}: {row}");
    (numbers[1].try_into().unwrap(), numbers[2].try_into().unwrap())
}
