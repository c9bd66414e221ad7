//! Stores whose rows are written later than their packs: whatever is put, deleted, listed, closed, killed or cut off from power, and
//! wherever its row is at that moment, a store shows what was acknowledged, all of it and nothing else.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, future};
use walkeep::Error;
use walkeep::backends::Redb;
use walkeep::backends::redb::{RedbConfig, ShardsOptions};
use walkeep::core::shards::{ShardCount, ShardPurpose};
use walkeep::core::{Backend, Body, ByteRange, Clock, ObjectPath};
use walkeep_tests::handles::{SeededRandom, TestClock};
use walkeep_tests::sim_directory::SimDirectory;

fn options(shards: u32, rows_waiting: usize) -> ShardsOptions {
    ShardsOptions {
        shards: Some(ShardCount::new(shards).unwrap()),
        lock_wait: Duration::from_secs(5),
        rows_waiting,
        ..ShardsOptions::new(ShardPurpose::Segments)
    }
}

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

/// One of the 40 names in one of the 6 groups that a life has.
fn name_of(group: u64, n: u64) -> String {
    format!("namespaces/t{group}/{}/{n:02}", if n.is_multiple_of(2) { "segments" } else { "manifest" })
}

/// A store, its disk, and what must be in it: of each object when it was stored, and its content.
struct Life {
    directory: SimDirectory,
    options: ShardsOptions,
    store: Option<Redb>,
    clock: Arc<TestClock>,
    model: BTreeMap<String, (u64, Vec<u8>)>,
    random: SeededRandom,
    reads_back: u64,
}

impl Life {
    fn begin(seed: u64) -> Self {
        let random = SeededRandom::new(seed);
        let rows = [0, 1, 7, 40, 1000][random.below(5) as usize];
        let mut life = Self {
            directory: SimDirectory::new(),
            options: options(1 << random.below(2), rows),
            store: None,
            clock: Arc::new(TestClock::at(1000)),
            model: BTreeMap::new(),
            random,
            reads_back: 0,
        };
        // So that power may be lost later.
        life.directory.crash_at(u64::MAX);
        life.open();
        life
    }

    fn open(&mut self) {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let directory = Arc::new(self.directory.clone());
        let config = RedbConfig::on("store", directory, clock, &SeededRandom::new(7), &self.options);
        self.store = Some(Redb::new(config.unwrap()));
    }

    fn store(&self) -> &Redb {
        self.store.as_ref().unwrap()
    }

    fn name(&self) -> String {
        let (group, n) = (self.random.below(6), self.random.below(40));
        name_of(group, n)
    }

    async fn put(&mut self) {
        let names = (0..=self.random.below(12)).map(|_| self.name()).collect::<BTreeSet<_>>();
        let bodies = names.into_iter().map(|name| {
            let len = [0, 10, 3000, 9000, 70_000][self.random.below(5) as usize];
            let random = SeededRandom::new(self.random.next_u64());
            (name, (0..len).map(|_| random.next_u64().to_le_bytes()[0]).collect::<Vec<_>>())
        });
        let bodies = bodies.collect::<Vec<_>>();
        let puts = bodies.iter().map(|(name, body)| {
            let (store, body) = (self.store(), body.clone());
            async move { store.put_new(None, &path(name), Body::from(body)).await }
        });
        let done = future::join_all(puts).await;
        for ((name, body), done) in bodies.into_iter().zip(done) {
            match (self.model.contains_key(&name), done) {
                (true, Err(Error::AlreadyExists { .. })) => {}
                (false, Ok(())) => drop(self.model.insert(name, (self.clock.now().get(), body))),
                (there, done) => panic!("{name}, there: {there}, {done:?}"),
            }
        }
    }

    async fn delete(&mut self) {
        let names = (0..=self.random.below(8)).map(|_| self.name()).collect::<BTreeSet<_>>();
        let paths = names.iter().map(|name| path(name)).collect::<Vec<_>>();
        self.store().delete(None, &paths).await.unwrap();
        names.iter().for_each(|name| drop(self.model.remove(name)));
    }

