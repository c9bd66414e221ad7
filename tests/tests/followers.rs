//! Followers, one case at a time: what is acknowledged, what is refused, what a poll and a collection say. Whole lives are in
//! `followers_model`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use walkeep::backends::Memory;
use walkeep::core::manifest::Cap;
use walkeep::core::{Error, FrameNo, GroupName, MemberName, ObjectPath, PageSize, Retention};
use walkeep::followers::{Begin, Followers, Patience, wait_beyond};
use walkeep::gc::{GcOptions, Reason, collect, plan};
use walkeep::{Handles, RestorePoint, fork, newest_manifest, remove, retain};
use walkeep_tests::handles::{TestClock, handles};
use walkeep_tests::history::History;
use walkeep_tests::recorded::frame_no;

const HOUR: u64 = 3_600_000;

/// 2026-03-01T00:00:00Z.
const MARCH: u64 = 1_772_323_200_000;

struct Scene {
    log: History<Memory>,
    handles: Handles,
    clock: Arc<TestClock>,
    followers: Followers,
}

fn group() -> GroupName {
    GroupName::new("search").unwrap()
}

fn member(name: &str) -> MemberName {
    MemberName::new(name).unwrap()
}

impl Scene {
    /// So many commits, one an hour, each a segment of two frames.
    async fn with_commits(count: u64) -> Self {
        let (handles, clock) = handles(MARCH, 1);
        let memory = Arc::new(Memory::with_clock(Arc::clone(&clock) as _));
        let mut log = History::open(memory, PageSize::MIN, 1).await;
        log.handles = handles.clone();
        let followers = Followers::new(&log.bucket, &handles);
        let mut scene = Self { log, handles, clock, followers };
        for _ in 0..count {
            scene.commit().await;
        }
        scene
    }

    async fn commit(&mut self) {
        self.clock.advance(HOUR);
        let byte = u8::try_from(self.log.commits.len() + 1).unwrap();
        self.log.fill(1, byte);
        self.log.fill(2, byte);
        self.log.commit(2, self.handles.clock.now().get());
        self.log.store().await.unwrap();
    }

    async fn create(&self, begin: Begin, cap: Cap) {
        self.followers.create_group(&self.log.namespace, &group(), begin, cap).await.unwrap();
    }

    async fn ack(&self, name: &str, frame: u64) -> Result<(), Error> {
        self.followers.ack(&self.log.namespace, &group(), &member(name), frame_no(frame)).await
    }

    async fn position(&self, name: &str) -> Result<Option<u64>, Error> {
        let position = self.followers.position(&self.log.namespace, &group(), &member(name)).await?;
        Ok(position.map(FrameNo::get))
    }

    /// Compacts what is old, once, keeps an hour, and collects.
    async fn collect(&mut self) {
        // The newest two stay apart, so that they do not keep what is before them.
        let end = self.log.commits.last().unwrap().commit.frame_no.get() - 4;
        if !self.log.stored.iter().any(|key| key.level() > 0) {
            self.log.compact(1, end, 1).await;
        }
        let retention = Retention::new(Duration::from_secs(3600), Vec::new()).unwrap();
        retain(&self.log.bucket, &self.log.namespace, Some(&retention)).await.unwrap();
        self.clock.advance(HOUR / 10);
        let options = GcOptions { grace: Duration::ZERO };
        collect(&self.log.bucket, &self.log.namespace, &options, &self.handles).await.unwrap();
    }

    async fn frontier(&self) -> u64 {
        newest_manifest(&self.log.bucket, &self.log.namespace).await.unwrap().unwrap().frontier().get()
    }

    fn acknowledgements(&self) -> Vec<ObjectPath> {
        let objects = self.log.backend.objects().into_keys();
        objects.filter(|path| path.as_str().contains("/followers/")).collect()
    }
}

fn refused(outcome: Result<(), Error>, says: &[&str]) {
    let Err(Error::Invalid { .. }) = &outcome else { panic!("{outcome:?}") };
    let text = outcome.unwrap_err().to_string();
    assert!(says.iter().all(|part| text.contains(part)), "{text}");
}

