//! What the log of stock SQLite contains: salts, what stands behind its end, transactions that spill, growth, and
//! what tells of a change. The capture of live databases is built on these facts
//! (docs/decisions/0011-what-holds-a-wal.md): if one turns red with another SQLite, think the capture over.
//!
//! What holds the log still is in `wal_holds.rs`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests make and damage files directly")]

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use walkeep_tests::app::App;
use walkeep_tests::database::{beside, make_accounts};
use walkeep_tests::handles::SeededRandom;
use walkeep_tests::wal_file::{Frame, Salts, WRITE_LOCK, WalFiles, WalHeader};
use walkeep_tests::wal_replay::Replay;
use walkeep_tests::wal_scene::{WalScene, checkpoint, checkpoint_by, hold, release, write};

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap()
}

fn header(files: &WalFiles) -> WalHeader {
    files.header().unwrap()
}

/// Whether these are the salts of the next round, as a restart chooses them.
fn follows(before: Salts, after: Salts) -> bool {
    after.0 == before.0.wrapping_add(1) && after.1 != before.1
}

/// Whether they are both chosen by chance.
fn unrelated(before: Salts, after: Salts) -> bool {
    after.0.wrapping_sub(before.0) > 100 && after.1 != before.1
}

fn rows(app: &mut App) -> u32 {
    app.run("SELECT count(*) FROM t").parse().unwrap()
}

#[test]
fn a_restart_counts_the_first_salt_up_and_the_sequence_number_is_the_writer_s_own() {
    let scene = WalScene::new("");
    let (mut app, mut other) = (scene.app(), scene.app());
    let files = scene.files();
    app.run(&write(5));
    let mut sequence = vec![header(&files).sequence];
    for round in 0..6 {
        let before = header(&files);
        checkpoint_by(&mut app, ["PASSIVE", "RESTART"][round / 3]);
        // It is the next writer that restarts the log, not the checkpoint.
        assert_eq!(header(&files), before);
        assert_eq!(files.index().salts, before.salts);
        [&mut app, &mut other][round % 2].run(&write(1));
        let after = header(&files);
        assert!(follows(before.salts, after.salts), "{before:?} {after:?}");
        assert_eq!(files.index().salts, after.salts);
        sequence.push(after.sequence);
    }
    assert_eq!(sequence, [0, 1, 1, 2, 2, 3, 3]);
}

#[test]
fn a_connection_that_never_restarted_the_log_chooses_both_salts_of_an_empty_one() {
    let scene = WalScene::new("");
    let (mut app, mut fresh) = (scene.app(), scene.app());
    let files = scene.files();
    app.run(&write(5));
    let mut last = header(&files);

    // Truncated and written by the same: as if it had restarted.
    checkpoint_by(&mut app, "TRUNCATE");
    assert_eq!(files.wal_bytes().len(), 0);
    assert!(follows(last.salts, files.index().salts));
    app.run(&write(1));
    assert!(follows(last.salts, header(&files).salts));
    last = header(&files);

    // Truncated by one and written by another: what the `-shm` said in between does not come.
    checkpoint_by(&mut app, "TRUNCATE");
    assert!(follows(last.salts, files.index().salts));
    fresh.run(&write(1));
    assert!(unrelated(last.salts, header(&files).salts));
    assert_eq!((header(&files).sequence, files.index().salts), (0, header(&files).salts));
    last = header(&files);

    // The same without TRUNCATE: the transaction that restarted the log was rolled back when it had spilled.
    checkpoint_by(&mut app, "PASSIVE");
    app.run(&format!("PRAGMA cache_size = 5; BEGIN; {} ROLLBACK", write(60)));
    assert!(follows(last.salts, files.index().salts));
    assert_eq!(files.index().frames, 0);
    let mut fresher = scene.app();
    fresher.run(&write(1));
    assert!(unrelated(last.salts, header(&files).salts));
    last = header(&files);

    // Removed by the last close, and made anew.
    [app, fresh, fresher].into_iter().for_each(App::close);
    let mut app = scene.app();
    app.run(&write(1));
    assert!(unrelated(last.salts, header(&scene.files()).salts));
}

