//! Whether a local log goes on: damage at every byte, stale logs, lost files, and what a full disk leaves.

use std::path::Path;
use std::sync::Arc;

use walkeep::core::Storage;
use walkeep::core::current_segment::CurrentHeader;
use walkeep::core::segment::Compression;
use walkeep::core::storage::Durable;
use walkeep::core::{Commit, Directory, Epoch, Error, FrameNo, LogId, PageCount, PageSize, UnixMillis};
use walkeep::log::{Log, LogOptions, Opened, Recovered, SealPolicy, SyncPolicy};
use walkeep::storage::NoStorage;
use walkeep::{Bucket, Handles};
use walkeep_tests::full_disk::{Full, FullDisk};
use walkeep_tests::handles::TestClock;
use walkeep_tests::log_scene::{
    PAGE, Store, bucket, checkpoint, database_file, open_log, read_all, seeded, table_of,
};
use walkeep_tests::recorded::{frame_no, page_no};
use walkeep_tests::sim_directory::SimDirectory;

const FRAME: usize = 40 + 512;
const HEADER: usize = 96;

fn options() -> LogOptions {
    LogOptions { compression: Compression::None, ..LogOptions::default() }
}

/// A log in a simulated directory.
struct Scene {
    bucket: Bucket,
    handles: Handles,
    clock: Arc<TestClock>,
    store: Store,
    directory: SimDirectory,
    log: Log,
}

impl Scene {
    async fn new(seed: u64) -> Self {
        let bucket = bucket();
        let (handles, clock) = seeded(seed);
        let store = Store::open(&bucket, &handles).await.unwrap();
        let directory = SimDirectory::new();
        let (log, _) = open_log(&shared(&directory), &store.head, &options(), &handles).unwrap();
        Self { bucket, handles, clock, store, directory, log }
    }

    fn commit(&mut self, pages: &[(u32, u8)], size: u32) -> Commit {
        let mut transaction = self.log.begin().unwrap();
        for (page, byte) in pages {
            transaction.write(page_no(*page), vec![*byte; 512]).unwrap();
        }
        transaction.commit(PageCount(size)).unwrap().unwrap()
    }

    async fn store(&mut self) -> FrameNo {
        let segment = self.log.seal().unwrap().unwrap();
        self.store.writer.store(&segment).await.unwrap()
    }

    /// The namespace is opened again, and then the log.
    async fn reopen(&mut self) -> walkeep::Result<Opened> {
        self.store = Store::open(&self.bucket, &self.handles).await?;
        let base = table_of(&database_file(&self.directory)?, self.store.head.hash_seed);
        Log::open(shared(&self.directory), &self.store.head, base, options(), &self.handles)
    }

    /// The one file with this ending.
    fn file(&self, extension: &str) -> (String, Vec<u8>) {
        let files = self.directory.files();
        let mut found = files.into_iter().filter(|(name, _)| name.ends_with(extension));
        let file = found.next().unwrap();
        assert!(found.next().is_none());
        file
    }
}

fn shared(directory: &SimDirectory) -> Arc<dyn Directory> {
    Arc::new(directory.clone())
}

fn ready(opened: walkeep::Result<Opened>) -> (Log, Recovered) {
    match opened.unwrap() {
        Opened::Ready(log, recovered) => (*log, recovered),
        Opened::Stale(stale) => panic!("{stale}"),
    }
}

fn stale(opened: walkeep::Result<Opened>) -> String {
    match opened.unwrap() {
        Opened::Ready(_, recovered) => panic!("it goes on: {recovered:?}"),
        Opened::Stale(stale) => stale.to_string(),
    }
}

fn corrupt<T: std::fmt::Debug>(outcome: walkeep::Result<T>) -> String {
    match outcome.unwrap_err() {
        Error::Corrupt(corruption) => corruption.to_string(),
        error => panic!("{error}"),
    }
}

