//! Sets of shards on a directory of the machine: opened, refused, and looked through.
#![expect(clippy::disallowed_methods, reason = "the files of a set are damaged directly")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use walkeep_core::shards::{ShardCount, ShardNo, ShardPurpose};
use walkeep_core::{Directory, Error, Result};

use super::{Misplaced, Shards, ShardsOptions, Step};
use crate::os::{OsDirectory, SystemRandom};

const NAMES: TableDefinition<'_, &str, u64> = TableDefinition::new("names");

fn options(shards: u32) -> ShardsOptions {
    ShardsOptions {
        shards: (shards > 0).then(|| ShardCount::new(shards).unwrap()),
        lock_wait: Duration::from_millis(30),
        ..ShardsOptions::new(ShardPurpose::Segments)
    }
}

fn open(path: &Path, options: &ShardsOptions) -> Result<Shards> {
    let directory: Arc<dyn Directory> = Arc::new(OsDirectory::open(path).unwrap());
    Shards::open(&directory, path, &SystemRandom, options)
}

fn put(transaction: &WriteTransaction, name: &str, value: u64) -> Step<()> {
    transaction.open_table(NAMES)?.insert(name, value)?;
    Ok(())
}

fn get(transaction: &ReadTransaction, name: &str) -> Step<Option<u64>> {
    match transaction.open_table(NAMES) {
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        table => Ok(table?.get(name)?.map(|value| value.value())),
    }
}

fn names(transaction: &ReadTransaction, see: &mut dyn FnMut(&str)) -> Step<()> {
    match transaction.open_table(NAMES) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
        table => {
            for entry in table?.iter()? {
                see(entry?.0.value());
            }
        }
    }
    Ok(())
}

/// The names and lengths: a sound shard is written to when it is opened and closed, and stays what it was.
fn files(path: &Path) -> BTreeMap<String, u64> {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), e.metadata().unwrap().len())).collect()
}

#[test]
fn what_was_written_is_there_after_opening_again() {
    let root = tempfile::tempdir().unwrap();
    let shards = open(root.path(), &options(8)).unwrap();
    for n in 0..100 {
        let name = format!("name-{n}");
        shards.write(&name, |transaction| put(transaction, &name, n)).unwrap();
    }
    let layout = *shards.layout();
    drop(shards);
    let shards = open(root.path(), &options(0)).unwrap();
    assert_eq!((shards.layout(), shards.count().get()), (&layout, 8));
    for n in 0..100 {
        let name = format!("name-{n}");
        assert_eq!(shards.read(&name, |transaction| get(transaction, &name)).unwrap(), Some(n));
    }
    assert!(shards.shard(ShardNo(8)).is_err());
    assert_eq!(shards.audit(names).unwrap(), []);
}

#[test]
fn a_write_that_fails_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let shards = open(root.path(), &options(1)).unwrap();
    let failed = shards.write("a", |transaction| {
        put(transaction, "a", 1)?;
        Err::<(), _>(Error::not_found("x").into())
    });
    assert!(matches!(failed, Err(Error::NotFound { .. })), "{failed:?}");
    assert_eq!(shards.read("a", |transaction| get(transaction, "a")).unwrap(), None);
    let panicked = shards.write("a", |transaction| {
        put(transaction, "a", 1)?;
        panic!("as over a damaged page")
    });
    assert!(matches!(panicked, Err::<(), _>(Error::Corrupt(_))), "{panicked:?}");
    assert_eq!(shards.read("a", |transaction| get(transaction, "a")).unwrap(), None);
    shards.write("a", |transaction| put(transaction, "a", 2)).unwrap();
    assert_eq!(shards.read("a", |transaction| get(transaction, "a")).unwrap(), Some(2));
}

#[test]
fn one_at_a_time_can_have_a_set_open_and_the_other_is_told_who() {
    let root = tempfile::tempdir().unwrap();
    let first = open(root.path(), &options(2)).unwrap();
    let error = open(root.path(), &options(2)).unwrap_err();
    assert!(error.is_retryable(), "{error}");
    #[cfg(target_os = "linux")]
    assert!(error.to_string().contains("this process has it open already"), "{error}");
    let path = root.path().to_path_buf();
    let patient = ShardsOptions { lock_wait: Duration::from_secs(20), ..options(2) };
    let second = std::thread::spawn(move || open(&path, &patient).map(|shards| shards.count().get()));
    std::thread::sleep(Duration::from_millis(100));
    drop(first);
    assert_eq!(second.join().unwrap().unwrap(), 2);
}

/// What somebody does to a set, and what the refusal has to say.
type Case = (&'static str, fn(&Path), ShardsOptions, &'static str);

