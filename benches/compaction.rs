//! How fast is compaction, how much faster are restores after it, and how much memory do both take?
//!
//! `cargo bench -p walkeep-benches --bench compaction -- restore` times the restore of a database with a long history of
//! small segments: as it is, after the default compaction, and from one segment. `-- throughput` compares compaction with
//! reading and writing the same bytes. `-- memory` measures peak memory at three sizes, each step in a process of its
//! own (with MALLOC_ARENA_MAX=1, so that what glibc keeps for itself for each thread does not count). A number behind it scales the database: pages of 4 KiB, by default 102,400 (400 MiB).
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_possible_truncation, reason = "bench code")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use walkeep::backends::fs::{Fs, FsConfig};
use walkeep::backends::os::OsDirectory;
use walkeep::compact::{CompactOptions, Compactor, Identity, Outcome, Strategy, Tiered};
use walkeep::core::PageSize;
use walkeep::restore::{FileTarget, RestoreOptions, RestorePlan};
use walkeep::{Bucket, DATABASE_BYTES_MAX, Handles, RestorePoint, Timeline, View};
use walkeep_benches::generator::{Generator, NAMESPACE, some_pages};
use walkeep_tests::handles::SeededRandom;

const SEGMENTS: u64 = 3_000;

fn bucket(root: &Path) -> Bucket {
    Bucket::new(Arc::new(Fs::new(FsConfig::create(root).unwrap())), None).unwrap()
}

/// A database with a long history, of which the last commit was just now.
async fn history(bucket: &Bucket, pages: u32, segments: u64, spool: &Path) -> Generator {
    let mut generator = Generator::new(bucket, pages, spool).await;
    let random = SeededRandom::new(7);
    let began = Handles::system().clock.now().get() - segments * 1_000;
    generator.store_all(began).await;
    for number in 1..=segments {
        generator.store_some(&random, began + number * 1_000).await;
    }
    generator
}

async fn compact(bucket: &Bucket, strategy: &dyn Strategy, spool: &Path) -> (Duration, u64, u64, u64) {
    let options = CompactOptions::new(Arc::new(OsDirectory::open(spool).unwrap()), Handles::system());
    let compactor = Compactor::new(bucket, &NAMESPACE.parse().unwrap(), options).unwrap();
    let began = Instant::now();
    let done = compactor.compact(strategy, &|_| ()).await.unwrap().done;
    let took = began.elapsed();
    let bytes_in = done.iter().map(|(plan, _)| plan.bytes_in()).sum();
    let (mut bytes_out, mut images) = (0, 0);
    for (_, outcome) in &done {
        if let Outcome::Stored { bytes, images: count } = outcome {
            (bytes_out, images) = (bytes_out + bytes, images + u64::from(*count));
        }
    }
    (took, bytes_in, bytes_out, images)
}

async fn restore(bucket: &Bucket, into: &Path) -> Duration {
    let began = Instant::now();
    let namespace = NAMESPACE.parse().unwrap();
    let view = View::open(bucket, &namespace, RestorePoint::Latest, DATABASE_BYTES_MAX).await.unwrap();
    let directory = Arc::new(OsDirectory::open(into).unwrap());
    let mut target = FileTarget::new(directory, "out.db", true, &*Handles::system().random).unwrap();
    let plan = RestorePlan::new(&view);
    view.write_to(&plan, &mut target, &RestoreOptions::default()).await.unwrap();
    target.publish().unwrap();
    began.elapsed()
}

/// The shortest of five.
async fn best_restore(bucket: &Bucket, into: &Path) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        best = best.min(restore(bucket, into).await);
    }
    best
}

async fn chain_len(bucket: &Bucket) -> usize {
    let timeline = Timeline::load(bucket, &NAMESPACE.parse().unwrap()).await.unwrap();
    timeline.cover(timeline.newest().unwrap().key.end()).unwrap().len()
}

