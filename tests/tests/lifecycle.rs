//! Whole lives of namespaces, against a model: commits, shrinks, compactions by every strategy, retention, pins, forks,
//! collections, deletions, each of which may be cut off at any call to the store.
//!
//! After each step every point that the model promises restores to the bytes that the database had, and every other is
//! *unreachable*. At the end everything is collected once more after the grace time, and nothing is left that is not
//! needed.
//!
//! 500 lives run in each test; `WALKEEP_LIVES=20000 cargo test --release --test lifecycle` runs more.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use walkeep::backends::Memory;
use walkeep::compact::{
    CompactOptions, CompactionPlan, Compactor, Identity, LogReduction, Reason, Strategy, Tiered,
};
use walkeep::core::{Error, FrameNo, Namespace, PageSize, PinName, RestorePoint, UnixMillis};
use walkeep::gc::{self, GcOptions};
use walkeep::verify::verify;
use walkeep::{Bucket, Handles, Timeline, detach, fork, pin, remove, retain, unpin};
use walkeep_tests::cut_off::{Cut, CutOff};
use walkeep_tests::handles::{SeededRandom, TestClock, handles};
use walkeep_tests::history::History;
use walkeep_tests::promise_model::{Promises, retention};
use walkeep_tests::sim_directory::SimDirectory;

type Store = CutOff<Memory>;

/// A namespace that is there.
struct Live {
    log: History<Store>,
    promises: Promises,
    /// The ends of segments that were stored, and their times, from where the namespace begins.
    ends: Vec<(u64, u64)>,
    parent: Option<Namespace>,
}

struct World {
    random: SeededRandom,
    handles: Handles,
    clock: Arc<TestClock>,
    backend: Arc<Store>,
    bucket: Bucket,
    lives: Vec<Live>,
    forks: u64,
    pins: u64,
    /// What was done, for whoever looks at a failure.
    done: Vec<String>,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what was done:\n{}", self.done.join("\n"));
        }
    }
}

/// 2026-03-01T00:00:00Z.
const MARCH: u64 = 1_772_323_200_000;

impl World {
    async fn new(seed: u64) -> Self {
        let (handles, clock) = handles(MARCH + seed % 86_400_000, seed);
        let backend = Arc::new(CutOff::new(Memory::with_clock(Arc::clone(&clock) as _)));
        let bucket = Bucket::new(Arc::clone(&backend), None).unwrap();
        let log = History::open_in(bucket.clone(), Arc::clone(&backend), PageSize::MIN, seed).await;
        let promises = Promises::from(FrameNo::FIRST);
        let lives = vec![Live { log, promises, ends: Vec::new(), parent: None }];
        let random = SeededRandom::new(seed ^ 0x5eed);
        Self { random, handles, clock, backend, bucket, lives, forks: 0, pins: 0, done: Vec::new() }
    }