/// A current file with four transactions; where each ends, and the database after it.
async fn four_transactions() -> (Scene, Vec<(usize, Vec<u8>)>) {
    let mut scene = Scene::new(1).await;
    let mut states = vec![(HEADER, Vec::new())];
    let transactions: [(&[(u32, u8)], u32); 4] =
        [(&[(1, 1), (2, 2)], 2), (&[(1, 3), (3, 4), (4, 5)], 4), (&[(2, 6)], 2), (&[(3, 7)], 5)];
    for (pages, size) in transactions {
        let commit = scene.commit(pages, size);
        let end = HEADER + commit.frame_no.get() as usize * FRAME;
        states.push((end, read_all(&scene.log, &scene.directory).unwrap()));
    }
    assert_eq!(scene.file("current").1.len(), states[4].0);
    (scene, states)
}

/// The log with this content in its one file, opened.
fn open_with(scene: &Scene, content: &[u8]) -> walkeep::Result<(Log, Recovered)> {
    let directory = SimDirectory::new();
    directory.put(&scene.file("current").0, content);
    open_log(&shared(&directory), &scene.store.head, &options(), &scene.handles)
}

#[tokio::test]
async fn a_file_cut_anywhere_gives_the_whole_transactions_before() {
    let (scene, states) = four_transactions().await;
    let (_, content) = scene.file("current");
    for len in 0..=content.len() {
        let (log, recovered) = open_with(&scene, &content[..len]).unwrap();
        let (end, expected) = states.iter().rfind(|(end, _)| *end <= len.max(HEADER)).unwrap();
        let seen = read_all(&log, &SimDirectory::new()).unwrap();
        assert!(seen == *expected, "cut at {len}: {recovered:?}");
        assert_eq!(recovered.cut_bytes, len.saturating_sub(*end) as u64, "cut at {len}");
    }
}

#[tokio::test]
async fn a_flipped_bit_anywhere_ends_the_log_before_it_or_is_an_error() {
    let (scene, states) = four_transactions().await;
    let (_, content) = scene.file("current");
    for at in 0..content.len() {
        let mut content = content.clone();
        content[at] ^= 1 << (at % 8);
        let opened = open_with(&scene, &content);
        if at < HEADER {
            let damage = corrupt(opened.map(drop));
            assert!(damage.contains(".current is damaged at offset 0"), "{damage}");
            continue;
        }
        let (log, recovered) = opened.unwrap();
        let (_, expected) = states.iter().rfind(|(end, _)| *end <= at).unwrap();
        assert!(read_all(&log, &SimDirectory::new()).unwrap() == *expected, "bit at {at}: {recovered:?}");
    }
}

#[tokio::test]
async fn bytes_behind_the_end_are_not_believed_whatever_they_are() {
    let (scene, states) = four_transactions().await;
    let (_, content) = scene.file("current");
    let mut other = Scene::new(2).await;
    other.commit(&[(1, 9)], 9);
    let (_, foreign) = other.file("current");
    for behind in
        [&content[HEADER..], &foreign, &foreign[HEADER..], &content[content.len() - FRAME..], &[0; 5000]]
    {
        let (log, recovered) = open_with(&scene, &[&content, behind].concat()).unwrap();
        assert_eq!(recovered.cut_bytes, behind.len() as u64);
        assert!(read_all(&log, &SimDirectory::new()).unwrap() == states[4].1);
    }
}

#[tokio::test]
async fn a_damaged_image_is_never_read_or_sealed() {
    let (mut scene, _) = four_transactions().await;
    let (name, _) = scene.file("current");
    // Page 1 of the second transaction, behind the log's back.
    let file = scene.directory.open(Path::new(&name)).unwrap();
    file.write_all_at((HEADER + 2 * FRAME + 40 + 9) as u64, &[1]).unwrap();
    let damage = corrupt(scene.log.read(page_no(1)));
    assert!(damage.contains(&format!("{name} is damaged at offset {}", HEADER + 2 * FRAME + 40)), "{damage}");
    let error = scene.log.seal().unwrap_err().to_string();
    assert!(error.contains("the image that frame 3 was committed with"), "{error}");
    assert!(scene.directory.files().keys().all(|name| !name.ends_with("sealed")), "nothing to store");
}

