//! A replica follows a namespace: it is at every moment one whole commit, whatever happens to it, its store or its disk.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;
use walkeep::Bucket;
use walkeep::backends::Memory;
use walkeep::backends::metered::Metered;
use walkeep::backends::os::OsDirectory;
use walkeep::core::files::{Entry, FileStamp, Metadata};
use walkeep::core::{Backend, Body, ByteRange, Directory, Error, File, ObjectPath, PageSize};
use walkeep::replica::{Applied, How, JournalMode, Replica, ReplicaOptions, Seeding, Step};
use walkeep_tests::database::assert_same;
use walkeep_tests::handles::SeededRandom;
use walkeep_tests::history::History;
use walkeep_tests::sim_directory::SimDirectory;

/// Crashes come out differently: so many ways are tried for each operation.
const SEEDS: u64 = 12;

fn small() -> PageSize {
    PageSize::new(512).unwrap()
}

async fn history(seed: u64) -> History<Memory> {
    History::open(Arc::new(Memory::new()), small(), seed).await
}

/// A replica of `shop` in the file `r.db`.
async fn open<D: Directory + Clone + 'static>(
    bucket: &Bucket,
    directory: &D,
    force: bool,
) -> walkeep::Result<Replica> {
    open_as(bucket, directory, ReplicaOptions { force, ..ReplicaOptions::default() }).await
}

async fn open_as<D: Directory + Clone + 'static>(
    bucket: &Bucket,
    directory: &D,
    options: ReplicaOptions,
) -> walkeep::Result<Replica> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static PROCESSES: AtomicU64 = AtomicU64::new(0);
    let random = Arc::new(SeededRandom::new(PROCESSES.fetch_add(1, Ordering::Relaxed) << 32));
    let directory = Arc::new(directory.clone());
    Replica::open(bucket, &"shop".parse().unwrap(), directory, "r.db", random, options).await
}

fn applied(step: Step) -> Applied {
    match step {
        Step::Applied(applied) => *applied,
        other => panic!("nothing was applied: {other:?}"),
    }
}

fn file(directory: &SimDirectory) -> Vec<u8> {
    directory.files().remove("r.db").unwrap()
}

/// A transaction of a few pages, which may make the database larger or smaller.
fn change<B: Backend>(history: &mut History<B>, random: &SeededRandom) {
    let number = |bound| u32::try_from(random.below(bound)).unwrap();
    let size = match number(4) {
        0 => history.size().saturating_sub(number(20)).max(1),
        1 => history.size() + number(20) + 1,
        _ => history.size().max(1),
    };
    for _ in 0..=number(5) {
        // Sometimes zeros, which are never fetched; sometimes what is there already.
        history.fill(1 + number(u64::from(size)), u8::try_from(number(4)).unwrap());
    }
    let time = history.commits.last().map_or(1, |last| last.commit.time.get()) + u64::from(number(3));
    history.commit(size, time);
}

#[tokio::test]
async fn a_replica_is_a_restore_of_the_newest_commit_after_each_step() {
    for seed in 0..8 {
        let random = SeededRandom::new(seed);
        let mut history = history(seed).await;
        let directory = SimDirectory::new();
        let mut replica = open(&history.bucket, &directory, false).await.unwrap();
        let mut updates = 0;
        for round in 0..40 {
            for _ in 0..=random.below(3) {
                change(&mut history, &random);
            }
            history.store().await;
            if random.below(4) == 0 {
                compact(&mut history, &random, round + 1).await;
            }
            if random.below(6) == 0 {
                history.reopen(small()).await.unwrap();
            }
            if random.below(5) == 0 {
                replica = open(&history.bucket, &directory, false).await.unwrap();
            }
            if random.below(4) == 0 {
                continue;
            }
            let step = replica.step().await.unwrap();
            let newest = history.commits.last().unwrap();
            if let Step::Applied(applied) = step {
                assert_eq!(applied.commit, newest.commit);
                let fresh = matches!(applied.how, How::Seeded(Seeding::New));
                assert!(fresh && updates == 0 || applied.how == How::Updated, "{applied:?}");
                updates += 1;
            }
            assert_same(&file(&directory), &newest.file, &format!("seed {seed}, round {round}"));
            assert_eq!(directory.files().keys().collect::<Vec<_>>(), ["r.db", "r.db.walkeep"]);
        }
        assert!(updates > 20, "{updates}");
    }
}

