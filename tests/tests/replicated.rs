//! Commits that an application waits for until they are in the store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;
use walkeep::backends::memory::Memory;
use walkeep::backends::metered::{Metered, Requests};
use walkeep::core::{Erased, FrameNo, Namespace, PageSize, Storage};
use walkeep::restore::{RestoreOptions, RestorePlan};
use walkeep::storage::{AsyncStorage, StorageOptions};
use walkeep::{Bucket, DATABASE_BYTES_MAX, Error, Fencing, Handles, RestorePoint, View};
use walkeep_sqlite::Replicated;
use walkeep_sqlite::replication::{
    DatabaseSpec, Phase, Replication, ReplicationOptions, ReplicationStore, Replicator,
};
use walkeep_tests::app::App;
use walkeep_tests::database::{beside, sql};
use walkeep_tests::memory_target::MemoryTarget;
use walkeep_tests::sick::{Ailment, Sick};

/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(60);

type Store = Metered<Sick<Memory>>;

/// A database that is replicated to a store in memory, which takes its time and can be made to hang.
struct Scene {
    root: TempDir,
    store: Arc<Store>,
    replication: Replication,
}

fn namespace() -> Namespace {
    "app".parse().unwrap()
}

impl Scene {
    async fn new() -> Self {
        Self::with(Duration::ZERO, ReplicationOptions::default()).await
    }

    async fn with(delay: Duration, options: ReplicationOptions) -> Self {
        let scene = Self::start(delay, options, None);
        let mut status = scene.replication.watch();
        status.wait_for(|status| status.phase == Phase::Capturing).await.unwrap();
        scene
    }

    /// Without waiting until the namespace is open.
    fn start(delay: Duration, options: ReplicationOptions, ailment: Option<Ailment>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("app.db");
        sql(&path, "PRAGMA journal_mode = wal; CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)");
        let store = Arc::new(Metered::new(Sick::over(Arc::new(Memory::new()), delay)));
        store.inner().ail("app", ailment);
        let backend = Erased::shared(Arc::clone(&store));
        let handles = Handles::system();
        let storage = StorageOptions { attempt_timeout_ms: 300, ..StorageOptions::default() };
        let target =
            ReplicationStore::new(backend, "memory", Fencing::Required, storage, handles.clone()).unwrap();
        let spec = DatabaseSpec { path, namespace: namespace(), store: target, options };
        let replication = Replicator::new(handles).start(spec).unwrap();
        Self { root, store, replication }
    }

    fn db(&self) -> PathBuf {
        self.root.path().join("app.db")
    }

    fn connection(&self) -> Replicated {
        let connection = Connection::open(self.db()).unwrap();
        connection.busy_timeout(LONG).unwrap();
        Replicated::new(connection, &self.replication).unwrap()
    }

    fn requests(&self) -> Requests {
        self.store.requests()
    }

    /// The rows of the table that a restore of a frame gives.
    async fn restored(&self, frame: FrameNo) -> Vec<i64> {
        let bucket = Bucket::new(Arc::clone(&self.store), None).unwrap();
        let point = RestorePoint::Frame(frame);
        let view = View::open(&bucket, &namespace(), point, DATABASE_BYTES_MAX).await.unwrap();
        let mut target = MemoryTarget::default();
        view.write_to(&RestorePlan::new(&view), &mut target, &RestoreOptions::default()).await.unwrap();
        let path = self.root.path().join("restored.db");
        std::fs::write(&path, target.file()).unwrap();
        let rows = rows(&path);
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&path, suffix));
        }
        rows
    }
}

fn rows(path: &Path) -> Vec<i64> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT a FROM t ORDER BY a").unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn insert(connection: &Connection, row: i64) {
    connection.execute("INSERT INTO t VALUES (?1, randomblob(500))", [row]).unwrap();
}