#[tokio::test]
async fn a_log_that_the_store_does_not_know_the_end_of_goes_on() {
    let mut scene = Scene::new(3).await;
    scene.commit(&[(1, 1)], 1);
    assert_eq!(scene.store().await, frame_no(1));
    scene.commit(&[(1, 2)], 2);
    let sealed = scene.log.seal().unwrap().unwrap();
    let last = scene.commit(&[(2, 3)], 2);
    let (log, recovered) = ready(scene.reopen().await);
    assert_eq!(recovered, Recovered { last: Some(last), frames_not_durable: 2, cut_bytes: 0 });
    let again = log.sealed();
    let keys = again.iter().map(|segment| segment.summary.key).collect::<Vec<_>>();
    assert_eq!(
        keys.iter().map(|key| (key.start().get(), key.end().get())).collect::<Vec<_>>(),
        [(2, 2), (3, 3)]
    );
    assert!(keys.iter().all(|key| key.epoch() == scene.store.head.epoch), "{keys:?}");
    let (before, now) = (sealed.summary.footer.header, again[0].summary.footer.header);
    assert_ne!(before.epoch, now.epoch);
    assert_eq!(before.segment_id, now.segment_id, "the same content");
    for segment in &again {
        scene.store.writer.store(segment).await.unwrap();
    }
    let restored = scene.store.restore(3).await.unwrap();
    assert!(restored == read_all(&log, &scene.directory).unwrap());
}

#[tokio::test]
async fn a_log_that_is_behind_the_store_is_stale() {
    let mut scene = Scene::new(4).await;
    scene.commit(&[(1, 1)], 1);
    let before = scene.directory.after_crash(0);
    scene.commit(&[(1, 2)], 1);
    scene.store().await;
    scene.directory = before;
    let why = stale(scene.reopen().await);
    assert!(why.contains("it ends with frame 1, the store has 2") && why.contains("discard it"), "{why}");
    // What to do then.
    Log::discard(&scene.directory).unwrap();
    assert!(scene.directory.files().is_empty());
    scene.directory.put("app.db", &scene.store.restore(2).await.unwrap());
    let (log, _) = ready(scene.reopen().await);
    assert_eq!(log.last().map(|last| last.frame_no), Some(frame_no(2)));
}

#[tokio::test]
async fn a_log_with_another_history_than_the_store_is_stale() {
    let mut scene = Scene::new(5).await;
    scene.commit(&[(1, 1)], 1);
    scene.store().await;
    scene.commit(&[(1, 2)], 1);
    let ours = scene.directory.clone();
    // Another machine took over, with the same database.
    scene.directory = SimDirectory::new();
    scene.directory.put("app.db", &[1; 512]);
    scene.log = ready(scene.reopen().await).0;
    scene.commit(&[(1, 3)], 1);
    scene.store().await;
    scene.directory = ours;
    let why = stale(scene.reopen().await);
    assert!(why.contains("at frame 2 it has another database than the store"), "{why}");
}

#[tokio::test]
async fn a_log_of_another_namespace_or_database_is_refused() {
    let mut scene = Scene::new(6).await;
    scene.commit(&[(1, 1), (2, 2)], 2);
    let open = |head, file: &[u8]| {
        let base = table_of(file, scene.store.head.hash_seed);
        Log::open(shared(&scene.directory), &head, base, options(), &scene.handles)
    };
    let head = scene.store.head;
    // It may be the wrong store: nothing that says "discard it".
    let why = open(walkeep::core::LogHead { log_id: LogId(9), ..head }, &[]).unwrap_err().to_string();
    assert!(why.contains("is of log") && why.contains("check which store it is"), "{why}");
    let wrong_size = walkeep::core::LogHead { page_size: PageSize::DEFAULT, ..head };
    let why = open(wrong_size, &[]).unwrap_err().to_string();
    assert!(why.contains("with pages of 512 bytes"), "{why}");
    assert!(matches!(open(head, &[]), Ok(Opened::Ready(..))), "and nothing was changed");
}

#[tokio::test]
async fn a_database_file_that_is_not_what_the_store_has_is_stale() {
    let mut scene = Scene::new(17).await;
    scene.commit(&[(1, 1), (2, 2)], 2);
    scene.store().await;
    checkpoint(&mut scene.log, &scene.directory, Durable::Until(frame_no(2))).unwrap();
    let whole = scene.directory.after_crash(0);
    // Nothing in the log can tell.
    scene.directory.put("app.db", &[[1; 512], [9; 512]].concat());
    let why = stale(scene.reopen().await);
    assert!(why.contains("is not the database of frame 2"), "{why}");
    scene.directory = whole;
    assert!(matches!(scene.reopen().await, Ok(Opened::Ready(..))));
}

