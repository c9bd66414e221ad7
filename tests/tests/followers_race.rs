//! Followers in two processes, and a collection: what one does is interrupted by the other at each of its calls.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use walkeep::backends::Memory;
use walkeep::core::manifest::{Cap, Group};
use walkeep::core::{Error, FrameNo, GroupName, MemberName, PageSize, Retention};
use walkeep::followers::{Begin, Followers, Poll};
use walkeep::gc::{GcOptions, collect};
use walkeep::{Bucket, Handles, RestorePoint, retain};
use walkeep_tests::handles::{TestClock, handles};
use walkeep_tests::history::History;
use walkeep_tests::interrupted::Interrupted;
use walkeep_tests::recorded::frame_no;

/// 2026-03-01T00:00:00Z.
const MARCH: u64 = 1_772_323_200_000;

const MINUTE: u64 = 60_000;

const CAP: Cap = Cap { age_ms: Some(2 * MINUTE), bytes: None };

/// A log of eight commits, one a minute, each a segment of one frame, and a group behind the second.
struct Scene {
    log: History<Memory>,
    clock: Arc<TestClock>,
    handles: Handles,
    /// What the one process calls: it is interrupted.
    ours: (Arc<Interrupted<Memory>>, Bucket),
}

fn group() -> GroupName {
    GroupName::new("g").unwrap()
}

fn member() -> MemberName {
    MemberName::new("m").unwrap()
}

impl Scene {
    async fn new(cap: Cap) -> Self {
        let (handles, clock) = handles(MARCH, 1);
        let memory = Arc::new(Memory::with_clock(Arc::clone(&clock) as _));
        let mut log = History::open(Arc::clone(&memory), PageSize::MIN, 1).await;
        log.handles = handles.clone();
        for byte in 1..=8 {
            clock.advance(MINUTE);
            log.fill(1, byte);
            log.commit(1, log.handles.clock.now().get());
            log.store().await.unwrap();
        }
        let backend = Arc::new(Interrupted::over(memory));
        let ours = (Arc::clone(&backend), Bucket::new(backend, None).unwrap());
        let scene = Self { log, clock, handles, ours };
        create(&scene.theirs(), cap).await.unwrap();
        scene
    }

    /// As the one process sees it.
    fn ours(&self) -> Followers {
        Followers::new(&self.ours.1, &self.handles)
    }

    /// As the other one does.
    fn theirs(&self) -> Process {
        let (bucket, handles) = (self.log.bucket.clone(), self.handles.clone());
        Process { followers: Followers::new(&bucket, &handles), bucket, handles }
    }

    async fn compact_and_keep_a_minute(&mut self) {
        self.log.compact(1, 6, 1).await;
        let retention = Retention::new(Duration::from_secs(60), Vec::new()).unwrap();
        retain(&self.log.bucket, &self.log.namespace, Some(&retention)).await.unwrap();
        self.clock.advance(1000);
    }
}

/// The other process.
struct Process {
    followers: Followers,
    bucket: Bucket,
    handles: Handles,
}

impl Process {
    async fn ack(&self, frame: u64) {
        self.followers.ack(&"shop".parse().unwrap(), &group(), &member(), frame_no(frame)).await.unwrap();
    }

    async fn position(&self) -> Option<u64> {
        let position = self.followers.position(&"shop".parse().unwrap(), &group(), &member()).await;
        position.unwrap().map(FrameNo::get)
    }

    async fn poll(&self) -> Poll {
        self.followers.poll(&"shop".parse().unwrap(), &group(), &member(), 99).await.unwrap()
    }

    async fn collect(&self) {
        let options = GcOptions { grace: Duration::ZERO };
        collect(&self.bucket, &"shop".parse().unwrap(), &options, &self.handles).await.unwrap();
    }

