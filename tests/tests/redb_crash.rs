//! Sharded redb as a store, on a disk that crashes, fails, is full, or flips bits: whatever was acknowledged is there, and nothing
//! is there by half.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use futures::{TryStreamExt, future};
use walkeep::Error;
use walkeep::backends::Redb;
use walkeep::backends::os::OsDirectory;
use walkeep::backends::redb::{RedbConfig, ShardsOptions};
use walkeep::core::shards::{ShardCount, ShardPurpose};
use walkeep::core::{Backend, Body, ByteRange, Clock, Directory, ObjectPath, Result};
use walkeep_tests::full_disk::{Full, FullDisk};
use walkeep_tests::handles::{SeededRandom, TestClock};
use walkeep_tests::sim_directory::SimDirectory;

fn options() -> ShardsOptions {
    ShardsOptions {
        shards_if_new: ShardCount::new(2).unwrap(),
        // The end of a commit may still hold the store that was dropped.
        lock_wait: Duration::from_secs(5),
        // So few that every life writes rows at once, in parts, and leaves some to be read back.
        rows_waiting: 6,
        ..ShardsOptions::new(ShardPurpose::Segments)
    }
}

fn open_on(directory: Arc<dyn Directory>) -> Result<Redb> {
    let clock: Arc<dyn Clock> = Arc::new(TestClock::at(1000));
    RedbConfig::on("store", directory, clock, &SeededRandom::new(7), &options()).map(Redb::new)
}

fn open(directory: &SimDirectory) -> Result<Redb> {
    open_on(Arc::new(directory.clone()))
}

fn path(name: &str) -> ObjectPath {
    ObjectPath::new(format!("namespaces/{name}")).unwrap()
}