/// Compacts some neighbouring segments, which end or begin wherever the replica may be; their inputs may go.
async fn compact(history: &mut History<Memory>, random: &SeededRandom, level: u8) {
    let mut keys = history.stored.clone();
    keys.sort_by_key(|key| key.end());
    let first = usize::try_from(random.below(keys.len() as u64)).unwrap();
    let last = (first + usize::try_from(random.below(4)).unwrap()).min(keys.len() - 1);
    let (start, end) = (keys[first].start().min(keys[last].start()), keys[last].end());
    // A segment is compacted within its epoch.
    if keys[first..=last].iter().any(|key| key.epoch() != keys[last].epoch()) {
        return;
    }
    let Some(sealed) = history.compacted(start, end, level) else { return };
    history.put(&sealed).await;
    if random.below(2) == 0 {
        for key in history.stored.clone() {
            if key.level() < level && key.start() >= start && key.end() <= end {
                history.delete(key).await;
            }
        }
    }
}

#[tokio::test]
async fn what_an_update_fetches_goes_with_what_was_stored_since_and_not_with_the_log() {
    let mut costs = Vec::new();
    for length in [3, 300] {
        let metered = Arc::new(Metered::new(Memory::new()));
        let mut history = History::open(Arc::clone(&metered), small(), 1).await;
        for number in 0..length {
            history.fill(1 + number % 40, u8::try_from(number % 200).unwrap() + 1);
            history.commit(40, u64::from(number));
            history.store().await;
        }
        let directory = SimDirectory::new();
        let mut replica = open(&history.bucket, &directory, false).await.unwrap();
        applied(replica.step().await.unwrap());
        // Pages that are cut off come back as zeros, or as what is written then.
        for (value, size) in [(201, 20), (202, 30), (203, 40)] {
            history.fill(1, value);
            history.fill(size, value);
            history.commit(size, 1000);
            history.store().await;
        }
        let before = metered.requests();
        assert_eq!(applied(replica.step().await.unwrap()).how, How::Updated);
        assert_same(&file(&directory), &history.commits.last().unwrap().file, "after the update");
        let after = metered.requests();
        costs.push((after.total() - before.total(), after.bytes_read - before.bytes_read));
    }
    assert_eq!(costs[0], costs[1]);
    // A look, and then: the manifest's name, the manifest, names of segments, its name again, and three segments.
    assert!(costs[0].0 <= 10, "{costs:?}");
}

#[tokio::test]
async fn only_pages_that_differ_are_written_and_none_while_nothing_is_stored() {
    let metered = Arc::new(Metered::new(Memory::new()));
    let mut history = History::open(Arc::clone(&metered), small(), 1).await;
    for page in 1..=300 {
        history.fill(page, u8::try_from(page % 250).unwrap() + 1);
    }
    history.commit(300, 1);
    history.store().await;
    let directory = SimDirectory::new();
    let mut replica = open(&history.bucket, &directory, false).await.unwrap();
    let seeded = applied(replica.step().await.unwrap());
    assert_eq!((seeded.how, seeded.pages_written, seeded.verified), (How::Seeded(Seeding::New), 300, true));

    // Page 7 is written twice with the same in the end, page 8 becomes zeros, page 300 is cut off.
    history.fill(7, 99);
    history.fill(9, 99);
    history.commit(300, 2);
    history.fill(7, 8);
    history.fill(8, 0);
    history.commit(299, 3);
    history.store().await;
    let updated = applied(replica.step().await.unwrap());
    assert_eq!((updated.how, updated.pages_written), (How::Updated, 2));
    assert_eq!(updated.before.unwrap().frame_no.get(), 300);
    assert_same(&file(&directory), &history.commits[2].file, "after the update");

    // The first look after an update reads the manifest; then it is two listings, and the file's metadata.
    assert!(matches!(replica.step().await.unwrap(), Step::UpToDate(_)));
    let (before, operations) = (metered.requests(), directory.operations());
    assert!(matches!(replica.step().await.unwrap(), Step::UpToDate(version) if version == updated.version));
    let after = metered.requests();
    assert_eq!(after.total() - before.total(), 2, "{before:?} {after:?}");
    assert_eq!(after.bytes_read, before.bytes_read);
    assert_eq!(directory.operations() - operations, 1);
}