#[test]
fn the_tail_of_the_round_before_stays_readable() {
    let scene = WalScene::new("");
    let mut app = scene.app();
    let files = scene.files();
    for _ in 0..4 {
        app.run(&write(5));
    }
    let (old, before) = (files.index(), files.frames());
    checkpoint_by(&mut app, "PASSIVE");
    app.run(&write(1));
    let (now, after) = (files.index(), files.frames());
    let new = size(now.frames);
    assert!(new + 2 < before.len());
    assert!(after[..new].iter().all(|frame| frame.chained && frame.salts == now.salts));
    assert!(after[new..].iter().all(|frame| frame.salts == old.salts));
    // Only the first of it cannot be checked: the checksum before it is gone.
    assert!(!after[new].chained && after[new].image == before[new].image);
    assert_eq!(after[new + 1..], before[new + 1..]);
    assert!(after[new + 1..].iter().all(|frame| frame.chained));
}

#[test]
fn a_size_limit_cuts_the_tail_of_the_round_before_at_the_first_commit_after_a_restart() {
    let scene = WalScene::new("");
    let (mut app, mut limited) = (scene.app(), scene.app());
    let files = scene.files();
    limited.run("PRAGMA journal_size_limit = 0");
    app.run(&write(20));
    let long = files.frames().len();
    limited.run(&write(1));
    assert!(files.frames().len() > long, "it does not cut before a restart");
    checkpoint_by(&mut app, "PASSIVE");
    limited.run(&write(1));
    assert_eq!(files.frames().len(), size(files.index().frames));
    limited.run(&write(1));
    assert_eq!(files.frames().len(), size(files.index().frames));
}

/// A database whose log holds a whole commit of 3 rows behind its end, as a writer leaves it that is killed when its
/// frames are written and the header of the `-shm` is not; somebody who has it open, and the last visible frame.
fn ghost() -> (WalScene, App, WalFiles, usize) {
    let scene = WalScene::new("");
    let (keep, mut writer) = (scene.app(), scene.app());
    let files = scene.files();
    writer.run(&write(8));
    let (before, header) = (files.index(), files.index_header());
    writer.run(&write(3));
    writer.kill();
    files.set_index_header(&header);
    assert_eq!(files.index().frames, before.frames);
    (scene, keep, files, size(before.frames))
}

fn is_a_commit(frames: &[Frame], salts: Salts) -> bool {
    let (last, all) =
        (frames.last().unwrap(), frames.iter().all(|frame| frame.chained && frame.salts == salts));
    all && last.commit > 0
}

#[test]
fn a_commit_of_a_killed_writer_stands_behind_the_end_and_nobody_sees_it() {
    let (_scene, mut keep, files, end) = ghost();
    let salts = files.index().salts;
    assert!(is_a_commit(&files.frames()[end..], salts));
    assert_eq!(rows(&mut keep), 28);
    // The next writer puts its frames in the same place, under the same salts.
    keep.run(&write(1));
    assert_eq!(rows(&mut keep), 29);
    let now = size(files.index().frames);
    assert!(now < files.frames().len());
    assert!(is_a_commit(&files.frames()[end..now], salts));
}

#[test]
fn a_commit_of_a_killed_writer_counts_if_all_others_die_as_well() {
    let (scene, keep, files, end) = ghost();
    keep.kill();
    let mut next = scene.app();
    assert_eq!(rows(&mut next), 31);
    assert_eq!(size(files.index().frames), files.frames().len());
    assert!(size(files.index().frames) > end);
}

#[test]
fn in_an_old_tail_a_commit_that_never_was_looks_like_any_other() {
    let (_scene, mut keep, files, end) = ghost();
    let salts = files.index().salts;
    checkpoint_by(&mut keep, "PASSIVE");
    keep.run(&write(1));
    assert_eq!(rows(&mut keep), 29);
    let (now, frames) = (size(files.index().frames), files.frames());
    assert!(now < end);
    // From the real ones on to the ghost there is one chain, with a commit mark at the end of each.
    assert!(is_a_commit(&frames[now + 1..end], salts));
    assert!(is_a_commit(&frames[now + 1..], salts));
}

#[test]
#[ignore = "needs a disk that takes its time to sync"]
fn writers_that_are_killed_do_leave_such_commits() {
    let scene = WalScene::new("");
    make_accounts(&scene.db(), "");
    let keep = scene.app();
    let files = scene.files();
    let mut found = 0;
    for round in 0..100 {
        let writer = App::transfers(&scene.db());
        std::thread::sleep(Duration::from_millis(30 + round % 7));
        writer.kill();
        let index = files.index();
        let behind = files.frames_between(index.frames, u32::MAX);
        let mut chain = behind.iter().take_while(|frame| frame.chained && frame.salts == index.salts);
        found += u32::from(chain.any(|frame| frame.commit > 0));
    }
    assert!(found > 0);
    println!("{found} of 100");
    keep.close();
}

