//! A catalog on shards, in memory and on disk.

use std::path::Path;
use std::sync::Arc;

use walkeep_core::catalog::{
    Catalog, CatalogIdentity, CatalogPart, CatalogRecord, FollowerGroup, NamespaceRecord, NamespaceSettings,
    NodeId,
};
use walkeep_core::conformance::catalog as suite;
use walkeep_core::shards::{ShardCount, ShardNo, ShardPurpose};
use walkeep_core::{Clock, Directory, Error, GroupName, Namespace, UnixMillis};

use super::RedbCatalog;
use super::table::Numbers;
use super::tables::{self, META, NAMESPACES};
use crate::os::{OsDirectory, SystemClock, SystemRandom};
use crate::redb::ShardsOptions;
use crate::redb::shards::Shards;

fn count(shards: u32) -> ShardCount {
    ShardCount::new(shards).unwrap()
}

fn options(shards: u32) -> ShardsOptions {
    ShardsOptions { shards_if_new: count(shards), ..ShardsOptions::new(ShardPurpose::Catalog) }
}

fn open(directory: &Path, options: &ShardsOptions) -> walkeep_core::Result<RedbCatalog> {
    let handle: Arc<dyn Directory> = Arc::new(OsDirectory::create(directory).unwrap());
    RedbCatalog::open(&handle, directory, Arc::new(SystemClock), &SystemRandom, options)
}

fn shards(directory: &Path) -> Shards {
    let handle: Arc<dyn Directory> = Arc::new(OsDirectory::create(directory).unwrap());
    Shards::open(&handle, directory, &SystemRandom, &options(4)).unwrap()
}

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).unwrap()
}

#[test]
fn it_conforms_in_memory() {
    for shards in [1, 4, 256] {
        let catalog = RedbCatalog::in_memory(count(shards), Arc::new(SystemClock), &SystemRandom).unwrap();
        suite::everything(&catalog);
    }
}

#[test]
fn it_conforms_on_disk_and_through_reopening() {
    for shards in [1, 8] {
        let directory = tempfile::tempdir().unwrap();
        suite::everything(&open(directory.path(), &options(shards)).unwrap());
        suite::reopening(&mut || Box::new(open(directory.path(), &options(1)).unwrap()));
    }
}

/// Records of several shards, one of which is refused by its shard.
#[test]
fn records_of_which_one_is_refused_are_not_put_in() {
    let catalog = RedbCatalog::in_memory(count(16), Arc::new(SystemClock), &SystemRandom).unwrap();
    let record = |n| NamespaceRecord::new(&namespace(&format!("n{n}")), &Default::default(), UnixMillis(5));
    let mut records = (0..50).map(|n| CatalogRecord::Namespace(record(n).unwrap())).collect::<Vec<_>>();
    // In the last shard, which comes after the others.
    let nowhere = (0..).map(|n| format!("nowhere{n}")).find(|name| count(16).shard_of(name) == ShardNo(15));
    let group = GroupName::new("readers").unwrap();
    let homeless = FollowerGroup::new(&namespace(&nowhere.unwrap()), &group, UnixMillis(5));
    records.push(CatalogRecord::Group(homeless));
    assert!(matches!(catalog.insert(&records), Err(Error::Invalid { .. })));
    assert_eq!(catalog.namespaces("", None, 99).unwrap(), []);
    records.pop();
    assert_eq!(catalog.insert(&records).unwrap().added, 50);
}

#[test]
fn another_number_of_shards_is_refused_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(directory.path(), &options(4)).unwrap();
    catalog.create_namespace(&namespace("kept"), &NamespaceSettings::default()).unwrap();
    drop(catalog);
    let other = ShardsOptions { shards: Some(count(8)), ..options(4) };
    let error = open(directory.path(), &other).unwrap_err().to_string();
    assert!(error.contains("walkeep catalog reshard"), "{error}");
    let catalog = open(directory.path(), &options(4)).unwrap();
    assert!(catalog.namespace(&namespace("kept")).is_ok());
}

#[test]
fn a_newer_format_is_refused_with_both_numbers() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path(), &options(4)).unwrap());
    let set = shards(directory.path());
    set.shard(ShardNo(2)).unwrap().write(|tx| META.put(tx, b"format", &Numbers([7]))).unwrap();
    drop(set);
    let error = open(directory.path(), &options(4)).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    assert!(error.to_string().contains("format 7") && error.to_string().contains("format 1"), "{error}");
}