#[track_caller]
fn assert_unknown(outcome: walkeep::Result<FrameNo>) -> String {
    match outcome {
        Err(Error::Unknown { what }) => what,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_in_the_store_by_frame() {
    let scene = Scene::new().await;
    let database = scene.connection();
    let mut last = None;
    for row in 1..=40 {
        insert(&database, row);
        let frame = database.commit_durable(LONG).await.unwrap();
        assert!(last < Some(frame), "each commit has a frame of its own: {last:?}, {frame}");
        last = Some(frame);
        assert_eq!(scene.restored(frame).await, (1..=row).collect::<Vec<_>>());
    }
    drop(database);
    assert!(scene.replication.stop(LONG).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_interval_delays_nobody_who_waits() {
    let hour = Duration::from_secs(3600);
    let options =
        ReplicationOptions { sync_interval: hour, poll_interval: hour, ..ReplicationOptions::default() };
    let scene = Scene::with(Duration::ZERO, options).await;
    let database = scene.connection();
    let begun = Instant::now();
    for row in 1..=3 {
        insert(&database, row);
        let frame = database.commit_durable(LONG).await.unwrap();
        assert_eq!(scene.restored(frame).await.len(), row as usize);
    }
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_do_asks_nobody() {
    let scene = Scene::new().await;
    let (database, other) = (scene.connection(), scene.connection());
    insert(&database, 1);
    let frame = database.commit_durable(LONG).await.unwrap();
    let before = scene.requests();
    // Not even a store that hangs is noticed, by this connection or another one.
    scene.store.inner().ail("app", Some(Ailment::Hangs));
    assert_eq!(database.commit_durable(Duration::ZERO).await.unwrap(), frame);
    assert_eq!(other.commit_durable(Duration::ZERO).await.unwrap(), frame);
    assert_eq!(scene.requests(), before);
    // A commit is noticed, even when the application has replaced every hook: each of these does.
    database.execute_batch("PRAGMA wal_autocheckpoint = 500; PRAGMA wal_autocheckpoint = 0").unwrap();
    insert(&database, 2);
    assert_unknown(database.commit_durable(Duration::from_millis(50)).await);
    assert_unknown(other.commit_durable(Duration::from_millis(50)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_out_is_unknown_and_storing_goes_on() {
    let hour = Duration::from_secs(3600);
    let options = ReplicationOptions { sync_interval: hour, ..ReplicationOptions::default() };
    let scene = Scene::with(Duration::ZERO, options).await;
    let database = scene.connection();
    insert(&database, 1);
    let first = database.commit_durable(LONG).await.unwrap();
    scene.store.inner().ail("app", Some(Ailment::Hangs));
    insert(&database, 2);
    let what = assert_unknown(database.commit_durable(Duration::from_millis(100)).await);
    for said in ["app.db", "may or may not", "memory", "100ms", "in the background", "again"] {
        assert!(what.contains(said), "{said:?}: {what}");
    }
    // While that one hangs, others time out too: nothing is captured for them yet.
    insert(&database, 3);
    assert_unknown(database.commit_durable(Duration::from_millis(100)).await);
    assert_eq!(scene.replication.status().durable.unwrap().frame_no, first);

    scene.store.inner().ail("app", None);
    // Nobody asks again: both are stored all the same, and long before the interval is over.
    let mut status = scene.replication.watch();
    let all = status.wait_for(|status| {
        status.durable.is_some_and(|durable| durable.frame_no > first) && status.transactions == 3
    });
    tokio::time::timeout(LONG, all).await.unwrap().unwrap();
    let mut status = scene.replication.watch();
    let all = status.wait_for(|status| status.seen == status.durable);
    let durable = tokio::time::timeout(LONG, all).await.unwrap().unwrap().durable.unwrap().frame_no;
    assert_eq!(scene.restored(durable).await, [1, 2, 3]);
    // And whoever asks learns it.
    assert_eq!(database.commit_durable(LONG).await.unwrap(), durable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_wait_share_uploads() {
    const WRITERS: i64 = 8;
    const COMMITS: i64 = 20;
    let scene = Arc::new(Scene::with(Duration::from_millis(20), ReplicationOptions::default()).await);
    let before = scene.requests();
    let writers = (0..WRITERS).map(|writer| {
        let database = scene.connection();
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for commit in 0..COMMITS {
                let row = writer * COMMITS + commit + 1;
                tokio::task::block_in_place(|| insert(&database, row));
                acknowledged.push((row, database.commit_durable(LONG).await.unwrap()));
            }
            acknowledged
        })
    });
    let mut acknowledged = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        acknowledged.extend(writer.await.unwrap());
    }
    let commits = (WRITERS * COMMITS) as u64;
    let puts = scene.requests().since(&before).puts;
    println!("{commits} commits in {puts} puts");
    assert!(puts <= commits / 3, "{puts} puts for {commits} commits");
    let mut frames = acknowledged.iter().map(|(_, frame)| *frame).collect::<Vec<_>>();
    frames.sort_unstable();
    frames.dedup();
    for frame in frames {
        let restored = scene.restored(frame).await;
        for (row, _) in acknowledged.iter().filter(|(_, durable)| *durable <= frame) {
            assert!(restored.contains(row), "row {row} was acknowledged and is not in frame {frame}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_waited_for_without_the_connection() {
    let scene = Scene::with(Duration::from_millis(50), ReplicationOptions::default()).await;
    let database = scene.connection();
    let receipts = (1..=20).map(|row| {
        insert(&database, row);
        database.receipt().unwrap()
    });
    let receipts = receipts.collect::<Vec<_>>();
    let before = scene.requests();
    let waiting = receipts.into_iter().map(|receipt| tokio::spawn(receipt.durable(LONG)));
    for waiting in waiting.collect::<Vec<_>>() {
        let frame = waiting.await.unwrap().unwrap();
        assert_eq!(scene.restored(frame).await.len(), 20);
    }
    assert!(scene.requests().since(&before).puts <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_fenced_is_told() {
    let scene = Scene::new().await;
    let (database, other) = (scene.connection(), scene.connection());
    insert(&database, 1);
    database.commit_durable(LONG).await.unwrap();
    let stranger =
        AsyncStorage::new(Arc::clone(&scene.store), StorageOptions::default(), Handles::system()).unwrap();
    stranger.open(&namespace(), PageSize::DEFAULT, None).await.unwrap();
    insert(&database, 2);
    for _ in 0..2 {
        let outcome = database.commit_durable(LONG).await;
        assert!(matches!(outcome, Err(Error::Fenced { .. })), "{outcome:?}");
        // Also of a connection that waits for nothing.
        let outcome = other.commit_durable(LONG).await;
        assert!(matches!(outcome, Err(Error::Fenced { .. })), "{outcome:?}");
    }
    assert_eq!(rows(&scene.db()), [1, 2], "the commits stay committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replication_that_was_stopped_acknowledges_nothing_more() {
    let scene = Scene::new().await;
    let database = scene.connection();
    insert(&database, 1);
    let frame = database.commit_durable(LONG).await.unwrap();
    assert!(scene.replication.stop(LONG).await.unwrap());
    assert_eq!(database.commit_durable(LONG).await.unwrap(), frame, "what is known needs nobody");
    insert(&database, 2);
    let what = assert_unknown(database.commit_durable(LONG).await);
    assert!(what.contains("stopped"), "{what}");
}

/// The store is away when the replication starts: whoever waits meanwhile is served once the namespace is open.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_while_the_namespace_cannot_be_opened_is_acknowledged_later() {
    let options = ReplicationOptions::default();
    let scene = Scene::start(Duration::ZERO, options, Some(Ailment::Refused));
    let database = scene.connection();
    insert(&database, 1);
    let waiting = tokio::spawn(database.receipt().unwrap().durable(LONG));
    assert_unknown(database.commit_durable(Duration::from_millis(300)).await);
    assert_eq!(scene.replication.status().epoch, None);
    scene.store.inner().ail("app", None);
    let frame = waiting.await.unwrap().unwrap();
    assert_eq!(scene.restored(frame).await, [1]);
}

/// What is committed while the spool is full is captured later: nobody may be told that it is stored before.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_acknowledges_nothing() {
    let options = ReplicationOptions {
        spool_bytes_max: 8192,
        seal_bytes: 1,
        sync_interval: Duration::ZERO,
        ..ReplicationOptions::default()
    };
    let scene = Scene::with(Duration::ZERO, options).await;
    let database = scene.connection();
    insert(&database, 1);
    database.commit_durable(LONG).await.unwrap();
    scene.store.inner().ail("app", Some(Ailment::Hangs));
    for row in 2..=4 {
        database.execute("INSERT INTO t VALUES (?1, randomblob(20000))", [row]).unwrap();
    }
    let mut status = scene.replication.watch();
    let full = status.wait_for(|status| status.phase == Phase::SpoolFull);
    tokio::time::timeout(LONG, full).await.unwrap().unwrap();
    insert(&database, 5);
    let waiting = tokio::spawn(database.receipt().unwrap().durable(LONG));
    tokio::time::sleep(Duration::from_millis(100)).await;
    scene.store.inner().ail("app", None);
    match waiting.await.unwrap() {
        Err(Error::Unknown { .. }) => {}
        Ok(frame) => assert_eq!(scene.restored(frame).await, [1, 2, 3, 4, 5]),
        Err(error) => panic!("{error}"),
    }
    let stored = async {
        loop {
            match database.commit_durable(LONG).await {
                Ok(frame) => return frame,
                Err(Error::Unknown { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let frame = tokio::time::timeout(LONG, stored).await.unwrap();
    assert_eq!(scene.restored(frame).await, [1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_acknowledged_is_refused() {
    let scene = Scene::new().await;
    let refused = |outcome: walkeep::Result<FrameNo>, says: &str| match outcome {
        Err(error @ Error::Invalid { .. }) => assert!(error.to_string().contains(says), "{error}"),
        other => panic!("{other:?}"),
    };
    let database = scene.connection();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    insert(&database, 1);
    refused(database.commit_durable(LONG).await, "commit it first");
    database.execute_batch("COMMIT").unwrap();
    database.commit_durable(LONG).await.unwrap();

    let other = scene.root.path().join("other.db");
    sql(&other, "PRAGMA journal_mode = wal; CREATE TABLE t (a)");
    let connection = Connection::open(&other).unwrap();
    let error = Replicated::new(connection, &scene.replication).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }) && error.to_string().contains("two databases"), "{error}");
    let spec = DatabaseSpec {
        path: other.clone(),
        namespace: "other".parse().unwrap(),
        store: ReplicationStore::new(
            Erased::shared(Memory::new()),
            "memory",
            Fencing::Required,
            StorageOptions::default(),
            Handles::system(),
        )
        .unwrap(),
        options: ReplicationOptions::default(),
    };
    sql(&other, "PRAGMA journal_mode = delete");
    let replication = Replicator::new(Handles::system()).start(spec).unwrap();
    let error = Replicated::new(Connection::open(&other).unwrap(), &replication).unwrap_err();
    assert!(error.to_string().contains("not in WAL mode"), "{error}");
    let error = Replicated::new(Connection::open_in_memory().unwrap(), &scene.replication).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }) && error.to_string().contains("in memory"), "{error}");
}

/// POSIX locks of a process on a file die when any descriptor of that file is closed in it. Captures and checkpoints
/// open and close connections all the time: another process must see the application's locks all the same.
#[tokio::test(flavor = "multi_thread")]
async fn captures_leave_the_locks_of_the_application_alone() {
    let options = ReplicationOptions {
        checkpoint_bytes: 1,
        sync_interval: Duration::ZERO,
        poll_interval: Duration::from_millis(5),
        ..ReplicationOptions::default()
    };
    let scene = Scene::with(Duration::ZERO, options).await;
    let mut stranger = App::start(&scene.db());
    stranger.run("PRAGMA busy_timeout = 0; SELECT count(*) FROM t");
    let (writer, reader, committer) = (scene.connection(), scene.connection(), scene.connection());
    for round in 0..30 {
        insert(&committer, 3 * round);
        committer.commit_durable(LONG).await.unwrap();
        reader.execute_batch("BEGIN").unwrap();
        let seen: i64 = reader.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        writer.execute_batch("BEGIN IMMEDIATE").unwrap();
        insert(&writer, 3 * round + 1);
        // Captures, with the checkpoints and polls between them.
        for _ in 0..3 {
            scene.replication.flush().await.unwrap();
            committer.commit_durable(LONG).await.unwrap();
            tokio::time::sleep(Duration::from_millis(4)).await;
            let error =
                stranger.try_run("BEGIN IMMEDIATE").expect_err("another process has got the write lock");
            assert!(error.contains("locked"), "{error}");
        }
        writer.execute_batch("COMMIT").unwrap();
        let other = stranger.run(&format!("INSERT INTO t VALUES ({}, 'x')", 3 * round + 2));
        assert_eq!(other, "");
        // Of the three rows that are new in this round the reader sees one, whatever happens to the log.
        let row = stranger.run("PRAGMA wal_checkpoint(TRUNCATE)");
        assert!(row.starts_with("1|"), "a reader's lock was not seen: {row}");
        let still: i64 = reader.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(still, seen);
        reader.execute_batch("COMMIT").unwrap();
    }
    let frame = committer.commit_durable(LONG).await.unwrap();
    assert_eq!(scene.restored(frame).await, (0..90).collect::<Vec<_>>());
    assert!(scene.replication.status().checkpoints > 5, "{:?}", scene.replication.status());
    assert_eq!(scene.replication.status().fall_back, None);
    stranger.close();
}