#[tokio::test]
async fn a_database_file_that_does_not_go_with_its_log_is_stale() {
    let mut scene = Scene::new(18).await;
    scene.commit(&[(1, 1), (2, 2)], 2);
    scene.store().await;
    checkpoint(&mut scene.log, &scene.directory, Durable::Until(frame_no(2))).unwrap();
    scene.commit(&[(1, 3)], 2);
    scene.store().await;
    // Page 1 is in the log, so that what the file has there does not matter. Page 2 is not.
    for (file, goes_with) in [([7, 2], true), ([1, 9], false)] {
        scene.directory.put("app.db", &file.map(|byte| [byte; 512]).concat());
        match scene.reopen().await.unwrap() {
            Opened::Ready(log, _) => {
                assert!(goes_with);
                assert!(read_all(&log, &scene.directory).unwrap() == [[3; 512], [2; 512]].concat());
            }
            Opened::Stale(stale) => {
                assert!(!goes_with);
                assert!(stale.why.contains("is not the database of frame 3"), "{stale}");
            }
        }
    }
}

#[tokio::test]
async fn a_lost_file_is_damage_unless_everything_in_it_is_durable() {
    let mut scene = Scene::new(7).await;
    scene.commit(&[(1, 1)], 1);
    let first = scene.log.seal().unwrap().unwrap();
    scene.commit(&[(1, 2)], 1);
    let second = scene.log.seal().unwrap().unwrap();
    scene.commit(&[(1, 3)], 1);
    let sealed = |directory: &SimDirectory| {
        let names = directory.files().into_keys().filter(|name| name.ends_with("sealed"));
        names.collect::<Vec<_>>()
    };
    let whole = scene.directory.after_crash(0);
    let names = sealed(&whole);
    for (lost, frames) in [(0, "frames 1 to 1"), (1, "frames 2 to 2")] {
        scene.directory = whole.after_crash(0);
        scene.directory.remove_file(Path::new(&names[lost])).unwrap();
        let damage = corrupt(scene.reopen().await);
        assert!(damage.contains(frames), "{damage}");
    }
    scene.directory = whole.after_crash(0);
    scene.store = Store::open(&scene.bucket, &scene.handles).await.unwrap();
    let (log, _) =
        open_log(&shared(&scene.directory), &scene.store.head, &options(), &scene.handles).unwrap();
    for segment in log.sealed().iter().take(2) {
        scene.store.writer.store(segment).await.unwrap();
    }
    drop((log, first, second));
    // The second was removed by a checkpoint, and the removal of the first was undone by a power loss.
    let names = sealed(&scene.directory);
    scene.directory.remove_file(Path::new(&names[1])).unwrap();
    scene.directory.put("app.db", &[2; 512]);
    let (log, recovered) = ready(scene.reopen().await);
    assert_eq!(recovered.last.map(|last| last.frame_no), Some(frame_no(3)));
    assert!(read_all(&log, &scene.directory).unwrap() == [3; 512]);
    assert_eq!(sealed(&scene.directory), names[2..], "the leftover is gone");
}

#[tokio::test]
async fn a_database_that_was_there_before_its_log_is_refused() {
    let scene = Scene::new(8).await;
    let base = table_of(&[1; 512], scene.store.head.hash_seed);
    let opened = Log::open(shared(&SimDirectory::new()), &scene.store.head, base, options(), &scene.handles);
    let error = opened.unwrap_err();
    assert!(
        matches!(&error, Error::Invalid { why, .. } if why.contains("begin with an empty database")),
        "{error}"
    );
}

#[tokio::test]
async fn a_head_of_an_epoch_that_was_given_up_is_refused() {
    let mut scene = Scene::new(9).await;
    scene.commit(&[(1, 1)], 1);
    scene.log.seal().unwrap();
    let head = walkeep::core::LogHead { epoch: Epoch(0), ..scene.store.head };
    let base = table_of(&[], head.hash_seed);
    let error = Log::open(shared(&scene.directory), &head, base, options(), &scene.handles).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
}

