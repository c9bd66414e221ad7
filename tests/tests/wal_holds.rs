//! What holds the log of stock SQLite still, and what does not. The capture of live databases is built on these
//! facts (docs/decisions/0011-what-holds-a-wal.md): if one turns red with another SQLite, think the capture over.
//!
//! Other users of the database are processes of their own. What the log contains is in `wal_contents.rs`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests make and damage files directly")]

use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use walkeep_tests::app::App;
use walkeep_tests::database::{beside, make_accounts};
use walkeep_tests::handles::SeededRandom;
use walkeep_tests::wal_file::{CHECKPOINT_LOCK, Index, WRITE_LOCK, WalFiles};
use walkeep_tests::wal_replay::Replay;
use walkeep_tests::wal_scene::{Checkpointed, WalScene, checkpoint, checkpoint_by, hold, release, write};

const MODES: [&str; 4] = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"];

fn result(busy: i64, log: u32, done: u32) -> Checkpointed {
    Checkpointed { busy, log: i64::from(log), done: i64::from(done) }
}

fn all_done(log: u32) -> Checkpointed {
    result(0, log, log)
}

fn rows(ours: &Connection) -> i64 {
    ours.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

fn is_busy(result: rusqlite::Result<()>) -> bool {
    result.is_err_and(|error| error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy))
}

/// Whether the `-wal` and the `-shm` are there.
fn side_files(scene: &WalScene) -> (bool, bool) {
    (beside(&scene.db(), "-wal").exists(), beside(&scene.db(), "-shm").exists())
}

fn assert_restarted(before: &Index, after: &Index) {
    assert_eq!(after.salts.0, before.salts.0.wrapping_add(1));
    assert_ne!(after.salts.1, before.salts.1);
}

#[test]
fn nobody_restarts_the_log_under_a_mark_that_needs_it() {
    let scene = WalScene::new("");
    let mut app = scene.app();
    let files = scene.files();
    app.run(&write(3));
    let ours = scene.ours();
    hold(&ours);
    let held = files.index();
    assert_eq!((files.slots(), held.marks[1]), (vec![1], held.frames));
    for round in 0..3 {
        for mode in MODES {
            let log = files.index().frames;
            // The file is filled up to our mark and no further; whoever wants more is told that it is busy.
            let busy = match mode {
                "PASSIVE" => 0,
                "FULL" => i64::from(log > held.frames),
                _ => 1,
            };
            assert_eq!(checkpoint_by(&mut app, mode), result(busy, log, held.frames), "{mode}, {round}");
            assert_eq!(files.index().back_filled, held.frames, "{mode}");
            assert_eq!(files.index().salts, held.salts, "{mode}");
        }
        let before = files.index().frames;
        app.run("PRAGMA wal_autocheckpoint = 5");
        for _ in 0..4 {
            app.run(&write(10));
        }
        let now = files.index();
        assert!(now.frames > before);
        assert_eq!(now.salts, held.salts);
        let frames = files.frames_between(0, now.frames);
        assert!(frames.iter().all(|frame| frame.chained && frame.salts == held.salts));
    }
    release(&ours);
    let log = files.index().frames;
    assert_eq!(checkpoint_by(&mut app, "PASSIVE"), all_done(log));
    app.run(&write(1));
    assert_restarted(&held, &files.index());
}

#[test]
fn a_checkpoint_that_waits_for_our_mark_locks_writers_out_for_its_whole_time_out() {
    for mode in ["FULL", "RESTART", "TRUNCATE"] {
        let scene = WalScene::new("");
        let (mut app, mut writer) = (scene.app(), scene.app());
        let files = scene.files();
        app.run(&write(3));
        let ours = scene.ours();
        hold(&ours);
        app.run(&write(1));
        app.run("PRAGMA busy_timeout = 1000");
        let start = Instant::now();
        std::thread::scope(|scope| {
            let blocked = scope.spawn(|| checkpoint_by(&mut app, mode).busy);
            while !files.is_locked(WRITE_LOCK) {
                assert!(start.elapsed() < Duration::from_secs(20));
            }
            std::thread::sleep(Duration::from_millis(200));
            assert_eq!(writer.try_run(&write(1)), Err("database is locked".to_string()), "{mode}");
            assert_eq!(blocked.join().unwrap(), 1, "{mode}");
        });
        assert!(start.elapsed() >= Duration::from_millis(900), "{mode}: {:?}", start.elapsed());
        writer.run(&write(1));
    }
}