#[test]
fn a_recovery_can_take_a_restart_back() {
    let scene = WalScene::new("");
    let mut app = scene.app();
    let files = scene.files();
    app.run(&write(5));
    checkpoint_by(&mut app, "PASSIVE");
    let ours = scene.ours();
    hold(&ours);
    assert_eq!(files.slots(), [0]);
    let (before, wal) = (files.index(), files.wal_bytes());
    app.run(&write(2));
    assert!(follows(before.salts, files.index().salts));
    app.kill();
    // As if it had been killed before it wrote the new header of the log.
    files.set_wal(&wal);
    files.tear_index_header();
    let mut next = scene.app();
    assert_eq!((files.index().salts, files.index().frames), (before.salts, before.frames));
    assert_eq!(files.index().back_filled, 0);
    // Our hold is still good: from here on the old round is the current one.
    assert_eq!((rows(&mut next), files.slots()), (25, vec![0]));
    next.run(&write(2));
    assert_eq!(checkpoint_by(&mut next, "PASSIVE").done, 0);
    assert_eq!(files.index().salts, before.salts);
    assert!(files.index().frames > before.frames);
}

#[test]
fn rolled_back_frames_never_commit_and_are_overwritten_under_the_same_salts() {
    let scene = WalScene::new("");
    let mut app = scene.app();
    let files = scene.files();
    app.run("PRAGMA cache_size = 5");
    app.run(&write(3));
    let before = files.index();
    app.run(&format!("BEGIN; {}", write(60)));
    let spilled = files.frames_between(before.frames, u32::MAX);
    assert!(spilled.len() > 30);
    app.run("ROLLBACK");
    assert_eq!((files.index().salts, files.index().frames), (before.salts, before.frames));
    assert_eq!(files.frames_between(before.frames, u32::MAX), spilled);
    assert!(spilled.iter().all(|frame| frame.salts == before.salts && frame.commit == 0));
    assert!(spilled[0].chained, "they stand there as good frames");
    let len = files.wal_bytes().len();
    app.run(&write(2));
    // The file has not become longer, and the header of the log is the same.
    assert_eq!((files.wal_bytes().len(), files.index().salts), (len, before.salts));
    let after = files.frames_between(before.frames, u32::MAX);
    assert_ne!(after, spilled);
    let now = size(files.index().frames - before.frames);
    assert!(is_a_commit(&after[..now], before.salts));
}

#[test]
fn a_transaction_that_spills_changes_its_frames_in_place_until_it_commits() {
    let scene = WalScene::new("");
    let mut app = scene.app();
    let files = scene.files();
    app.run("PRAGMA cache_size = 5");
    app.run(&write(60));
    let end = files.index().frames;
    app.run("BEGIN; UPDATE t SET b = randomblob(3000)");
    let first = files.frames_between(end, u32::MAX);
    app.run("UPDATE t SET b = randomblob(3000)");
    let second = files.frames_between(end, u32::MAX);
    let changed = first.iter().zip(&second).filter(|(a, b)| a.image != b.image).count();
    assert!(first.len() > 50 && changed > 50, "{changed} of {}", first.len());
    // Their checksums are mended only by the commit.
    assert!(second.iter().filter(|frame| !frame.chained).count() > 50);
    app.run("COMMIT");
    let third = files.frames_between(end, files.index().frames);
    assert!(is_a_commit(&third, files.index().salts));
    assert_eq!(third.iter().filter(|frame| frame.commit > 0).count(), 1);
    // One page is there twice: the frame that commits is always a new one.
    let pages = third.iter().map(|frame| frame.page).collect::<HashSet<_>>();
    assert_eq!(pages.len() + 1, third.len());
}

#[test]
fn a_commit_may_have_frames_of_pages_behind_the_end_it_gives() {
    for (vacuum, now) in [("full", ""), ("incremental", "PRAGMA incremental_vacuum;")] {
        let scene = WalScene::new(&format!("PRAGMA auto_vacuum = {vacuum}"));
        let mut app = scene.app();
        let files = scene.files();
        let ours = scene.ours();
        hold(&ours);
        let mut replay = Replay::begin(&files);
        app.run("PRAGMA cache_size = 5");
        app.run(&format!("BEGIN; {} DELETE FROM t WHERE a > 20; {now} COMMIT", write(60)));
        replay.follow(&files);
        assert!(replay.beyond > 20, "{}", replay.beyond);
        replay.assert_current(&files, vacuum);
        release(&ours);
        let done = checkpoint(&ours, "PASSIVE");
        assert_eq!(done.log, done.done);
        replay.assert_file(&files, vacuum);
    }
}