/// A name that somebody put into another shard is used there, and said; one in two shards is an error.
#[test]
fn a_misplaced_name_is_used_and_reported_and_one_in_two_shards_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(directory.path(), &options(4)).unwrap();
    let name = namespace("wanderer");
    let record = catalog.create_namespace(&name, &NamespaceSettings::default()).unwrap();
    assert!(catalog.misplaced().is_empty());
    drop(catalog);

    let set = shards(directory.path());
    let home = set.home_of("wanderer");
    let other = ShardNo((home.0 + 1) % 4);
    set.shard(home).unwrap().write(|tx| NAMESPACES.remove(tx, b"wanderer")).unwrap();
    set.shard(other).unwrap().write(|tx| NAMESPACES.put(tx, b"wanderer", &record)).unwrap();
    drop(set);
    let catalog = open(directory.path(), &options(4)).unwrap();
    let [misplaced] = catalog.misplaced() else { panic!("{:?}", catalog.misplaced()) };
    assert_eq!((misplaced.name.as_str(), misplaced.home, misplaced.shard), ("wanderer", home, other));
    assert_eq!(catalog.namespace(&name).unwrap(), record);
    let again = catalog.create_namespace(&name, &NamespaceSettings::default());
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "it is not created a second time");
    let node = NodeId::new("n").unwrap();
    catalog.register_node(&node, "n:1", &Default::default()).unwrap();
    catalog.assign(&name, &node, None).unwrap();
    assert_eq!(catalog.assignments_of(&node, None, 9).unwrap().len(), 1);
    drop(catalog);

    let set = shards(directory.path());
    set.shard(home).unwrap().write(|tx| NAMESPACES.put(tx, b"wanderer", &record)).unwrap();
    drop(set);
    let error = open(directory.path(), &options(4)).unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error}");
    assert!(error.to_string().contains("wanderer"), "{error}");
}

/// Whatever a creation left, if its identity was not written, is made anew.
#[test]
fn a_creation_that_was_cut_short_begins_again() {
    let directory = tempfile::tempdir().unwrap();
    let set = shards(directory.path());
    set.shard(ShardNo(3)).unwrap().write(tables::make).unwrap();
    set.shard(ShardNo(0)).unwrap().write(tables::make).unwrap();
    drop(set);
    let catalog = open(directory.path(), &options(4)).unwrap();
    let identity: CatalogIdentity = catalog.identity().unwrap();
    drop(catalog);
    assert_eq!(open(directory.path(), &options(4)).unwrap().identity().unwrap(), identity);
}

fn filled(path: &Path) -> (Vec<String>, CatalogIdentity) {
    let catalog = open(path, &options(4)).unwrap();
    suite::namespaces_are_listed_by_prefix_in_pages(&catalog);
    suite::deleting_a_namespace_takes_everything_with_it(&catalog);
    seen(&catalog)
}

/// All that a catalog holds.
fn seen(catalog: &RedbCatalog) -> (Vec<String>, CatalogIdentity) {
    let mut seen = Vec::new();
    for part in CatalogPart::ALL {
        for shard in 0..catalog.shards() {
            let mut sink = |record| {
                seen.push(format!("{record:?}"));
                Ok(())
            };
            catalog.dump(shard, part, &mut sink).unwrap();
        }
    }
    for record in catalog.namespaces("", None, usize::MAX).unwrap() {
        let segments = catalog.segments(&record.namespace, None, usize::MAX).unwrap();
        seen.extend(segments.iter().map(|segment| format!("{} {segment:?}", record.namespace)));
    }
    seen.sort();
    (seen, catalog.identity().unwrap())
}

fn reshard(path: &Path, shards: u32) -> walkeep_core::Result<u64> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let options = ShardsOptions { lock_wait: std::time::Duration::ZERO, ..options(4) };
    RedbCatalog::reshard(path, count(shards), &clock, &SystemRandom, &options)
}

#[test]
fn everything_is_there_with_another_number_of_shards() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("catalog");
    let before = filled(&path);
    for shards in [16, 1, 4] {
        assert!(reshard(&path, shards).unwrap() > 40);
        let catalog = open(&path, &options(64)).unwrap();
        assert_eq!(catalog.shards(), u16::try_from(shards).unwrap());
        assert!(catalog.misplaced().is_empty());
        assert_eq!(seen(&catalog), before);
        drop(catalog);
        assert_eq!(reshard(&path, shards).unwrap(), 0, "it has that number already");
    }
    let names = std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["catalog"], "nothing is left beside it");
}

/// Whatever a crash left beside the catalog, or of the files that were replaced, is not taken for anything.
#[test]
fn what_a_resharding_left_beside_is_removed_and_never_used() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("catalog");
    let before = filled(&path);
    // A new one that was not finished.
    let beside = root.path().join(".catalog.reshard");
    let unfinished = open(&beside, &options(16)).unwrap();
    unfinished.create_namespace(&namespace("half"), &NamespaceSettings::default()).unwrap();
    drop(unfinished);
    assert_eq!(seen(&open(&path, &options(4)).unwrap()), before);
    reshard(&path, 16).unwrap();
    assert_eq!(seen(&open(&path, &options(4)).unwrap()), before);
    assert!(!beside.exists());

    // While it is open, it is not touched.
    let catalog = open(&path, &options(4)).unwrap();
    let error = reshard(&path, 2).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    drop(catalog);
    let missing = reshard(&root.path().join("missing"), 2).unwrap_err();
    assert!(matches!(missing, Error::Io { .. } | Error::NotFound { .. }), "{missing}");
    assert!(!root.path().join("missing").exists());
}

/// A process that waits for the catalog while it is resharded holds the directory that is replaced: it is refused.
#[test]
fn who_waits_for_the_files_that_are_replaced_does_not_get_them() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("catalog");
    let before = filled(&path);
    let handle: Arc<dyn Directory> = Arc::new(OsDirectory::open(&path).unwrap());
    reshard(&path, 8).unwrap();
    let late = RedbCatalog::open(&handle, &path, Arc::new(SystemClock), &SystemRandom, &options(4));
    assert!(late.is_err(), "{late:?}");
    assert_eq!(seen(&open(&path, &options(4)).unwrap()), before);
}