fn content(name: &str, len: usize) -> Vec<u8> {
    let random = SeededRandom::new(name.len() as u64 + len as u64);
    (0..len).map(|_| random.next_u64().to_le_bytes()[0]).collect()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// What is known of an object.
#[derive(Clone, Debug, PartialEq)]
enum Known {
    /// It is there with this content.
    There(Vec<u8>),
    /// It is not there.
    Gone,
    /// Puts of these contents failed: there or not.
    Perhaps(Vec<Vec<u8>>),
}

/// What is known of all objects, and what the puts that failed were told.
#[derive(Debug, Default)]
struct Ledger(BTreeMap<ObjectPath, Known>, Vec<String>);

impl Ledger {
    async fn put(&mut self, store: &Redb, names: &[(&str, usize)]) -> Vec<Result<()>> {
        let puts = names.iter().map(|(name, len)| async {
            let body = content(name, *len);
            (path(name), body.clone(), store.put_new(None, &path(name), Body::from(body)).await)
        });
        let mut results = Vec::new();
        for (path, body, put) in future::join_all(puts).await {
            match (&put, self.0.get_mut(&path)) {
                (Ok(()), _) => drop(self.0.insert(path, Known::There(body))),
                (Err(Error::AlreadyExists { .. }), _) | (Err(_), Some(Known::There(_))) => {}
                (Err(_), Some(Known::Perhaps(bodies))) => bodies.push(body),
                (Err(_), Some(Known::Gone) | None) => drop(self.0.insert(path, Known::Perhaps(vec![body]))),
            }
            let told = match &put {
                Ok(()) | Err(Error::AlreadyExists { .. }) => None,
                Err(Error::Unknown { .. }) => Some("unknown"),
                Err(Error::Exhausted { .. }) => Some("exhausted"),
                Err(Error::Unavailable { .. }) => Some("unavailable"),
                Err(other) => panic!("{other:?}"),
            };
            self.1.extend(told.map(str::to_string));
            results.push(put);
        }
        results
    }

    async fn delete(&mut self, store: &Redb, name: &str) -> Result<()> {
        let path = path(name);
        let deleted = store.delete(None, std::slice::from_ref(&path)).await;
        let known = match (&deleted, self.0.remove(&path)) {
            (Ok(()), _) => Some(Known::Gone),
            (Err(_), Some(Known::There(body))) => Some(Known::Perhaps(vec![body])),
            (Err(_), known) => known,
        };
        self.0.extend(known.map(|known| (path, known)));
        deleted
    }

    /// Whether a store holds what is known, and nothing by half.
    async fn check(&self, store: &Redb, case: &str) {
        let namespaces = ObjectPath::new("namespaces").unwrap();
        let listed = store.list(None, &namespaces, None, usize::MAX).try_collect::<Vec<_>>().await;
        let mut listed = listed.unwrap_or_else(|error| panic!("{case}: {error}")).into_iter();
        let mut next = listed.next();
        for (path, known) in &self.0 {
            let got = store.get(None, path, ByteRange::Full).await;
            let size = next.as_ref().filter(|object| object.path == *path).map(|object| object.size);
            if size.is_some() {
                next = listed.next();
            }
            match (known, got) {
                (Known::There(_) | Known::Perhaps(_), Ok(got)) => {
                    assert!(
                        known.bodies().iter().any(|body| got == *body),
                        "{case}: {path}: another content"
                    );
                    assert_eq!(size, Some(got.len() as u64), "{case}: {path} is not listed");
                }
                (Known::Gone | Known::Perhaps(_), Err(Error::NotFound { .. })) => {
                    assert_eq!(size, None, "{case}: {path} is listed");
                }
                (known, got) => panic!("{case}: {path}: {got:?}, {} is known", known.name()),
            }
        }
        assert_eq!(next, None, "{case}");
    }
}

impl Known {
    fn bodies(&self) -> &[Vec<u8>] {
        match self {
            Self::There(body) => std::slice::from_ref(body),
            Self::Perhaps(bodies) => bodies,
            Self::Gone => &[],
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::There(_) => "an acknowledged put",
            Self::Gone => "an acknowledged delete",
            Self::Perhaps(_) => "a put that failed",
        }
    }
}

/// The life of a small store: created, written to by several namespaces at once, deleted from, closed and opened again.
async fn life(directory: &SimDirectory, ledger: &mut Ledger) -> Result<()> {
    let store = open(directory)?;
    ledger.put(&store, &[("a/1", 10)]).await;
    ledger.put(&store, &[("a/2", 70_000), ("b/1", 3000), ("c/1", 5000), ("a/1", 11)]).await;
    let _ = ledger.delete(&store, "a/2").await;
    drop(store);
    let store = open(directory)?;
    ledger.put(&store, &[("b/2", 6000), ("a/3", 100), ("b/3", 9000)]).await;
    // What else is in its pack is moved.
    let _ = ledger.delete(&store, "b/3").await;
    ledger.put(&store, &[("a/4", 50), ("b/4", 60), ("a/5", 70), ("b/5", 80), ("c/5", 90)]).await;
    ledger.put(&store, &[("a/6", 50), ("b/6", 60)]).await;
    ledger.put(&store, &[("a/7", 50), ("b/7", 60)]).await;
    let _ = ledger.delete(&store, "b/1").await;
    ledger.put(&store, &[("a/8", 50), ("b/1", 60)]).await;
    Ok(())
}

/// What stays of a store is opened, holds what is known, and works.
fn lives_on(directory: &SimDirectory, ledger: &Ledger, case: &str) {
    block_on(async {
        let store = open(directory).unwrap_or_else(|error| panic!("{case}: {error}"));
        ledger.check(&store, case).await;
        let name = path("z/after");
        store.put_new(None, &name, Body::from(b"x".to_vec())).await.unwrap();
        assert_eq!(store.get(None, &name, ByteRange::Full).await.unwrap(), &b"x"[..]);
    });
}

#[test]
fn a_power_loss_at_any_operation_loses_nothing_that_was_acknowledged() {
    let whole = SimDirectory::new();
    whole.crash_at(u64::MAX);
    let mut ledger = Ledger::default();
    block_on(life(&whole, &mut ledger)).unwrap();
    assert_eq!(ledger.0.values().filter(|known| matches!(known, Known::There(_))).count(), 15);
    lives_on(&whole, &ledger, "without a crash");

    let operations = whole.operations();
    println!("{operations} operations");
    let mut acknowledged = 0;
    for at in 1..=operations {
        let directory = SimDirectory::new();
        directory.crash_at(at);
        let mut ledger = Ledger::default();
        let _ = block_on(life(&directory, &mut ledger));
        acknowledged += ledger.0.values().filter(|known| matches!(known, Known::There(_))).count();
        for seed in 0..3 {
            let case = format!("crash at {at} of {operations}, image {seed}");
            lives_on(&directory.after_crash(at * 3 + seed), &ledger, &case);
        }
        directory.restart();
        lives_on(&directory, &ledger, &format!("killed at {at} of {operations}"));
    }
    assert!(acknowledged > 100, "{acknowledged}: crashes came too early to tell anything");
}

/// An operation of the disk fails, once. Whoever was told that something is stored is right, also after a power loss, and
/// whatever was tried after the failure.
#[test]
fn after_any_failed_operation_what_is_acknowledged_survives_a_power_loss() {
    let whole = SimDirectory::new();
    whole.crash_at(u64::MAX);
    block_on(life(&whole, &mut Ledger::default())).unwrap();
    let operations = whole.operations();
    let mut told = [("unknown", 0), ("exhausted", 0), ("unavailable", 0)];
    for at in 1..=operations {
        // Few operations find a full disk before anything is written: most are told of one.
        let kind = if at % 4 != 0 { ErrorKind::StorageFull } else { ErrorKind::TimedOut };
        let directory = SimDirectory::new();
        directory.fail_at(at, kind);
        let mut ledger = Ledger::default();
        let case = format!("{kind} at {at} of {operations}");
        block_on(async {
            let _ = life(&directory, &mut ledger).await;
            if ledger.0.is_empty() {
                // It was never created. What a failed sync should have made durable can be lost for good, whatever is
                // tried in the same place.
                return;
            }
            // What failed is tried again at once.
            if let Ok(store) = open(&directory) {
                ledger.put(&store, &[("a/1", 10), ("y/1", 100)]).await;
                ledger.put(&store, &[("y/2", 100)]).await;
            }
        });
        for (kind, count) in told.iter_mut() {
            *count += ledger.1.iter().filter(|told| told == kind).count();
        }
        for seed in (0..2).filter(|_| !ledger.0.is_empty()) {
            lives_on(&directory.after_crash(at * 2 + seed), &ledger, &format!("{case}, image {seed}"));
        }
    }
    println!("{operations} operations: {told:?}");
    assert!(told.iter().all(|(_, count)| *count > 1), "{told:?}");
}

#[test]
fn a_shard_whose_sync_failed_refuses_everything_until_it_is_opened_again() {
    let directory = SimDirectory::new();
    let mut ledger = Ledger::default();
    block_on(async {
        let store = open(&directory).unwrap();
        assert!(ledger.put(&store, &[("a/1", 10)]).await[0].is_ok());
        // The first put tells how many operations one has; the sync is the last of them.
        directory.fail_at(u64::MAX, ErrorKind::Other);
        assert!(ledger.put(&store, &[("a/2", 10)]).await[0].is_ok());
        let sync = directory.operations();
        directory.fail_at(sync, ErrorKind::Other);
        let struck = ledger.put(&store, &[("a/3", 10)]).await.remove(0);
        assert!(matches!(struck, Err(Error::Unknown { .. })), "{struck:?}");
        for _ in 0..2 {
            let refused = ledger.put(&store, &[("a/4", 10)]).await.remove(0);
            let error = refused.unwrap_err();
            assert!(error.to_string().contains("open the set of shards anew"), "{error}");
            let read = store.get(None, &path("a/1"), ByteRange::Full).await;
            assert!(read.is_err(), "what it would read may be lost");
        }
        drop(store);
        let store = open(&directory).unwrap();
        ledger.check(&store, "opened again").await;
        assert!(ledger.put(&store, &[("a/5", 10)]).await[0].is_ok());
    });
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let root = tempfile::tempdir().unwrap();
    let os: Arc<dyn Directory> = Arc::new(OsDirectory::open(root.path()).unwrap());
    let mut ledger = Ledger::default();
    block_on(async {
        let store = open_on(Arc::clone(&os)).unwrap();
        assert!(ledger.put(&store, &[("a/1", 10_000), ("b/1", 10_000)]).await.iter().all(Result::is_ok));
        // A deletion needs some pages: those that something else has left.
        assert!(ledger.put(&store, &[("b/2", 300_000)]).await[0].is_ok());
        ledger.delete(&store, "b/2").await.unwrap();
        drop(store);

        let store = open_on(FullDisk::at(root.path(), Full::Allocate)).unwrap();
        let mut told = 0;
        for n in 0..8 {
            let name = format!("a/big{n}");
            let put = ledger.put(&store, &[(&name, 2_000_000)]).await.remove(0);
            if let Err(error) = put {
                assert!(matches!(error, Error::Exhausted { .. }), "{error:?}");
                ledger.0.insert(path(&name), Known::Gone);
                told += 1;
            }
        }
        assert!(told > 0, "nothing filled the disk");
        ledger.check(&store, "on a full disk").await;
        ledger.delete(&store, "b/1").await.unwrap();
        drop(store);

        let store = open_on(os).unwrap();
        ledger.check(&store, "with space again").await;
        assert!(ledger.put(&store, &[("a/more", 2_000_000)]).await[0].is_ok());
    });
}

/// One flipped bit in a file of the store, anywhere that is in use: what is read is what was written, or an error. That something
/// is not found at all is possible where the bit is in a page that leads to others; a check of all pages tells.
#[test]
fn a_flipped_bit_is_an_error_and_never_other_bytes() {
    let directory = SimDirectory::new();
    let mut ledger = Ledger::default();
    let names = (0..40).map(|n| format!("a/{n:02}")).collect::<Vec<_>>();
    block_on(async {
        let store = open(&directory).unwrap();
        for name in &names {
            assert!(ledger.put(&store, &[(name, 2500)]).await[0].is_ok());
        }
    });
    let files = directory.files();
    let (mut same, mut told, mut missing, mut refused) = (0, 0, 0, 0);
    let random = SeededRandom::new(99);
    for round in 0..600 {
        let damaged = SimDirectory::new();
        for (name, bytes) in &files {
            let mut bytes = bytes.clone();
            if name.ends_with(".redb") && !name.contains(if round % 2 == 0 { "000" } else { "001" }) {
                let used = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(at, _)| at);
                let used = used.collect::<Vec<_>>();
                let at = used[random.below(used.len() as u64) as usize];
                bytes[at] ^= 1 << random.below(8);
            }
            damaged.put(name, &bytes);
        }
        let store = match open(&damaged) {
            Ok(store) => store,
            Err(Error::Corrupt(_) | Error::Invalid { .. }) => {
                refused += 1;
                continue;
            }
            Err(other) => panic!("round {round}: {other:?}"),
        };
        let mut lost = false;
        block_on(async {
            for (path, known) in &ledger.0 {
                let Known::There(body) = known else { panic!() };
                match store.get(None, path, ByteRange::Full).await {
                    Ok(got) => {
                        assert!(got == *body, "round {round}: {path} has other bytes");
                        same += 1;
                    }
                    Err(Error::Corrupt(_)) => told += 1,
                    Err(Error::NotFound { .. }) => lost = true,
                    Err(other) => panic!("round {round}: {other:?}"),
                }
            }
        });
        if lost {
            missing += 1;
            let config = store.default_config();
            let checked = config.shards().iter().map(|shard| shard.check()).collect::<Result<Vec<_>>>();
            assert!(checked.is_err(), "round {round}: something is missing, and no check tells");
        }
    }
    println!("{same} the same, {told} told, {missing} rounds with missing ones, {refused} stores refused");
    assert!(told > 20 && same > 10_000);
}