/// One of the ways to allocate pages, to free them, or both at once.
fn grow_or_shrink(random: &SeededRandom, step: u64) -> String {
    let (large, small, some) = (random.below(60_000), random.below(5_000), random.below(7));
    match random.below(9) {
        0 => format!("INSERT INTO t SELECT NULL, zeroblob({large})"),
        1 => format!("INSERT INTO t SELECT NULL, randomblob({large})"),
        2 => format!("DELETE FROM t WHERE a % 7 = {some}"),
        3 => "DELETE FROM t WHERE a > (SELECT max(a) - 3 FROM t)".to_string(),
        4 => format!("CREATE TABLE x{step} AS SELECT zeroblob({large}) AS z; DROP TABLE x{step}"),
        5 => format!("SAVEPOINT s; INSERT INTO t SELECT NULL, randomblob({large}); ROLLBACK TO s; RELEASE s"),
        6 => "PRAGMA incremental_vacuum(7)".to_string(),
        7 => format!(
            "INSERT INTO t SELECT NULL, zeroblob({large}); DELETE FROM t WHERE a = last_insert_rowid()"
        ),
        _ => format!("UPDATE t SET b = randomblob({small}) WHERE a % 5 = {some}"),
    }
}

#[test]
fn all_pages_of_a_growth_are_in_the_log_and_its_commits_are_the_file() {
    let (mut filled, mut commits, mut beyond) = (0, 0, 0);
    for round in 0..6 {
        let vacuum = ["none", "full", "incremental"][round % 3];
        let scene = WalScene::new(&format!("PRAGMA page_size = 512; PRAGMA auto_vacuum = {vacuum}"));
        let mut app = scene.app();
        let files = scene.files();
        app.run(["PRAGMA cache_size = 5", "PRAGMA cache_size = 40"][round / 3]);
        let random = SeededRandom::new(round as u64);
        let (ours, checkpoints) = (scene.ours(), scene.ours());
        hold(&ours);
        let mut replay = Replay::begin(&files);
        for step in 0..60 {
            let what = format!("{vacuum}, round {round}, step {step}");
            let many = 0..=random.below(4);
            let all = many.map(|_| grow_or_shrink(&random, step)).collect::<Vec<_>>().join("; ");
            app.run(&if step % 20 == 19 { "VACUUM".to_string() } else { format!("BEGIN; {all}; COMMIT") });
            replay.follow(&files);
            assert_eq!(replay.unwritten, 0, "{what}: {all}");
            if step % 9 == 8 {
                // Now the file has been written, or cut; before, stale pages behind a new end stayed in it.
                release(&ours);
                let done = checkpoint(&checkpoints, "PASSIVE");
                assert_eq!(done.log, done.done);
                replay.assert_file(&files, &what);
                filled += 1;
                hold(&ours);
            }
        }
        (commits, beyond) = (commits + replay.commits, beyond + replay.beyond);
    }
    assert!(filled >= 36 && commits > 250 && beyond > 0, "{filled}, {commits}, {beyond}");
}

#[test]
fn the_lock_page_is_never_in_the_log_and_zero_in_the_file() {
    let scene = WalScene::new("PRAGMA page_size = 65536");
    // As if the database ended right before the lock page. Most of it is a hole, and part of no table.
    let lock_page: u32 = (1 << 30) / 65_536 + 1;
    let file = OpenOptions::new().write(true).open(scene.db()).unwrap();
    file.set_len(1 << 30).unwrap();
    file.write_all_at(&(lock_page - 1).to_be_bytes(), 28).unwrap();
    let mut app = scene.app();
    let files = scene.files();
    app.run("INSERT INTO t SELECT NULL, randomblob(300000)");
    let pages = files.frames().iter().map(|frame| frame.page).collect::<HashSet<_>>();
    assert!(!pages.contains(&lock_page) && pages.contains(&(lock_page + 1)), "{pages:?}");
    assert!(files.index().pages > lock_page);
    checkpoint_by(&mut app, "PASSIVE");
    assert!(files.database_page(lock_page, 65_536).iter().all(|byte| *byte == 0));
}

