//! What followers do, cut off at each of its calls to the store, carried out or not: doing it again ends it, and nothing goes
//! back meanwhile. And many of them at once.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use walkeep::backends::Memory;
use walkeep::core::manifest::Cap;
use walkeep::core::{Error, GroupName, MemberName, PageSize, Retention};
use walkeep::followers::{Begin, Followers};
use walkeep::gc::{GcOptions, collect};
use walkeep::{Bucket, Handles, newest_manifest, retain};
use walkeep_tests::cut_off::{Cut, CutOff};
use walkeep_tests::handles::{SeededRandom, TestClock, handles};
use walkeep_tests::history::History;
use walkeep_tests::recorded::frame_no;

const MARCH: u64 = 1_772_323_200_000;

struct Scene {
    log: History<CutOff<Memory>>,
    handles: Handles,
    clock: Arc<TestClock>,
    followers: Followers,
    group: GroupName,
    member: MemberName,
}

impl Scene {
    /// Eight commits, one an hour, a frame each.
    async fn new() -> Self {
        let (handles, clock) = handles(MARCH, 1);
        let backend = Arc::new(CutOff::new(Memory::with_clock(Arc::clone(&clock) as _)));
        let mut log = History::open(backend, PageSize::MIN, 1).await;
        log.handles = handles.clone();
        for byte in 1..=8 {
            clock.advance(3_600_000);
            log.fill(1, byte);
            log.commit(1, handles.clock.now().get());
            log.store().await.unwrap();
        }
        let followers = Followers::new(&log.bucket, &handles);
        let (group, member) = (GroupName::new("g").unwrap(), MemberName::new("m").unwrap());
        Self { log, handles, clock, followers, group, member }
    }

    async fn create(&self) -> Result<(), Error> {
        let begin = Begin::Behind(walkeep::RestorePoint::Frame(frame_no(2)));
        let cap = Cap::default();
        self.followers.create_group(&self.log.namespace, &self.group, begin, cap).await.map(drop)
    }

    async fn ack(&self, frame: u64) -> Result<(), Error> {
        self.followers.ack(&self.log.namespace, &self.group, &self.member, frame_no(frame)).await
    }

    async fn position(&self) -> u64 {
        let position = self.followers.position(&self.log.namespace, &self.group, &self.member).await;
        position.unwrap().map_or(0, |frame| frame.get())
    }

    async fn collect(&self) -> Result<(), Error> {
        let options = GcOptions { grace: Duration::ZERO };
        collect(&self.log.bucket, &self.log.namespace, &options, &self.handles).await.map(drop)
    }

    async fn poll(&self) -> Vec<u64> {
        let poll = self.followers.poll(&self.log.namespace, &self.group, &self.member, 99).await.unwrap();
        assert_eq!(poll.gone, None);
        poll.changes.iter().map(|change| change.commit.frame_no.get()).collect()
    }
}

/// Does `work` once for each call to the store that it makes, cut off there, and looks what is then.
async fn sweep(
    prepare: impl AsyncFn(&mut Scene),
    work: impl AsyncFn(&Scene) -> Result<(), Error>,
    check: impl AsyncFn(&Scene, bool),
) -> u64 {
    let mut scene = Scene::new().await;
    prepare(&mut scene).await;
    scene.log.backend.cut(None);
    work(&scene).await.unwrap();
    let calls = scene.log.backend.cut(None);
    for at in 0..calls {
        for applied in [false, true] {
            let mut scene = Scene::new().await;
            prepare(&mut scene).await;
            scene.log.backend.cut(Some(Cut { at, applied }));
            let cut = work(&scene).await;
            scene.log.backend.cut(None);
            check(&scene, false).await;
            let again = work(&scene).await;
            let settled = matches!(again, Ok(()) | Err(Error::AlreadyExists { .. } | Error::NotFound { .. }));
            assert!(settled, "{cut:?}, then {again:?}");
            check(&scene, true).await;
        }
    }
    calls
}

