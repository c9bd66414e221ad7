//! A catalog against plain maps: whatever calls are made, each is answered as the model answers it, and what is seen from
//! outside is what the model holds; also after it was closed and opened again, and after its records went to another one.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use walkeep::backends::redb::{RedbCatalog, ShardsOptions};
use walkeep::core::Directory;
use walkeep::core::catalog::{Catalog, CatalogPart, CatalogRecord};
use walkeep::core::shards::{ShardCount, ShardPurpose};
use walkeep_tests::catalog_model::{Call, Model, any_call, is_refusal, make, seen};
use walkeep_tests::handles::handles;
use walkeep_tests::sim_directory::SimDirectory;

fn open(directory: &SimDirectory, shards: u32) -> RedbCatalog {
    let (handles, _) = handles(1_000, 7);
    let shards_if_new = ShardCount::new(shards).unwrap();
    let options =
        ShardsOptions { shards_if_new, cache_bytes: 1 << 20, ..ShardsOptions::new(ShardPurpose::Catalog) };
    let directory: Arc<dyn Directory> = Arc::new(directory.clone());
    RedbCatalog::open(&directory, Path::new("sim"), handles.clock, &*handles.random, &options).unwrap()
}

fn records(catalog: &dyn Catalog) -> Vec<CatalogRecord> {
    let mut records = Vec::new();
    for part in CatalogPart::ALL {
        for shard in 0..catalog.shards() {
            let mut sink = |record| {
                records.push(record);
                Ok(())
            };
            catalog.dump(shard, part, &mut sink).unwrap();
        }
    }
    records
}

fn check(calls: &[Call], shards: u32, reopen_after: usize) -> Result<(), TestCaseError> {
    let directory = SimDirectory::new();
    let (mut catalog, mut model) = (open(&directory, shards), Model::default());
    for (n, call) in calls.iter().enumerate() {
        if n == reopen_after {
            drop(catalog);
            catalog = open(&directory, 1);
            prop_assert_eq!(&seen(&catalog), &model, "after opening it again");
        }
        let counts = |catalog: &RedbCatalog| {
            let parts = CatalogPart::ALL.map(|part| {
                (0..catalog.shards()).map(|shard| catalog.changes(shard, part).unwrap()).sum::<u64>()
            });
            (parts, records(catalog))
        };
        let (before, dumped) = counts(&catalog);
        let answer = make(&catalog, call);
        let refused = answer.as_ref().is_err_and(is_refusal);
        prop_assert!(answer.is_ok() || refused, "{call:?}: {answer:?}");
        prop_assert_eq!(answer.is_ok(), model.call(call), "{:?}: {:?}", call, answer);
        prop_assert_eq!(&seen(&catalog), &model, "{:?}", call);
        // What is copied into the store is copied when it was changed, and only then.
        let (after, now) = counts(&catalog);
        prop_assert_eq!(before != after, dumped != now, "{:?}: {:?} became {:?}", call, before, after);
    }
    let other = open(&SimDirectory::new(), 16);
    let travelled = records(&catalog);
    other.insert(&travelled).unwrap();
    // The registry of segments does not travel.
    for call in (0..4).map(|ns| Call::Sync(ns, Default::default())) {
        let _ = make(&catalog, &call);
        model.call(&call);
    }
    prop_assert_eq!(seen(&other), model, "after its records went to another one");
    prop_assert_eq!(other.insert(&travelled).unwrap().unchanged, travelled.len() as u64);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_catalog_is_what_plain_maps_are(
        calls in prop::collection::vec(any_call(), 1..60),
        shards in prop_oneof![Just(1_u32), Just(2), Just(8)],
        reopen_after in 0_usize..60,
    ) {
        check(&calls, shards, reopen_after)?;
    }
}
