//! Stores that cannot tell two writers apart: found out when a namespace is opened, refused, and used when told to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;

use walkeep::core::{Epoch, Error, Namespace, PageSize, Result};
use walkeep::verify::verify;
use walkeep::{Bucket, Fencing, RestorePoint, Timeline, Writer};
use walkeep_tests::careless::{Careless, Creates};
use walkeep_tests::handles::handles;
use walkeep_tests::history::History;

/// A store with its name, and a namespace in it.
struct Place {
    backend: Arc<Careless>,
    bucket: Bucket,
    namespace: Namespace,
}

impl Place {
    fn new(creates: Creates) -> Self {
        let backend = Arc::new(Careless::new(creates));
        let bucket = Bucket::new(Arc::clone(&backend), None).unwrap().named("s3://logs/shop");
        Self { backend, bucket, namespace: Namespace::new("shop").unwrap() }
    }

    async fn open(&self, seed: u64) -> Result<Writer> {
        let (handles, _) = handles(1000, seed);
        Writer::open(&self.bucket, &self.namespace, PageSize::MIN, &handles).await
    }

    async fn timeline(&self) -> Timeline {
        Timeline::load(&self.bucket, &self.namespace).await.unwrap()
    }
}

#[track_caller]
fn assert_refused(outcome: Result<Writer>, context: &str) {
    let error = outcome.err().unwrap_or_else(|| panic!("not refused: {context}"));
    assert!(matches!(error, Error::Invalid { .. }), "{context}: {error:?}");
    let text = error.to_string();
    for said in
        ["s3://logs/shop", "namespaces/shop/manifest/", "succeeded", "create-only", "--unfenced", "lost"]
    {
        assert!(text.contains(said), "{context}: {said:?} is not in {text:?}");
    }
}

const CARELESS: [Creates; 2] = [Creates::Overwrite, Creates::LookThenWrite];

#[tokio::test(start_paused = true)]
async fn a_store_whose_creates_overwrite_is_refused_with_what_was_seen() {
    for creates in CARELESS {
        let place = Place::new(creates);
        for seed in 0..3 {
            assert_refused(place.open(seed).await, &format!("{creates:?}, opening {seed}"));
        }
        let error = place.open(4).await.unwrap_err().to_string();
        assert!(
            error.contains("of 3 creates of") && error.contains(" 3 succeeded, where one may"),
            "{error}"
        );
        assert!(!place.timeline().await.manifest().is_pending(), "{creates:?}: no claim is left open");
    }
}

/// Every way in which replies to the creates of a claim, and to those that follow, can be lost.
#[tokio::test(start_paused = true)]
async fn lost_replies_hide_nothing() {
    for lost in 0..32_u32 {
        let lost = (0..5).map(|bit| lost >> bit & 1 == 1).collect::<Vec<_>>();
        let context = format!("{lost:?}");
        let careless = Place::new(Creates::Overwrite);
        careless.backend.lose(lost.clone());
        assert_refused(careless.open(1).await, &context);

        let honest = Place::new(Creates::Once);
        honest.backend.lose(lost);
        let writer = honest.open(1).await.unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(writer.epoch(), Epoch(1), "{context}: it has fenced itself");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_show_what_it_does_is_unavailable() {
    for creates in [Creates::Once, Creates::Overwrite] {
        let place = Place::new(creates);
        place.backend.lose([true; 100]);
        let error = place.open(1).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{creates:?}: {error:?}");
        assert!(error.to_string().contains("no answer"), "{creates:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_openings_at_once_all_are_refused() {
    for creates in CARELESS {
        let place = Place::new(creates);
        for outcome in futures::future::join_all((0..8).map(|seed| place.open(seed))).await {
            match outcome {
                // What others wrote meanwhile may hide what came of the own claim.
                Err(Error::Fenced { .. } | Error::Unavailable { .. }) => {}
                outcome => assert_refused(outcome, &format!("{creates:?}")),
            }
        }
    }
}

/// What was stored before stays as it is, and the namespace can be written on.
#[tokio::test(start_paused = true)]
async fn a_refused_opening_spoils_nothing_and_unfenced_goes_on() {
    for creates in CARELESS {
        let place = Place::new(creates);
        let bucket = place.bucket.clone().with_fencing(Fencing::Unfenced);
        let mut log = History::open_in(bucket, Arc::clone(&place.backend), PageSize::MIN, 3).await;
        for byte in 1..=3 {
            log.fill(1, byte);
            log.commit(1, 1000 + u64::from(byte));
            log.store().await;
        }
        for seed in 10..13 {
            assert_refused(place.open(seed).await, &format!("{creates:?}"));
            for recorded in &log.commits {
                let point = RestorePoint::Frame(recorded.commit.frame_no);
                assert!(log.restore(point).await.unwrap() == recorded.file, "{creates:?}");
            }
            assert!(log.restore(RestorePoint::Latest).await.unwrap() == log.commits[2].file);
        }
        log.reopen(PageSize::MIN).await.unwrap();
        log.fill(1, 4);
        log.commit(1, 2000);
        log.store().await;
        assert!(log.restore(RestorePoint::Latest).await.unwrap() == log.commits[3].file);
        let report = verify(&log.bucket, &log.namespace, true).await.unwrap();
        assert!(report.problems.is_empty(), "{creates:?}: {:?}", report.problems);
        assert_eq!(report.segments, 4);
    }
}

/// A store that takes no creates at all is not blamed on other writers.
#[tokio::test(start_paused = true)]
async fn a_claim_that_never_arrives_says_what_the_store_said() {
    let place = Place::new(Creates::Once);
    let flaky = Arc::new(walkeep_tests::flaky::Flaky::over(Arc::clone(&place.backend)));
    flaky.always(Some(walkeep_tests::flaky::Fault::Unavailable));
    let bucket = Bucket::new(flaky, None).unwrap();
    let (handles, _) = handles(1000, 1);
    let error = Writer::open(&bucket, &place.namespace, PageSize::MIN, &handles).await.unwrap_err();
    assert!(error.to_string().contains("create namespaces/shop/manifest"), "{error}");
}
