//! The page store is killed at random, loses its disk now and then, and comes back with everything that it acknowledged.
//!
//! What it acknowledged it had printed: "acknowledged N" for transaction N, whose content follows from its number.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pagestore::{PAGE_SIZE, load, table};
use walkeep::backends::Object;
use walkeep::backends::fs::{Fs, FsConfig};
use walkeep::backends::object::ObjectConfig;
use walkeep::backends::os::SystemRandom;
use walkeep::core::{PageCount, PageNo, Random};
use walkeep::restore::{RestoreOptions, RestorePlan};
use walkeep::{Bucket, DATABASE_BYTES_MAX, RestorePoint, View};
use walkeep_tests::handles::SeededRandom;
use walkeep_tests::memory_target::MemoryTarget;

fn pagestore(directory: &Path, store: &str, mode: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pagestore"));
    command.arg(directory).arg(store).arg(mode).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

fn number(line: &str, word: &str) -> Option<u64> {
    line.strip_prefix(word)?.trim().parse().ok()
}

/// Runs the load and kills it after a while; the last transaction that was acknowledged.
fn run_and_kill(directory: &Path, store: &str, after: Duration) -> Option<u64> {
    let mut child = pagestore(directory, store, "load").stderr(Stdio::null()).spawn().unwrap();
    let output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(|line| line.ok());
        // The last line may be cut short: what was not written whole was not acknowledged.
        lines.filter_map(|line| number(&line, "acknowledged ")).max()
    });
    std::thread::sleep(after);
    // SIGKILL.
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(!status.success() && status.code().is_none(), "it ended by itself: {status}");
    reader.join().unwrap()
}

/// The last transaction that is there; everything is durable and in the database file then.
fn last(directory: &Path, store: &str) -> u64 {
    let output = pagestore(directory, store, "last").stderr(Stdio::piped()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    number(&out, "last ").unwrap_or_else(|| panic!("{out}{err}"))
}

/// The database as it is in the store.
async fn restored(bucket: &Bucket) -> Vec<u8> {
    let namespace = "pagestore".parse().unwrap();
    let view = View::open(bucket, &namespace, RestorePoint::Latest, DATABASE_BYTES_MAX).await.unwrap();
    let mut target = MemoryTarget::default();
    view.write_to(&RestorePlan::new(&view), &mut target, &RestoreOptions::default()).await.unwrap();
    target.file()
}

fn entries(file: &[u8]) -> table::Entries {
    let pages = (1..).filter_map(PageNo::new).zip(file.chunks(PAGE_SIZE.bytes()));
    let size = PageCount((file.len() / PAGE_SIZE.bytes()) as u32);
    let mut all = table::Entries::new();
    for (number, page) in pages {
        for (key, value) in table::decode(number, page).unwrap() {
            assert_eq!(table::page_of(&key, size), number, "{key}");
            all.insert(key, value);
        }
    }
    all
}

async fn kill_and_check(store: &str, bucket: &Bucket, times: u64, seed: u64) {
    let random = SeededRandom::new(seed);
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("db");
    let (mut acknowledged, mut wiped) = (0, 0);
    for time in 0..times {
        let after = Duration::from_millis(10 + random.below(140));
        let before = acknowledged;
        acknowledged = run_and_kill(&directory, store, after).unwrap_or(0).max(acknowledged);
        if time % 5 == 2 || random.below(5) == 0 {
            match std::fs::remove_dir_all(&directory) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
                _ => wiped += 1,
            }
        }
        // Not each time: it is killed in the middle of a recovery too.
        if random.below(2) == 0 && time + 1 < times {
            continue;
        }
        let last = last(&directory, store);
        assert!(
            last >= acknowledged,
            "seed {seed}, time {time}: {acknowledged} of {before} is lost, {last} is there"
        );
        if last == 0 {
            continue;
        }
        let file = std::fs::read(directory.join("pages.db")).unwrap();
        assert!(file == restored(bucket).await, "seed {seed}, time {time}");
        assert!(entries(&file) == load::after(last), "seed {seed}, time {time}");
        acknowledged = last;
    }
    println!("{times} times killed, {wiped} times without its disk, {acknowledged} transactions");
    assert!(wiped > 0 && acknowledged > times, "{wiped}, {acknowledged}");
}

async fn on_a_directory(times: u64, seed: u64) {
    let root = tempfile::tempdir().unwrap();
    let store = root.path().join("store");
    let bucket = Bucket::new(Arc::new(Fs::new(FsConfig::create(&store).unwrap())), None).unwrap();
    kill_and_check(store.to_str().unwrap(), &bucket, times, seed).await;
}

/// The server is the one that `tests/with-s3` names, whose credentials go the way that a user's go.
async fn on_s3(times: u64, seed: u64) {
    let variable = |name: &str| {
        let name = format!("WALKEEP_TEST_S3_{name}");
        std::env::var(&name)
            .unwrap_or_else(|_| panic!("{name} is not set: run `tests/with-s3 cargo test ...`"))
    };
    let keys = [("AWS_ACCESS_KEY_ID", "ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY", "SECRET_KEY")];
    if std::env::var(keys[0].0).as_deref() != Ok(variable(keys[0].1).as_str()) {
        // In a process of its own: an environment is not changed while threads read it.
        let test = std::thread::current().name().unwrap().to_string();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &test, "--include-ignored", "--nocapture"]);
        let status = command.envs(keys.map(|(key, name)| (key, variable(name)))).status().unwrap();
        assert!(status.success(), "{status}");
        return;
    }
    let mut run = [0; 8];
    SystemRandom.fill(&mut run).unwrap();
    let prefix = format!("pagestore-{:016x}", u64::from_le_bytes(run));
    let store =
        format!("s3://{}/{prefix}?endpoint={}&allow_http=true", variable("BUCKET"), variable("ENDPOINT"));
    let bucket = Bucket::new(Arc::new(Object::new(ObjectConfig::from_url(&store).unwrap())), None).unwrap();
    kill_and_check(&store, &bucket, times, seed).await;
}

#[tokio::test]
async fn killed_on_a_directory_it_comes_back_with_everything_acknowledged() {
    on_a_directory(30, 1).await;
}

#[tokio::test]
async fn killed_on_s3_it_comes_back_with_everything_acknowledged() {
    on_s3(20, 2).await;
}

#[tokio::test]
#[ignore = "the long form"]
async fn killed_200_times_on_a_directory_it_comes_back_with_everything_acknowledged() {
    on_a_directory(200, 3).await;
}

#[tokio::test]
#[ignore = "the long form"]
async fn killed_200_times_on_s3_it_comes_back_with_everything_acknowledged() {
    on_s3(200, 4).await;
}