#[tokio::test]
async fn a_reader_that_has_the_file_open_keeps_its_commit() {
    let mut history = history(2).await;
    let random = SeededRandom::new(2);
    let directory = SimDirectory::new();
    let mut replica = open(&history.bucket, &directory, false).await.unwrap();
    let mut readers = Vec::new();
    for _ in 0..10 {
        change(&mut history, &random);
        history.store().await;
        replica.step().await.unwrap();
        readers
            .push((directory.open(Path::new("r.db")).unwrap(), history.commits.last().unwrap().file.clone()));
    }
    for (reader, expected) in readers {
        let mut bytes = vec![0; expected.len() + 1];
        let len = reader.read_at(0, &mut bytes).unwrap();
        assert_same(&bytes[..len], &expected, "a version that was replaced");
    }
}

/// A replica at the first commit of a history that has a second one, not applied yet.
async fn scene() -> (History<Memory>, SimDirectory) {
    let mut history = history(3).await;
    for page in 1..=6 {
        history.fill(page, 10 + u8::try_from(page).unwrap());
    }
    history.commit(6, 1);
    history.store().await;
    let directory = SimDirectory::new();
    let mut replica = open(&history.bucket, &directory, false).await.unwrap();
    applied(replica.step().await.unwrap());
    history.fill(2, 77);
    history.fill(8, 78);
    history.commit(8, 2);
    history.store().await;
    (history, directory)
}

#[tokio::test]
async fn a_file_that_was_touched_is_made_anew_at_the_next_start() {
    for damage in 0..5 {
        let (history, directory) = scene().await;
        let mut files = directory.files();
        let content = files.get_mut("r.db").unwrap();
        match damage {
            0 => content[512 * 4 + 3] ^= 1,
            1 => content.truncate(512 * 5),
            2 => content.extend([0; 512]),
            3 => content.clear(),
            // Two pages change places.
            _ => content[512..512 * 3].rotate_left(512),
        }
        directory.remove_file(Path::new("r.db")).unwrap();
        directory.put("r.db", content);
        let mut replica = open(&history.bucket, &directory, false).await.unwrap();
        assert_eq!(replica.version(), None);
        let made = applied(replica.step().await.unwrap());
        assert_eq!(made.how, How::Seeded(Seeding::Changed), "{damage}");
        assert_same(&file(&directory), &history.commits[1].file, "made anew");
    }
}

#[tokio::test]
async fn a_file_that_is_touched_while_the_replica_is_kept_is_made_anew_though_nothing_is_stored() {
    let (history, directory) = scene().await;
    let mut replica = open(&history.bucket, &directory, false).await.unwrap();
    applied(replica.step().await.unwrap());
    directory.open(Path::new("r.db")).unwrap().write_all_at(700, &[1]).unwrap();
    let made = applied(replica.step().await.unwrap());
    assert_eq!(made.how, How::Seeded(Seeding::Changed));
    assert_same(&file(&directory), &history.commits[1].file, "made anew");
    // Written to without a change: it is looked at, and stays.
    directory.open(Path::new("r.db")).unwrap().write_all_at(0, &history.commits[1].file[..1]).unwrap();
    assert!(matches!(replica.step().await.unwrap(), Step::UpToDate(_)));
    directory.remove_file(Path::new("r.db")).unwrap();
    assert_eq!(applied(replica.step().await.unwrap()).how, How::Seeded(Seeding::Missing));
    assert_same(&file(&directory), &history.commits[1].file, "made anew");
}

/// The file's times may not tell: what the next version is built upon is proven with it.
#[tokio::test]
async fn a_touched_file_is_never_built_upon_whatever_its_times_say() {
    let (history, directory) = scene().await;
    let blind = BlindDirectory(directory.clone(), None);
    let mut replica = open(&history.bucket, &blind, false).await.unwrap();
    directory.open(Path::new("r.db")).unwrap().write_all_at(512 * 3 + 5, &[1]).unwrap();
    let made = applied(replica.step().await.unwrap());
    assert_eq!(made.how, How::Seeded(Seeding::Changed));
    assert_same(&file(&directory), &history.commits[1].file, "made anew");
}

