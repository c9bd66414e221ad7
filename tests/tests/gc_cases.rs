//! What a collection keeps, drops and refuses, one case at a time. Whole lives are in `lifecycle`, races in `gc_race`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use walkeep::backends::Memory;
use walkeep::core::{
    Backend, Body, ByteRange, Error, ObjectMeta, ObjectPath, PageSize, Period, PinName, RestorePoint,
    Retention, SegmentKey, Tier, UnixMillis, Unreachable,
};
use walkeep::gc::{GcOptions, Reason, collect, plan};
use walkeep::verify::verify;
use walkeep::{Bucket, Handles, Timeline, pin, retain};
use walkeep_tests::handles::{TestClock, handles};
use walkeep_tests::history::History;
use walkeep_tests::recorded::frame_no;

const HOUR: u64 = 3_600_000;

/// 2026-03-01T00:00:00Z.
const MARCH: u64 = 1_772_323_200_000;

const OPTIONS: GcOptions = GcOptions { grace: Duration::from_secs(60) };

/// A namespace, the clock of this machine, and that of the store.
struct Scene {
    log: History<Memory>,
    handles: Handles,
    ours: Arc<TestClock>,
    theirs: Arc<TestClock>,
}

impl Scene {
    async fn new() -> Self {
        let (handles, ours) = handles(MARCH, 1);
        let theirs = Arc::new(TestClock::at(MARCH));
        let memory = Arc::new(Memory::with_clock(Arc::clone(&theirs) as _));
        Self { log: History::open(memory, PageSize::MIN, 1).await, handles, ours, theirs }
    }

    /// Commits at these hours, each a segment of one frame.
    async fn with_commits(hours: &[u64]) -> Self {
        let mut scene = Self::new().await;
        for hour in hours {
            scene.commit(*hour).await;
        }
        scene
    }

    /// Sets both clocks to so many hours behind the begin of March.
    fn at_hour(&self, hour: u64) {
        self.ours.set(MARCH + hour * HOUR);
        self.theirs.set(MARCH + hour * HOUR);
    }

    async fn commit(&mut self, hour: u64) -> SegmentKey {
        self.at_hour(hour);
        self.log.fill(1, u8::try_from(self.log.commits.len() + 1).unwrap());
        self.log.commit(1, MARCH + hour * HOUR);
        self.log.store().await.unwrap()
    }

    async fn retain(&self, all_hours: u64, tiers: &[(Period, u64)]) {
        let tiers = tiers.iter().map(|(each, hours)| Tier { each: *each, for_ms: hours * HOUR });
        let retention = Retention::new(Duration::from_secs(all_hours * 3600), tiers.collect()).unwrap();
        retain(&self.log.bucket, &self.log.namespace, Some(&retention)).await.unwrap();
    }

    async fn pin(&self, name: &str, frame: u64, expires: Option<u64>) {
        let (bucket, namespace) = (&self.log.bucket, &self.log.namespace);
        let (name, point) = (PinName::new(name).unwrap(), RestorePoint::Frame(frame_no(frame)));
        let expires = expires.map(|hour| UnixMillis(MARCH + hour * HOUR));
        pin(bucket, namespace, &name, point, expires, &self.handles).await.unwrap();
    }

    /// Collects. Returns how many objects were deleted.
    async fn collect(&self) -> Result<usize, Error> {
        let (bucket, namespace) = (&self.log.bucket, &self.log.namespace);
        collect(bucket, namespace, &OPTIONS, &self.handles).await.map(|collected| collected.deleted)
    }

    /// The number of the commit that answers a time.
    async fn at(&self, hours: f64) -> Result<u64, Unreachable> {
        let time = Duration::from_secs_f64(hours * 3600.0).as_millis();
        let time = RestorePoint::Time(UnixMillis(MARCH + u64::try_from(time).unwrap()));
        match self.log.view(time).await {
            Ok(view) => Ok(view.commit().frame_no.get()),
            Err(Error::Unreachable(unreachable)) => Err(*unreachable),
            Err(error) => panic!("{error}"),
        }
    }

    /// The commits that are named beside a time that is not answered.
    async fn beside(&self, hours: f64) -> (Option<u64>, Option<u64>) {
        neighbours(&self.at(hours).await.unwrap_err())
    }

    fn objects(&self) -> Vec<ObjectPath> {
        self.log.backend.objects().into_keys().collect()
    }
}

fn neighbours(unreachable: &Unreachable) -> (Option<u64>, Option<u64>) {
    (unreachable.before.map(|near| near.frame_no.get()), unreachable.after.map(|near| near.frame_no.get()))
}

/// The story: nothing was written for a night. In the morning the state of the evening before is asked for, which was there
/// all the time that every commit is kept for.
#[tokio::test]
async fn every_time_for_which_all_is_kept_is_answered_however_long_nothing_was_written() {
    let scene = Scene::with_commits(&[1, 2, 60]).await;
    scene.retain(24, &[]).await;
    scene.collect().await.unwrap();
    for (hours, commit) in [(36.1, 2), (59.5, 2), (60.0, 3)] {
        assert_eq!(scene.at(hours).await, Ok(commit), "{hours}");
    }
    let gone = scene.at(1.5).await.unwrap_err();
    assert_eq!(neighbours(&gone), (None, Some(2)));
    assert!(gone.why.contains("retention no longer keeps it"), "{}", gone.why);
}