#[test]
fn two_leaps_let_a_waiting_checkpoint_through() {
    for mode in ["FULL", "RESTART", "TRUNCATE"] {
        let scene = WalScene::new("");
        let mut app = scene.app();
        let files = scene.files();
        app.run(&write(3));
        let mut leaper = Leaper::begin(&scene, &files);
        app.run(&write(1));
        app.run("PRAGMA busy_timeout = 20000");
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| checkpoint_by(&mut app, mode).busy);
            let mut leaps = 0;
            while !waits.is_finished() {
                std::thread::sleep(Duration::from_millis(500));
                if !waits.is_finished() {
                    leaper.leap(&files);
                    leaps += 1;
                }
            }
            assert_eq!(waits.join().unwrap(), 0, "{mode}");
            assert!((1..=2).contains(&leaps), "{mode}: {leaps}");
        });
        app.run(&write(2));
        leaper.leap(&files);
        leaper.replay.assert_current(&files, mode);
    }
}

#[test]
fn under_a_mark_of_a_filled_log_it_restarts_once_and_the_file_stays() {
    let scene = WalScene::new("");
    let mut app = scene.app();
    let files = scene.files();
    app.run(&write(30));
    let first = files.index();
    assert_eq!(checkpoint_by(&mut app, "PASSIVE"), all_done(first.frames));
    let ours = scene.ours();
    hold(&ours);
    assert_eq!(files.slots(), [0]);
    let database = files.fingerprints().0;
    app.run(&write(3));
    let second = files.index();
    assert_restarted(&first, &second);
    for mode in MODES {
        for _ in 0..2 {
            let log = files.index().frames;
            assert_eq!(checkpoint_by(&mut app, mode), result(i64::from(mode != "PASSIVE"), log, 0), "{mode}");
            app.run(&write(2));
            assert_eq!((files.index().salts, files.index().back_filled), (second.salts, 0), "{mode}");
            assert_eq!(files.fingerprints().0, database, "{mode}");
        }
    }
    assert_eq!(rows(&ours), 50);
    release(&ours);
    let log = files.index().frames;
    assert_eq!(checkpoint_by(&mut app, "PASSIVE"), all_done(log));
    assert_ne!(files.fingerprints().0, database);
}

#[test]
fn under_a_mark_of_a_filled_log_it_can_be_truncated_while_it_has_no_frames() {
    let scene = WalScene::new("");
    let (mut app, mut fresh) = (scene.app(), scene.app());
    let files = scene.files();
    app.run(&write(30));
    let first = files.index();
    assert_eq!(checkpoint_by(&mut app, "PASSIVE"), all_done(first.frames));
    let ours = scene.ours();
    hold(&ours);
    assert_eq!(files.slots(), [0]);
    for times in 1..=3 {
        assert_eq!(checkpoint_by(&mut app, "TRUNCATE"), all_done(0));
        assert_eq!(files.index().salts.0, first.salts.0.wrapping_add(times));
        assert_eq!(files.wal_bytes().len(), 0);
    }
    // And whoever writes next may choose both salts: under a hold the salts prove nothing, and need not.
    fresh.run(&write(3));
    let salts = files.index().salts;
    assert!(!(0..9).contains(&salts.0.wrapping_sub(first.salts.0)));
    let log = files.index().frames;
    assert_eq!(checkpoint_by(&mut app, "TRUNCATE"), result(1, log, 0));
    assert_eq!(files.index().salts, salts);
}

