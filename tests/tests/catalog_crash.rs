//! A catalog whose machine stops at each write and sync, whose disk fails at each, and whose files are damaged.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use walkeep::backends::redb::{RedbCatalog, ShardsOptions};
use walkeep::core::shards::{ShardCount, ShardPurpose};
use walkeep::core::{Directory, Error};
use walkeep_tests::catalog_model::{Call, Model, calls_for_every_table, is_refusal, make, seen};
use walkeep_tests::handles::{SeededRandom, handles};
use walkeep_tests::sim_directory::SimDirectory;

fn open(directory: &SimDirectory) -> Result<RedbCatalog, Error> {
    let (handles, _) = handles(1_000, 7);
    let shards_if_new = ShardCount::new(2).unwrap();
    let options = ShardsOptions {
        shards_if_new,
        cache_bytes: 1 << 20,
        lock_wait: std::time::Duration::ZERO,
        ..ShardsOptions::new(ShardPurpose::Catalog)
    };
    let directory: Arc<dyn Directory> = Arc::new(directory.clone());
    RedbCatalog::open(&directory, Path::new("sim"), handles.clock, &*handles.random, &options)
}

/// Calls that all are done, and touch every table.
fn calls() -> Vec<Call> {
    let mut calls = calls_for_every_table();
    calls.extend([
        Call::Ack(0, 0, 0, 5, 5),
        Call::Sync(0, [2, 5, 6].into()),
        Call::Release(0, 1),
        Call::Delete(0),
        Call::SetState(1, 2),
    ]);
    calls
}

/// What the catalog may hold after a run that ended early: the calls that were answered are in it, the one after them
/// perhaps, and nothing else.
struct Ended {
    answered: Model,
    perhaps: Model,
}

/// Opens a catalog and makes the calls until one fails for another reason than that it was refused.
fn run(directory: &SimDirectory) -> (Ended, Option<Error>) {
    let mut model = Model::default();
    let ended = |model: &Model| Ended { answered: model.clone(), perhaps: model.clone() };
    let catalog = match open(directory) {
        Ok(catalog) => catalog,
        Err(error) => return (ended(&model), Some(error)),
    };
    for call in calls() {
        let answered = model.clone();
        assert!(model.call(&call));
        if let Err(error) = make(&catalog, &call) {
            assert!(!is_refusal(&error), "{call:?}: {error}");
            return (Ended { answered, perhaps: model }, Some(error));
        }
    }
    (ended(&model), None)
}

#[track_caller]
fn check(directory: &SimDirectory, ended: &Ended, what: &str) {
    let catalog = open(directory).unwrap_or_else(|error| panic!("{what}: {error}"));
    let seen = seen(&catalog);
    let fits = seen == ended.answered || seen == ended.perhaps;
    assert!(fits, "{what}: {seen:?} is there, and not {:?}", ended.answered);
    // It goes on from there.
    make(&catalog, &Call::Create(3)).unwrap_or_else(|error| panic!("{what}: {error}"));
}

fn operations() -> u64 {
    let directory = SimDirectory::new();
    directory.crash_at(u64::MAX);
    let (_, error) = run(&directory);
    assert!(error.is_none(), "{error:?}");
    directory.operations()
}

#[test]
fn whatever_was_answered_is_there_after_a_crash_at_any_operation() {
    let operations = operations();
    assert!(operations > 100, "{operations}");
    let mut cut_short = 0;
    for at in 1..=operations {
        let directory = SimDirectory::new();
        directory.crash_at(at);
        // The last operations are those of closing: by then all calls were answered.
        let (ended, error) = run(&directory);
        cut_short += u32::from(error.is_some());
        for seed in 0..3 {
            let what = format!("a crash at operation {at} of {operations}, seed {seed}");
            check(&directory.after_crash(seed), &ended, &what);
        }
    }
    println!("{operations} operations, 3 images of each; {cut_short} runs were cut short");
    assert!(cut_short > 100, "{cut_short}");
}

#[test]
fn a_disk_that_fails_once_loses_nothing_that_was_answered() {
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        for at in 1..=operations() {
            let directory = SimDirectory::new();
            directory.fail_at(at, kind);
            let (ended, _) = run(&directory);
            directory.restart();
            let what = format!("{kind} at operation {at}, and then the power went");
            check(&directory.after_crash(at), &ended, &what);
            check(&directory, &ended, &format!("{kind} at operation {at}"));
        }
    }
}

/// A bit that flips in a file while it is closed is found when it is opened, or changes nothing that can be seen; it never
/// gives another answer.
#[test]
fn flipped_bits_are_found_or_change_nothing() {
    let directory = SimDirectory::new();
    let (ended, error) = run(&directory);
    assert!(error.is_none(), "{error:?}");
    let files = directory.files();
    let (mut found, mut harmless) = (0_u32, 0_u32);
    let random = SeededRandom::new(11);
    for (name, content) in files.iter().filter(|(_, content)| !content.is_empty()) {
        // Most of a file is free: half of the flips go to what is not zero.
        let used = content.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(at, _)| at);
        let used = used.collect::<Vec<_>>();
        for n in 0..250 {
            let at = match n % 2 {
                0 => used[usize::try_from(random.below(used.len() as u64)).unwrap()],
                _ => usize::try_from(random.below(content.len() as u64)).unwrap(),
            };
            let mut damaged = content.clone();
            damaged[at] ^= 1 << random.below(8);
            let copy = SimDirectory::new();
            for (other, content) in &files {
                copy.put(other, if other == name { &damaged } else { content });
            }
            match open(&copy) {
                Err(error) => {
                    let sorted = matches!(
                        error,
                        Error::Corrupt(_)
                            | Error::Invalid { .. }
                            | Error::Io { .. }
                            | Error::Exhausted { .. }
                    );
                    assert!(sorted, "byte {at} of {name}: {error}");
                    found += 1;
                }
                Ok(catalog) => {
                    let seen = catch_unwind(AssertUnwindSafe(|| seen(&catalog)));
                    assert_eq!(seen.unwrap(), ended.answered, "byte {at} of {name}");
                    harmless += 1;
                }
            }
        }
    }
    println!("{found} flips were found, {harmless} changed nothing");
    assert!(found > 100, "{found}");
}

/// The same while the catalog is open: each answer is right, or an error.
#[test]
fn bits_that_flip_while_it_is_open_never_give_a_wrong_answer() {
    let (mut found, mut right) = (0_u32, 0_u32);
    for seed in 0..200 {
        let directory = SimDirectory::new();
        let (ended, _) = run(&directory);
        let files = directory.files();
        let random = SeededRandom::new(seed);
        // Opened with the smallest cache, so that it reads the file again.
        let catalog = open(&directory).unwrap();
        let (name, content) =
            files.iter().filter(|(name, _)| name.ends_with(".redb")).nth(seed as usize % 2).unwrap();
        let used = content.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(at, _)| at);
        let used = used.collect::<Vec<_>>();
        let at = used[usize::try_from(random.below(used.len() as u64)).unwrap()];
        let file = Directory::open(&directory, Path::new(name)).unwrap();
        file.write_all_at(at as u64, &[content[at] ^ (1 << random.below(8))]).unwrap();
        match catch_unwind(AssertUnwindSafe(|| seen(&catalog))) {
            Ok(seen) => {
                assert_eq!(seen, ended.answered, "byte {at} of {name}");
                right += 1;
            }
            // The look unwraps: it ended with an error.
            Err(_) => found += 1,
        }
    }
    println!("{found} looks ended with an error, {right} were right");
}