/// Whether the small segments are still there or not: what can be restored does not hang on that.
#[tokio::test]
async fn a_time_whose_commit_was_dropped_is_answered_with_neighbours_that_can_be_restored() {
    let mut scene = Scene::with_commits(&[1, 2, 25, 26, 49, 50, 73, 74, 75]).await;
    scene.retain(2, &[(Period::Day, 1000)]).await;
    scene.collect().await.unwrap();
    for merged in [false, true] {
        if merged {
            for (start, end) in [(1, 2), (3, 4), (5, 6)] {
                scene.log.compact(start, end, 1).await;
            }
            scene.at_hour(76);
            assert_eq!(scene.collect().await.unwrap(), 6);
        }
        for (hours, near) in [(1.0, (None, Some(2))), (25.5, (Some(2), Some(4))), (49.9, (Some(4), Some(6)))]
        {
            assert_eq!(scene.beside(hours).await, near, "{hours}, merged: {merged}");
        }
        for (hours, commit) in [(2.0, 2), (24.9, 2), (26.0, 4), (50.0, 6), (72.9, 6), (75.0, 9)] {
            assert_eq!(scene.at(hours).await, Ok(commit), "{hours}, merged: {merged}");
        }
        for (frame, near) in [(1, (None, Some(2))), (3, (Some(2), Some(4))), (5, (Some(4), Some(6)))] {
            let error = scene.log.restore_frame(frame).await.unwrap_err();
            let Error::Unreachable(gone) = error else { panic!("{error}") };
            assert_eq!(neighbours(&gone), near, "{frame}, merged: {merged}");
        }
    }
}

#[tokio::test]
async fn an_end_that_is_stored_and_not_promised_is_no_neighbour() {
    let mut scene = Scene::with_commits(&[1, 2, 3, 4, 30, 31]).await;
    scene.log.compact(1, 2, 1).await;
    scene.log.compact(3, 4, 1).await;
    scene.retain(2, &[(Period::Day, 1000)]).await;
    scene.at_hour(34);
    assert_eq!(scene.collect().await.unwrap(), 4, "the small segments of what was merged");
    // Commit 2 is the end of a segment; the one that is kept of that day is 4.
    for hours in [1.5, 2.5, 3.5] {
        assert_eq!(scene.beside(hours).await, (None, Some(4)), "{hours}");
    }
}

#[tokio::test]
async fn a_pin_of_the_same_time_stands_before_a_commit_that_was_dropped() {
    let scene = Scene::with_commits(&[1, 1, 30, 40]).await;
    scene.pin("first", 1, None).await;
    scene.retain(2, &[]).await;
    scene.collect().await.unwrap();
    assert_eq!(scene.beside(1.0).await, (Some(1), Some(3)));
    assert!(scene.log.restore_frame(1).await.is_ok());
}

#[tokio::test]
async fn a_point_that_cannot_be_restored_is_not_kept_in_place_of_one_that_can() {
    let mut scene = Scene::with_commits(&[1, 2, 3, 30, 31]).await;
    // A segment ends at 3, and what is before it is lost; behind it everything is whole.
    scene.log.compact(1, 4, 1).await;
    scene.log.delete(scene.log.stored[1]).await;
    scene.retain(2, &[(Period::Day, 1000)]).await;
    scene.at_hour(40);
    scene.collect().await.unwrap();
    assert!(scene.log.restore_frame(1).await.is_ok(), "the last one of its day that can be restored");
    assert!(matches!(scene.log.restore_frame(3).await, Err(Error::Unreachable(_))));
}

#[tokio::test]
async fn a_plan_names_every_object_and_why_it_stays() {
    let mut scene = Scene::with_commits(&[1, 2, 30]).await;
    scene.log.compact(1, 2, 1).await;
    scene.pin("first", 1, Some(40)).await;
    for foreign in ["notes.txt", "segments/notes.txt", "proofs/1.json", "probes/1"] {
        let path = ObjectPath::new(format!("namespaces/shop/{foreign}")).unwrap();
        scene.log.backend.replace(&path, Bytes::new());
    }
    scene.retain(2, &[]).await;
    scene.at_hour(35);

    let before = scene.objects();
    let plan = plan(&scene.log.bucket, &scene.log.namespace, &OPTIONS, &scene.handles).await.unwrap();
    assert_eq!(scene.objects(), before, "looking changes nothing");
    let mut named = plan.verdicts.iter().map(|verdict| verdict.path.clone()).collect::<Vec<_>>();
    named.sort();
    assert_eq!(named, before);
    let why = |path: &str| {
        let found = plan.verdicts.iter().find(|verdict| verdict.path.as_str().ends_with(path)).unwrap();
        (found.why.clone(), found.goes)
    };
    let stored = |at: usize| scene.log.stored[at].to_string();
    assert_eq!(why(&stored(0)), (Reason::Holds(frame_no(1)), false));
    assert_eq!(why(&stored(1)), (Reason::CoveredBy(scene.log.stored[3]), true));
    assert_eq!(why(&stored(2)), (Reason::NotCovered, false));
    assert_eq!(why(&stored(3)), (Reason::NotCovered, false));
    assert_eq!(why("/notes.txt").0, Reason::Foreign);
    assert_eq!(why("segments/notes.txt").0, Reason::Foreign);
    assert_eq!(why("proofs/1.json").0, Reason::Proof);
    assert_eq!(why("probes/1").0, Reason::Probe);
    assert_eq!(plan.going().count(), 1);
    let manifests = plan.verdicts.iter().filter(|verdict| verdict.why == Reason::Manifest);
    assert_eq!(manifests.count(), before.len() - 8);
}