#[test]
fn a_writer_that_began_before_the_log_was_filled_goes_on_in_the_old_round() {
    let scene = WalScene::new("");
    let (mut app, mut other) = (scene.app(), scene.app());
    let files = scene.files();
    app.run(&write(5));
    let first = files.index();
    app.run("BEGIN IMMEDIATE");
    assert_eq!(checkpoint_by(&mut other, "PASSIVE"), all_done(first.frames));
    let ours = scene.ours();
    hold(&ours);
    assert_eq!(files.slots(), [0, 1]);
    app.run(&format!("{} COMMIT", write(3)));
    assert!(files.index().frames > first.frames);
    // What is behind our snapshot cannot be filled into the file, and so not be lost.
    for mode in MODES {
        let log = files.index().frames;
        let busy = i64::from(mode != "PASSIVE");
        assert_eq!(checkpoint_by(&mut other, mode), result(busy, log, first.frames), "{mode}");
        app.run(&write(2));
        assert_eq!(files.index().salts, first.salts, "{mode}");
    }
}

#[test]
fn a_mark_is_found_when_readers_have_all_slots() {
    let scene = WalScene::new("");
    let mut app = scene.app();
    let files = scene.files();
    let readers = [(); 4].map(|()| {
        app.run(&write(1));
        let mut reader = scene.app();
        reader.run("BEGIN; SELECT count(*) FROM t");
        reader
    });
    assert_eq!(files.slots(), [1, 2, 3, 4]);
    let highest = files.index().frames;
    app.run(&write(1));
    let ours = scene.ours();
    hold(&ours);
    // It shares the highest mark below its snapshot.
    readers.into_iter().for_each(App::close);
    assert_eq!(files.slots(), [4]);
    assert_eq!(files.index().marks[4], highest);
    let held = files.index();
    assert_eq!(checkpoint_by(&mut app, "PASSIVE"), result(0, held.frames, highest));
    app.run(&write(1));
    assert_eq!(files.index().salts, held.salts);
}

/// Two connections of ours that take turns: the next mark is taken before the one before it is given back.
struct Leaper {
    older: Connection,
    newer: Connection,
    replay: Replay,
}

impl Leaper {
    fn begin(scene: &WalScene, files: &WalFiles) -> Self {
        let (older, newer) = (scene.ours(), scene.ours());
        hold(&older);
        Self { older, newer, replay: Replay::begin(files) }
    }

    /// Everything is read while both marks are held.
    fn leap(&mut self, files: &WalFiles) {
        hold(&self.newer);
        self.replay.follow(files);
        release(&self.older);
        std::mem::swap(&mut self.older, &mut self.newer);
    }

    /// The same in the wrong order, for once.
    fn let_go_and_leap(&mut self, files: &WalFiles, meanwhile: impl FnOnce()) {
        release(&self.older);
        meanwhile();
        hold(&self.newer);
        self.replay.follow(files);
        std::mem::swap(&mut self.older, &mut self.newer);
    }
}

