//! Followers beside writing, compacting and collecting, against a model: each operation may be cut off at any call to the
//! store.
//!
//! After each step each position is what the model says; a group within its cap is given every commit behind each of its
//! positions, and the database that its changes build is the recorded one at each of them, byte for byte. Where commits are
//! gone, the group was past its cap, is marked, and is told where it can go on.
//!
//! 400 lives run; `WALKEEP_LIVES=20000 cargo test --release --test followers_model` runs more.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use walkeep::backends::Memory;
use walkeep::compact::{CompactOptions, Compactor, Identity, LogReduction, Strategy, Tiered};
use walkeep::core::manifest::Cap;
use walkeep::core::{Error, FrameNo, GroupName, Manifest, MemberName, PageSize};
use walkeep::followers::{Begin, Change, Followers};
use walkeep::gc::{self, GcOptions};
use walkeep::{Bucket, Handles, RestorePoint, Timeline, retain};
use walkeep_tests::cut_off::{Cut, CutOff};
use walkeep_tests::handles::{SeededRandom, TestClock, handles};
use walkeep_tests::history::History;
use walkeep_tests::promise_model::{Promises, retention};
use walkeep_tests::recorded::frame_no;
use walkeep_tests::sim_directory::SimDirectory;

type Store = CutOff<Memory>;

/// A group as its user knows it.
#[derive(Clone, Debug)]
struct Model {
    from: u64,
    cap: Cap,
    /// What each member has acknowledged last.
    members: BTreeMap<MemberName, u64>,
    /// Whether a member has left: what only it needed may be gone.
    left: bool,
}

impl Model {
    fn slowest(&self) -> u64 {
        self.members.values().min().copied().unwrap_or(self.from)
    }
}

struct World {
    random: SeededRandom,
    handles: Handles,
    clock: Arc<TestClock>,
    backend: Arc<Store>,
    bucket: Bucket,
    log: History<Store>,
    /// Raw segments: their ends, times and sizes.
    ends: Vec<(u64, u64, u64)>,
    promises: Promises,
    followers: Followers,
    groups: BTreeMap<GroupName, Model>,
    done: Vec<String>,
    /// How often commits of a group were gone.
    gone: u64,
    /// How often the frontier waited for a group.
    waited: u64,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what was done:\n{}", self.done.join("\n"));
        }
    }
}

const MARCH: u64 = 1_772_323_200_000;

impl World {
    async fn new(seed: u64) -> Self {
        let (handles, clock) = handles(MARCH + seed % 86_400_000, seed);
        let backend = Arc::new(CutOff::new(Memory::with_clock(Arc::clone(&clock) as _)));
        let bucket = Bucket::new(Arc::clone(&backend), None).unwrap();
        let mut log = History::open_in(bucket.clone(), Arc::clone(&backend), PageSize::MIN, seed).await;
        log.handles = handles.clone();
        let wanted = retention(1, seed.is_multiple_of(2).then_some(3), None);
        retain(&bucket, &log.namespace, Some(&wanted)).await.unwrap();
        Self {
            random: SeededRandom::new(seed ^ 0xf011),
            followers: Followers::new(&bucket, &handles),
            handles,
            clock,
            backend,
            bucket,
            log,
            ends: Vec::new(),
            promises: Promises { retention: Some(wanted), ..Promises::from(FrameNo::FIRST) },
            groups: BTreeMap::new(),
            done: Vec::new(),
            gone: 0,
            waited: 0,
        }
    }