/// Nothing in the store is younger than our clock: only something that is created now shows that the clocks are apart.
#[tokio::test]
async fn clocks_that_are_apart_drop_nothing_and_both_times_are_said() {
    let scene = Scene::with_commits(&[1, 2, 3]).await;
    scene.retain(24, &[]).await;
    let before = scene.objects();
    for (ours, theirs) in [(100, 4), (100, 200)] {
        scene.ours.set(MARCH + ours * HOUR);
        scene.theirs.set(MARCH + theirs * HOUR);
        let error = scene.collect().await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
        for hour in [ours, theirs] {
            let time = UnixMillis(MARCH + hour * HOUR).to_string();
            assert!(error.to_string().contains(&time), "{time}: {error}");
        }
        assert_eq!(scene.objects(), before, "nothing was published, deleted or left behind");
    }
    scene.at_hour(100);
    scene.collect().await.unwrap();
    assert!(scene.log.restore_frame(2).await.is_err() && scene.log.restore_frame(3).await.is_ok());
}

/// A store in which an object is listed, and gone when it is read.
#[derive(Debug)]
struct Vanishing {
    inner: Arc<Memory>,
    gone: ObjectPath,
}

#[async_trait]
impl Backend for Vanishing {
    type Config = ();

    fn default_config(&self) {}

    async fn put_new(&self, _: Option<&()>, path: &ObjectPath, body: Body) -> Result<(), Error> {
        self.inner.put_new(None, path, body).await
    }

    async fn get(&self, _: Option<&()>, path: &ObjectPath, range: ByteRange) -> Result<Bytes, Error> {
        if *path == self.gone {
            return Err(Error::not_found(path.as_str()));
        }
        self.inner.get(None, path, range).await
    }

    fn list<'a>(
        &'a self,
        _: Option<&'a ()>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta, Error>> {
        self.inner.list(None, prefix, after, limit)
    }

    fn list_directories<'a>(
        &'a self,
        _: Option<&'a ()>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String, Error>> {
        self.inner.list_directories(None, prefix, after, limit)
    }

    async fn delete(&self, _: Option<&()>, paths: &[ObjectPath]) -> Result<(), Error> {
        self.inner.delete(None, paths).await
    }
}

/// Another collection deletes the segment behind a point that is to be kept: until when the point was the newest would never
/// be known. It is no missing namespace either, which `walkeep gc` passes over.
#[tokio::test]
async fn a_segment_that_another_collection_deletes_meanwhile_is_worth_another_try() {
    let scene = Scene::with_commits(&[1, 2, 30, 60]).await;
    scene.retain(2, &[(Period::Day, 1000)]).await;
    let gone = scene.log.path(&scene.log.stored[2]);
    let vanishing = Vanishing { inner: Arc::clone(&scene.log.backend), gone };
    let bucket = Bucket::new(Arc::new(vanishing), None).unwrap();
    let error = collect(&bucket, &scene.log.namespace, &OPTIONS, &scene.handles).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }) && error.to_string().contains("try again"), "{error}");
    let timeline = Timeline::load(&scene.log.bucket, &scene.log.namespace).await.unwrap();
    assert!(timeline.manifest().kept().is_empty(), "nothing was published");
}

/// A compaction was slow: what it merged was collected before its output was there. The output joins to nothing and promises
/// nothing, so it is no damage; the next collection deletes it.
#[tokio::test]
async fn a_merged_segment_that_comes_too_late_is_no_damage_and_goes() {
    let mut scene = Scene::with_commits(&[1, 2, 3, 50, 60, 61]).await;
    let late = scene.log.compacted(frame_no(2), frame_no(3), 1).unwrap();
    scene.retain(2, &[]).await;
    scene.log.compact(1, 4, 1).await;
    scene.at_hour(62);
    assert_eq!(scene.collect().await.unwrap(), 3, "the first three commits are merged and not kept");
    scene.log.put(&late).await;
    let (bucket, namespace) = (scene.log.bucket.clone(), scene.log.namespace.clone());
    let report = verify(&bucket, &namespace, true).await.unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    scene.at_hour(63);
    assert_eq!(
        scene.collect().await.unwrap(),
        2,
        "with the fourth commit, which is older now than all are kept"
    );
    assert!(!scene.objects().contains(&scene.log.path(&late.summary.key)));
    assert_eq!(scene.collect().await.unwrap(), 0);
}