async fn bench_restore(pages: u32) {
    let root = tempfile::tempdir().unwrap();
    let (long, one) = (bucket(&root.path().join("long")), bucket(&root.path().join("one")));
    let last = history(&long, pages, SEGMENTS, root.path()).await;
    let mut single = Generator::new(&one, pages, root.path()).await;
    single.versions.clone_from(&last.versions);
    single.store_all(1).await;
    println!("{pages} pages of 4 KiB, {SEGMENTS} segments of about 30 pages on top");
    let base = best_restore(&one, root.path()).await;
    println!("from one segment:  {base:>8.0?}");
    let raw = best_restore(&long, root.path()).await;
    println!(
        "not compacted:     {raw:>8.0?} = {:.2}x, {} segments",
        ratio(raw, base),
        chain_len(&long).await
    );
    let expected = std::fs::read(root.path().join("out.db")).unwrap();
    let (took, bytes_in, bytes_out, _) = compact(&long, &Tiered, root.path()).await;
    println!(
        "default compaction {took:>8.0?}, {} MB in, {} MB out",
        bytes_in / 1_000_000,
        bytes_out / 1_000_000
    );
    let tiered = best_restore(&long, root.path()).await;
    println!(
        "after it:          {tiered:>8.0?} = {:.2}x, {} segments",
        ratio(tiered, base),
        chain_len(&long).await
    );
    assert!(std::fs::read(root.path().join("out.db")).unwrap() == expected, "restored bytes differ");
    compact(&long, &Identity, root.path()).await;
    let identity = best_restore(&long, root.path()).await;
    println!(
        "all in one:        {identity:>8.0?} = {:.2}x, {} segments",
        ratio(identity, base),
        chain_len(&long).await
    );
    assert!(std::fs::read(root.path().join("out.db")).unwrap() == expected, "restored bytes differ");
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

/// An image and segments that rewrite a part of it, all into one; next to reading and writing as many bytes.
async fn bench_throughput(pages: u32) {
    for (what, segments, share) in
        [("an image and 24 segments of 1% each", 24, 100), ("10 segments of all pages", 9, 1)]
    {
        let root = tempfile::tempdir().unwrap();
        let store = bucket(&root.path().join("store"));
        let pages = pages / if share == 1 { 5 } else { 1 };
        let mut generator = Generator::new(&store, pages, root.path()).await;
        generator.store_all(1).await;
        let random = SeededRandom::new(9);
        let mut raw = u64::from(pages);
        for number in 0..segments {
            let all = || (1..=pages).collect::<Vec<_>>();
            let some = if share == 1 { all() } else { some_pages(&random, pages, pages / share) };
            raw += some.len() as u64;
            for page in &some {
                generator.versions[*page as usize - 1] += 1;
            }
            generator.store(&some, 2 + number).await;
        }
        let inputs = objects(&root.path().join("store"));
        let (took, bytes_in, bytes_out, _) = compact(&store, &Identity, root.path()).await;
        let plain = copy(&inputs, bytes_out, root.path());
        let raw = raw * PageSize::DEFAULT.bytes_u64();
        println!("{what}: {} MB of pages, stored in {} MB", raw / 1_000_000, bytes_in / 1_000_000);
        println!(
            "  compacted in {took:.2?}: {:.0} MB of pages a second, {:.0} MB stored; reading that and writing {} MB takes \
             {plain:.2?}: {:.2}x",
            raw as f64 / 1e6 / took.as_secs_f64(),
            bytes_in as f64 / 1e6 / took.as_secs_f64(),
            bytes_out / 1_000_000,
            ratio(took, plain)
        );
    }
}

fn objects(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.append(&mut objects(&path)) } else { found.push(path) }
    }
    found
}

/// Reads these files, and writes so many of their bytes, synced.
fn copy(inputs: &[std::path::PathBuf], bytes_out: u64, folder: &Path) -> Duration {
    use std::io::Write;
    let began = Instant::now();
    let out = folder.join("copy");
    let mut file = std::fs::File::create(&out).unwrap();
    let mut left = bytes_out as usize;
    for input in inputs {
        let bytes = std::fs::read(input).unwrap();
        let part = bytes.len().min(left);
        file.write_all(&bytes[..part]).unwrap();
        left -= part;
    }
    file.sync_all().unwrap();
    began.elapsed()
}

/// Peak memory of this process, in MiB, since it began.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Runs one step in a process of its own, and returns its peak memory.
fn child(step: &str, store: &Path) -> u64 {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([step, store.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

async fn bench_memory(pages: u32) {
    println!("an image, and 90 segments that rewrite 1% of it each; peak memory of a process, in MiB");
    println!(
        "{:>14} {:>10} {:>12} {:>12} {:>20}",
        "database MiB", "nothing", "compaction", "restore", "indexes, 20 B/image"
    );
    for pages in [pages / 4, pages, pages * 4] {
        let root = tempfile::tempdir().unwrap();
        let store = bucket(&root.path().join("store"));
        let mut generator = Generator::new(&store, pages, root.path()).await;
        generator.store_all(1).await;
        let random = SeededRandom::new(9);
        let mut images = u64::from(pages);
        for number in 0..90 {
            let some = some_pages(&random, pages, pages / 100);
            images += some.len() as u64;
            generator.store(&some, 2 + number).await;
        }
        drop(generator);
        let [nothing, restored, compacted] =
            ["--peak-nothing", "--peak-restore", "--peak-compact"].map(|step| child(step, root.path()));
        let indexes = ((images + u64::from(pages)) * 20) >> 20;
        println!("{:>14} {nothing:>10} {compacted:>12} {restored:>12} {indexes:>20}", pages / 256);
    }
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let args = std::env::args().skip(1).filter(|arg| arg != "--bench").collect::<Vec<_>>();
    let step = args.first().map_or("", String::as_str);
    if let ("--peak-nothing" | "--peak-restore" | "--peak-compact", Some(root)) = (step, args.get(1)) {
        let root = Path::new(root);
        let store = bucket(&root.join("store"));
        runtime.block_on(async {
            match step {
                "--peak-restore" => drop(restore(&store, root).await),
                "--peak-compact" => drop(compact(&store, &Identity, root).await),
                _ => {}
            }
        });
        println!("{}", peak_mib());
        return;
    }
    let pages = args.get(1).map_or(102_400, |number| number.parse().unwrap());
    match step {
        "restore" => runtime.block_on(bench_restore(pages)),
        "throughput" => runtime.block_on(bench_throughput(pages)),
        "memory" => runtime.block_on(bench_memory(pages)),
        _ => println!("name a question: restore, throughput or memory; see the head of the file"),
    }
}