#[tokio::test]
async fn a_damaged_state_is_said_and_the_file_made_anew() {
    let (history, directory) = scene().await;
    let mut files = directory.files();
    let state = files.get_mut("r.db.walkeep").unwrap();
    state[170] ^= 1;
    directory.remove_file(Path::new("r.db.walkeep")).unwrap();
    directory.put("r.db.walkeep", state);
    let mut replica = open(&history.bucket, &directory, false).await.unwrap();
    let made = applied(replica.step().await.unwrap());
    assert!(
        matches!(&made.how, How::Seeded(Seeding::StateDamaged(why)) if why.contains("r.db.walkeep")),
        "{made:?}"
    );
    assert_same(&file(&directory), &history.commits[1].file, "made anew");
}

#[tokio::test]
async fn what_is_no_replica_of_this_namespace_is_refused_unless_it_is_to_be_replaced() {
    let (history, replica_of_another) = scene().await;
    let other = Bucket::new(Arc::new(Memory::new()), None).unwrap();
    let fresh = || {
        let directory = SimDirectory::new();
        directory.put("r.db", b"precious");
        directory
    };
    let with_state = |state: &[u8]| {
        let directory = fresh();
        directory.put("r.db.walkeep", state);
        directory
    };
    let with = |name: &str| {
        let directory = SimDirectory::new();
        directory.put(name, b"left over");
        directory
    };
    let cases = [
        (fresh(), "no replica of namespace shop"),
        (with_state(b"something else"), "r.db.walkeep, which is not the state"),
        (with("r.db-wal"), "r.db-wal"),
        (with("r.db-journal"), "r.db-journal"),
        (with("r.db-shm"), "r.db-shm"),
    ];
    for (directory, why) in cases {
        let before = directory.files();
        let refused = open(&history.bucket, &directory, false).await.unwrap_err();
        assert!(matches!(refused, Error::AlreadyExists { .. }), "{refused}");
        assert!(refused.to_string().contains(why), "{refused}");
        assert_eq!(directory.files(), before);
        let mut replica = open(&history.bucket, &directory, true).await.unwrap();
        applied(replica.step().await.unwrap());
        assert_same(&file(&directory), &history.commits[1].file, why);
        assert_eq!(directory.files().keys().collect::<Vec<_>>(), ["r.db", "r.db.walkeep"]);
    }
    // A replica of another namespace.
    let random = Arc::new(SeededRandom::new(9));
    let directory = Arc::new(replica_of_another);
    let refused =
        Replica::open(&other, &"cafe".parse().unwrap(), directory, "r.db", random, ReplicaOptions::default())
            .await
            .unwrap_err();
    assert!(refused.to_string().contains("a replica of namespace shop"), "{refused}");
}

#[tokio::test]
async fn a_program_that_writes_to_the_replica_stops_it_before_its_log_meets_another_version() {
    for name in ["r.db-wal", "r.db-journal", "r.db-shm"] {
        for force in [false, true] {
            let (history, directory) = scene().await;
            let mut replica = open(&history.bucket, &directory, force).await.unwrap();
            // It appears while the replica is kept, also by one that was to take over what was there before.
            directory.put(name, b"pages of another version");
            let before = directory.files();
            let refused = replica.step().await.unwrap_err();
            assert!(matches!(refused, Error::AlreadyExists { .. }), "{refused}");
            assert_eq!(directory.files(), before);
            directory.remove_file(Path::new(name)).unwrap();
            applied(replica.step().await.unwrap());
            assert_same(&file(&directory), &history.commits[1].file, name);
        }
    }
}

#[tokio::test]
async fn a_log_that_appears_while_the_next_version_is_made_meets_none() {
    let (history, directory) = scene().await;
    let meddled = BlindDirectory(directory.clone(), Some("r.db-journal"));
    let mut replica = open(&history.bucket, &meddled, false).await.unwrap();
    let refused = replica.step().await.unwrap_err();
    assert!(matches!(refused, Error::AlreadyExists { .. }), "{refused}");
    assert_same(&file(&directory), &history.commits[0].file, "not replaced");
    assert_eq!(directory.files().keys().collect::<Vec<_>>(), ["r.db", "r.db-journal", "r.db.walkeep"]);
    drop(replica);
    directory.remove_file(Path::new("r.db-journal")).unwrap();
    let mut replica = open(&history.bucket, &directory, false).await.unwrap();
    assert_eq!(applied(replica.step().await.unwrap()).how, How::Updated);
}