    fn below(&self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    fn one(&self) -> usize {
        usize::try_from(self.below(self.lives.len() as u64)).unwrap()
    }

    fn now(&self) -> u64 {
        self.handles.clock.now().get()
    }

    fn note(&mut self, what: impl Into<String>) {
        self.done.push(what.into());
    }

    /// Cuts the next operation off, or not.
    fn maybe_cut(&mut self) -> bool {
        let cut = (self.below(2) == 0).then(|| Cut { at: self.below(14), applied: self.below(2) == 0 });
        if let Some(cut) = cut {
            self.note(format!("  cut at {cut:?}"));
        }
        self.backend.cut(cut);
        cut.is_some()
    }

    async fn step(&mut self) {
        match self.below(20) {
            0..7 => self.write().await,
            7..9 => self.wait(),
            9..12 => self.compact().await,
            12 => self.retain().await,
            13 => self.pin().await,
            14 => self.unpin().await,
            15..17 => self.collect().await,
            17 => self.fork().await,
            18 => self.detach().await,
            _ => self.remove().await,
        }
        self.backend.cut(None);
    }

    async fn write(&mut self) {
        let at = self.one();
        let (now, commits) = (self.now(), 1 + self.below(3));
        for _ in 0..commits {
            for _ in 0..=self.below(4) {
                let (page, byte) = (1 + self.below(9), self.below(4));
                self.lives[at].log.fill(u32::try_from(page).unwrap(), u8::try_from(byte).unwrap());
            }
            let log = &mut self.lives[at].log;
            let size = match self.random.below(3) {
                0 => 1 + u32::try_from(self.random.below(9)).unwrap(),
                _ => log.highest_written().max(log.size()),
            };
            // Pages beyond the end are part of the transaction, and of no database.
            log.commit(size, now);
        }
        let live = &mut self.lives[at];
        let key = live.log.store().await.unwrap();
        live.ends.push((key.end().get(), key.time().get()));
        let what = format!("{}: wrote frames {} to {} at {now}", live.log.namespace, key.start(), key.end());
        self.note(what);
        self.clock.advance(self.below(3));
    }

    fn wait(&mut self) {
        let millis = [1000, 60_000, 3_600_000, 6 * 3_600_000][usize::try_from(self.below(4)).unwrap()];
        self.clock.advance(millis + self.below(1000));
        let what = format!("it is {}", self.now());
        self.note(what);
    }

    async fn compact(&mut self) {
        let at = self.one();
        let namespace = self.lives[at].log.namespace.clone();
        let strategies: [&dyn Strategy; 4] = [&Identity, &LogReduction, &Tiered, &Any(self.below(u64::MAX))];
        let which = usize::try_from(self.below(4)).unwrap();
        self.note(format!("{namespace}: compact ({which})"));
        let options = CompactOptions::new(Arc::new(SimDirectory::new()), self.handles.clone());
        let compactor = Compactor::new(&self.bucket, &namespace, options).unwrap();
        let cut = self.maybe_cut();
        let compacted = compactor.compact(strategies[which], &|_| {}).await;
        assert!(cut || compacted.is_ok(), "{compacted:?}");
    }

    async fn retain(&mut self) {
        let at = self.one();
        let all = 1 + self.below(3);
        let hourly = (self.below(2) == 0).then(|| all + 1 + self.below(6));
        let daily = (self.below(2) == 0).then(|| hourly.unwrap_or(all) + 1 + self.below(40));
        let wanted = (self.below(5) > 0).then(|| retention(all, hourly, daily));
        let namespace = self.lives[at].log.namespace.clone();
        self.note(format!("{namespace}: retain {wanted:?}"));
        let cut = self.maybe_cut();
        let retained = retain(&self.bucket, &namespace, wanted.as_ref()).await;
        self.backend.cut(None);
        assert!(cut || retained.is_ok(), "{retained:?}");
        let manifest = self.timeline(&namespace).await.manifest().clone();
        if manifest.retention() == wanted.as_ref() {
            self.lives[at].promises.retention = wanted;
        }
        assert!(cut || self.lives[at].promises.are_those_of(&manifest));
    }

    /// Some commit, promised or not.
    fn any_commit(&self, at: usize) -> Option<FrameNo> {
        let log = &self.lives[at].log;
        let commits = log.commits.iter().map(|recorded| recorded.commit.frame_no).collect::<Vec<_>>();
        let count = u64::try_from(commits.len()).unwrap();
        (count > 0).then(|| commits[usize::try_from(self.below(count)).unwrap()])
    }

    async fn pin(&mut self) {
        let at = self.one();
        let Some(frame) = self.any_commit(at) else { return };
        self.pins += 1;
        let name = format!("pin-{}", self.pins);
        let expires = (self.below(2) == 0).then(|| self.now() + 1 + self.below(4 * 3_600_000));
        let namespace = self.lives[at].log.namespace.clone();
        self.note(format!("{namespace}: pin {name} at {frame} until {expires:?}"));
        let cut = self.maybe_cut();
        let (point, until) = (RestorePoint::Frame(frame), expires.map(UnixMillis));
        let pinned = PinName::new(name.as_str()).unwrap();
        let outcome = pin(&self.bucket, &namespace, &pinned, point, until, &self.handles).await;
        self.backend.cut(None);
        let manifest = self.timeline(&namespace).await.manifest().clone();
        let is_there = manifest.pins().contains_key(&pinned);
        let live = &mut self.lives[at];
        assert!(!is_there || live.promises.hold(frame), "a point that is not promised was pinned");
        match outcome {
            Ok(pin) => assert!(is_there && pin.frame == frame),
            Err(Error::Unreachable(_)) => assert!(!is_there && !live.promises.hold(frame)),
            Err(error) => assert!(cut, "{error}"),
        }
        if is_there {
            live.promises.pins.insert(name, (frame.get(), expires));
        }
    }

    async fn unpin(&mut self) {
        let at = self.one();
        let Some(name) = self.lives[at].promises.pins.keys().next().cloned() else { return };
        let namespace = self.lives[at].log.namespace.clone();
        self.note(format!("{namespace}: unpin {name}"));
        let cut = self.maybe_cut();
        let pinned = PinName::new(name.as_str()).unwrap();
        let outcome = unpin(&self.bucket, &namespace, &pinned).await;
        self.backend.cut(None);
        assert!(cut || outcome.is_ok(), "{outcome:?}");
        if !self.timeline(&namespace).await.manifest().pins().contains_key(&pinned) {
            self.lives[at].promises.pins.remove(&name);
        }
    }

    async fn collect(&mut self) {
        let at = self.one();
        let namespace = self.lives[at].log.namespace.clone();
        let grace = Duration::from_secs(self.below(3) * 1800);
        self.note(format!("{namespace}: collect with {grace:?} of grace"));
        let now = self.now();
        let cut = self.maybe_cut();
        let outcome = gc::collect(&self.bucket, &namespace, &GcOptions { grace }, &self.handles).await;
        self.backend.cut(None);
        let manifest = self.timeline(&namespace).await.manifest().clone();
        let live = &mut self.lives[at];
        let next = live.promises.collected(&live.ends, now);
        if next.are_those_of(&manifest) {
            live.promises = next;
        } else {
            assert!(cut && outcome.is_err(), "{outcome:?}: {next:?} is not what {manifest:?} says");
        }
        assert!(live.promises.are_those_of(&manifest), "{:?} {manifest:?}", live.promises);
        if !cut {
            assert!(outcome.unwrap().refused.is_empty());
        }
    }

    async fn fork(&mut self) {
        let at = self.one();
        let Some(frame) = self.any_commit(at).filter(|_| self.lives.len() < 4) else { return };
        self.forks += 1;
        let name = Namespace::new(format!("fork-{}", self.forks)).unwrap();
        let parent = self.lives[at].log.namespace.clone();
        self.note(format!("{parent}: fork {name} at {frame}"));
        let cut = self.maybe_cut();
        let point = RestorePoint::Frame(frame);
        let mut outcome = fork(&self.bucket, &parent, &name, point, &self.handles).await;
        self.backend.cut(None);
        if cut && outcome.is_err() && self.below(2) == 0 {
            // Whoever made it tries again.
            outcome = fork(&self.bucket, &parent, &name, point, &self.handles).await;
        }
        let promised = self.lives[at].promises.hold(frame);
        let is_there = match Timeline::load(&self.bucket, &name).await {
            Ok(_) => true,
            Err(Error::NotFound { .. }) => false,
            Err(error) => panic!("{error}"),
        };
        match outcome {
            Ok(_) => assert!(is_there && promised),
            Err(Error::Unreachable(_) | Error::Invalid { .. }) => assert!(!promised && !is_there),
            Err(error) => assert!(cut, "{error}"),
        }
        if is_there {
            let mut log = self.lives[at].log.forked(&name, frame).await;
            log.handles = self.handles.clone();
            let time = log.commits.last().unwrap().commit.time.get();
            let (promises, ends) = (Promises::from(frame), vec![(frame.get(), time)]);
            self.lives.push(Live { log, promises, ends, parent: Some(parent) });
        }
    }

    async fn detach(&mut self) {
        let at = self.one();
        if self.lives[at].parent.is_none() {
            return;
        }
        let namespace = self.lives[at].log.namespace.clone();
        self.note(format!("{namespace}: detach"));
        let cut = self.maybe_cut();
        let spool = Arc::new(SimDirectory::new());
        let outcome = detach(&self.bucket, &namespace, spool, &self.handles).await;
        self.backend.cut(None);
        assert!(cut || outcome.is_ok(), "{outcome:?}");
        if self.timeline(&namespace).await.manifest().parent().is_none() {
            self.lives[at].parent = None;
        }
    }

    async fn remove(&mut self) {
        if self.lives.len() < 2 {
            return;
        }
        let at = self.one();
        let live = self.lives.swap_remove(at);
        let namespace = live.log.namespace.clone();
        self.note(format!("{namespace}: remove"));
        let cut = self.maybe_cut();
        let mut outcome = remove(&self.bucket, &namespace, &self.handles).await.map(drop);
        self.backend.cut(None);
        if outcome.is_err() {
            assert!(cut, "{outcome:?}");
            outcome = remove(&self.bucket, &namespace, &self.handles).await.map(drop);
        }
        assert!(outcome.is_ok(), "{outcome:?}");
        let gone = Timeline::load(&self.bucket, &namespace).await;
        assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    }

    async fn timeline(&self, namespace: &Namespace) -> Timeline {
        Timeline::load(&self.bucket, namespace).await.unwrap()
    }

    /// Some points of all namespaces, or all of them.
    async fn check(&self, all: bool) {
        for live in &self.lives {
            for recorded in &live.log.commits {
                let frame = recorded.commit.frame_no;
                if !all && self.below(4) > 0 {
                    continue;
                }
                let restored = live.log.restore(RestorePoint::Frame(frame)).await;
                if live.promises.hold(frame) {
                    let file =
                        restored.unwrap_or_else(|error| panic!("{} at {frame}: {error}", live.log.namespace));
                    assert!(file == recorded.file, "{} at {frame} differs", live.log.namespace);
                } else {
                    let is_unreachable = matches!(restored, Err(Error::Unreachable(_)));
                    assert!(is_unreachable, "{} at {frame}: {restored:?}", live.log.namespace);
                }
                if all {
                    self.check_time(live, recorded.commit.time).await;
                }
            }
            if let Some(newest) = live.log.commits.last() {
                assert!(live.log.restore(RestorePoint::Latest).await.unwrap() == newest.file);
            }
        }
    }

    /// A time is answered with the commit that was the newest then, or not at all.
    async fn check_time(&self, live: &Live, time: UnixMillis) {
        let newest = live.log.commits.iter().rev().find(|recorded| recorded.commit.time <= time).unwrap();
        match live.log.restore(RestorePoint::Time(time)).await {
            Ok(file) => {
                assert!(
                    live.promises.hold(newest.commit.frame_no),
                    "{time}: the commit then is not promised"
                );
                assert!(file == newest.file, "{} at {time} differs", live.log.namespace);
            }
            Err(Error::Unreachable(_)) => {
                let frame = newest.commit.frame_no.get();
                assert!(frame < live.promises.frontier, "{} at {time} is not found", live.log.namespace);
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Collects everything after the grace time: only what is needed is left, and all of it is whole.
    async fn end(&mut self) {
        self.clock.advance(3 * 3_600_000);
        for at in 0..self.lives.len() {
            let namespace = self.lives[at].log.namespace.clone();
            let now = self.now();
            let options = GcOptions { grace: Duration::from_secs(3600) };
            let collected = gc::collect(&self.bucket, &namespace, &options, &self.handles).await.unwrap();
            assert!(collected.refused.is_empty());
            let live = &mut self.lives[at];
            live.promises = live.promises.collected(&live.ends, now);
            let again = gc::plan(&self.bucket, &namespace, &options, &self.handles).await.unwrap();
            assert_eq!(again.going().count(), 0, "{again:?}");
            let timeline = self.timeline(&namespace).await;
            let ignored = timeline.ignored();
            assert_eq!((ignored.fenced, ignored.foreign, ignored.unknown_epoch), (0, 0, 0), "{namespace}");
            let report = verify(&self.bucket, &namespace, true).await.unwrap();
            assert!(report.problems.is_empty(), "{namespace}: {:?}", report.problems);
        }
        self.check(true).await;
    }
}

/// Merges some of the newest chain, drawn from a number.
#[derive(Debug)]
struct Any(u64);

impl Strategy for Any {
    fn plan(&self, timeline: &Timeline, _: UnixMillis, _: usize) -> walkeep::Result<Vec<CompactionPlan>> {
        let Some(newest) = timeline.newest() else { return Ok(Vec::new()) };
        let mut chain = timeline.cover(newest.key.end()).unwrap_or_default();
        chain.reverse();
        let random = SeededRandom::new(self.0);
        let count = u64::try_from(chain.len()).unwrap();
        let (a, b) = (random.below(count), random.below(count));
        let range = usize::try_from(a.min(b)).unwrap()..=usize::try_from(a.max(b)).unwrap();
        Ok(CompactionPlan::new(timeline, chain[range].to_vec(), Reason::Asked).into_iter().collect())
    }
}

async fn life(seed: u64) {
    let mut world = World::new(seed).await;
    let steps = 12 + seed % 30;
    for _ in 0..steps {
        world.step().await;
        let checked = world.check(false);
        checked.await;
    }
    world.end().await;
}

fn lives(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let lived = std::panic::catch_unwind(|| {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_time().start_paused(true).build().unwrap().block_on(life(seed));
        });
        assert!(lived.is_ok(), "life {seed} failed: see above");
    }
}

#[test]
fn every_promised_point_restores_and_every_other_is_unreachable() {
    let count = std::env::var("WALKEEP_LIVES").ok().map_or(500, |count| count.parse().unwrap());
    lives(0..count);
}