    fn below(&self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    fn note(&mut self, what: impl Into<String>) {
        self.done.push(what.into());
    }

    fn maybe_cut(&mut self) -> bool {
        let cut = (self.below(2) == 0).then(|| Cut { at: self.below(12), applied: self.below(2) == 0 });
        if let Some(cut) = cut {
            self.note(format!("  cut at {cut:?}"));
        }
        self.backend.cut(cut);
        cut.is_some()
    }

    async fn manifest(&self) -> Manifest {
        walkeep::newest_manifest(&self.bucket, &self.log.namespace).await.unwrap().unwrap()
    }

    async fn step(&mut self) {
        match self.below(20) {
            0..6 => self.write().await,
            6..8 => self.clock.advance(1000 + self.below(2 * 3_600_000)),
            8..10 => self.compact().await,
            10 => self.create().await,
            11..15 => self.ack().await,
            15 => self.leave().await,
            _ => self.collect().await,
        }
        self.backend.cut(None);
    }

    async fn write(&mut self) {
        let now = self.handles.clock.now().get();
        for _ in 0..=self.below(2) {
            for _ in 0..=self.below(4) {
                let (page, byte) = (1 + self.below(9), self.below(4));
                self.log.fill(u32::try_from(page).unwrap(), u8::try_from(byte).unwrap());
            }
            let size = match self.below(3) {
                0 => 1 + u32::try_from(self.below(9)).unwrap(),
                _ => self.log.highest_written().max(self.log.size()),
            };
            self.log.commit(size, now);
        }
        let key = self.log.store().await.unwrap();
        let path = self.log.path(&key);
        let size = self.backend.inner().objects()[&path].len() as u64;
        self.ends.push((key.end().get(), key.time().get(), size));
        self.note(format!("wrote frames {} to {} at {now}", key.start(), key.end()));
        self.clock.advance(self.below(600_000));
    }

    async fn compact(&mut self) {
        let strategies: [&dyn Strategy; 3] = [&Identity, &LogReduction, &Tiered];
        let which = usize::try_from(self.below(3)).unwrap();
        self.note(format!("compact ({which})"));
        let options = CompactOptions::new(Arc::new(SimDirectory::new()), self.handles.clone());
        let compactor = Compactor::new(&self.bucket, &self.log.namespace, options).unwrap();
        let cut = self.maybe_cut();
        let compacted = compactor.compact(strategies[which], &|_| {}).await;
        assert!(cut || compacted.is_ok(), "{compacted:?}");
    }

    async fn create(&mut self) {
        let name = GroupName::new(format!("g{}", self.below(3))).unwrap();
        let cap = match self.below(3) {
            0 => Cap::default(),
            1 => Cap { age_ms: Some(1 + self.below(6 * 3_600_000)), bytes: None },
            _ => Cap { bytes: Some(1 + self.below(8000)), age_ms: None },
        };
        let begin = match (self.below(3), self.any_commit()) {
            (0, _) => Begin::Oldest,
            (1, _) | (_, None) => Begin::Newest,
            (_, Some(frame)) => Begin::Behind(RestorePoint::Frame(frame)),
        };
        self.note(format!("create {name} {begin:?} {cap:?}"));
        let cut = self.maybe_cut();
        let created = self.followers.create_group(&self.log.namespace, &name, begin, cap).await;
        self.backend.cut(None);
        let manifest = self.manifest().await;
        let frontier = self.promises.frontier;
        let newest = self.log.commits.last().map_or(0, |recorded| recorded.commit.frame_no.get());
        let from = match begin {
            Begin::Oldest => {
                if frontier > 1 {
                    frontier
                } else {
                    0
                }
            }
            Begin::Newest => newest,
            Begin::Behind(RestorePoint::Frame(frame)) => frame.get(),
            Begin::Behind(_) => unreachable!(),
        };
        let was_there = self.groups.contains_key(&name);
        match created {
            Ok(_) => assert!(!was_there && from.max(1) >= frontier),
            Err(Error::AlreadyExists { .. }) => assert!(was_there),
            Err(Error::Invalid { .. } | Error::Unreachable(_)) => assert!(from < frontier),
            Err(error) => assert!(cut, "{error}"),
        }
        if let Some(found) = manifest.followers().get(&name).filter(|_| !was_there) {
            assert_eq!((found.from.map_or(0, FrameNo::get), found.cap()), (from, cap));
            self.groups.insert(name, Model { from, cap, members: BTreeMap::new(), left: false });
        }
    }

    fn any_commit(&self) -> Option<FrameNo> {
        let count = self.log.commits.len() as u64;
        (count > 0).then(|| self.log.commits[usize::try_from(self.below(count)).unwrap()].commit.frame_no)
    }

    fn any_group(&self) -> Option<GroupName> {
        let count = self.groups.len() as u64;
        (count > 0)
            .then(|| self.groups.keys().nth(usize::try_from(self.below(count)).unwrap()).unwrap().clone())
    }

    async fn ack(&mut self) {
        let Some(group) = self.any_group() else { return };
        let member = MemberName::new(format!("m{}", self.below(2))).unwrap();
        let newest = self.log.commits.last().map_or(0, |recorded| recorded.commit.frame_no.get());
        // Also frames that end no commit, and beyond what is durable.
        let frame = frame_no(1 + self.below(newest + 2));
        let namespace = self.log.namespace.clone();
        self.note(format!("{group}/{member} acknowledges {frame}"));
        let cut = self.maybe_cut();
        let acked = self.followers.ack(&namespace, &group, &member, frame).await;
        self.backend.cut(None);
        let frontier = self.promises.frontier;
        let model = self.groups.get_mut(&group).unwrap();
        let had = model.members.get(&member).copied();
        let refused = frame.get() > newest
            || frame.get() < had.unwrap_or(model.from)
            || (had.is_none() && frame.get() < frontier);
        match &acked {
            Ok(()) => assert!(!refused, "{frame} was taken"),
            Err(Error::Invalid { .. }) => assert!(refused, "{acked:?}"),
            Err(error) => assert!(cut, "{error}"),
        }
        let positions = self.followers.positions(&namespace, &group).await.unwrap();
        let found = positions.get(&member).map(|found| found.get());
        if acked.is_ok() || found == Some(frame.get()) {
            assert!(!refused || had == Some(frame.get()));
            model.members.insert(member, frame.get());
        }
    }

    async fn leave(&mut self) {
        let Some(group) = self.any_group() else { return };
        let namespace = self.log.namespace.clone();
        let member = self.groups[&group].members.keys().next().cloned().filter(|_| self.below(2) == 0);
        self.note(format!("{group}/{member:?} leaves"));
        let cut = self.maybe_cut();
        let left = match &member {
            Some(member) => self.followers.remove_member(&namespace, &group, member).await,
            None => self.followers.delete_group(&namespace, &group).await.map(drop),
        };
        self.backend.cut(None);
        assert!(cut || left.is_ok(), "{left:?}");
        let manifest = self.manifest().await;
        match (manifest.followers().get(&group), member) {
            (None, _) => drop(self.groups.remove(&group)),
            (Some(found), Some(member)) if !found.members.contains_key(&member) => {
                let model = self.groups.get_mut(&group).unwrap();
                model.members.remove(&member);
                model.left = true;
            }
            _ => assert!(cut),
        }
    }

    /// How far the frontier may rise, by the plainest reading of what a cap is.
    fn limit(&self, now: u64) -> u64 {
        let allowed = |model: &Model| {
            let old = |age: u64| {
                self.ends.iter().filter(move |(_, time, _)| now - time > age).map(|(end, ..)| *end)
            };
            let full = |bytes: u64| {
                let behind = |end: u64| {
                    self.ends.iter().filter(move |(other, ..)| *other > end).map(|(.., size)| *size)
                };
                let fits = self
                    .ends
                    .iter()
                    .map(|(end, ..)| *end)
                    .filter(move |end| behind(*end).sum::<u64>() <= bytes);
                if behind(0).sum::<u64>() <= bytes { 0 } else { fits.min().unwrap() }
            };
            let aged = model.cap.age_ms.and_then(|age| old(age).max()).unwrap_or(0);
            model.slowest().max(aged).max(model.cap.bytes.map_or(0, full))
        };
        self.groups.values().map(allowed).min().unwrap_or(u64::MAX)
    }

    async fn collect(&mut self) {
        let namespace = self.log.namespace.clone();
        let grace = Duration::from_secs(self.below(3) * 1800);
        let now = self.handles.clock.now().get();
        self.note(format!("collect with {grace:?} of grace at {now}"));
        let cut = self.maybe_cut();
        let outcome = gc::collect(&self.bucket, &namespace, &GcOptions { grace }, &self.handles).await;
        self.backend.cut(None);
        let manifest = self.manifest().await;
        let ends = self.ends.iter().map(|(end, time, _)| (*end, *time)).collect::<Vec<_>>();
        let next = self.promises.collected_up_to(self.limit(now), &ends, now);
        if next.are_those_of(&manifest) {
            self.waited += u64::from(next.frontier < self.promises.collected(&ends, now).frontier);
            for (name, model) in &self.groups {
                // Who is behind the frontier now is marked, and by how much.
                let passed = next.frontier > self.promises.frontier && model.slowest() < next.frontier;
                let until = manifest.followers()[name].evicted.map(|evicted| evicted.until.get());
                assert!(!passed || until == Some(next.frontier), "{name} is not marked");
                assert!(!passed || !model.cap.is_unlimited(), "{name} has no cap, and was passed");
            }
            self.promises = next;
        } else {
            assert!(cut && outcome.is_err(), "{outcome:?}: {next:?} is not what {manifest:?} says");
        }
        assert!(self.promises.are_those_of(&manifest), "{:?} {manifest:?}", self.promises);
    }

    /// Each follower is given what it needs, or told that it cannot be.
    async fn check(&mut self) {
        let namespace = self.log.namespace.clone();
        for (group, model) in self.groups.clone() {
            let positions = self.followers.positions(&namespace, &group).await.unwrap();
            let positions = positions.into_iter().map(|(member, frame)| (member, frame.get()));
            assert_eq!(positions.collect::<BTreeMap<_, _>>(), model.members, "{group}");
            let late = MemberName::new("late").unwrap();
            let asked = model.members.keys().cloned().chain([late]).collect::<Vec<_>>();
            for member in asked {
                let position = model.members.get(&member).copied().unwrap_or(model.from);
                let limit = 1 + usize::try_from(self.below(6)).unwrap();
                let poll = self.followers.poll(&namespace, &group, &member, limit).await.unwrap();
                assert_eq!(poll.position.map_or(0, FrameNo::get), position);
                if let Some(gone) = poll.gone {
                    self.gone += u64::from(model.slowest() == position);
                    assert!(
                        position < self.promises.frontier && gone.go_on_at.get() == self.promises.frontier
                    );
                    let begins = model.members.is_empty() && !model.left;
                    let held = begins || model.members.contains_key(&member);
                    assert!(
                        !(held && model.cap.is_unlimited()),
                        "{group}/{member} at {position} lost what it needs"
                    );
                    continue;
                }
                assert!(position.max(1) >= self.promises.frontier);
                self.check_changes(position, limit, &poll.changes).await;
                let newest = self.log.commits.last().map_or(0, |recorded| recorded.commit.frame_no.get());
                assert_eq!(poll.lag.frames, newest.saturating_sub(position));
            }
        }
    }

    /// The changes are the next commits, and build their databases.
    async fn check_changes(&self, position: u64, limit: usize, changes: &[Change]) {
        let behind = self.log.commits.iter().filter(|recorded| recorded.commit.frame_no.get() > position);
        let expected = behind.take(limit).collect::<Vec<_>>();
        let frames = |changes: &[Change]| changes.iter().map(|change| change.commit).collect::<Vec<_>>();
        assert_eq!(frames(changes), expected.iter().map(|recorded| recorded.commit).collect::<Vec<_>>());
        let before =
            self.log.commits.iter().rev().find(|recorded| recorded.commit.frame_no.get() <= position);
        let mut file = before.map_or_else(Vec::new, |recorded| recorded.file.to_vec());
        for (change, recorded) in changes.iter().zip(expected) {
            let page_bytes = PageSize::MIN.bytes();
            file.truncate(change.smallest_size.as_usize() * page_bytes);
            file.resize(change.commit.size_after.as_usize() * page_bytes, 0);
            let images = change.images().try_collect::<Vec<_>>().await.unwrap();
            assert!(images.iter().map(|(page, _)| *page).eq(change.pages()));
            for (page, image) in images {
                file[page.index() * page_bytes..][..page_bytes].copy_from_slice(&image);
            }
            assert!(file == recorded.file, "the changes of frame {} differ", change.commit.frame_no);
        }
    }

    /// Nothing that belongs to nobody is left behind, and nothing else is missing.
    async fn end(&mut self) {
        self.clock.advance(3 * 3_600_000);
        self.collect_all().await;
        self.check().await;
        let namespace = self.log.namespace.clone();
        let options = GcOptions { grace: Duration::from_secs(3600) };
        let again = gc::plan(&self.bucket, &namespace, &options, &self.handles).await.unwrap();
        assert_eq!(again.going().count(), 0, "{again:?}");
        assert!(!again.verdicts.iter().any(|verdict| verdict.why == gc::Reason::Foreign), "{again:?}");
        let members = self.groups.values().map(|model| model.members.len()).sum::<usize>();
        let stored = self.backend.inner().objects();
        let acknowledged = stored.keys().filter(|path| path.as_str().contains("/followers/")).count();
        assert!(acknowledged <= members, "{acknowledged} acknowledgements of {members} members");
        for recorded in &self.log.commits {
            let restored = self.log.restore(RestorePoint::Frame(recorded.commit.frame_no)).await;
            if self.promises.hold(recorded.commit.frame_no) {
                assert!(restored.unwrap() == recorded.file);
            }
        }
        assert!(Timeline::load(&self.bucket, &namespace).await.unwrap().ignored().foreign == 0);
    }

    async fn collect_all(&mut self) {
        let namespace = self.log.namespace.clone();
        let now = self.handles.clock.now().get();
        let options = GcOptions { grace: Duration::from_secs(3600) };
        gc::collect(&self.bucket, &namespace, &options, &self.handles).await.unwrap();
        let ends = self.ends.iter().map(|(end, time, _)| (*end, *time)).collect::<Vec<_>>();
        self.promises = self.promises.collected_up_to(self.limit(now), &ends, now);
    }
}

async fn life(seed: u64) -> (u64, u64) {
    let mut world = World::new(seed).await;
    for _ in 0..15 + seed % 40 {
        world.step().await;
        world.check().await;
    }
    world.end().await;
    (world.gone, world.waited)
}

#[test]
fn followers_within_their_caps_lose_nothing_and_the_others_are_told() {
    let count = std::env::var("WALKEEP_LIVES").ok().map_or(400, |count| count.parse().unwrap());
    let (mut gone, mut waited) = (0, 0);
    for seed in 0..count {
        let lived = std::panic::catch_unwind(|| {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_time().start_paused(true).build().unwrap().block_on(life(seed))
        });
        let Ok((lost, held)) = lived else { panic!("life {seed} failed: see above") };
        gone += lost;
        waited += held;
    }
    println!("{gone} polls of slowest members found commits gone, {waited} collections waited for followers");
    assert!(
        gone >= count / 4 && waited >= count / 4,
        "{gone} {waited}: the test does not try what it is for"
    );
}