#[tokio::test]
async fn another_log_and_another_page_size_are_begun_anew() {
    let (mut history, directory) = scene().await;
    let mut replica = open(&history.bucket, &directory, false).await.unwrap();
    applied(replica.step().await.unwrap());
    history.reopen(PageSize::new(1024).unwrap()).await.unwrap();
    history.fill(1, 5);
    history.commit(1, 9);
    history.store().await;
    assert_eq!(applied(replica.step().await.unwrap()).how, How::Seeded(Seeding::OtherPageSize));
    assert_same(&file(&directory), &history.commits[2].file, "another page size");

    let mut anew = self::history(77).await;
    anew.fill(1, 6);
    anew.commit(1, 1);
    anew.store().await;
    let mut replica = open(&anew.bucket, &directory, false).await.unwrap();
    assert!(replica.version().is_some());
    assert_eq!(applied(replica.step().await.unwrap()).how, How::Seeded(Seeding::OtherLog));
    assert_same(&file(&directory), &anew.commits[0].file, "another log");
}

/// The manifests of a log that was made anew may have the numbers of those before, and its segments the same ends.
#[tokio::test]
async fn a_namespace_that_is_deleted_and_made_again_is_noticed_also_with_fewer_frames_or_as_many() {
    for frames in [1, 8] {
        let (history, directory) = scene().await;
        let mut replica = open(&history.bucket, &directory, false).await.unwrap();
        applied(replica.step().await.unwrap());
        assert!(matches!(replica.step().await.unwrap(), Step::UpToDate(_)));
        let backend = Arc::clone(&history.backend);
        let everything = ObjectPath::new("namespaces").unwrap();
        let objects: Vec<_> = backend.list(None, &everything, None, usize::MAX).try_collect().await.unwrap();
        let paths = objects.into_iter().map(|object| object.path).collect::<Vec<_>>();
        backend.delete(None, &paths).await.unwrap();
        let mut anew = History::open(backend, small(), 78).await;
        for page in 1..=frames {
            anew.fill(page, 6);
        }
        anew.commit(frames, 50);
        anew.store().await;
        assert_eq!(anew.writer.epoch(), history.writer.epoch());
        assert_eq!(anew.commits[0].commit.frame_no == history.commits[1].commit.frame_no, frames == 8);
        assert_eq!(applied(replica.step().await.unwrap()).how, How::Seeded(Seeding::OtherLog));
        assert_same(&file(&directory), &anew.commits[0].file, "made again");
    }
}

#[tokio::test]
async fn a_damaged_object_is_an_error_and_never_applied() {
    let (history, directory) = scene().await;
    let before = directory.files();
    let path = history.path(history.stored.last().unwrap());
    let good = history.backend.get(None, &path, ByteRange::Full).await.unwrap();
    let mut outcomes = BTreeMap::new();
    for at in 0..good.len() {
        let mut bad = good.to_vec();
        bad[at] ^= 4;
        history.backend.delete(None, std::slice::from_ref(&path)).await.unwrap();
        history.backend.put_new(None, &path, Body::from(bad)).await.unwrap();
        let mut replica = open(&history.bucket, &directory, false).await.unwrap();
        match replica.step().await {
            Ok(_) => {
                // Only bytes that nothing of this commit is read from.
                assert_same(&file(&directory), &history.commits[1].file, "a byte that does not matter");
                *outcomes.entry("applied").or_insert(0) += 1;
                return_to(&directory, &before);
            }
            Err(error) => {
                assert!(matches!(error, Error::Corrupt(_) | Error::Invalid { .. }), "{at}: {error}");
                assert_eq!(directory.files(), before, "{at}");
                *outcomes.entry("refused").or_insert(0) += 1;
            }
        }
    }
    assert!(outcomes["refused"] > 300, "{outcomes:?}");
    history.backend.delete(None, std::slice::from_ref(&path)).await.unwrap();
    history.backend.put_new(None, &path, Body::from(good)).await.unwrap();
    let mut replica = open(&history.bucket, &directory, false).await.unwrap();
    assert_eq!(applied(replica.step().await.unwrap()).how, How::Updated);
}