    async fn check(&self) {
        for n in 0..6 * 40 {
            let name = name_of(n / 40, n % 40);
            let got = self.store().get(None, &path(&name), ByteRange::Full).await;
            match (self.model.get(&name), got) {
                (Some((_, body)), Ok(got)) => assert!(got == *body, "{name} has another content"),
                (None, Err(Error::NotFound { .. })) => {}
                (known, got) => panic!("{name}, there: {}, {got:?}", known.is_some()),
            }
        }
        let of =
            |(name, (stored, body)): (&String, &(u64, Vec<u8>))| (name.clone(), body.len() as u64, *stored);
        for prefix in self.prefixes() {
            let lead = format!("{prefix}/");
            let after = self.name();
            let after = Some(after).filter(|after| after.starts_with(&lead) && self.random.below(2) == 1);
            let limit = [1, 5, usize::MAX][self.random.below(3) as usize];
            let from = after.as_deref().unwrap_or(&lead);
            let known = self.model.range::<str, _>((Bound::Excluded(from), Bound::Unbounded));
            let known = known.take_while(|(name, _)| name.starts_with(&lead)).take(limit).map(of);
            let (prefix, after) = (path(&prefix), after.as_deref().map(path));
            let listed = self.store().list(None, &prefix, after.as_ref(), limit);
            let listed = listed
                .map_ok(|object| (object.path.to_string(), object.size, object.modified.unwrap().get()));
            assert_eq!(listed.try_collect::<Vec<_>>().await.unwrap(), known.collect::<Vec<_>>());
        }
        let directory = |at: usize| {
            let names = self.model.keys().map(move |name| name.split('/').nth(at).unwrap().to_string());
            names.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        };
        let namespaces = path("namespaces");
        let listed = self.store().list_directories(None, &namespaces, None, usize::MAX);
        assert_eq!(listed.try_collect::<Vec<_>>().await.unwrap(), directory(1));
    }

    /// What is listed.
    fn prefixes(&self) -> impl Iterator<Item = String> {
        let namespace = format!("namespaces/t{}", self.random.below(6));
        let below = ["segments", "manifest"].map(|below| format!("{namespace}/{below}"));
        ["namespaces".to_string(), namespace].into_iter().chain(below)
    }

    /// Puts an object before all others of its directory, and looks for it before and afterwards; sometimes the first one goes in the same
    /// commit.
    async fn put_first(&mut self) {
        let before = u64::MAX - self.clock.now().get();
        let folder = format!("namespaces/t{}/manifest", self.random.below(6));
        let name = format!("{folder}/-{before:020}");
        let first = self.model.keys().find(|name| name.starts_with(&format!("{folder}/"))).cloned();
        let body = vec![7; [0, 100, 70_000][self.random.below(3) as usize]];
        let got = self.store().get(None, &path(&name), ByteRange::Full).await;
        assert!(matches!(got, Err(Error::NotFound { .. })), "{name}: {got:?}");
        let new = path(&name);
        let put = self.store().put_new(None, &new, Body::from(body.clone()));
        if let Some(first) = first.filter(|_| self.random.below(2) == 0) {
            let gone = [path(&first)];
            let (put, deleted) = future::join(put, self.store().delete(None, &gone)).await;
            put.and(deleted).unwrap();
            self.model.remove(&first);
        } else {
            put.await.unwrap();
        }
        assert_eq!(self.store().get(None, &path(&name), ByteRange::Full).await.unwrap(), body, "{name}");
        self.model.insert(name, (self.clock.now().get(), body));
    }

    async fn step(&mut self) {
        self.clock.advance(1);
        match self.random.below(13) {
            0..=5 => self.put().await,
            6 => self.delete().await,
            7 => {
                self.store = None;
                self.open();
            }
            // Killed, or cut off from power: nothing is written at the end.
            8 | 9 => {
                self.directory.crash_at(1);
                self.store = None;
                if self.random.below(2) == 0 {
                    self.directory.restart();
                } else {
                    self.directory = self.directory.after_crash(self.random.next_u64());
                }
                self.directory.crash_at(u64::MAX);
                self.reads_back += 1;
                self.open();
            }
            10 => self.put_first().await,
            _ => self.check().await,
        }
    }
}

#[test]
fn random_lives_show_what_was_acknowledged() {
    let lives = std::env::var("WALKEEP_LIVES").map_or(40, |lives| lives.parse().unwrap());
    for seed in 0..lives {
        println!("seed {seed}");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut life = Life::begin(seed);
            for _ in 0..60 {
                life.step().await;
            }
            life.check().await;
            assert!(life.reads_back > 0, "seed {seed} was never read back");
        });
    }
}

