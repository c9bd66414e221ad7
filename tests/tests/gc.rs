//! Collecting: what a store does not delete, clocks that are apart, and orphans.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use walkeep::backends::{Memory, Metered};
use walkeep::compact::{CompactOptions, Compactor, Identity};
use walkeep::core::{Error, PageSize, RestorePoint, Retention};
use walkeep::gc::{GcOptions, collect, plan};
use walkeep::{Handles, retain};
use walkeep_tests::cut_off::CutOff;
use walkeep_tests::handles::{TestClock, handles};
use walkeep_tests::history::History;
use walkeep_tests::sim_directory::SimDirectory;

const HOUR: u64 = 3_600_000;

struct Scene {
    log: History<CutOff<Memory>>,
    handles: Handles,
    clock: Arc<TestClock>,
}

/// Five segments that are older than retention keeps, of which the last is what there was when its time began; one image of
/// them, and one newer segment.
async fn scene() -> Scene {
    let (handles, clock) = handles(1_772_323_200_000, 3);
    let backend = Arc::new(CutOff::new(Memory::with_clock(Arc::clone(&clock) as _)));
    let mut log = History::open(backend, PageSize::MIN, 3).await;
    let mut write = async |byte: u8| {
        log.fill(1 + u32::from(byte), byte);
        log.commit(9, handles.clock.now().get());
        log.store().await.unwrap();
        clock.advance(1000);
    };
    for byte in 1..=5 {
        write(byte).await;
    }
    clock.advance(2 * HOUR);
    let options = CompactOptions::new(Arc::new(SimDirectory::new()), handles.clone());
    let compactor = Compactor::new(&log.bucket, &log.namespace, options).unwrap();
    compactor.compact(&Identity, &|_| ()).await.unwrap();
    log.fill(1, 9);
    log.commit(9, handles.clock.now().get());
    log.store().await.unwrap();
    let retention = Retention::new(Duration::from_secs(3600), Vec::new()).unwrap();
    retain(&log.bucket, &log.namespace, Some(&retention)).await.unwrap();
    Scene { log, handles, clock }
}

impl Scene {
    async fn collect(&self) -> walkeep::Result<walkeep::gc::Collected> {
        let options = GcOptions::default();
        collect(&self.log.bucket, &self.log.namespace, &options, &self.handles).await
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_before_the_grace_time_and_what_covers_it_must_be_old_too() {
    let scene = scene().await;
    assert_eq!(scene.collect().await.unwrap().deleted, 0, "the image is new");
    scene.clock.advance(HOUR - 1);
    assert_eq!(scene.collect().await.unwrap().deleted, 0);
    scene.clock.advance(1);
    assert_eq!(scene.collect().await.unwrap().deleted, 4);
    let newest = scene.log.commits.last().unwrap();
    assert_eq!(scene.log.restore(RestorePoint::Latest).await.unwrap(), newest.file);
    let dropped = scene.log.restore_frame(1).await.unwrap_err();
    let Error::Unreachable(no) = dropped else { panic!("{dropped}") };
    assert!(no.why.contains("retention") && no.after.is_some(), "{no:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_store_does_not_delete_is_named_and_the_rest_goes() {
    let scene = scene().await;
    scene.clock.advance(HOUR);
    let locked = scene.log.path(&scene.log.stored[1]);
    scene.log.backend.lock(Some(locked.clone()));
    let collected = scene.collect().await.unwrap();
    assert_eq!(collected.deleted, 3);
    let [(object, error)] = &collected.refused[..] else { panic!("{collected:?}") };
    assert_eq!(*object, locked);
    assert!(error.to_string().contains("locked"));
    // What is left of it does no harm, and goes later.
    let newest = scene.log.commits.last().unwrap();
    assert_eq!(scene.log.restore(RestorePoint::Latest).await.unwrap(), newest.file);
    let report = walkeep::verify::verify(&scene.log.bucket, &scene.log.namespace, true).await.unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    scene.log.backend.lock(None);
    assert_eq!(scene.collect().await.unwrap().deleted, 1);
}

#[tokio::test(start_paused = true)]
async fn clocks_that_are_apart_are_refused_with_both_times_and_nothing_changes() {
    let scene = scene().await;
    scene.clock.advance(HOUR);
    let before = scene.log.backend.inner().objects();
    let now = scene.handles.clock.now();
    for (ours, says) in [
        (now.get() + 24 * HOUR, ["store says 2026-03-01T03", "ours 2026-03-02T03"]),
        (now.get() - 2 * HOUR, ["store says 2026-03-01T02", "ours 2026-03-01T01"]),
    ] {
        let (wrong, _) = handles(ours, 9);
        let options = GcOptions::default();
        let error = collect(&scene.log.bucket, &scene.log.namespace, &options, &wrong).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
        assert!(says.iter().all(|says| error.to_string().contains(says)), "{error}");
    }
    assert_eq!(scene.log.backend.inner().objects(), before);
    let options = GcOptions::default();
    let dry = plan(&scene.log.bucket, &scene.log.namespace, &options, &scene.handles).await.unwrap();
    assert_eq!(dry.going().count(), 4);
    assert_eq!(scene.log.backend.inner().objects(), before, "a plan writes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_collection_walks_what_uploads_left_behind_once() {
    let (handles, clock) = handles(1_772_323_200_000, 3);
    let metered = Arc::new(Metered::new(Memory::with_clock(Arc::clone(&clock) as _)));
    let mut log = History::open(Arc::clone(&metered), PageSize::MIN, 3).await;
    log.fill(1, 1);
    log.commit(1, handles.clock.now().get());
    log.store().await.unwrap();
    let options = GcOptions::default();
    let before = metered.requests();
    plan(&log.bucket, &log.namespace, &options, &handles).await.unwrap();
    let planned = metered.requests();
    let collected = collect(&log.bucket, &log.namespace, &options, &handles).await.unwrap();
    assert_eq!(collected.deleted, 0);
    // Six listings to look at the namespace and to list what nobody judges, or to look for forks that need it no longer; and
    // the walk, which counts as one.
    let (planned, collected) = (planned.since(&before), metered.requests().since(&planned));
    assert_eq!((planned.lists, collected.lists), (7, 7), "{planned:?} {collected:?}");
}