#[test]
fn page_one_is_written_only_when_it_changes_and_so_are_the_counters_on_it() {
    let scene = WalScene::new("");
    let number = |files: &WalFiles, at: usize| {
        u32::from_be_bytes(files.database_page(1, 100)[at..at + 4].try_into().unwrap())
    };
    let file = OpenOptions::new().write(true).open(scene.db()).unwrap();
    // As if an older library had written it.
    file.write_all_at(&3_040_001_u32.to_be_bytes(), 96).unwrap();
    let mut app = scene.app();
    let files = scene.files();
    let counter = number(&files, 24);
    app.run("UPDATE t SET b = randomblob(3000) WHERE a = 3");
    assert!(files.frames().iter().all(|frame| frame.page != 1));
    checkpoint_by(&mut app, "TRUNCATE");
    assert_eq!((number(&files, 24), number(&files, 96)), (counter, 3_040_001));
    app.run(&write(3));
    assert_eq!(files.frames()[0].page, 1);
    checkpoint_by(&mut app, "TRUNCATE");
    assert_eq!(
        (number(&files, 24), number(&files, 96)),
        (counter + 1, rusqlite::version_number().unsigned_abs())
    );
}

fn watch(path: &Path) -> Inotify {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
    inotify.add_watch(path, AddWatchFlags::IN_ALL_EVENTS).unwrap();
    inotify
}

/// All that happened since the last look.
fn events(inotify: &Inotify) -> AddWatchFlags {
    let events = inotify.read_events().unwrap_or_default();
    events.iter().fold(AddWatchFlags::empty(), |all, event| all | event.mask)
}

#[test]
fn every_write_to_the_log_wakes_its_watcher_and_the_shm_wakes_nobody() {
    let scene = WalScene::new("");
    let mut app = scene.app();
    app.run(&write(5));
    let [database, wal, shm] = ["", "-wal", "-shm"].map(|suffix| watch(&beside(&scene.db(), suffix)));
    let (none, modify) = (AddWatchFlags::empty(), AddWatchFlags::IN_MODIFY);
    let truncate = "PRAGMA wal_checkpoint(TRUNCATE)";
    let passive = "PRAGMA wal_checkpoint(PASSIVE)";
    for (what, sql, wal_events, database_events) in [
        ("a read", "SELECT count(*) FROM t", none, none),
        ("a commit", &write(1), modify, none),
        ("a filling", passive, AddWatchFlags::IN_ACCESS, modify),
        ("a restart over old frames", &write(1), modify, none),
        ("nothing written", "BEGIN IMMEDIATE; COMMIT", none, none),
        ("an emptying", truncate, AddWatchFlags::IN_ACCESS | modify, modify),
        ("an emptying of an empty one", truncate, modify, none),
        ("a commit after it", &write(1), modify, none),
    ] {
        app.run(sql);
        assert_eq!(
            (events(&wal), events(&database), events(&shm)),
            (wal_events, database_events, none),
            "{what}"
        );
    }
    app.close();
    assert!(events(&wal).contains(AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_IGNORED));
}

#[test]
fn a_watcher_is_woken_before_the_commit_is_visible_which_it_is_when_the_write_lock_is_free() {
    let scene = WalScene::new("");
    let mut app = scene.app();
    app.run(&write(5));
    let files = scene.files();
    let wal = watch(&beside(&scene.db(), "-wal"));
    let (mut early, mut last_was_early) = (0, 0);
    for _ in 0..20 {
        // Those of the commit before it.
        events(&wal);
        let before = files.index().frames;
        std::thread::scope(|scope| {
            let commit = scope.spawn(|| app.run(&write(200)));
            let mut visible = Vec::new();
            while !commit.is_finished() {
                let mut waits = [PollFd::new(wal.as_fd(), PollFlags::POLLIN)];
                if poll(&mut waits, PollTimeout::from(20_u8)).unwrap() > 0 {
                    assert_eq!(events(&wal), AddWatchFlags::IN_MODIFY);
                    visible.push(files.index().frames > before);
                    while files.is_locked(WRITE_LOCK) {
                        std::thread::yield_now();
                    }
                    assert!(files.index().frames > before, "the lock was free too early");
                }
            }
            early += u32::from(!visible[0]);
            last_was_early += u32::from(!visible[visible.len() - 1]);
        });
    }
    // How many of the last events are early depends on how long the disk syncs.
    println!("{early} first and {last_was_early} last events of 20 commits came before it was visible");
    assert!(early > 0);
}