fn return_to(directory: &SimDirectory, files: &BTreeMap<String, Vec<u8>>) {
    for name in directory.files().keys() {
        directory.remove_file(Path::new(name)).unwrap();
    }
    for (name, content) in files {
        directory.put(name, content);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hole_in_the_store_is_an_error_and_lost_newest_commits_change_nothing() {
    let (mut history, directory) = scene().await;
    history.fill(3, 3);
    history.commit(8, 3);
    history.store().await;
    let before = directory.files();
    let mut replica = open(&history.bucket, &directory, false).await.unwrap();
    let middle = history.stored[1];
    let object = history.backend.get(None, &history.path(&middle), ByteRange::Full).await.unwrap();
    history.delete(middle).await;
    let error = replica.step().await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable(unreachable) if unreachable.missing.is_some()), "{error}");
    assert_eq!(directory.files(), before);
    history.backend.put_new(None, &history.path(&middle), Body::from(object.to_vec())).await.unwrap();
    applied(replica.step().await.unwrap());
    let newest = directory.files();

    history.delete(*history.stored.last().unwrap()).await;
    let step = replica.step().await.unwrap();
    assert!(matches!(step, Step::StoreBehind { replica, newest } if replica.frame_no > newest.frame_no));
    assert_eq!(directory.files(), newest);
    // The log goes on from there, with other content under numbers that the replica has: it follows all the same.
    history.frames.truncate(usize::try_from(middle.end().get()).unwrap());
    history.commits.pop();
    history.forget_unstored();
    history.reopen(small()).await.unwrap();
    history.fill(5, 55);
    history.commit(8, 3);
    history.store().await;
    let step = applied(replica.step().await.unwrap());
    assert_eq!(step.how, How::Updated);
    assert_same(&file(&directory), &history.commits.last().unwrap().file, "the other history");
}

#[tokio::test]
async fn after_a_crash_the_file_is_one_whole_version_and_the_next_run_goes_on_from_it() {
    let count = {
        let (history, directory) = scene().await;
        directory.crash_at(u64::MAX);
        let mut replica = open(&history.bucket, &directory, false).await.unwrap();
        applied(replica.step().await.unwrap());
        directory.operations()
    };
    assert!(count > 20, "{count}");
    let mut seen = [0; 2];
    for crash_at in 1..=count + 1 {
        for seed in 0..SEEDS {
            let (history, directory) = scene().await;
            directory.crash_at(crash_at);
            let outcome = async { open(&history.bucket, &directory, false).await?.step().await }.await;
            // The last operation is a look at what was put in place.
            assert_eq!(outcome.is_ok(), crash_at >= count, "{crash_at}: {outcome:?}");
            // The process is killed; or the power fails too.
            let recovered = match seed {
                0 => {
                    directory.restart();
                    directory
                }
                _ => directory.after_crash(seed),
            };
            let found = file(&recovered);
            let at = history.commits.iter().position(|commit| commit.file == found);
            let at = at.unwrap_or_else(|| panic!("crash at {crash_at}, seed {seed}: a mix"));
            assert!(outcome.is_err() || at == 1, "what was reported is there");
            seen[at] += 1;
            let mut replica = open(&history.bucket, &recovered, false).await.unwrap();
            assert!(replica.version().is_some(), "crash at {crash_at}, seed {seed}: the file is known");
            match replica.step().await.unwrap() {
                Step::Applied(applied) => assert_eq!((applied.how, at), (How::Updated, 0)),
                _ => assert_eq!(at, 1),
            }
            assert_same(&file(&recovered), &history.commits[1].file, "the next run");
            assert_eq!(recovered.files().keys().collect::<Vec<_>>(), ["r.db", "r.db.walkeep"]);
        }
    }
    assert!(seen.iter().all(|seen| *seen > 10), "{seen:?}");
}