    /// Deletes the group, and creates and joins it again.
    async fn replace(&self) {
        match self.followers.delete_group(&"shop".parse().unwrap(), &group()).await {
            Ok(_) | Err(Error::NotFound { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        create(self, Cap::default()).await.unwrap();
        self.ack(3).await;
        self.ack(4).await;
    }
}

async fn create(process: &Process, cap: Cap) -> Result<Group, Error> {
    let begin = Begin::Behind(RestorePoint::Frame(frame_no(2)));
    process.followers.create_group(&"shop".parse().unwrap(), &group(), begin, cap).await
}

fn frames(poll: &Poll) -> Vec<u64> {
    poll.changes.iter().map(|change| change.commit.frame_no.get()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_a_collection_interrupts_tells_all_or_that_some_are_gone() {
    let (mut told, mut all) = (0, 0);
    for at in 0.. {
        let mut scene = Scene::new(CAP).await;
        scene.theirs().ack(2).await;
        scene.compact_and_keep_a_minute().await;
        let theirs = scene.theirs();
        scene.ours.0.interrupt(at, async move { theirs.collect().await });
        let poll = scene.ours().poll(&scene.log.namespace, &group(), &member(), 99).await.unwrap();
        match poll.gone {
            Some(gone) => assert_eq!((gone.go_on_at, frames(&poll)), (frame_no(6), Vec::new()), "at {at}"),
            None => assert_eq!(frames(&poll), [3, 4, 5, 6, 7, 8], "at {at}"),
        }
        told += u64::from(poll.gone.is_some());
        all += u64::from(poll.gone.is_none());
        if !scene.ours.0.was_interrupted() {
            break;
        }
    }
    assert!(told > 3 && all > 1, "{told} {all}");
}

#[tokio::test(start_paused = true)]
async fn who_joins_while_a_collection_is_under_way_loses_nothing() {
    for (at, keeps) in (0..).flat_map(|at| [(at, true), (at, false)]) {
        let mut scene = Scene::new(Cap::default()).await;
        // Somebody else has come far, and what it acknowledged before is left over.
        let other = MemberName::new("other").unwrap();
        for frame in [6, 7] {
            let acked = scene.theirs().followers;
            acked.ack(&scene.log.namespace, &group(), &other, frame_no(frame)).await.unwrap();
        }
        if !keeps {
            scene.compact_and_keep_a_minute().await;
        }
        scene.clock.advance(1000);
        let theirs = scene.theirs();
        scene.ours.0.interrupt(at, async move {
            // Too late once the frontier has passed it: then it is told so.
            let joined =
                theirs.followers.ack(&"shop".parse().unwrap(), &group(), &member(), frame_no(3)).await;
            if joined.is_ok() {
                theirs.ack(4).await;
            } else {
                assert!(matches!(joined, Err(Error::Invalid { .. })), "{joined:?}");
                theirs.ack(6).await;
            }
        });
        let options = GcOptions { grace: Duration::ZERO };
        collect(&scene.ours.1, &scene.log.namespace, &options, &scene.handles).await.unwrap();
        if !scene.ours.0.was_interrupted() {
            break;
        }
        let position = scene.theirs().position().await.unwrap();
        assert!(position == 4 || position == 6, "at {at}: {position}");
        let poll = scene.theirs().poll().await;
        assert!(poll.gone.is_none(), "at {at}");
        assert_eq!(frames(&poll), (position + 1..=8).collect::<Vec<_>>(), "at {at}");
        scene.theirs().collect().await;
        assert_eq!(scene.theirs().position().await, Some(position), "at {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_that_acknowledge_for_one_member_the_one_that_is_further_counts() {
    for at in 0.. {
        let scene = Scene::new(Cap::default()).await;
        scene.theirs().ack(3).await;
        let theirs = scene.theirs();
        scene.ours.0.interrupt(at, async move { theirs.ack(7).await });
        let acked = scene.ours().ack(&scene.log.namespace, &group(), &member(), frame_no(5)).await;
        assert!(matches!(acked, Ok(()) | Err(Error::Invalid { .. })), "at {at}: {acked:?}");
        if !scene.ours.0.was_interrupted() {
            assert_eq!((acked.is_ok(), scene.theirs().position().await), (true, Some(5)));
            break;
        }
        assert_eq!(scene.theirs().position().await, Some(7), "at {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_that_create_one_group_one_is_told_that_it_is_there() {
    for at in 0.. {
        let scene = Scene::new(Cap::default()).await;
        scene.theirs().followers.delete_group(&scene.log.namespace, &group()).await.unwrap();
        let theirs = scene.theirs();
        // If they come later they are told.
        scene.ours.0.interrupt(at, async move { drop(create(&theirs, CAP).await) });
        let ours = Process { followers: scene.ours(), ..scene.theirs() };
        let created = create(&ours, Cap::default()).await;
        let there = scene.theirs().followers.group(&scene.log.namespace, &group()).await.unwrap();
        match created {
            Ok(group) => assert_eq!((group.cap(), there.cap()), (Cap::default(), Cap::default()), "at {at}"),
            Err(Error::AlreadyExists { .. }) => assert_eq!(there.cap(), CAP, "at {at}"),
            Err(error) => panic!("at {at}: {error}"),
        }
        if !scene.ours.0.was_interrupted() {
            break;
        }
    }
}

/// Who deletes a group, or removes a member, means the one that it has seen.
#[tokio::test(start_paused = true)]
async fn what_was_created_anew_meanwhile_is_not_deleted() {
    let (mut replaced, mut ended) = (0, 0);
    for (at, whole) in (0..).flat_map(|at| [(at, true), (at, false)]) {
        let scene = Scene::new(Cap::default()).await;
        scene.theirs().ack(5).await;
        // How many calls it takes to see what is there.
        scene.ours.0.interrupt(u64::MAX, async {});
        scene.ours().group(&scene.log.namespace, &group()).await.unwrap();
        let seen = scene.ours.0.calls();
        let theirs = scene.theirs();
        scene.ours.0.interrupt(at, async move { theirs.replace().await });
        match whole {
            true => drop(scene.ours().delete_group(&scene.log.namespace, &group()).await.unwrap()),
            false => scene.ours().remove_member(&scene.log.namespace, &group(), &member()).await.unwrap(),
        }
        if !scene.ours.0.was_interrupted() {
            ended += 1;
            if ended == 2 {
                break;
            }
            continue;
        }
        if at >= seen && scene.theirs().followers.groups(&scene.log.namespace).await.unwrap().len() == 1 {
            assert_eq!(scene.theirs().position().await, Some(4), "at {at}");
            replaced += 1;
        } else {
            assert!(at < seen, "at {at}: another group was deleted");
        }
    }
    assert!(replaced > 3, "{replaced}");
}
