//! Many namespaces at random: forks of forks, writers, shrinks, changes of the page size, compactions, detaching,
//! freezing, deleting and creating anew; after each step every restore point is what it was.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use walkeep::backends::Memory;
use walkeep::backends::fs::{Fs, FsConfig};
use walkeep::core::manifest::Life;
use walkeep::core::{Backend, Error, FrameNo, Namespace, PageSize, Random, RestorePoint};
use walkeep::verify::verify;
use walkeep::{Bucket, Handles, Timeline, detach, fork, freeze, newest_manifest, remove, thaw};
use walkeep_tests::handles::{SeededRandom, handles};
use walkeep_tests::history::History;
use walkeep_tests::sim_directory::SimDirectory;

const SIZES: [PageSize; 2] = [PageSize::MIN, PageSize::DEFAULT];

/// A namespace, and where its history begins.
struct Known<B> {
    log: History<B>,
    from: FrameNo,
    parent: Option<String>,
}

struct Scene<B> {
    bucket: Bucket,
    random: SeededRandom,
    handles: Handles,
    known: BTreeMap<String, Known<B>>,
    /// Deleted ones that are kept for their forks, with their own parents.
    kept: BTreeMap<String, Option<String>>,
    time: u64,
}

impl<B: Backend> Scene<B> {
    async fn new(backend: Arc<B>, seed: u64) -> Self {
        let log = History::open(backend, SIZES[0], seed).await;
        let known = BTreeMap::from([("shop".to_string(), Known { log, from: FrameNo::FIRST, parent: None })]);
        let bucket = known["shop"].log.bucket.clone();
        let mut scene = Self {
            bucket,
            random: SeededRandom::new(seed),
            handles: handles(5000, seed + 1).0,
            known,
            kept: BTreeMap::new(),
            time: 1000,
        };
        scene.write("shop").await;
        scene
    }

    fn below(&self, max: u64) -> u64 {
        let mut bytes = [0; 8];
        self.random.fill(&mut bytes).unwrap();
        u64::from_le_bytes(bytes) % max
    }

    fn any(&self) -> Option<String> {
        let names = self.known.keys().cloned().collect::<Vec<_>>();
        (!names.is_empty()).then(|| names[self.below(names.len() as u64) as usize].clone())
    }

    /// Some transactions, in one segment.
    async fn write(&mut self, name: &str) {
        for _ in 0..=self.below(3) {
            let size = 1 + self.below(6) as u32;
            let writes: Vec<_> = (0..=self.below(3))
                .map(|_| (1 + self.below(size.into()) as u32, self.below(250) as u8 + 1))
                .collect();
            self.time += 1 + self.below(3);
            let time = self.time;
            let log = &mut self.known.get_mut(name).unwrap().log;
            for (page, byte) in writes {
                log.fill(page, byte);
            }
            log.commit(size, time);
        }
        self.known.get_mut(name).unwrap().log.store().await.unwrap();
    }

    async fn fork(&mut self, name: &str, step: u64) {
        let child = if self.below(2) == 0 { format!("f{step}") } else { format!("f{}", self.below(4)) };
        let known = &self.known[name];
        let points: Vec<FrameNo> =
            known.log.commits.iter().map(|c| c.commit.frame_no).filter(|f| *f >= known.from).collect();
        let at = points[self.below(points.len() as u64) as usize];
        let child_name = Namespace::new(child.as_str()).unwrap();
        let forked =
            fork(&self.bucket, &known.log.namespace, &child_name, RestorePoint::Frame(at), &self.handles)
                .await;
        if self.known.contains_key(&child) || self.kept.contains_key(&child) {
            assert!(matches!(forked, Err(Error::AlreadyExists { .. })), "{forked:?}");
            return;
        }
        let manifest = forked.unwrap();
        assert_eq!(manifest.parent().unwrap().frame, at);
        let log = known.log.forked(&child_name, at).await;
        self.known.insert(child, Known { log, from: at, parent: Some(name.to_string()) });
    }

    async fn compact(&mut self, name: &str) {
        let pick = self.below(1000);
        let known = self.known.get_mut(name).unwrap();
        let own = known.log.stored.iter().filter(|key| key.level() == 0).copied().collect::<Vec<_>>();
        let Some(first) = own.get(pick as usize % own.len().max(1)) else { return };
        let Some(last) = own.iter().rfind(|key| key.epoch() == first.epoch()) else { return };
        let (start, end) = (first.start(), last.end());
        let there =
            known.log.stored.iter().any(|key| key.level() == 1 && (key.start(), key.end()) == (start, end));
        if !there && known.log.compacted(start, end, 1).is_some() {
            known.log.compact(start.get(), end.get(), 1).await;
        }
    }

    async fn remove(&mut self, name: &str) {
        let gone = self.known.remove(name).unwrap();
        let removed = remove(&self.bucket, &gone.log.namespace, &self.handles).await.unwrap();
        let mut needed: Vec<_> = self.needing(name);
        needed.sort();
        assert_eq!(
            removed.needed_by.iter().map(|name| name.as_str().to_string()).collect::<Vec<_>>(),
            needed
        );
        if needed.is_empty() {
            self.gone(gone.parent, &removed.cascaded);
        } else {
            self.kept.insert(name.to_string(), gone.parent);
        }
    }