#[test]
fn a_set_that_is_not_what_is_wanted_is_refused_with_a_remedy_and_stays_as_it_is() {
    let nothing: fn(&Path) = |_| ();
    let catalog = ShardsOptions { purpose: ShardPurpose::Catalog, ..options(0) };
    let cases: [Case; 9] = [
        ("another number", nothing, options(8), "has 4"),
        ("another purpose", nothing, catalog, "name another directory"),
        (
            "no layout",
            |at| std::fs::remove_file(at.join("layout.json")).unwrap(),
            options(0),
            "put the file back",
        ),
        (
            "no layout, and creating is not allowed",
            |at| std::fs::remove_file(at.join("layout.json")).unwrap(),
            ShardsOptions { create: false, ..options(0) },
            "put the file back",
        ),
        ("a damaged layout", |at| flip(&at.join("layout.json"), 40), options(0), "damaged at offset"),
        (
            "a missing shard",
            |at| std::fs::remove_file(at.join("shard-002.redb")).unwrap(),
            options(0),
            "put it back",
        ),
        (
            "an empty shard",
            |at| std::fs::write(at.join("shard-002.redb"), b"").unwrap(),
            options(0),
            "an empty file",
        ),
        (
            "shards that changed places",
            |at| {
                std::fs::rename(at.join("shard-001.redb"), at.join("x")).unwrap();
                std::fs::rename(at.join("shard-002.redb"), at.join("shard-001.redb")).unwrap();
                std::fs::rename(at.join("x"), at.join("shard-002.redb")).unwrap();
            },
            options(0),
            "under their own names",
        ),
        (
            "a shard too many",
            |at| assert!(std::fs::copy(at.join("shard-003.redb"), at.join("shard-004.redb")).is_ok()),
            options(0),
            "no shard of this set",
        ),
    ];
    for (case, change, options, says) in cases {
        let root = tempfile::tempdir().unwrap();
        let shards = open(root.path(), &self::options(4)).unwrap();
        shards.write("a", |transaction| put(transaction, "a", 1)).unwrap();
        drop(shards);
        change(root.path());
        let before = files(root.path());
        let error = open(root.path(), &options).unwrap_err();
        assert!(error.to_string().contains(says), "{case}: {error}");
        assert!(!error.is_retryable(), "{case}: {error}");
        assert_eq!(files(root.path()), before, "{case}: something was changed");
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn nothing_is_created_where_that_is_not_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let error = open(root.path(), &ShardsOptions { create: false, ..options(0) }).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert_eq!(files(root.path()).len(), 0);
}

#[test]
fn a_file_that_is_no_shard_at_all_is_refused() {
    let root = tempfile::tempdir().unwrap();
    drop(open(root.path(), &options(1)).unwrap());
    let path = root.path().join("shard-000.redb");
    for content in [b"x".repeat(10_000), b"redb\x1a\x0a\xa9\x0d\x0a".repeat(1000), vec![0; 1 << 20]] {
        std::fs::write(&path, &content).unwrap();
        let error = open(root.path(), &options(1)).unwrap_err();
        assert!(!error.is_retryable(), "{error}");
        assert!(std::fs::read(&path).unwrap() == content, "something was changed");
    }
}

#[test]
fn names_in_the_wrong_shard_are_used_and_reported_and_names_in_two_are_an_error() {
    let shards =
        Shards::in_memory(ShardPurpose::Catalog, ShardCount::new(4).unwrap(), &SystemRandom).unwrap();
    let home = shards.home_of("shop");
    let others = shards.count().all().filter(|shard| *shard != home).collect::<Vec<_>>();
    let find = || shards.find("shop", |transaction| get(transaction, "shop"));
    assert_eq!(find().unwrap(), None);

    shards.shard(others[0]).unwrap().write(|transaction| put(transaction, "shop", 7)).unwrap();
    let found = find().unwrap().unwrap();
    let misplaced = Misplaced { name: "shop".into(), home, shard: others[0] };
    assert_eq!((found.value, found.shard, found.misplaced.as_ref()), (7, others[0], Some(&misplaced)));
    assert_eq!(shards.audit(names).unwrap(), [misplaced]);

    shards.shard(home).unwrap().write(|transaction| put(transaction, "shop", 8)).unwrap();
    assert_eq!(find().unwrap().unwrap().shard, home, "its own shard goes first");
    let error = shards.find_everywhere("shop", |transaction| get(transaction, "shop")).unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error}");
    assert!(matches!(shards.audit(names), Err(Error::Corrupt(_))));

    shards.shard(home).unwrap().write(|txn| Ok(txn.open_table(NAMES)?.remove("shop").map(drop)?)).unwrap();
    shards.shard(others[1]).unwrap().write(|transaction| put(transaction, "shop", 9)).unwrap();
    assert!(matches!(find(), Err(Error::Corrupt(_))), "two strange shards");
    assert!(matches!(shards.audit(names), Err(Error::Corrupt(_))));
}

#[test]
fn space_is_given_back_and_sound_pages_are_sound() {
    let root = tempfile::tempdir().unwrap();
    let shards = open(root.path(), &options(1)).unwrap();
    let values: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("values");
    let fill = |transaction: &WriteTransaction| {
        let mut table = transaction.open_table(values)?;
        for n in 0..1000 {
            table.insert(n, &*vec![7; 10_000])?;
        }
        Ok(())
    };
    shards.write("a", fill).unwrap();
    shards.write("a", |transaction| Ok(transaction.delete_table(values).map(drop)?)).unwrap();
    let len = || std::fs::metadata(root.path().join("shard-000.redb")).unwrap().len();
    let before = len();
    for shard in shards.iter() {
        assert!(shard.compact().unwrap());
        shard.check().unwrap();
    }
    assert!(before > 10_000_000 && len() < before / 2, "{before}, then {}", len());
}