#[tokio::test]
async fn a_file_that_is_taken_over_is_the_old_or_the_new_one_and_the_new_one_never_meets_an_old_log() {
    let (history, _) = scene().await;
    let prepare = || {
        let directory = SimDirectory::new();
        for (name, content) in [("r.db", &b"old"[..]), ("r.db-wal", b"old log"), ("r.db-shm", b"old index")] {
            directory.put(name, content);
        }
        directory
    };
    let take_over =
        async |directory: &SimDirectory| open(&history.bucket, directory, true).await?.step().await;
    let directory = prepare();
    directory.crash_at(u64::MAX);
    applied(take_over(&directory).await.unwrap());
    let mut seen = [0; 2];
    for crash_at in 1..=directory.operations() {
        let directory = prepare();
        directory.crash_at(crash_at);
        let _ = take_over(&directory).await;
        for seed in 0..SEEDS {
            let files = directory.after_crash(seed).files();
            let is_new = files["r.db"] == history.commits[1].file;
            assert!(is_new || files["r.db"] == b"old", "crash at {crash_at}, seed {seed}");
            assert!(!is_new || !files.contains_key("r.db-wal"), "crash at {crash_at}, seed {seed}");
            seen[usize::from(is_new)] += 1;
        }
    }
    assert!(seen.iter().all(|seen| *seen > 5), "{seen:?}");
}

#[tokio::test]
async fn two_that_keep_one_file_undo_each_others_work_and_mix_nothing() {
    let mut history = history(6).await;
    let random = SeededRandom::new(6);
    change(&mut history, &random);
    history.store().await;
    let directory = SimDirectory::new();
    let mut one = open(&history.bucket, &directory, false).await.unwrap();
    one.step().await.unwrap();
    let mut two = open(&history.bucket, &directory, false).await.unwrap();
    for round in 0..30 {
        change(&mut history, &random);
        history.store().await;
        let stepping = if random.below(2) == 0 { &mut one } else { &mut two };
        stepping.step().await.unwrap();
        assert_same(&file(&directory), &history.commits.last().unwrap().file, &format!("round {round}"));
    }
}