#[tokio::test]
async fn a_position_rises_and_does_not_go_back() {
    let scene = Scene::with_commits(5).await;
    scene.create(Begin::Behind(RestorePoint::Frame(frame_no(2))), Cap::default()).await;
    assert_eq!(scene.position("a").await.unwrap(), Some(2), "where the group begins");
    refused(scene.ack("a", 1).await, &["frame 1", "begins at frame 2"]);
    scene.ack("a", 4).await.unwrap();
    scene.ack("a", 4).await.unwrap();
    scene.ack("a", 8).await.unwrap();
    scene.ack("a", 8).await.unwrap();
    refused(scene.ack("a", 7).await, &["frame 7", "has acknowledged frame 8"]);
    refused(scene.ack("a", 4).await, &["frame 4", "has acknowledged frame 8"]);
    refused(scene.ack("a", 11).await, &["frame 11", "durable frame of namespace shop is 10"]);
    scene.ack("b", 10).await.unwrap();
    let positions = scene.followers.positions(&scene.log.namespace, &group()).await.unwrap();
    let positions = positions.into_iter().map(|(member, frame)| (member.to_string(), frame.get()));
    assert_eq!(positions.collect::<Vec<_>>(), [("a".to_string(), 8), ("b".to_string(), 10)]);
    // Another process sees the same.
    let other = Followers::new(&scene.log.bucket, &scene.handles);
    assert_eq!(
        other.position(&scene.log.namespace, &group(), &member("a")).await.unwrap(),
        Some(frame_no(8))
    );
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let scene = Scene::with_commits(1).await;
    let nobody = "nobody".parse().unwrap();
    let begin = Begin::Newest;
    let missing = |outcome: Error| matches!(outcome, Error::NotFound { .. });
    assert!(missing(scene.ack("a", 1).await.unwrap_err()));
    assert!(missing(scene.position("a").await.unwrap_err()));
    let followers = &scene.followers;
    assert!(missing(followers.create_group(&nobody, &group(), begin, Cap::default()).await.unwrap_err()));
    assert!(missing(followers.delete_group(&scene.log.namespace, &group()).await.unwrap_err()));
    assert!(missing(followers.poll(&scene.log.namespace, &group(), &member("a"), 9).await.unwrap_err()));
    assert!(missing(followers.ack(&nobody, &group(), &member("a"), frame_no(1)).await.unwrap_err()));
    scene.create(begin, Cap::default()).await;
    let namespace = &scene.log.namespace;
    let again = followers.create_group(namespace, &group(), begin, Cap::default()).await.unwrap_err();
    assert!(matches!(again, Error::AlreadyExists { .. }));
    assert!(missing(followers.remove_member(namespace, &group(), &member("a")).await.unwrap_err()));
    let none = Cap { bytes: Some(0), age_ms: None };
    let other = GroupName::new("other").unwrap();
    assert!(matches!(
        followers.create_group(namespace, &other, begin, none).await,
        Err(Error::Invalid { .. })
    ));
}

#[tokio::test]
async fn a_group_of_a_namespace_without_commits_begins_before_the_first() {
    let mut scene = Scene::with_commits(0).await;
    scene.create(Begin::Newest, Cap::default()).await;
    assert_eq!(scene.position("a").await.unwrap(), None);
    refused(scene.ack("a", 1).await, &["no frame of namespace shop is durable"]);
    let poll = scene.followers.poll(&scene.log.namespace, &group(), &member("a"), 9).await.unwrap();
    assert!(poll.changes.is_empty() && poll.lag == walkeep::followers::Lag::default());
    scene.commit().await;
    let poll = scene.followers.poll(&scene.log.namespace, &group(), &member("a"), 9).await.unwrap();
    assert_eq!(poll.changes.len(), 1);
}

