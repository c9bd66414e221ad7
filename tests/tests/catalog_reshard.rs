//! A catalog that gets another number of shards, while the machine stops at each operation of the disk, or the disk fails
//! at each: it is there with everything, with the old number of shards or the new one, and doing it again ends it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use walkeep::backends::redb::{RedbCatalog, ShardsOptions, Siblings};
use walkeep::core::Error;
use walkeep::core::files::Directory;
use walkeep::core::shards::{ShardCount, ShardPurpose};
use walkeep_tests::catalog_model::{Call, Model, calls_for_every_table, make, seen};
use walkeep_tests::handles::handles;
use walkeep_tests::sim_directory::SimDirectory;
use walkeep_tests::sim_siblings::SimSiblings;

const NAME: &str = "catalog";
const OLD: u32 = 2;
const NEW: u32 = 4;

fn options(create: bool) -> ShardsOptions {
    ShardsOptions {
        create,
        shards_if_new: ShardCount::new(OLD).unwrap(),
        cache_bytes: 1 << 20,
        lock_wait: Duration::ZERO,
        ..ShardsOptions::new(ShardPurpose::Catalog)
    }
}

/// Opens the catalog, which must be there.
fn open(disk: &SimDirectory) -> Result<RedbCatalog, Error> {
    let (handles, _) = handles(1_000, 7);
    let directory = Siblings::open(&SimSiblings::new(disk), Path::new(NAME));
    let directory = directory.map_err(|error| Error::io("open", error))?;
    RedbCatalog::open(&directory, Path::new(NAME), handles.clock, &*handles.random, &options(false))
}

fn reshard(disk: &SimDirectory) -> Result<u64, Error> {
    let (handles, _) = handles(2_000, 8);
    let (siblings, shards) = (SimSiblings::new(disk), ShardCount::new(NEW).unwrap());
    let path = Path::new(NAME);
    RedbCatalog::reshard_among(&siblings, path, shards, &handles.clock, &*handles.random, &options(false))
}

/// A disk with a catalog that has something in every table, and what that is.
fn scene() -> (SimDirectory, Model) {
    let (disk, mut model) = (SimDirectory::new(), Model::default());
    let (handles, _) = handles(1_000, 6);
    let directory = SimSiblings::new(&disk).create(Path::new(NAME)).unwrap();
    let catalog =
        RedbCatalog::open(&directory, Path::new(NAME), handles.clock, &*handles.random, &options(true))
            .unwrap();
    for call in calls_for_every_table().into_iter().chain([Call::SetState(1, 2)]) {
        assert!(model.call(&call));
        make(&catalog, &call).unwrap();
    }
    drop(catalog);
    disk.sync_directory(Path::new(NAME)).unwrap();
    (disk, model)
}

/// The same disk once more.
fn again(disk: &SimDirectory) -> SimDirectory {
    disk.after_crash(0)
}

/// Whether the catalog is whole, and gets its new number of shards now. Gives the number that it had.
#[track_caller]
fn check(disk: &SimDirectory, model: &Model, what: &str) -> u16 {
    let catalog = open(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(seen(&catalog), *model, "{what}");
    let shards = catalog.layout().shards.get();
    assert!([OLD, NEW].contains(&u32::from(shards)), "{what}: {shards} shards");
    // It goes on from there.
    make(&catalog, &Call::Create(3)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut model = model.clone();
    assert!(model.call(&Call::Create(3)));
    drop(catalog);
    reshard(disk).unwrap_or_else(|error| panic!("{what}, and again: {error}"));
    let catalog = open(disk).unwrap_or_else(|error| panic!("{what}, and again: {error}"));
    assert_eq!((seen(&catalog), u32::from(catalog.layout().shards.get())), (model, NEW), "{what}, and again");
    let left = disk.entries(Path::new("")).unwrap().into_iter().map(|entry| entry.name);
    assert_eq!(left.collect::<Vec<_>>(), [NAME], "{what}: nothing is left beside it");
    shards
}

fn operations(disk: &SimDirectory) -> u64 {
    let disk = again(disk);
    disk.crash_at(u64::MAX);
    assert!(reshard(&disk).unwrap() > 0);
    disk.operations()
}

#[test]
fn a_crash_at_any_operation_leaves_the_old_catalog_or_the_new_one() {
    let (scene, model) = scene();
    let operations = operations(&scene);
    let mut found = BTreeMap::<u16, u32>::new();
    for at in 1..=operations {
        let disk = again(&scene);
        disk.crash_at(at);
        let done = reshard(&disk);
        for seed in 0..2 {
            let what = format!("a crash at operation {at} of {operations}, seed {seed}");
            let shards = check(&disk.after_crash(seed), &model, &what);
            assert!(done.is_err() || u32::from(shards) == NEW, "{what}: it was done");
            *found.entry(shards).or_default() += 1;
        }
        // The process was killed, and the machine goes on.
        disk.restart();
        check(&disk, &model, &format!("a kill at operation {at} of {operations}"));
    }
    println!("{operations} operations; found with so many shards: {found:?}");
    assert!(operations > 100 && found.len() == 2, "{operations}: {found:?}");
}

#[test]
fn a_disk_that_fails_once_loses_nothing() {
    let (scene, model) = scene();
    let mut refused = 0;
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        for at in 1..=operations(&scene) {
            let disk = again(&scene);
            disk.fail_at(at, kind);
            refused += u32::from(reshard(&disk).is_err());
            disk.restart();
            let what = format!("{kind} at operation {at}");
            check(&disk.after_crash(at), &model, &format!("{what}, and then the power went"));
            check(&disk, &model, &what);
        }
    }
    assert!(refused > 100, "{refused}");
}