#[tokio::test]
async fn after_a_failed_operation_the_same_process_goes_on() {
    let (history, directory) = scene().await;
    directory.fail_at(u64::MAX, ErrorKind::Other);
    let mut replica = open(&history.bucket, &directory, false).await.unwrap();
    let opening = directory.operations();
    applied(replica.step().await.unwrap());
    let count = directory.operations();
    for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
        for fail_at in opening + 1..=count {
            let (history, directory) = scene().await;
            directory.fail_at(fail_at, kind);
            let mut replica = open(&history.bucket, &directory, false).await.unwrap();
            let outcome = replica.step().await;
            let found = file(&directory);
            let at = history.commits.iter().position(|commit| commit.file == found).unwrap();
            match &outcome {
                Ok(_) | Err(Error::Unknown { .. }) => assert_eq!(at, 1, "{fail_at}: {outcome:?}"),
                Err(error) => {
                    assert_eq!(at, 0, "{fail_at}: {error}");
                    let full = matches!(error, Error::Exhausted { .. });
                    assert_eq!(full, kind == ErrorKind::StorageFull, "{fail_at}: {error}");
                }
            }
            match replica.step().await.unwrap() {
                Step::Applied(applied) => assert_eq!(applied.how, How::Updated, "{fail_at}: {outcome:?}"),
                _ => assert_eq!(at, 1),
            }
            assert_same(&file(&directory), &history.commits[1].file, "afterwards");
            assert_eq!(directory.files().keys().collect::<Vec<_>>(), ["r.db", "r.db.walkeep"], "{fail_at}");
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_said_with_what_is_needed_and_a_killed_run_leaves_nothing() {
    let (history, directory) = scene().await;
    // Others have names that are nearly the same.
    let others = [
        ".r.db.walkeep-replica-0123456789abcdeg",
        ".r.db.walkeep-replica-",
        ".r.db.walkeep-0123456789abcdef",
    ];
    for name in others.into_iter().chain([".r.db.walkeep-replica-0123456789abcdef"]) {
        directory.put(name, b"x");
    }
    open(&history.bucket, &directory, false).await.unwrap();
    let left = directory.files();
    assert_eq!(left.len(), 2 + others.len());
    assert!(others.iter().all(|name| left.contains_key(*name)));
}

/// What SQLite calls a database in WAL mode.
fn sqlite_page(version: u8) -> Vec<u8> {
    let mut page = vec![0; 512];
    page[..16].copy_from_slice(b"SQLite format 3\0");
    page[16..20].copy_from_slice(&[2, 0, version, version]);
    page[100] = 13;
    page
}

#[tokio::test]
async fn a_database_in_wal_mode_is_shown_in_rollback_mode_where_that_is_asked_for_and_nothing_else_is() {
    let options = || ReplicaOptions { journal_mode: JournalMode::Rollback, ..ReplicaOptions::default() };
    let foreign = vec![2; 512];
    for (first, shown) in
        [(sqlite_page(2), sqlite_page(1)), (sqlite_page(1), sqlite_page(1)), (foreign.clone(), foreign)]
    {
        let mut history = history(4).await;
        history.write(1, first.clone());
        history.fill(2, 1);
        history.commit(2, 1);
        history.store().await;
        let directory = SimDirectory::new();
        let mut replica = open_as(&history.bucket, &directory, options()).await.unwrap();
        applied(replica.step().await.unwrap());
        assert!(file(&directory)[..512] == shown[..]);
        // Built upon, and known again: with page 1 as it was, and with another.
        for page in [2, 1] {
            let mut image = if page == 1 { first.clone() } else { vec![0; 512] };
            image[200] = 9;
            history.write(page, image);
            history.commit(2, 2);
            history.store().await;
            let mut replica = open_as(&history.bucket, &directory, options()).await.unwrap();
            let updated = applied(replica.step().await.unwrap());
            assert_eq!((updated.how, updated.pages_written), (How::Updated, 1));
            let mut expected = history.commits.last().unwrap().file.to_vec();
            expected[18..20].copy_from_slice(&shown[18..20]);
            assert_same(&file(&directory), &expected, "shown");
        }
        // A reader's `PRAGMA journal_mode = WAL` is no version of the replica.
        let mut content = file(&directory);
        if content[18] == 1 {
            content[18..20].copy_from_slice(&[2, 2]);
            directory.remove_file(Path::new("r.db")).unwrap();
            directory.put("r.db", &content);
            let replica = open_as(&history.bucket, &directory, options()).await.unwrap();
            assert_eq!(replica.version(), None);
        }
    }
}

#[tokio::test]
async fn a_replica_on_a_real_disk_is_read_only_and_follows() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let directory = Arc::new(OsDirectory::open(folder.path()).unwrap());
    let mut history = history(5).await;
    let random = SeededRandom::new(5);
    let namespace = "shop".parse().unwrap();
    let new = || Arc::new(SeededRandom::new(random.next_u64()));
    let options = ReplicaOptions::default();
    let mut replica =
        Replica::open(&history.bucket, &namespace, directory, "r.db", new(), options).await.unwrap();
    for round in 0..20 {
        change(&mut history, &random);
        history.store().await;
        replica.step().await.unwrap();
        let path = folder.path().join("r.db");
        let found = std::fs::read(&path).unwrap();
        assert_same(&found, &history.commits.last().unwrap().file, &format!("round {round}"));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o222, 0, "{mode:o}");
    }
}

/// A directory whose files never seem to change, and in which a file may appear while another is copied.
#[derive(Clone, Debug)]
struct BlindDirectory(SimDirectory, Option<&'static str>);

impl Directory for BlindDirectory {
    fn metadata(&self, path: &Path) -> std::io::Result<Option<Metadata>> {
        let found = self.0.metadata(path)?;
        Ok(found.map(|found| Metadata { stamp: FileStamp(0), ..found }))
    }

    fn open(&self, path: &Path) -> std::io::Result<Box<dyn File>> {
        self.0.open(path)
    }

    fn create_new(&self, path: &Path) -> std::io::Result<Box<dyn File>> {
        self.0.create_new(path)
    }

    fn copy_new(&self, from: &Path, to: &Path) -> std::io::Result<Box<dyn File>> {
        if let Some(appears) = self.1 {
            self.0.put(appears, b"pages of another version");
        }
        self.0.copy_new(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.0.hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> std::io::Result<()> {
        self.0.remove_file(path)
    }

    fn create_directories(&self, path: &Path) -> std::io::Result<()> {
        self.0.create_directories(path)
    }

    fn entries(&self, path: &Path) -> std::io::Result<Vec<Entry>> {
        self.0.entries(path)
    }

    fn sync_directory(&self, path: &Path) -> std::io::Result<()> {
        self.0.sync_directory(path)
    }

    fn free_bytes(&self) -> std::io::Result<Option<u64>> {
        self.0.free_bytes()
    }
}