    /// Forks that need a namespace.
    fn needing(&self, name: &str) -> Vec<String> {
        let known = self
            .known
            .iter()
            .filter(|(_, known)| known.parent.as_deref() == Some(name))
            .map(|(name, _)| name);
        let kept =
            self.kept.iter().filter(|(_, parent)| parent.as_deref() == Some(name)).map(|(name, _)| name);
        known.chain(kept).cloned().collect()
    }

    /// What goes with the last fork of it.
    fn gone(&mut self, mut parent: Option<String>, cascaded: &[Namespace]) {
        let mut expected = Vec::new();
        while let Some(name) =
            parent.filter(|name| self.kept.contains_key(name) && self.needing(name).is_empty())
        {
            parent = self.kept.remove(&name).unwrap();
            expected.push(name);
        }
        assert_eq!(cascaded.iter().map(Namespace::as_str).collect::<Vec<_>>(), expected);
    }

    async fn detach(&mut self, name: &str) {
        let known = self.known.get_mut(name).unwrap();
        let namespace = known.log.namespace.clone();
        let spool = Arc::new(SimDirectory::new());
        let detached = detach(&self.bucket, &namespace, spool, &self.handles).await;
        let Some(parent) = known.parent.take() else {
            // Doing it twice is no harm; of what was never a fork it is said.
            assert!(detached.is_ok() || matches!(detached, Err(Error::Invalid { .. })), "{detached:?}");
            return;
        };
        self.gone(Some(parent), &detached.unwrap());
    }

    async fn step(&mut self, step: u64) {
        let Some(name) = self.any() else {
            let backend_of_nothing = self.kept.is_empty();
            assert!(backend_of_nothing, "tombstones without forks");
            return;
        };
        match self.below(12) {
            0..=3 => self.write(&name).await,
            4..=6 => self.fork(&name, step).await,
            7 => {
                let size = SIZES[self.below(2) as usize];
                self.known.get_mut(&name).unwrap().log.reopen(size).await.unwrap();
                self.write(&name).await;
            }
            8 => self.compact(&name).await,
            9 => self.detach(&name).await,
            10 => {
                let namespace = self.known[&name].log.namespace.clone();
                freeze(&self.bucket, &namespace, &self.handles).await.unwrap();
                let manifest = newest_manifest(&self.bucket, &namespace).await.unwrap().unwrap();
                assert_eq!(manifest.life(), Life::Frozen);
                thaw(&self.bucket, &namespace).await.unwrap();
                let size = self.known[&name].log.page_size();
                self.known.get_mut(&name).unwrap().log.reopen(size).await.unwrap();
            }
            _ if self.known.len() > 1 => self.remove(&name).await,
            _ => self.write(&name).await,
        }
    }

    async fn check(&self, seed: u64, step: u64) {
        for (name, Known { log, from, .. }) in &self.known {
            for recorded in &log.commits {
                let point = RestorePoint::Frame(recorded.commit.frame_no);
                let restored = log.restore(point).await;
                let context = format!("seed {seed}, step {step}: {name} at {point}");
                if recorded.commit.frame_no >= *from {
                    assert!(
                        restored.unwrap_or_else(|error| panic!("{context}: {error}")) == recorded.file,
                        "{context}"
                    );
                } else {
                    assert!(matches!(restored, Err(Error::Unreachable(_))), "{context}: {restored:?}");
                }
            }
            let last = log.commits.last().unwrap();
            for point in [RestorePoint::Latest, RestorePoint::Time(last.commit.time)] {
                assert!(
                    log.restore(point).await.unwrap() == last.file,
                    "seed {seed}, step {step}: {name} {point}"
                );
            }
        }
        for name in self.kept.keys() {
            let namespace = Namespace::new(name.as_str()).unwrap();
            assert!(matches!(Timeline::load(&self.bucket, &namespace).await, Err(Error::NotFound { .. })));
        }
    }

    async fn run(mut self, seed: u64, steps: u64) {
        for step in 0..steps {
            self.step(step).await;
            self.check(seed, step).await;
        }
        for known in self.known.values() {
            let report = verify(&self.bucket, &known.log.namespace, true).await.unwrap();
            assert!(report.problems.is_empty(), "seed {seed}: {:?}", report.problems);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_forked_detached_and_deleted_the_others_stay_what_they_were() {
    let seeds = std::env::var("WALKEEP_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(60);
    for seed in 0..seeds {
        Scene::new(Arc::new(Memory::new()), seed).await.run(seed, 25).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_in_a_directory() {
    for seed in 1000..1006 {
        let directory = tempfile::tempdir().unwrap();
        let fs = Fs::new(FsConfig::open(directory.path()).unwrap());
        Scene::new(Arc::new(fs), seed).await.run(seed, 15).await;
    }
}