#[tokio::test]
async fn other_files_in_the_directory_are_left_alone() {
    let mut scene = Scene::new(10).await;
    scene.directory.put("00000000000000000001.current", b"of something else");
    scene.directory.put("notes.tmp", b"mine");
    scene.commit(&[(1, 1)], 1);
    drop(ready(scene.reopen().await));
    Log::discard(&scene.directory).unwrap();
    let names = scene.directory.files().into_keys().collect::<Vec<_>>();
    assert_eq!(names, ["00000000000000000001.current", "notes.tmp"]);
}

#[tokio::test]
async fn a_checkpoint_beyond_what_is_durable_is_refused() {
    let mut scene = Scene::new(11).await;
    scene.commit(&[(1, 1)], 1);
    scene.log.seal().unwrap();
    assert!(scene.log.checkpoint().is_none());
    let error = scene.log.checkpointed(frame_no(1)).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    scene.log.set_durable(Durable::Until(frame_no(1)));
    scene.log.set_durable(Durable::Nothing);
    assert!(scene.log.checkpoint().is_some(), "durable never goes back");
    scene.log.checkpointed(frame_no(1)).unwrap();
    assert!(scene.directory.files().keys().all(|name| !name.ends_with("sealed")));
}

#[tokio::test]
async fn seals_and_syncs_are_due_by_the_clock_also_when_it_was_set_back() {
    let mut scene = Scene::new(12).await;
    let options = LogOptions {
        sync: SyncPolicy::IntervalMs(100),
        seal: SealPolicy::Any(vec![SealPolicy::AgeMs(1000), SealPolicy::Frames(3)]),
        ..options()
    };
    let directory = SimDirectory::new();
    scene.log = open_log(&shared(&directory), &scene.store.head, &options, &scene.handles).unwrap().0;
    assert_eq!((scene.log.seal_due_at(), scene.log.sync_due_at()), (None, None), "nothing is exposed");
    scene.clock.set(10_000);
    scene.commit(&[(1, 1)], 1);
    assert_eq!(scene.log.seal_due_at(), Some(UnixMillis(11_000)));
    assert_eq!(scene.log.sync_due_at(), Some(UnixMillis(10_100)));
    scene.clock.set(10_099);
    assert!(!scene.log.sync_if_due().unwrap());
    scene.clock.set(10_100);
    assert!(scene.log.sync_if_due().unwrap());
    assert_eq!(scene.log.sync_due_at(), None);
    assert!(scene.log.seal_if_due().unwrap().is_none());
    scene.clock.set(5_000);
    assert!(scene.log.seal_if_due().unwrap().is_none());
    assert_eq!(
        scene.log.seal_due_at(),
        Some(UnixMillis(6_000)),
        "not only when the clock is back where it was"
    );
    scene.clock.set(6_000);
    assert!(scene.log.seal_if_due().unwrap().is_some());
    scene.commit(&[(1, 2), (2, 2), (3, 3)], 3);
    assert!(scene.log.seal_if_due().unwrap().is_some(), "three frames");
    let times = scene.log.last().map(|last| last.time);
    assert_eq!(times, Some(UnixMillis(10_000)), "times of commits do not fall");
}

#[tokio::test]
async fn a_full_disk_leaves_what_was_committed_and_a_log_that_goes_on() {
    let (handles, _) = seeded(13);
    let store = Store::open(&bucket(), &handles).await.unwrap();
    let root = tempfile::tempdir().unwrap();
    let full: Arc<dyn Directory> = FullDisk::at(root.path(), Full::WriteAfter(20_000));
    let (mut log, _) = open_log(&full, &store.head, &options(), &handles).unwrap();
    let commit = |log: &mut Log, pages: u32, byte: u8| {
        let mut transaction = log.begin().unwrap();
        for page in 1..=pages {
            transaction.write(page_no(page), vec![byte; 512]).unwrap();
        }
        transaction.commit(PageCount(pages))
    };
    commit(&mut log, 10, 1).unwrap();
    let error = commit(&mut log, 40, 2).unwrap_err();
    assert!(matches!(error, Error::Exhausted { .. }), "{error}");
    assert!(read_all(&log, &*full).unwrap() == [1; 5120], "as before");
    let last = commit(&mut log, 2, 3).unwrap().unwrap();
    assert_eq!(last.frame_no, frame_no(12), "the next frames, as if nothing had been");
    drop(log);
    let (log, recovered) = open_log(&full, &store.head, &options(), &handles).unwrap();
    assert_eq!(recovered.last, Some(last));
    assert!(read_all(&log, &*full).unwrap() == [3; 1024]);
}