#[tokio::test(start_paused = true)]
async fn creating_joining_acknowledging_and_leaving_can_be_cut_off_anywhere() {
    let created = sweep(
        async |_| (),
        async |scene| scene.create().await,
        async |scene, ended| {
            let there = scene.followers.groups(&scene.log.namespace).await.unwrap();
            assert!(!ended || there[&scene.group].from == Some(frame_no(2)));
        },
    );
    let joined = sweep(
        async |scene| scene.create().await.unwrap(),
        async |scene| scene.ack(3).await,
        async |scene, ended| {
            let position = scene.position().await;
            assert!(position == 3 || (!ended && position == 2));
        },
    );
    let acknowledged = sweep(
        async |scene| {
            scene.create().await.unwrap();
            scene.ack(3).await.unwrap();
            scene.ack(4).await.unwrap();
        },
        async |scene| scene.ack(6).await,
        async |scene, ended| {
            let position = scene.position().await;
            assert!(position == 6 || (!ended && position == 4));
            assert_eq!(scene.poll().await, (position + 1..=8).collect::<Vec<_>>());
        },
    );
    let left = sweep(
        async |scene| {
            scene.create().await.unwrap();
            scene.ack(3).await.unwrap();
            scene.ack(4).await.unwrap();
        },
        async |scene| scene.followers.remove_member(&scene.log.namespace, &scene.group, &scene.member).await,
        async |scene, ended| {
            let position = scene.position().await;
            assert!(position == 2 || (!ended && position == 4));
        },
    );
    let deleted = sweep(
        async |scene| {
            scene.create().await.unwrap();
            scene.ack(3).await.unwrap();
            scene.ack(4).await.unwrap();
        },
        async |scene| scene.followers.delete_group(&scene.log.namespace, &scene.group).await.map(drop),
        async |scene, ended| {
            let groups = scene.followers.groups(&scene.log.namespace).await.unwrap();
            assert!(groups.is_empty() || !ended);
            if ended {
                // The name is free, and nothing of the former life counts.
                scene.create().await.unwrap();
                assert_eq!(scene.position().await, 2);
            }
        },
    );
    for calls in [created.await, joined.await, acknowledged.await, left.await, deleted.await] {
        assert!(calls >= 4, "{calls} calls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_collection_that_is_cut_off_anywhere_takes_nothing_that_a_follower_needs() {
    let calls = sweep(
        async |scene| {
            scene.create().await.unwrap();
            for frame in [3, 4, 5] {
                scene.ack(frame).await.unwrap();
            }
            scene.log.compact(1, 8, 1).await;
            let retention = Retention::new(Duration::from_secs(3600), Vec::new()).unwrap();
            retain(&scene.log.bucket, &scene.log.namespace, Some(&retention)).await.unwrap();
            scene.clock.advance(1000);
        },
        async |scene| scene.collect().await,
        async |scene, ended| {
            assert_eq!(scene.position().await, 5);
            assert_eq!(scene.poll().await, [6, 7, 8]);
            let newest = newest_manifest(&scene.log.bucket, &scene.log.namespace).await.unwrap().unwrap();
            assert!(newest.frontier() == frame_no(5) || (!ended && newest.frontier() == frame_no(1)));
            let objects = scene.log.backend.inner().objects();
            let acknowledged = objects.keys().filter(|path| path.as_str().contains("/followers/")).count();
            assert!(!ended || acknowledged == 1);
        },
    )
    .await;
    assert!(calls >= 8, "{calls} calls");
}

/// Eight threads acknowledge ten thousand times each, a third of it frames that were acknowledged before; every five hundred
/// they are killed, and begin anew with what the store has. `WALKEEP_ACKS` chooses another number.
#[test]
fn eight_threads_of_acknowledgements_come_out_as_the_model_says() {
    const THREADS: u64 = 8;
    const FRAMES: u64 = 20_000;
    let each = std::env::var("WALKEEP_ACKS").ok().map_or(10_000, |count| count.parse::<u64>().unwrap());
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (handles, _) = handles(MARCH, 1);
    let memory = Arc::new(Memory::new());
    let mut log = runtime().block_on(History::open(Arc::clone(&memory), PageSize::MIN, 1));
    runtime().block_on(async {
        for frame in 1..=FRAMES {
            log.fill(1, u8::try_from(frame % 251).unwrap());
            log.commit(1, MARCH);
            if frame % 1000 == 0 {
                log.store().await.unwrap();
            }
        }
    });
    let namespace = log.namespace.clone();
    let groups = ["a", "b"].map(|name| GroupName::new(name).unwrap());
    let bucket = Bucket::new(memory, None).unwrap();
    for group in &groups {
        let followers = Followers::new(&bucket, &handles);
        runtime().block_on(followers.create_group(&namespace, group, Begin::Oldest, Cap::default())).unwrap();
    }
    // Members are shared by all threads, so that they race.
    let model = Mutex::new(BTreeMap::<(GroupName, MemberName), u64>::new());
    let refused = Mutex::new(0_u64);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (bucket, handles, namespace, groups) = (&bucket, &handles, &namespace, &groups);
            let (model, refused) = (&model, &refused);
            scope.spawn(move || {
                let random = SeededRandom::new(thread);
                let runtime = runtime();
                let mut followers = Followers::new(bucket, handles);
                for turn in 0..each {
                    if turn % 500 == 499 {
                        followers = Followers::new(bucket, handles);
                    }
                    let group = &groups[usize::try_from(random.below(2)).unwrap()];
                    let member = MemberName::new(format!("m{}", random.below(6))).unwrap();
                    let key = (group.clone(), member.clone());
                    let reached = model.lock().unwrap().get(&key).copied().unwrap_or(0);
                    let frame = match random.below(3) {
                        0 => 1 + random.below(reached.max(1)),
                        _ => (reached + 1 + random.below(4)).min(FRAMES),
                    };
                    let acked = runtime.block_on(followers.ack(namespace, group, &member, frame_no(frame)));
                    match acked {
                        Ok(()) => {
                            let mut model = model.lock().unwrap();
                            let reached = model.entry(key).or_default();
                            *reached = frame.max(*reached);
                        }
                        Err(Error::Invalid { .. }) => {
                            // What is refused is lower than what has been acknowledged by now.
                            let position = followers.position(namespace, group, &member);
                            let position = runtime.block_on(position).unwrap().unwrap();
                            assert!(frame < position.get(), "{frame} was refused at {position}");
                            *refused.lock().unwrap() += 1;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let (model, refused) = (model.into_inner().unwrap(), refused.into_inner().unwrap());
    assert!(refused > THREADS * each / 10, "{refused} were refused");
    for group in &groups {
        let followers = Followers::new(&bucket, &handles);
        let positions = runtime().block_on(followers.positions(&namespace, group)).unwrap();
        for (member, frame) in positions {
            assert_eq!(model[&(group.clone(), member.clone())], frame.get(), "{group}/{member}");
        }
    }
}
