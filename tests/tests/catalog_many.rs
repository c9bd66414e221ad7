//! A catalog of many namespaces: how long it takes to open, how much memory, and that lists come in pages.
//!
//! The long form has 100,000 namespaces: `cargo test --release -p walkeep-tests --test catalog_many -- --ignored --nocapture`

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use walkeep::backends::os::{OsDirectory, SystemClock, SystemRandom};
use walkeep::backends::redb::{RedbCatalog, ShardsOptions};
use walkeep::core::catalog::{
    Assignment, Catalog, CatalogRecord, Generation, NamespaceRecord, NamespaceSettings, NodeId,
};
use walkeep::core::shards::{ShardCount, ShardPurpose};
use walkeep::core::{Directory, Epoch, Namespace, UnixMillis};

fn open(path: &Path) -> RedbCatalog {
    let directory: Arc<dyn Directory> = Arc::new(OsDirectory::create(path).unwrap());
    let shards_if_new = ShardCount::new(8).unwrap();
    let options =
        ShardsOptions { shards_if_new, cache_bytes: 16 << 20, ..ShardsOptions::new(ShardPurpose::Catalog) };
    RedbCatalog::open(&directory, path, Arc::new(SystemClock), &SystemRandom, &options).unwrap()
}

/// The most memory that this process has held, in bytes.
fn memory_max() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}

fn fill(catalog: &RedbCatalog, count: usize) {
    let node = NodeId::new("node").unwrap();
    catalog.register_node(&node, "node:1", &Default::default()).unwrap();
    let names = (0..count).map(|n| Namespace::new(format!("tenant-{:02}-{n:06}", n % 100)).unwrap());
    let names = names.collect::<Vec<_>>();
    for names in names.chunks(10_000) {
        let records = names.iter().flat_map(|name| {
            let time = UnixMillis(1_000);
            let record = NamespaceRecord::new(name, &NamespaceSettings::default(), time).unwrap();
            let assignment = Assignment {
                namespace: name.clone(),
                node: Some(node.clone()),
                generation: Generation(1),
                epoch: Some(Epoch(1)),
                epoch_max: Epoch(1),
                created: time,
                updated: time,
            };
            [CatalogRecord::Namespace(record), CatalogRecord::Assignment(assignment)]
        });
        catalog.insert(&records.collect::<Vec<_>>()).unwrap();
    }
}

/// Names the catalog that a process of its own is to fill.
const FILL: &str = "WALKEEP_TEST_CATALOG_TO_FILL";

/// Has this test run once more, in a process of its own, to fill a catalog: so the memory of that is not counted here.
fn fill_elsewhere(path: &Path, test: &str) {
    let this = std::env::current_exe().unwrap();
    let filled =
        Command::new(this).args([test, "--exact", "--include-ignored"]).env(FILL, path).output().unwrap();
    assert!(filled.status.success(), "{filled:?}");
}

/// Opens a catalog of so many namespaces, and lists it in pages. Says how long the opening took, and how much memory that
/// and the listing added. In the process that only fills it, nothing.
fn try_out(count: usize, test: &str) -> Option<(Duration, u64)> {
    if let Some(path) = std::env::var_os(FILL) {
        fill(&open(Path::new(&path)), count);
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog");
    fill_elsewhere(&path, test);
    let before = memory_max();
    let begun = Instant::now();
    let catalog = open(&path);
    let took = begun.elapsed();
    let (mut listed, mut pages, mut after) = (0, 0, None);
    loop {
        let page = catalog.namespaces("tenant-07", after.as_ref(), 100).unwrap();
        assert!(page.len() <= 100);
        let Some(last) = page.last() else { break };
        after = Some(last.namespace.clone());
        listed += page.len();
        pages += 1;
    }
    assert_eq!((listed, pages), (count / 100, (count / 100).div_ceil(100)));
    let mut all = 0;
    let mut after = None;
    loop {
        let page = catalog.assignments_of(&NodeId::new("node").unwrap(), after.as_ref(), 1000).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.namespace.clone());
        all += page.len();
    }
    assert_eq!(all, count);
    let memory = memory_max().saturating_sub(before);
    println!("{count} namespaces: opened in {took:?}, with {} MiB more memory at most", memory >> 20);
    Some((took, memory))
}

#[test]
fn many_namespaces_are_opened_and_listed_in_pages() {
    let Some((_, memory)) = try_out(5_000, "many_namespaces_are_opened_and_listed_in_pages") else { return };
    assert!(memory < 64 << 20, "{memory} bytes");
}

#[test]
#[ignore = "the long form: 100,000 namespaces"]
fn a_hundred_thousand_namespaces_open_in_two_seconds() {
    let tried = try_out(100_000, "a_hundred_thousand_namespaces_open_in_two_seconds");
    let Some((took, memory)) = tried else { return };
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(memory < 128 << 20, "{memory} bytes");
}
