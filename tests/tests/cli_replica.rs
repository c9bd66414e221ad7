//! `walkeep replica` as a user meets it: with a database that is written, readers of SQLite, signals, and what goes wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;
use walkeep_tests::app::App;
use walkeep_tests::command::Walkeep;
use walkeep_tests::database::{ACCOUNTS, BALANCE, assert_same, make_accounts, number, sql};

/// A folder with `app.db` in WAL mode, captured into `./store`.
struct Scene {
    root: TempDir,
    walkeep: Walkeep,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let scene = Self { walkeep: Walkeep::at(root.path()), root };
        sql(
            &scene.path("app.db"),
            "PRAGMA journal_mode = wal; CREATE TABLE still (a); INSERT INTO still VALUES (randomblob(50000));
             CREATE TABLE t (a); INSERT INTO t VALUES (0)",
        );
        scene.walkeep.replicate("app.db");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Adds a row and captures it; the frame.
    fn add(&self) -> u64 {
        sql(&self.path("app.db"), "INSERT INTO t VALUES (randomblob(3000))");
        self.walkeep.replicate("app.db")
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The file, as a restore gives it and as a replica shows it: in rollback mode.
    fn expected(&self, frame: u64) -> Vec<u8> {
        shown(self.walkeep.restored("app", frame))
    }

    fn catch_up(&self) -> Vec<Value> {
        self.walkeep.ok(&CAUGHT_UP_JSON).json_lines()
    }

    /// The files beside the replica, the store and the database.
    fn beside(&self) -> Vec<String> {
        let names = fs::read_dir(self.root.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let names = names.map(|name| name.into_string().unwrap());
        let mut names = names.filter(|name| name.contains("r.db")).collect::<Vec<_>>();
        names.sort();
        names
    }
}

const CAUGHT_UP: [&str; 7] = ["replica", "store", "-n", "app", "-o", "r.db", "--until-caught-up"];
const CAUGHT_UP_JSON: [&str; 8] =
    ["replica", "store", "-n", "app", "-o", "r.db", "--until-caught-up", "--json"];
const FOLLOW: [&str; 8] = ["replica", "store", "-n", "app", "-o", "r.db", "--poll", "0.05"];

fn shown(mut file: Vec<u8>) -> Vec<u8> {
    assert_eq!(file[18..20], [2, 2], "the database is in WAL mode");
    file[18..20].copy_from_slice(&[1, 1]);
    file
}

#[test]
fn it_ends_when_the_newest_commit_is_applied_and_says_what_it_did() {
    let scene = Scene::new();
    let first = scene.add();
    let lines = scene.catch_up();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!((&lines[0]["event"], &lines[0]["why"]), (&"seeded".into(), &"it is new".into()));
    assert_eq!(lines[0]["frame_no"], first);
    assert_same(&scene.read("r.db"), &scene.expected(first), "seeded");

    let lines = scene.catch_up();
    assert_eq!((&lines[0]["event"], &lines[0]["frame_no"]), (&"up_to_date".into(), &first.into()));
    assert_eq!(lines.len(), 1, "{lines:?}");

    scene.add();
    let last = scene.add();
    let before = scene.read("r.db.walkeep");
    let lines = scene.catch_up();
    assert_eq!(lines.len(), 1, "commits in between are passed over: {lines:?}");
    assert_eq!((&lines[0]["event"], &lines[0]["frame_no"]), (&"updated".into(), &last.into()));
    assert_eq!(lines[0]["frames"], last - first);
    assert_eq!(lines[0]["verified"], true);
    assert!(lines[0]["lag_ms"].as_u64().unwrap() < 60_000, "{lines:?}");
    assert!(lines[0]["pages_written"].as_u64().unwrap() < lines[0]["pages"].as_u64().unwrap());
    assert_same(&scene.read("r.db"), &scene.expected(last), "updated");
    assert_ne!(scene.read("r.db.walkeep"), before);
    assert_eq!(scene.beside(), ["r.db", "r.db.walkeep"]);

    // People are told on stderr.
    let frame = scene.add();
    let ran = scene.walkeep.ok(&CAUGHT_UP).says(&["r.db: frame", &frame.to_string(), "changed"]);
    assert_eq!(ran.stdout, "");
    let ran = scene.walkeep.ok(&CAUGHT_UP).says(&["r.db: up to date, at frame", &frame.to_string()]);
    assert_eq!(ran.stdout, "");
}

#[test]
fn it_follows_until_a_signal_ends_it() {
    for signal in ["TERM", "INT"] {
        let scene = Scene::new();
        let mut replica = scene.walkeep.start(&FOLLOW);
        for _ in 0..4 {
            let frame = scene.add();
            let expected = scene.expected(frame);
            replica
                .wait_until("it follows", |_| fs::read(scene.path("r.db")).ok().as_ref() == Some(&expected));
        }
        replica.signal(signal);
        replica.end().expect(0).says(&[
            "made from nothing, since it is new",
            "changed",
            signal,
            "stays as it is",
        ]);
        assert_eq!(scene.beside(), ["r.db", "r.db.walkeep"]);
        assert_eq!(scene.catch_up()[0]["event"], "up_to_date");
    }
}

/// Opened as careful programs do it, and as careless ones do.
fn connect(path: &Path, read_only: bool) -> Connection {
    let flags = if read_only { OpenFlags::SQLITE_OPEN_READ_ONLY } else { OpenFlags::SQLITE_OPEN_READ_WRITE };
    Connection::open_with_flags(path, flags).unwrap()
}

/// What the bank says of itself: the total, how many transfers were made, and whether SQLite finds it whole.
fn look(connection: &Connection) -> (i64, i64) {
    let sum = connection.query_row("SELECT sum(balance) FROM accounts", [], |row| row.get(0)).unwrap();
    let done = connection.query_row("SELECT transfers FROM done", [], |row| row.get(0)).unwrap();
    (sum, done)
}

#[test]
fn readers_see_only_whole_commits_while_the_file_is_replaced_under_them() {
    let root = tempfile::tempdir().unwrap();
    let walkeep = Walkeep::at(root.path());
    let (database, copy) = (root.path().join("app.db"), root.path().join("r.db"));
    make_accounts(&database, "PRAGMA journal_mode = wal; PRAGMA page_size = 1024;");
    walkeep.replicate("app.db");
    walkeep.ok(&CAUGHT_UP);
    let writer = App::transfers(&database);
    let mut replica = walkeep.start(&FOLLOW);
    let (stop, versions, looks) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let total = ACCOUNTS * BALANCE;
    std::thread::scope(|scope| {
        // Readers that keep a connection over several versions: their state never changes.
        for number in 0..3_u64 {
            let (stop, copy, looks) = (&stop, &copy, &looks);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let connection = connect(copy, number == 0);
                    let (begin, before) = (Instant::now(), look(&connection));
                    assert_eq!(before.0, total);
                    while begin.elapsed() < Duration::from_millis(300 + 400 * number) {
                        assert_eq!(look(&connection), before, "a reader's state changed under it");
                        looks.fetch_add(1, Ordering::Relaxed);
                    }
                    let whole: String =
                        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
                    assert_eq!(whole, "ok");
                }
            });
        }
        // Readers that open it for each look, in this process and in another one: time never goes back.
        for read_only in [true, false] {
            let (stop, copy, versions) = (&stop, &copy, &versions);
            scope.spawn(move || {
                let mut last = 0;
                while !stop.load(Ordering::Relaxed) {
                    let connection = connect(copy, read_only);
                    connection.execute_batch("BEGIN").unwrap();
                    let (sum, done) = look(&connection);
                    assert_eq!(sum, total);
                    assert!(done >= last, "{done} after {last}");
                    if done > last {
                        versions.fetch_add(1, Ordering::Relaxed);
                    }
                    last = done;
                }
            });
        }
        scope.spawn(|| {
            let mut other = 0;
            while !stop.load(Ordering::Relaxed) {
                let mut app = App::start(&copy);
                let sum: i64 = app.run("SELECT sum(balance) FROM accounts").parse().unwrap();
                assert_eq!(sum, total);
                app.close();
                other += 1;
            }
            assert!(other > 5, "{other}");
        });
        let begin = Instant::now();
        let mut captures = 0;
        while captures < 12 || begin.elapsed() < Duration::from_secs(6) {
            walkeep.replicate("app.db");
            captures += 1;
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(writer.finish() > 100);
    let (versions, looks) = (versions.into_inner(), looks.into_inner());
    assert!(versions >= 10 && looks > 100, "{versions} versions, {looks} looks");
    let last = walkeep.replicate("app.db");
    let expected = shown(walkeep.restored("app", last));
    replica.wait_until("it is up to date", |_| fs::read(&copy).unwrap() == expected);
    replica.signal("TERM");
    let said = replica.end().expect(0).stderr;
    assert!(!said.contains("made from nothing"), "readers change nothing: {said}");
    for suffix in ["-wal", "-shm", "-journal"] {
        assert!(!root.path().join(format!("r.db{suffix}")).exists(), "readers leave nothing behind");
    }
}

#[test]
fn a_reader_needs_no_right_to_write_where_the_replica_is() {
    let scene = Scene::new();
    scene.walkeep.ok(&CAUGHT_UP);
    let connection = connect(&scene.path("r.db"), true);
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete");
    assert_eq!(connection.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    assert_eq!(scene.beside(), ["r.db", "r.db.walkeep"], "while it is open");
}

#[test]
fn a_store_that_is_away_is_said_once_and_waited_for() {
    let namespaces = "store/namespaces";
    // Errors of the store, and a disk that is not mounted.
    let broken = |path: &Path| std::os::unix::fs::symlink("/outside", path).unwrap();
    let empty = |path: &Path| fs::create_dir(path).unwrap();
    for (is_broken, away) in [(true, &broken as &dyn Fn(&Path)), (false, &empty)] {
        let scene = Scene::new();
        let mut replica = scene.walkeep.start(&FOLLOW);
        replica.wait_until("it begins", |replica| replica.stderr().contains("made from nothing"));
        let before = scene.read("r.db");
        fs::rename(scene.path(namespaces), scene.path("elsewhere")).unwrap();
        away(&scene.path(namespaces));
        replica.wait_until("it says so", |replica| replica.stderr().contains("the replica stays as it is"));
        // Between the two renames it may have been seen empty as well.
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(scene.read("r.db"), before);
        let said = replica.stderr();
        assert!(said.matches("the replica stays as it is").count() <= 1 + usize::from(is_broken), "{said}");
        assert_eq!(said.contains("unavailable"), is_broken, "{said}");
        let once = scene.walkeep.run(&CAUGHT_UP);
        once.expect(if is_broken { 6 } else { 3 });
        if is_broken {
            fs::remove_file(scene.path(namespaces)).unwrap();
        } else {
            fs::remove_dir(scene.path(namespaces)).unwrap();
        }
        fs::rename(scene.path("elsewhere"), scene.path(namespaces)).unwrap();
        let expected = scene.expected(scene.add());
        replica.wait_until("it goes on", |_| scene.read("r.db") == expected);
        replica.signal("TERM");
        replica.end().expect(0).says(&["the store answers again"]);
    }
}

#[test]
fn killed_at_any_moment_it_leaves_a_whole_version_and_goes_on_from_it() {
    let scene = Scene::new();
    // Large enough that a version takes a moment.
    sql(
        &scene.path("app.db"),
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
           INSERT INTO t SELECT randomblob(2000) FROM n",
    );
    let mut known = vec![scene.expected(scene.add())];
    scene.walkeep.ok(&CAUGHT_UP);
    let mut unfinished = 0;
    for round in 0..10_u64 {
        sql(&scene.path("app.db"), "UPDATE t SET a = randomblob(2000) WHERE rowid % 3 = 0");
        known.push(scene.expected(scene.add()));
        let replica = scene.walkeep.start(&FOLLOW);
        std::thread::sleep(Duration::from_millis(20 + 23 * round));
        replica.signal("KILL");
        assert_eq!(replica.end().code, None);
        unfinished += usize::from(scene.beside().len() > 2);
        let found = scene.read("r.db");
        assert!(known.contains(&found), "round {round}: a mix");
        if round % 2 == 0 {
            let lines = scene.catch_up();
            assert!(lines.iter().all(|line| line["event"] != "seeded"), "{lines:?}");
            assert_same(&scene.read("r.db"), known.last().unwrap(), "caught up");
            assert_eq!(scene.beside(), ["r.db", "r.db.walkeep"]);
        }
    }
    println!("{unfinished} of 10 were killed while a version was made");
}

#[test]
fn who_writes_to_the_replica_loses_it_and_is_told() {
    let scene = Scene::new();
    scene.walkeep.ok(&CAUGHT_UP);
    let replica = scene.path("r.db");
    // Tests may run as the administrator, whom a file's mode does not stop.
    let mut permissions = fs::metadata(&replica).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a careless user")]
    permissions.set_readonly(false);
    fs::set_permissions(&replica, permissions).unwrap();

    // Written and closed: nothing of it is built upon.
    sql(&replica, "INSERT INTO t VALUES ('written to the replica')");
    let lines = scene.catch_up();
    assert_eq!((&lines[0]["event"], lines.len()), (&"seeded".into(), 1));
    assert!(lines[0]["why"].as_str().unwrap().contains("changed by somebody else"), "{lines:?}");
    assert_eq!(number(&replica, "SELECT count(*) FROM t"), 1);

    // A transaction that is open, or a program that made it a database in WAL mode and has it open.
    for begin in [
        "BEGIN IMMEDIATE; INSERT INTO t VALUES ('x'); PRAGMA cache_spill = 1",
        "PRAGMA journal_mode = wal; INSERT INTO t VALUES ('y')",
    ] {
        let mut permissions = fs::metadata(&replica).unwrap().permissions();
        #[expect(clippy::permissions_set_readonly_false, reason = "a careless user")]
        permissions.set_readonly(false);
        fs::set_permissions(&replica, permissions).unwrap();
        let mut app = App::start(&replica);
        app.run(begin);
        let before = scene.read("r.db");
        let frame = scene.add();
        scene.walkeep.run(&CAUGHT_UP).expect(7).says(&["for writing", "already exists", "--force"]);
        assert_eq!(scene.read("r.db"), before);
        app.kill();
        // What it left lies there still.
        scene.walkeep.run(&CAUGHT_UP).expect(7);
        let forced = [&CAUGHT_UP[..], &["--force"]].concat();
        scene.walkeep.ok(&forced);
        assert_same(&scene.read("r.db"), &scene.expected(frame), begin);
        assert_eq!(scene.beside(), ["r.db", "r.db.walkeep"]);
    }
}

#[test]
fn wrong_input_is_refused_and_changes_nothing() {
    let scene = Scene::new();
    let with = |args: &[&'static str]| {
        let mut all = vec!["replica", "store", "--until-caught-up", "-n", "app"];
        all.extend(args);
        scene.walkeep.run(&all)
    };
    fs::write(scene.path("precious"), "a file of mine").unwrap();
    with(&["-o", "precious"]).expect(7).says(&["precious", "no replica of namespace app", "--force"]);
    assert_eq!(scene.read("precious"), b"a file of mine");
    let error = with(&["-o", "precious", "--json"]).expect(7).json_error();
    assert_eq!(error["kind"], "already_exists");
    with(&["-o", "."]).expect(2).says(&["not the name of a file"]);
    with(&["-o", "no/such/r.db"]).expect(1).says(&["no/such/r.db"]);
    with(&["-o", "r.db", "--poll", "0"]).expect(2).says(&["at least 50ms"]);
    with(&["-o", "r.db", "--max-db-size", "1K"]).expect(1).says(&["--max-db-size"]);
    with(&[]).expect(2).says(&["--output"]);
    let run = |args: &[&str]| scene.walkeep.run(args);
    run(&["replica", "store", "-n", "no", "-o", "r.db"]).expect(3).says(&["\"no\""]);
    run(&["replica", "nowhere", "-n", "app", "-o", "r.db"]).expect(6);
    assert_eq!(scene.beside(), Vec::<String>::new());
    with(&["-o", "precious", "--force"]).expect(0);
    assert_eq!(number(&scene.path("precious"), "SELECT count(*) FROM t"), 1);

    // A replica of another namespace.
    fs::copy(scene.path("app.db"), scene.path("other.db")).unwrap();
    scene.walkeep.replicate("other.db");
    let other = ["replica", "store", "-n", "other", "-o", "precious", "--until-caught-up"];
    run(&other).expect(7).says(&["a replica of namespace app"]);
}

#[test]
fn damage_in_the_store_is_an_error_and_the_replica_stays() {
    let scene = Scene::new();
    scene.walkeep.ok(&CAUGHT_UP);
    let before = scene.read("r.db");
    scene.add();
    let key = scene.walkeep.ok(&["segments", "store", "-n", "app", "--json"]).json_lines()[0]["key"].clone();
    let object = scene.path("store/namespaces/app/segments").join(key.as_str().unwrap());
    let mut bytes = fs::read(&object).unwrap();
    bytes[150] ^= 1;
    fs::remove_file(&object).unwrap();
    fs::write(&object, bytes).unwrap();
    scene.walkeep.run(&CAUGHT_UP).expect(4).says(&[key.as_str().unwrap(), "damaged"]);
    // Also for one that goes on for ever.
    scene.walkeep.start(&FOLLOW).end().expect(4);
    assert_eq!(scene.read("r.db"), before);
    assert_eq!(scene.beside(), ["r.db", "r.db.walkeep"]);
}

/// Copies a folder, but not the files whose names contain this.
fn copy_without(from: &Path, to: &Path, left_out: &str) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (name, path) = (entry.file_name(), entry.path());
        if path.is_dir() {
            copy_without(&path, &to.join(name), left_out);
        } else if !name.to_str().unwrap().contains(left_out) && !to.join(&name).exists() {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

#[test]
fn a_bucket_of_libsql_wal_is_followed_though_it_records_no_state_checksums() {
    let scene = Scene::new();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/libsql");
    let bucket = scene.path("bucket");
    let catch_up = || {
        let args = ["replica", "bucket", "-n", "fixture", "-o", "r.db", "--until-caught-up", "--json"];
        scene.walkeep.ok(&args).json_lines()
    };
    // All but the newest segment.
    copy_without(&fixture.join("bucket"), &bucket, "-00000000000000000116-");
    let lines = catch_up();
    assert_eq!((&lines[0]["event"], &lines[0]["verified"]), (&"seeded".into(), &false.into()));
    let first = lines[0]["frame_no"].as_u64().unwrap();
    copy_without(&fixture.join("bucket"), &bucket, "nothing");
    let lines = catch_up();
    assert_eq!((lines.len(), &lines[0]["event"]), (1, &"updated".into()), "{lines:?}");
    assert!(lines[0]["frame_no"].as_u64().unwrap() > first);
    assert_same(&scene.read("r.db"), &shown(fs::read(fixture.join("reference.db")).unwrap()), "followed");
    assert_eq!(catch_up()[0]["event"], "up_to_date");
}
