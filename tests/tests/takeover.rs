//! Processes that take a namespace over from each other while it is being written, again and again.
//!
//! Whatever a writer was told is stored must be there at the end, with the state that it had then; no frame may have been
//! acknowledged twice; and who lost must have been told.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;
use walkeep::backends::StoreUrl;
use walkeep::core::{DynBackend, Namespace};
use walkeep::verify::verify;
use walkeep::{Bucket, Timeline, history};
use walkeep_tests::store_writers::{Ledger, StoreWriter};

const FENCED: i32 = 5;

/// Takes a store over so many times, and gives back what was acknowledged.
fn take_over(store: &str, variables: &[(&str, &str)], rounds: usize) -> Ledger {
    let mut ledger = Ledger::default();
    let start = |round: usize| StoreWriter::start(store, variables, &format!("writer-{round}"));
    let mut writer = start(0);
    let (mut fenced, mut killed, mut raced) = (0, 0, 0);
    for round in 1..=rounds {
        // `open`, and a few commits.
        assert!(writer.take(2 + round % 4, &mut ledger), "round {round}: the only writer has ended");
        let mut next = start(round);
        if round % 10 == 7 {
            writer.kill(&mut ledger);
            killed += 1;
        } else {
            assert_eq!(writer.end(&mut ledger), FENCED, "round {round}: the writer that was taken over");
            fenced += 1;
        }
        if round % 10 == 3 {
            // Two at once: one of them gets it, perhaps after the other one had it.
            let mut other = start(1_000_000 + round);
            let (first, second) = (next.take(2, &mut ledger), other.take(2, &mut ledger));
            assert!(first || second, "round {round}: neither of two got it");
            let loser = if second { next } else { std::mem::replace(&mut other, start(2_000_000 + round)) };
            assert_eq!(loser.end(&mut ledger), FENCED, "round {round}: the loser of two");
            next = other;
            raced += 1;
        }
        writer = next;
    }
    assert!(writer.take(2, &mut ledger), "the last writer has ended");
    assert_eq!(writer.stop(&mut ledger), 0);
    println!(
        "{rounds} rounds: {fenced} fenced, {killed} killed, {raced} races; {} commits",
        ledger.commits.len()
    );
    ledger
}

/// Everything that was acknowledged is there, with its state, and the store is whole.
async fn check(backend: DynBackend, ledger: &Ledger) {
    let bucket = Bucket::new(Arc::new(backend), None).unwrap();
    let namespace: Namespace = "shop".parse().unwrap();
    let timeline = Timeline::load(&bucket, &namespace).await.unwrap();
    let logged = history(&bucket, &timeline).try_collect::<Vec<_>>().await.unwrap();
    let states = logged
        .iter()
        .map(|logged| (logged.commit.frame_no.get(), logged.commit.state.unwrap().to_string()))
        .collect::<BTreeMap<_, _>>();
    for (frame, acknowledged) in &ledger.commits {
        assert_eq!(states.get(frame), Some(&acknowledged.state), "frame {frame} of {acknowledged:?}");
    }
    let report = verify(&bucket, &namespace, true).await.unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(report.states_proven, logged.len() as u64);
}

#[tokio::test]
async fn nothing_is_lost_or_acknowledged_twice_in_200_takeovers_of_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store").display().to_string();
    let ledger = take_over(&store, &[], 200);
    check(store.parse::<StoreUrl>().unwrap().open().unwrap(), &ledger).await;
}

#[cfg(feature = "s3-tests")]
#[tokio::test]
async fn nothing_is_lost_or_acknowledged_twice_in_200_takeovers_on_s3() {
    use walkeep::backends::object::{Credentials, Object, ObjectConfig, Secret};
    use walkeep::core::Erased;
    use walkeep_tests::s3::S3;

    let s3 = S3::fenced();
    let store = s3.url("takeover");
    let ledger = take_over(&store, &s3.variables(), 200);
    let [(_, id), (_, secret)] = s3.variables();
    let credentials = Credentials::access_key(id, Secret::new(secret));
    let config = ObjectConfig::open(&store.parse().unwrap(), &credentials).unwrap();
    check(Erased::shared(Object::new(config)), &ledger).await;
}