#[tokio::test]
async fn a_poll_says_what_was_written_and_how_far_behind_it_is() {
    let mut scene = Scene::with_commits(3).await;
    scene.create(Begin::Behind(RestorePoint::Frame(frame_no(2))), Cap::default()).await;
    scene.clock.advance(5000);
    let poll = scene.followers.poll(&scene.log.namespace, &group(), &member("a"), 1).await.unwrap();
    let [change] = &poll.changes[..] else { panic!("{poll:?}") };
    assert_eq!((change.commit.frame_no, change.first_frame, change.frames()), (frame_no(4), frame_no(3), 2));
    assert_eq!(change.pages().map(|page| page.get()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(poll.lag.frames, 4);
    let objects = scene.log.backend.objects();
    let sizes = scene.log.stored[1..].iter().map(|key| objects[&scene.log.path(key)].len() as u64);
    assert_eq!(poll.lag.bytes, sizes.sum::<u64>());
    assert_eq!(poll.lag.age, Duration::from_millis(HOUR + 5000));
    // A transaction that was acknowledged in part is delivered whole.
    scene.ack("a", 3).await.unwrap();
    let poll = scene.followers.poll(&scene.log.namespace, &group(), &member("a"), 1).await.unwrap();
    assert_eq!((poll.changes[0].commit.frame_no, poll.changes[0].frames()), (frame_no(4), 2));
    scene.ack("a", 6).await.unwrap();
    let poll = scene.followers.poll(&scene.log.namespace, &group(), &member("a"), 1).await.unwrap();
    assert!(poll.changes.is_empty() && poll.lag.age == Duration::ZERO && poll.lag.frames == 0);
    scene.commit().await;
    let poll = scene.followers.poll(&scene.log.namespace, &group(), &member("a"), 0).await.unwrap();
    assert!(poll.changes.is_empty() && poll.lag.frames == 2, "nothing was asked for but the lag");
}

#[tokio::test]
async fn a_collection_waits_for_followers_and_says_for_whom() {
    let mut scene = Scene::with_commits(6).await;
    scene.create(Begin::Behind(RestorePoint::Frame(frame_no(2))), Cap::default()).await;
    scene.ack("fast", 12).await.unwrap();
    scene.ack("slow", 5).await.unwrap();
    scene.collect().await;
    assert_eq!(scene.frontier().await, 4, "the last end at or before frame 5");
    let options = GcOptions { grace: Duration::ZERO };
    let plan = plan(&scene.log.bucket, &scene.log.namespace, &options, &scene.handles).await.unwrap();
    let held = plan.held_by.clone().unwrap();
    assert_eq!((held.member, held.position), (Some(member("slow")), Some(frame_no(5))));
    let why = |frame: u64| {
        let path = scene.log.path(scene.log.stored.iter().find(|key| key.end().get() == frame).unwrap());
        plan.verdicts.iter().find(|verdict| verdict.path == path).unwrap().why.to_string()
    };
    assert_eq!(why(8), "follower slow of group search has not come so far yet");
    assert_eq!(why(12), "nothing else has these frames");
    assert!(!plan.verdicts.iter().any(|verdict| verdict.why == Reason::Foreign), "{plan:?}");
    let poll = scene.followers.poll(&scene.log.namespace, &group(), &member("slow"), 99).await.unwrap();
    assert_eq!(
        poll.changes.iter().map(|change| change.commit.frame_no.get()).collect::<Vec<_>>(),
        [6, 8, 10, 12]
    );
    // Who is gone holds nothing.
    scene.followers.remove_member(&scene.log.namespace, &group(), &member("slow")).await.unwrap();
    scene.collect().await;
    assert_eq!(scene.frontier().await, 10);
    refused(scene.ack("slow", 8).await, &["all commits behind frame 10 are kept"]);
}

#[tokio::test]
async fn a_group_past_its_cap_is_told_what_it_lost_and_where_to_go_on() {
    let mut scene = Scene::with_commits(6).await;
    let cap = Cap { age_ms: Some(3 * HOUR), bytes: None };
    scene.create(Begin::Behind(RestorePoint::Frame(frame_no(2))), cap).await;
    scene.ack("a", 2).await.unwrap();
    let poll = async |scene: &Scene| {
        scene.followers.poll(&scene.log.namespace, &group(), &member("a"), 9).await.unwrap()
    };
    assert_eq!(poll(&scene).await.evicted_frames, 0);
    scene.collect().await;
    assert_eq!(scene.frontier().await, 6);
    let lost = poll(&scene).await;
    let gone = lost.gone.unwrap();
    assert_eq!((gone.go_on_at, lost.evicted_frames, lost.changes.len()), (frame_no(6), 4, 0));
    let text = gone.into_error(&scene.log.namespace, lost.position).to_string();
    assert!(text.contains("behind frame 2") && text.contains("frame 6 or later"), "{text}");
    assert_eq!(poll(&scene).await.evicted_frames, 0, "it was told");
    let restarted = Followers::new(&scene.log.bucket, &scene.handles);
    let first = restarted.poll(&scene.log.namespace, &group(), &member("a"), 9).await.unwrap();
    assert!(first.evicted_frames == 0 && first.gone.is_some());
    // It restores frame 6, and goes on.
    scene.log.restore_frame(6).await.unwrap();
    scene.ack("a", 6).await.unwrap();
    assert_eq!(poll(&scene).await.changes[0].commit.frame_no, frame_no(8));
}

#[tokio::test]
async fn old_acknowledgements_go_and_those_of_a_former_life_do_not_count() {
    let mut scene = Scene::with_commits(30).await;
    scene.create(Begin::Oldest, Cap::default()).await;
    for frame in 1..=50 {
        scene.ack("a", frame).await.unwrap();
    }
    let left = scene.acknowledgements();
    assert!(left.len() <= 9, "{left:?}");
    let late = left[0].clone();
    let content = scene.log.backend.objects()[&late].clone();
    scene.collect().await;
    assert_eq!(scene.acknowledgements(), std::slice::from_ref(&late));
    scene.followers.delete_group(&scene.log.namespace, &group()).await.unwrap();
    assert_eq!(scene.acknowledgements(), []);
    scene.create(Begin::Oldest, Cap::default()).await;
    let begin = scene.frontier().await;
    scene.ack("a", begin).await.unwrap();
    // An acknowledgement of the deleted group arrives only now.
    scene.log.backend.replace(&late, content);
    assert_eq!(scene.position("a").await.unwrap(), Some(begin));
    scene.collect().await;
    assert_eq!(scene.acknowledgements(), []);
    assert_eq!(scene.position("a").await.unwrap(), Some(begin));
}

#[tokio::test]
async fn a_damaged_acknowledgement_is_an_error_until_a_larger_one_heals_it() {
    let mut scene = Scene::with_commits(6).await;
    scene.create(Begin::Oldest, Cap::default()).await;
    scene.ack("a", 2).await.unwrap();
    scene.ack("a", 4).await.unwrap();
    let path = scene.acknowledgements().remove(0);
    let good = scene.log.backend.objects()[&path].clone();
    let foreign = Bytes::from_static(b"{}\n");
    let mut flipped = good.to_vec();
    flipped[20] ^= 1;
    for content in [foreign, Bytes::from(flipped)] {
        scene.log.backend.replace(&path, content);
        assert!(matches!(scene.position("a").await, Err(Error::Corrupt(_))));
        assert!(matches!(scene.ack("a", 4).await, Err(Error::Corrupt(_))));
        refused(scene.ack("a", 3).await, &["frame 3", "frame 4"]);
        let options = GcOptions { grace: Duration::ZERO };
        let collected = collect(&scene.log.bucket, &scene.log.namespace, &options, &scene.handles).await;
        assert!(matches!(collected, Err(Error::Corrupt(_))), "{collected:?}");
    }
    scene.ack("a", 6).await.unwrap();
    assert_eq!(scene.position("a").await.unwrap(), Some(6));
    scene.collect().await;
}

/// Commits are lost, and what was merged of them is not: its change still builds the database, where it had shrunk on the way
/// too.
#[tokio::test]
async fn a_change_that_stands_for_lost_commits_builds_the_database() {
    let mut scene = Scene::with_commits(1).await;
    for (pages, size) in [(&[2, 3, 4, 5][..], 5), (&[1], 1), (&[1, 4], 4)] {
        for page in pages {
            scene.log.fill(*page, 90 + u8::try_from(size).unwrap());
        }
        scene.log.commit(size, scene.handles.clock.now().get());
        scene.log.store().await.unwrap();
    }
    let (stored, end) = (scene.log.stored.clone(), scene.log.commits[3].commit.frame_no);
    scene
        .create(Begin::Behind(RestorePoint::Frame(scene.log.commits[1].commit.frame_no)), Cap::default())
        .await;
    scene.log.compact(3, end.get(), 1).await;
    for lost in &stored[1..] {
        scene.log.delete(*lost).await;
    }
    let poll = scene.followers.poll(&scene.log.namespace, &group(), &member("a"), 9).await.unwrap();
    let [change] = &poll.changes[..] else { panic!("{poll:?}") };
    assert_eq!((change.first_frame, change.commit.frame_no), (frame_no(3), end), "from before the position");
    assert!(change.frames() == end.get() - 2 && change.commit.size_after.get() == 4);
    let mut file = scene.log.commits[1].file.to_vec();
    let page_bytes = PageSize::MIN.bytes();
    file.truncate(change.smallest_size.as_usize() * page_bytes);
    file.resize(change.commit.size_after.as_usize() * page_bytes, 0);
    for (page, image) in change.images().try_collect::<Vec<_>>().await.unwrap() {
        file[page.index() * page_bytes..][..page_bytes].copy_from_slice(&image);
    }
    assert!(file == scene.log.commits[3].file);
}

/// A poll that cannot give all commits behind a position gives none, and says what is missing.
#[tokio::test(start_paused = true)]
async fn a_lost_segment_is_named_and_not_passed_over() {
    for (lost, range) in [(1, "3 to 4"), (2, "5 to 6"), (3, "7 to 8")] {
        let mut scene = Scene::with_commits(4).await;
        scene.create(Begin::Behind(RestorePoint::Frame(frame_no(2))), Cap::default()).await;
        // That the newest is lost shows where the next writer began.
        scene.log.reopen(PageSize::MIN).await.unwrap();
        let poll = async |scene: &Scene, name: &str| {
            scene.followers.poll(&scene.log.namespace, &group(), &member(name), 9).await
        };
        assert_eq!(poll(&scene, "a").await.unwrap().changes.len(), 3);
        scene.ack("ahead", 8).await.unwrap();
        scene.log.delete(scene.log.stored[lost]).await;
        let Err(Error::Unreachable(unreachable)) = poll(&scene, "a").await else { panic!("frames {range}") };
        let missing = unreachable.missing.clone().unwrap();
        assert_eq!(format!("{} to {}", missing.start(), missing.end()), range, "{unreachable:?}");
        let text = Error::Unreachable(unreachable).to_string();
        assert!(text.contains("behind a follower's position"), "{text}");
        // Who does not need it goes on.
        assert!(poll(&scene, "ahead").await.unwrap().changes.is_empty());
    }
}

/// How far a log is durable is remembered of that log only.
#[tokio::test]
async fn what_was_durable_in_a_deleted_log_is_not_acknowledged_in_the_next_one() {
    let mut scene = Scene::with_commits(5).await;
    scene.create(Begin::Oldest, Cap::default()).await;
    scene.ack("a", 10).await.unwrap();
    remove(&scene.log.bucket, &scene.log.namespace, &scene.handles).await.unwrap();
    let handles = scene.handles.clone();
    scene.log =
        History::open_in(scene.log.bucket.clone(), Arc::clone(&scene.log.backend), PageSize::MIN, 2).await;
    scene.log.handles = handles;
    scene.commit().await;
    scene.create(Begin::Oldest, Cap::default()).await;
    refused(scene.ack("a", 4).await, &["frame 4", "durable frame of namespace shop is 2"]);
    scene.ack("a", 2).await.unwrap();
}

/// What somebody copies from another member, or another log, is not believed.
#[tokio::test]
async fn an_acknowledgement_of_somebody_else_is_not_believed() {
    let scene = Scene::with_commits(6).await;
    scene.create(Begin::Oldest, Cap::default()).await;
    for (name, frame) in [("a", 2), ("a", 4), ("b", 2), ("b", 6)] {
        scene.ack(name, frame).await.unwrap();
    }
    let paths = scene.acknowledgements();
    let of_b = scene.log.backend.objects()[&paths[1]].clone();
    let forged = paths[1].to_string().replace("/b/", "/a/");
    let generation = |path: &ObjectPath| path.as_str().split('/').nth(5).unwrap().to_string();
    let forged = forged.replace(&generation(&paths[1]), &generation(&paths[0]));
    scene.log.backend.replace(&ObjectPath::new(forged).unwrap(), of_b);
    assert!(matches!(scene.position("a").await, Err(Error::Corrupt(_))));
    assert_eq!(scene.position("b").await.unwrap(), Some(6));
}

#[tokio::test]
async fn a_fork_has_no_followers_of_its_parent_and_a_deleted_namespace_none() {
    let scene = Scene::with_commits(6).await;
    scene.create(Begin::Oldest, Cap::default()).await;
    scene.ack("a", 2).await.unwrap();
    scene.ack("a", 4).await.unwrap();
    let (bucket, child) = (&scene.log.bucket, "child".parse().unwrap());
    fork(bucket, &scene.log.namespace, &child, RestorePoint::Frame(frame_no(8)), &scene.handles)
        .await
        .unwrap();
    assert!(scene.followers.groups(&child).await.unwrap().is_empty());
    let made = scene.followers.create_group(&child, &group(), Begin::Oldest, Cap::default()).await.unwrap();
    assert_eq!(made.from, Some(frame_no(8)));
    let mut forked = scene.log.forked(&child, frame_no(8)).await;
    forked.fill(1, 77);
    forked.commit(2, scene.handles.clock.now().get());
    forked.store().await.unwrap();
    let poll = scene.followers.poll(&child, &group(), &member("x"), 9).await.unwrap();
    assert_eq!(poll.changes.iter().map(|change| change.commit.frame_no.get()).collect::<Vec<_>>(), [9]);
    remove(bucket, &child, &scene.handles).await.unwrap();
    remove(bucket, &scene.log.namespace, &scene.handles).await.unwrap();
    assert_eq!(scene.acknowledgements(), []);
    assert!(matches!(scene.followers.groups(&scene.log.namespace).await, Err(Error::NotFound { .. })));
    assert!(matches!(scene.ack("a", 5).await, Err(Error::NotFound { .. })));
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_the_next_commit_or_the_namespace() {
    let mut scene = Scene::with_commits(1).await;
    let (bucket, namespace) = (scene.log.bucket.clone(), scene.log.namespace.clone());
    let patience = Patience::default();
    assert_eq!(wait_beyond(&bucket, &namespace, None, patience).await.unwrap(), frame_no(2));
    let waiting = {
        let (bucket, namespace) = (bucket.clone(), namespace.clone());
        tokio::spawn(async move { wait_beyond(&bucket, &namespace, Some(frame_no(2)), patience).await })
    };
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!waiting.is_finished());
    scene.commit().await;
    assert_eq!(waiting.await.unwrap().unwrap(), frame_no(4));
    let waiting = {
        let (bucket, namespace) = (bucket.clone(), namespace.clone());
        tokio::spawn(async move { wait_beyond(&bucket, &namespace, Some(frame_no(4)), patience).await })
    };
    tokio::time::sleep(Duration::from_secs(60)).await;
    remove(&bucket, &namespace, &scene.handles).await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(Error::NotFound { .. })));
}