/// In a store of one shard where few rows wait, on several threads.
fn on_threads(work: impl AsyncFnOnce(Redb)) {
    let root = tempfile::tempdir().unwrap();
    let store = Redb::new(RedbConfig::open(root.path(), &options(1, 64)).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(work(store));
}

/// Whoever asks whether a newer manifest is there, which sorts before all others, finds it as soon as its put returns, and from then on. What was
/// seen before its put returned stays as well.
#[test]
fn what_comes_before_all_others_is_found_however_often_it_was_asked_for() {
    on_threads(async |store| {
        let over = Arc::new(AtomicBool::new(false));
        let name = |namespace: u64, n: u64| path(&format!("namespaces/t{namespace}/manifest/{:06}", 999 - n));
        let writers = (0..16).map(|namespace| {
            let (store, over) = (store.clone(), Arc::clone(&over));
            let (asking, newest) = (store.clone(), Arc::new(AtomicU64::new(0)));
            let asked = Arc::clone(&newest);
            let asker = tokio::spawn(async move {
                let folder = path(&format!("namespaces/t{namespace}/manifest"));
                while !over.load(Ordering::SeqCst) {
                    let next = name(namespace, asked.load(Ordering::SeqCst) + 1);
                    let _ = asking.get(None, &next, ByteRange::Full).await;
                    let seen = asking.list(None, &folder, None, 1);
                    for seen in seen.map(|object| object.unwrap().path).collect::<Vec<_>>().await {
                        asking.get(None, &seen, ByteRange::Full).await.unwrap();
                    }
                    tokio::task::yield_now().await;
                }
            });
            let writer = tokio::spawn(async move {
                for n in 1..=150 {
                    // In packs, and with their rows at once.
                    let body = vec![7; [100, 0][usize::from(n % 3 == 0)]];
                    let own = name(namespace, n);
                    store.put_new(None, &own, Body::from(body.clone())).await.unwrap();
                    assert_eq!(store.get(None, &own, ByteRange::Full).await.unwrap(), body);
                    let again = store.put_new(None, &own, Body::from(Vec::new())).await;
                    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
                    newest.store(n, Ordering::SeqCst);
                }
            });
            (writer, asker)
        });
        let (writers, askers): (Vec<_>, Vec<_>) = writers.unzip();
        for writer in writers {
            writer.await.unwrap();
        }
        over.store(true, Ordering::SeqCst);
        for asker in askers {
            asker.await.unwrap();
        }
    });
}

/// Readers beside puts, rounds and deletions: what is there all the time is found and listed at every moment.
#[test]
fn readers_see_no_moment_between_packs_and_rows() {
    on_threads(async |store| {
        let (stored, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let folder = path("namespaces/a");
        let name = |n: u64| path(&format!("namespaces/a/{:06}", n * 7919 % 1_000_000));
        let readers = (0..3).map(|reader| {
            let (store, stored, over, folder) =
                (store.clone(), Arc::clone(&stored), Arc::clone(&over), folder.clone());
            tokio::spawn(async move {
                let (random, mut reads) = (SeededRandom::new(reader), 0_u64);
                while !over.load(Ordering::SeqCst) {
                    let known = stored.load(Ordering::SeqCst);
                    // All but every third one may be deleted. The newest are asked for most.
                    let n =
                        known.saturating_sub(1 + random.below([12, 6000][random.below(2) as usize])) / 3 * 3;
                    if n < known {
                        let got = store.get(None, &name(n), ByteRange::Full).await;
                        assert_eq!(got.unwrap(), n.to_le_bytes().repeat(100), "{n} of {known}");
                        reads += 1;
                    }
                    if reads % 100 == 7 {
                        let listed = store.list(None, &folder, None, usize::MAX);
                        let listed = listed.map(|object| object.unwrap().path).collect::<BTreeSet<_>>().await;
                        let missing = (0..known).step_by(3).find(|n| !listed.contains(&name(*n)));
                        assert_eq!(missing, None, "of {known}");
                    }
                }
                reads
            })
        });
        let readers = readers.collect::<Vec<_>>();
        for first in (0..6000_u64).step_by(12) {
            let puts = (first..first + 12).map(|n| {
                let (store, body) = (store.clone(), Body::from(n.to_le_bytes().repeat(100)));
                async move { store.put_new(None, &name(n), body).await.unwrap() }
            });
            future::join_all(puts).await;
            stored.store(first + 12, Ordering::SeqCst);
            if first % 24 == 0 {
                // Of what was just stored together: all rows are written, and what is alive of a pack moves.
                let gone = (first..first + 12).filter(|n| n % 3 != 0).map(name).collect::<Vec<_>>();
                store.delete(None, &gone).await.unwrap();
            }
        }
        over.store(true, Ordering::SeqCst);
        for reader in readers {
            assert!(reader.await.unwrap() > 100);
        }
    });
}
