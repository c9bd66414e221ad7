//! Many threads that acknowledge at once, with regressions mixed in; the machine stops in between, or not.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use walkeep::backends::redb::{RedbCatalog, ShardsOptions};
use walkeep::core::catalog::{Ack, Catalog, NamespaceSettings};
use walkeep::core::shards::{ShardCount, ShardPurpose};
use walkeep::core::{Directory, Error, FrameNo, GroupName, MemberName, Namespace};
use walkeep_tests::handles::{SeededRandom, handles};
use walkeep_tests::sim_directory::SimDirectory;

const HANDS: u64 = 8;
const MEMBERS: u64 = 5;

/// What a hand was told: of each member, the highest frame that was accepted, and the highest that was tried.
#[derive(Debug, Default)]
struct Told {
    accepted: BTreeMap<u64, u64>,
    tried: BTreeMap<u64, u64>,
    refused: u64,
}

fn names() -> (Namespace, GroupName) {
    (Namespace::new("shop").unwrap(), GroupName::new("readers").unwrap())
}

fn member(number: u64) -> MemberName {
    MemberName::new(format!("m{number}")).unwrap()
}

fn create(catalog: &dyn Catalog) {
    let (namespace, group) = names();
    catalog.create_namespace(&namespace, &NamespaceSettings::default()).unwrap();
    catalog.create_group(&namespace, &group).unwrap();
}

/// Acknowledges so often, until something fails for another reason than that it was refused.
fn hand(catalog: &dyn Catalog, seed: u64, count: u64) -> Told {
    let ((namespace, group), random, mut told) = (names(), SeededRandom::new(seed), Told::default());
    for n in 1..=count {
        let number = random.below(MEMBERS);
        // Mostly on, often back, and now and then beyond what is durable.
        let frame = match random.below(10) {
            0..6 => n + random.below(20),
            6..9 => 1 + random.below(n),
            _ => count * 2 + random.below(9),
        };
        let ack = Ack {
            namespace: &namespace,
            group: &group,
            member: &member(number),
            frame_no: FrameNo::new(frame).unwrap(),
            durable: FrameNo::new(count + 20),
        };
        let outcome = catalog.ack(&ack);
        let highest = |map: &mut BTreeMap<u64, u64>| {
            let highest = map.entry(number).or_default();
            *highest = frame.max(*highest);
        };
        match outcome {
            Ok(position) => {
                assert_eq!(position.frame_no.get(), frame);
                highest(&mut told.accepted);
            }
            Err(Error::Invalid { .. }) => told.refused += 1,
            // It may have been written.
            Err(_) => {
                highest(&mut told.tried);
                return told;
            }
        }
    }
    told
}

fn hands(catalog: &dyn Catalog, seed: u64, count: u64) -> Vec<Told> {
    std::thread::scope(|scope| {
        let hands = (0..HANDS).map(|n| scope.spawn(move || hand(catalog, seed * 100 + n, count)));
        hands.collect::<Vec<_>>().into_iter().map(|hand| hand.join().unwrap()).collect()
    })
}

#[track_caller]
fn check(catalog: &dyn Catalog, told: &[Told], what: &str) {
    let (namespace, group) = names();
    for number in 0..MEMBERS {
        let position = catalog.position(&namespace, &group, &member(number)).unwrap();
        let position = position.map_or(0, |position| position.frame_no.get());
        let accepted =
            told.iter().filter_map(|told| told.accepted.get(&number)).max().copied().unwrap_or_default();
        let tried = told.iter().filter_map(|told| told.tried.get(&number)).max().copied().unwrap_or_default();
        assert!(
            position == accepted || (position > accepted && position <= tried),
            "{what}: member {number} is at {position}, accepted was {accepted}, tried {tried}"
        );
    }
}

#[test]
fn positions_are_the_highest_that_was_accepted_of_eight_hands_with_ten_thousand_acks_each() {
    let (handles, _) = handles(1_000, 7);
    let catalog = RedbCatalog::in_memory(ShardCount::ONE, handles.clock, &*handles.random).unwrap();
    create(&catalog);
    let told = hands(&catalog, 1, 10_000);
    assert!(
        told.iter().all(|told| told.refused > 1_000 && told.tried.is_empty()),
        "regressions are mixed in"
    );
    check(&catalog, &told, "in memory");
}

#[test]
fn no_accepted_position_is_lost_when_the_machine_stops_under_eight_hands() {
    let open = |directory: &SimDirectory| {
        let (handles, _) = handles(1_000, 7);
        let options = ShardsOptions {
            shards_if_new: ShardCount::ONE,
            cache_bytes: 1 << 20,
            ..ShardsOptions::new(ShardPurpose::Catalog)
        };
        let directory: Arc<dyn Directory> = Arc::new(directory.clone());
        RedbCatalog::open(&directory, Path::new("sim"), handles.clock, &*handles.random, &options).unwrap()
    };
    let mut stopped = 0;
    for seed in 0..40 {
        let directory = SimDirectory::new();
        let catalog = open(&directory);
        create(&catalog);
        directory.crash_at(5 + SeededRandom::new(seed).below(300));
        let told = hands(&catalog, seed, 60);
        drop(catalog);
        stopped += u32::from(told.iter().any(|told| !told.tried.is_empty()));
        check(&open(&directory.after_crash(seed)), &told, &format!("seed {seed}"));
    }
    assert!(stopped > 10, "{stopped}");
}