#[test]
fn leaps_under_a_writer_at_full_speed_miss_nothing() {
    let scene = WalScene::new("");
    make_accounts(&scene.db(), "");
    let app = scene.app();
    let files = scene.files();
    let mut leaper = Leaper::begin(&scene, &files);
    // With the automatic checkpoint that SQLite has by default.
    let mut writers = vec![App::transfers(&scene.db())];
    let (mut leaps, start) = (0, Instant::now());
    let (barrier, checkpoints) = (scene.ours(), scene.ours());
    let (mut longest, mut barriers) = (0, 0);
    while leaps < 5_000 || leaper.replay.restarts < 10 {
        leaper.leap(&files);
        leaps += 1;
        longest = longest.max(files.index().frames);
        // Leaps alone almost never let the log restart, because no moment is quiet. A barrier makes one.
        if files.index().frames > 1500 && barrier.execute_batch("BEGIN IMMEDIATE").is_ok() {
            leaper.leap(&files);
            let log = files.index().frames;
            // The writer before the barrier may still have its read mark, or be at its automatic checkpoint.
            while checkpoint(&checkpoints, "PASSIVE") != all_done(log) {
                assert!(start.elapsed() < Duration::from_secs(60));
            }
            leaper.leap(&files);
            assert!(files.slots().contains(&0));
            barrier.execute_batch("COMMIT").unwrap();
            barriers += 1;
            while files.index().frames == log && start.elapsed() < Duration::from_secs(60) {
                leaper.leap(&files);
            }
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{leaps} leaps, {}", leaper.replay.restarts);
    }
    assert!(barriers + 5 > leaper.replay.restarts && longest > 1000, "{barriers}, {longest}");
    let done = writers.pop().unwrap().finish();
    leaper.leap(&files);
    assert_eq!(u64::from(leaper.replay.commits), done);
    leaper.replay.assert_current(&files, "after leaps");
    app.close();
}

#[test]
fn leaps_under_writers_that_are_killed_miss_nothing() {
    let scene = WalScene::new("");
    make_accounts(&scene.db(), "");
    let app = scene.app();
    let files = scene.files();
    let mut leaper = Leaper::begin(&scene, &files);
    for lives_ms in 0..25 {
        let writer = App::transfers(&scene.db());
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(20 + 3 * lives_ms) {
            leaper.leap(&files);
        }
        writer.kill();
        leaper.leap(&files);
        leaper.replay.assert_current(&files, "after a kill");
    }
    assert!(leaper.replay.commits > 25);
    app.close();
}

#[test]
fn a_restart_between_two_marks_loses_what_came_before_it() {
    let scene = WalScene::new("");
    let mut app = scene.app();
    let files = scene.files();
    app.run(&write(5));
    let mut leaper = Leaper::begin(&scene, &files);
    let before = files.index();
    leaper.let_go_and_leap(&files, || {
        app.run("UPDATE t SET b = randomblob(3000) WHERE a = 20");
        checkpoint_by(&mut app, "PASSIVE");
        app.run(&write(1));
    });
    // The salts went up by one as if nothing were missing.
    assert_restarted(&before, &files.index());
    let wrong = std::panic::AssertUnwindSafe(|| leaper.replay.assert_current(&files, "after letting go"));
    assert!(std::panic::catch_unwind(wrong).is_err());
}

#[test]
fn a_write_barrier_changes_no_byte_and_a_checkpoint_under_it_is_complete() {
    let scene = WalScene::new("");
    let mut app = scene.app();
    let files = scene.files();
    app.run(&write(5));
    let [mark, barrier, ours, next] = [(); 4].map(|()| scene.ours());
    hold(&mark);
    let before = (files.fingerprints(), files.index(), files.index_header());
    barrier.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(app.try_run(&write(1)), Err("database is locked".to_string()));
    assert_eq!((files.fingerprints(), files.index(), files.index_header()), before);
    assert_eq!(files.slots(), [1]);
    assert_eq!(checkpoint(&ours, "PASSIVE"), all_done(before.1.frames));
    // The file is filled, and the log is as it was.
    assert_eq!((files.fingerprints().1, files.index_header()), (before.0.1, before.2));
    for mode in ["FULL", "RESTART", "TRUNCATE"] {
        let log = before.1.frames;
        assert_eq!(checkpoint_by(&mut app, mode), result(1, log, log), "{mode} finds the barrier in its way");
    }
    hold(&next);
    assert_eq!(files.slots(), [0, 1]);
    release(&mark);
    barrier.execute_batch("COMMIT").unwrap();
    assert_eq!(files.slots(), [0]);
    assert_eq!(files.fingerprints().1, before.0.1);
    app.run(&write(1));
    assert_restarted(&before.1, &files.index());

    release(&next);
    checkpoint_by(&mut app, "PASSIVE");
    let before = (files.fingerprints(), files.index(), files.index_header());
    for end in ["COMMIT", "ROLLBACK"] {
        barrier.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert_eq!(files.slots(), [0]);
        barrier.execute_batch(end).unwrap();
        assert_eq!((files.fingerprints(), files.index(), files.index_header()), before);
    }
}

#[test]
fn our_own_mark_at_the_end_does_not_hold_up_our_checkpoint_and_a_commit_behind_it_keeps_the_log() {
    let scene = WalScene::new("");
    let mut app = scene.app();
    let files = scene.files();
    app.run(&write(5));
    let [mark, ours, next] = [(); 3].map(|()| scene.ours());
    hold(&mark);
    let held = files.index();
    assert_eq!(checkpoint(&ours, "PASSIVE"), all_done(held.frames));
    hold(&next);
    assert_eq!(files.slots(), [0, 1]);
    release(&next);
    // No barrier is needed to be safe: with a commit behind the older mark the next one is not in slot 0.
    app.run(&write(1));
    let log = files.index().frames;
    assert_eq!(checkpoint(&ours, "PASSIVE"), result(0, log, held.frames));
    hold(&next);
    assert_eq!(files.slots(), [1, 2]);
    release(&mark);
    app.run("PRAGMA wal_autocheckpoint = 1");
    app.run(&write(1));
    app.run(&write(1));
    assert_eq!(files.index().salts, held.salts);
}

#[test]
fn a_passive_checkpoint_tells_how_far_it_got_and_is_busy_only_beside_another() {
    let scene = WalScene::new("");
    let (mut app, mut reader) = (scene.app(), scene.app());
    let files = scene.files();
    app.run(&write(5));
    reader.run("BEGIN; SELECT count(*) FROM t");
    let mark = files.index().frames;
    app.run(&write(5));
    let ours = scene.ours();
    let log = files.index().frames;
    assert_eq!(checkpoint(&ours, "PASSIVE"), result(0, log, mark));
    for mode in ["FULL", "RESTART", "TRUNCATE"] {
        assert_eq!(checkpoint(&ours, mode), result(1, log, mark), "{mode}");
    }
    reader.run("COMMIT");
    assert_eq!(checkpoint(&ours, "PASSIVE"), all_done(log));
    // A reader in slot 0 holds up the whole next round.
    reader.run("BEGIN; SELECT count(*) FROM t");
    app.run(&write(2));
    let log = files.index().frames;
    assert_eq!(files.slots(), [0]);
    assert_eq!(checkpoint(&ours, "PASSIVE"), result(0, log, 0));
    // Beside another checkpoint it does not even look.
    for mode in MODES {
        let beside_another = files.with_lock(CHECKPOINT_LOCK, || checkpoint(&ours, mode));
        assert_eq!(beside_another, Checkpointed { busy: 1, log: -1, done: -1 }, "{mode}");
    }
}

#[test]
fn closing_ours_changes_nothing_and_while_ours_is_open_an_application_leaves_the_files() {
    let scene = WalScene::new("");
    let mut app = scene.app();
    app.run(&write(3));
    let files = scene.files();
    let (ours, other) = (scene.ours(), scene.ours());
    for connection in [&ours, &other] {
        hold(connection);
        release(connection);
    }
    let before = (files.fingerprints(), files.index());
    other.close().unwrap();
    app.close();
    assert_eq!((files.fingerprints(), files.index(), side_files(&scene)), (before.0, before.1, (true, true)));
    ours.close().unwrap();
    assert_eq!((files.fingerprints(), files.index(), side_files(&scene)), (before.0, before.1, (true, true)));
    // The next last close of an application tidies up.
    scene.app().close();
    assert_eq!(side_files(&scene), (false, false));

    // A connection that has read nothing holds nothing.
    let app = scene.app();
    let ours = scene.ours_unread();
    app.close();
    assert_eq!(side_files(&scene), (false, false));
    // On a database that nobody has open, ours makes both files, and leaves them.
    hold(&ours);
    release(&ours);
    ours.close().unwrap();
    assert_eq!(side_files(&scene), (true, true));
    assert_eq!((files.wal_bytes().len(), scene.files().index().pages), (0, 0));
}

#[test]
fn the_first_connection_of_a_process_decides_whether_the_shm_is_read_only_for_all() {
    let scene = WalScene::new("");
    let mut app = scene.app();
    app.run(&write(3));
    let read_only = || {
        let uri = format!("file:{}?readonly_shm=1", scene.db().display());
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(uri, flags).unwrap();
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        assert_eq!(rows(&connection), 23);
        connection
    };
    let code = |ours: &Connection, sql: &str| {
        ours.query_row(sql, [], |_| Ok(())).map_err(|error| error.sqlite_error_code()).err().flatten()
    };
    let first = read_only();
    let ours = scene.ours_unread();
    assert_eq!(rows(&ours), 23);
    for sql in ["BEGIN IMMEDIATE", "PRAGMA wal_checkpoint"] {
        assert_eq!(code(&ours, sql), Some(ErrorCode::ReadOnly), "{sql}");
    }
    first.close().unwrap();
    assert_eq!(code(&ours, "BEGIN IMMEDIATE"), Some(ErrorCode::ReadOnly), "until all are closed");
    ours.close().unwrap();

    let ours = scene.ours();
    ours.execute_batch("BEGIN IMMEDIATE; COMMIT").unwrap();
    let second = read_only();
    ours.execute_batch("BEGIN IMMEDIATE; COMMIT").unwrap();
    second.close().unwrap();
    ours.execute_batch("BEGIN IMMEDIATE; COMMIT").unwrap();
}

#[test]
fn our_mark_and_snapshot_survive_a_recovery_of_the_shm() {
    for slot in [1, 0] {
        let scene = WalScene::new("");
        let mut app = scene.app();
        let files = scene.files();
        app.run(&write(5));
        if slot == 0 {
            checkpoint_by(&mut app, "PASSIVE");
        }
        let ours = scene.ours();
        hold(&ours);
        let mark = files.index().marks[slot];
        app.run(&write(2));
        let written = files.index();
        app.kill();
        files.tear_index_header();
        let mut next = scene.app();
        let recovered = files.index();
        assert_eq!((recovered.salts, recovered.frames), (written.salts, written.frames));
        assert_eq!((recovered.back_filled, recovered.marks[slot]), (0, mark));
        assert_eq!(files.slots(), [slot]);
        assert_eq!((rows(&ours), next.run("SELECT count(*) FROM t")), (25, "27".to_string()));
        // Still held: no more than the mark is filled, and nothing restarted.
        let done = if slot == 0 { 0 } else { mark };
        assert_eq!(checkpoint_by(&mut next, "PASSIVE"), result(0, written.frames, done));
        next.run(&write(1));
        assert_eq!(files.index().salts, written.salts);
        assert_eq!(rows(&ours), 25);
        release(&ours);
        assert_eq!(rows(&ours), 28);
    }
}

#[test]
fn nobody_leaves_wal_mode_or_locks_us_out_while_ours_is_open() {
    let scene = WalScene::new("");
    let mut app = scene.app();
    let ours = scene.ours();
    hold(&ours);
    release(&ours);
    let locked = || Err("database is locked".to_string());
    assert_eq!(app.try_run("PRAGMA journal_mode = delete"), locked());
    assert_eq!(app.run("PRAGMA journal_mode"), "wal");
    // The wish is taken; the first write finds that it cannot be had.
    app.run("PRAGMA locking_mode = exclusive; SELECT count(*) FROM t");
    assert_eq!(app.try_run(&write(1)), locked());
    app.run("PRAGMA locking_mode = normal; SELECT count(*) FROM t");
    app.run(&write(1));
    let mut fresh = scene.app_unread();
    let exclusive = "PRAGMA busy_timeout = 0; PRAGMA locking_mode = exclusive; SELECT count(*) FROM t";
    assert_eq!(fresh.try_run(exclusive), locked());
}

#[test]
fn ours_is_locked_out_of_a_database_in_exclusive_mode_and_leaves_no_trace() {
    let later = "SELECT count(*) FROM t; PRAGMA locking_mode = exclusive; SELECT count(*) FROM t";
    let first = "PRAGMA locking_mode = exclusive; SELECT count(*) FROM t";
    for (exclusive, shm) in [(first, false), (later, true)] {
        let scene = WalScene::new("");
        let mut app = scene.app_unread();
        app.run(exclusive);
        app.run(&write(1));
        assert_eq!(side_files(&scene), (true, shm));
        let ours = scene.ours_unread();
        for what in ["PRAGMA user_version", "PRAGMA wal_checkpoint", "BEGIN IMMEDIATE"] {
            assert!(is_busy(ours.query_row(what, [], |_| Ok(()))), "{what}");
        }
        assert_eq!(side_files(&scene), (true, shm));
        app.close();
        assert_eq!(rows(&ours), 21);
    }
}

/// What applications do in a test that plays by chance.
struct Crowd {
    apps: Vec<App>,
    /// Which of them are in a transaction.
    inside: Vec<bool>,
}

impl Crowd {
    fn new(scene: &WalScene) -> Self {
        Self { apps: (0..3).map(|_| scene.app()).collect(), inside: vec![false; 3] }
    }

    fn replace(&mut self, who: usize, scene: &WalScene, end: impl FnOnce(App)) {
        end(self.apps.remove(who));
        self.apps.insert(who, scene.app());
        self.inside[who] = false;
    }

    /// One step of one of them. That another is in its way is no error.
    fn step(&mut self, scene: &WalScene, files: &WalFiles, random: &SeededRandom) {
        let who = usize::try_from(random.below(3)).unwrap();
        let some = write(1 + u32::try_from(random.below(6)).unwrap());
        let app = &mut self.apps[who];
        match random.below(16) {
            0..=3 => drop(app.try_run(&some)),
            4 => drop(app.try_run("DELETE FROM t WHERE a % 3 = 1")),
            5 if !self.inside[who] => {
                let spills = format!("PRAGMA cache_size = 5; BEGIN; {} ROLLBACK", write(40));
                drop(app.try_run(&spills).or_else(|_| app.try_run("ROLLBACK")));
            }
            6 | 7 => drop(app.try_run("PRAGMA wal_checkpoint(PASSIVE)")),
            8 => drop(app.try_run("PRAGMA wal_checkpoint(RESTART)")),
            9 | 10 => drop(app.try_run("PRAGMA wal_checkpoint(TRUNCATE)")),
            11 | 12 if self.inside[who] => {
                app.run("COMMIT");
                self.inside[who] = false;
            }
            11 if app.try_run("BEGIN IMMEDIATE").is_ok() => self.inside[who] = true,
            12 => {
                app.run("BEGIN; SELECT count(*) FROM t");
                self.inside[who] = true;
            }
            13 => self.replace(who, scene, App::close),
            14 => self.replace(who, scene, App::kill),
            15 if !files.is_locked(WRITE_LOCK) => self.die(who, scene, files, &some, random),
            _ => {}
        }
    }

    /// Dies right before its commit is visible, or in the midst of making it so.
    fn die(&mut self, who: usize, scene: &WalScene, files: &WalFiles, sql: &str, random: &SeededRandom) {
        let (before, header) = (files.index(), files.index_header());
        let wrote = self.apps[who].try_run(sql).is_ok();
        let way = random.below(2);
        self.replace(who, scene, |app| {
            app.kill();
            match way {
                0 if wrote && files.index().salts == before.salts => files.set_index_header(&header),
                1 => files.tear_index_header(),
                _ => {}
            }
        });
    }
}

#[test]
fn whatever_others_do_leaps_miss_nothing() {
    let (mut restarts, mut other_salts, mut filled) = (0, 0, 0);
    for seed in 0..6 {
        let scene = WalScene::new(["", "PRAGMA auto_vacuum = full"][seed % 2]);
        let random = SeededRandom::new(seed as u64);
        let mut crowd = Crowd::new(&scene);
        let files = scene.files();
        let mut leaper = Leaper::begin(&scene, &files);
        let ours = scene.ours();
        let mut before = files.index();
        for step in 0..150 {
            let what = format!("seed {seed}, step {step}");
            crowd.step(&scene, &files, &random);
            match random.below(4) {
                0 | 1 => leaper.leap(&files),
                2 => drop(ours.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))),
                _ => {}
            }
            leaper.leap(&files);
            leaper.replay.assert_current(&files, &what);
            let now = files.index();
            other_salts +=
                u32::from(now.salts != before.salts && now.salts.0 != before.salts.0.wrapping_add(1));
            before = now;
            if now.back_filled == now.frames && now.pages > 0 {
                leaper.replay.assert_file(&files, &what);
                filled += 1;
            }
        }
        restarts += leaper.replay.restarts;
    }
    // All of it happened.
    assert!(restarts > 50 && other_salts > 5 && filled > 50, "{restarts}, {other_salts}, {filled}");
}