#[tokio::test]
async fn wrong_calls_are_refused_and_change_nothing() {
    let mut scene = Scene::new(14).await;
    let error = scene.log.begin().unwrap().write(page_no(1), vec![0; 511]).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    let error = scene.log.begin().unwrap().commit(PageCount(u32::MAX)).unwrap_err();
    assert!(matches!(error, Error::Exhausted { .. }), "{error}");
    let foreign = scene.log.begin().unwrap().savepoint();
    let mut transaction = scene.log.begin().unwrap();
    transaction.savepoint();
    assert!(transaction.rollback_to(&foreign).is_err(), "of another transaction");
    assert!(transaction.release(foreign).is_err());
    drop(transaction);
    assert!(scene.log.seal().unwrap().is_none());
    assert_eq!(scene.log.last(), None);
}

#[tokio::test]
async fn commits_from_before_the_time_of_the_store_are_stale() {
    let mut scene = Scene::new(15).await;
    let commit = scene.commit(&[(1, 1)], 1);
    let head = walkeep::core::LogHead { time_floor: UnixMillis(commit.time.get() + 1), ..scene.store.head };
    let base = table_of(&[], head.hash_seed);
    let why = stale(Log::open(shared(&scene.directory), &head, base, options(), &scene.handles));
    assert!(why.contains("is before the store's"), "{why}");
}

#[tokio::test]
async fn a_current_file_that_follows_another_database_is_damage() {
    let mut scene = Scene::new(16).await;
    scene.commit(&[(1, 1)], 1);
    scene.log.seal().unwrap();
    let (name, content) = scene.file("current");
    let header = CurrentHeader::parse("x", &content).unwrap();
    let other = CurrentHeader { size_before: PageCount(2), ..header };
    scene.directory.remove_file(Path::new(&name)).unwrap();
    scene.directory.put(&name, &other.encode());
    let damage = corrupt(scene.reopen().await);
    assert!(damage.contains(&format!("{name} is damaged at offset 48")), "{damage}");
}

/// Nothing is stored then, so that the database file alone has what was checkpointed.
#[tokio::test]
async fn a_log_without_a_store_goes_on_after_a_checkpoint_and_a_restart() {
    let directory: Arc<dyn Directory> = Arc::new(SimDirectory::new());
    let (handles, _) = seeded(1);
    let storage = NoStorage::default();
    let head = storage.open(&"shop".parse().unwrap(), PageSize::MIN, None).await.unwrap();
    let options = LogOptions { sync: SyncPolicy::Never, ..LogOptions::default() };
    let mut expected = Vec::new();
    for round in 1..=4_u8 {
        let (mut log, _) = open_log(&directory, &head, &options, &handles).unwrap();
        assert!(read_all(&log, &*directory).unwrap() == expected, "round {round}");
        for (page, byte) in [(1, round), (u32::from(round) + 1, round + 100)] {
            let mut transaction = log.begin().unwrap();
            transaction.write(page_no(page), vec![byte; PAGE]).unwrap();
            transaction.commit(PageCount(u32::from(round) + 1)).unwrap();
        }
        expected = read_all(&log, &*directory).unwrap();
        if round % 2 == 0 {
            log.seal().unwrap().unwrap();
            let mut transaction = log.begin().unwrap();
            transaction.write(page_no(1), vec![200; PAGE]).unwrap();
            transaction.commit(PageCount(u32::from(round) + 1)).unwrap();
            log.set_durable(storage.durable_frame_no(&"shop".parse().unwrap(), None).await.unwrap());
            // What was not synced may be lost with the power: it is not copied yet.
            let end = log.sealed().last().unwrap().summary.key.end();
            assert_eq!(log.checkpoint().unwrap().commit().frame_no, end);
            checkpoint(&mut log, &*directory, Durable::Unbounded).unwrap();
            assert!(log.sealed().is_empty(), "what was copied is removed");
            log.sync().unwrap();
            assert!(log.checkpoint().unwrap().commit().frame_no > end);
            expected = read_all(&log, &*directory).unwrap();
        }
    }
}
