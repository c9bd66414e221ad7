//! Verifying what was not proven yet, and trying restores: what is read, what is written down, and what damage does.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;

use walkeep::backends::{Memory, Metered};
use walkeep::core::{
    Backend, Body, Error, Layout, NativeLayout, Nonce, ObjectPath, PageSize, Proof, SegmentKey, UnixMillis,
};
use walkeep::verify::{last_drill, restore_drill, verify, verify_since_last};
use walkeep::{Bucket, Timeline};
use walkeep_tests::handles::handles;
use walkeep_tests::history::History;

/// So large that an object does not come whole with its index.
const PAGES: u32 = 60;

struct Store {
    memory: Arc<Memory>,
    metered: Arc<Metered<Arc<Memory>>>,
    log: History<Metered<Arc<Memory>>>,
}

async fn store() -> Store {
    let memory = Arc::new(Memory::new());
    let metered = Arc::new(Metered::new(Arc::clone(&memory)));
    let mut log = History::open(Arc::clone(&metered), PageSize::DEFAULT, 5).await;
    log.compression = walkeep::core::segment::Compression::None;
    for round in 0..3 {
        write(&mut log, round).await;
    }
    Store { memory, metered, log }
}

async fn write(log: &mut History<Metered<Arc<Memory>>>, round: u8) -> SegmentKey {
    for page in 1..=PAGES {
        log.fill(page, round.wrapping_mul(61).wrapping_add(u8::try_from(page % 200).unwrap()) | 1);
    }
    log.commit(PAGES, 1000 + u64::from(round));
    log.store().await.unwrap()
}

fn path(log: &History<Metered<Arc<Memory>>>, key: &SegmentKey) -> ObjectPath {
    NativeLayout::new().unwrap().segment(&log.namespace, key)
}

/// Flips a bit in the middle of the images.
fn damage(store: &Store, key: &SegmentKey) {
    let path = path(&store.log, key);
    let mut bytes = store.memory.objects()[&path].to_vec();
    bytes[5000] ^= 4;
    store.memory.replace(&path, bytes.into());
}

fn bucket(store: &Store) -> Bucket {
    Bucket::new(Arc::clone(&store.metered), None).unwrap()
}

#[tokio::test]
async fn what_was_proven_is_not_read_again_and_what_is_new_is() {
    let mut store = store().await;
    let (handles, _) = handles(5000, 9);
    let bucket = bucket(&store);
    let namespace = store.log.namespace.clone();
    let all = verify(&bucket, &namespace, true).await.unwrap();
    let first = verify_since_last(&bucket, &namespace, &handles).await.unwrap();
    assert_eq!((first.segments, first.proven_before, first.problems.len()), (3, 0, 0));
    assert_eq!((first.images_proven, first.states_proven), (all.images_proven, all.states_proven));

    let before = store.metered.requests();
    let again = verify_since_last(&bucket, &namespace, &handles).await.unwrap();
    let after = store.metered.requests();
    assert_eq!((again.segments, again.proven_before, again.images_proven), (0, 3, 0));
    assert!(after.bytes_read - before.bytes_read < 300_000, "{before:?} {after:?}: an object was read again");

    let key = write(&mut store.log, 3).await;
    let new = verify_since_last(&bucket, &namespace, &handles).await.unwrap();
    assert_eq!((new.segments, new.proven_before, new.problems.len()), (1, 3, 0));
    assert_eq!((new.images_proven, new.states_proven), (u64::from(PAGES), 1));

    // Damage to what was proven is found by reading everything; damage to what was not is found at once.
    damage(&store, &store.log.stored[0].clone());
    assert!(verify_since_last(&bucket, &namespace, &handles).await.unwrap().problems.is_empty());
    assert_eq!(verify(&bucket, &namespace, true).await.unwrap().problems.len(), 1);
    let newer = write(&mut store.log, 4).await;
    damage(&store, &newer);
    for _ in 0..2 {
        let found = verify_since_last(&bucket, &namespace, &handles).await.unwrap();
        assert!(
            matches!(&found.problems[..], [Error::Corrupt(damage)] if damage.object == path(&store.log, &newer).as_str())
        );
    }
    assert_ne!(key, newer);
}

#[tokio::test]
async fn a_proof_that_is_damaged_or_says_too_much_is_not_believed() {
    let store = store().await;
    let (handles, _) = handles(5000, 9);
    let bucket = bucket(&store);
    let namespace = store.log.namespace.clone();
    verify_since_last(&bucket, &namespace, &handles).await.unwrap();
    let folder = NativeLayout::new().unwrap().proofs(&namespace).unwrap();
    let objects = store.memory.objects();
    let proofs = objects.keys().filter(|path| path.below(&folder).is_some()).collect::<Vec<_>>();
    assert_eq!(proofs.len(), 1);
    let mut bytes = objects[proofs[0]].to_vec();
    bytes[20] ^= 1;
    store.memory.replace(proofs[0], bytes.into());
    let all = verify_since_last(&bucket, &namespace, &handles).await.unwrap();
    assert_eq!((all.segments, all.proven_before), (3, 0), "a damaged proof counts for nothing");

    // What a proof says about an object of another length, it says about another object.
    let mut objects = store.memory.objects().into_iter().filter(|(path, _)| path.below(&folder).is_some());
    let mut proof = objects.find_map(|(_, bytes)| Proof::decode("proof", &bytes).ok()).unwrap();
    proof.at = UnixMillis(proof.at.get() + 1);
    proof.verified.as_mut().unwrap().objects[1].size += 1;
    let name = NativeLayout::new().unwrap().proof(&namespace, proof.at, Nonce(1)).unwrap();
    store.memory.put_new(None, &name, Body::from(proof.encode().unwrap())).await.unwrap();
    let all = verify_since_last(&bucket, &namespace, &handles).await.unwrap();
    assert_eq!((all.segments, all.proven_before), (1, 2));

    // And a longer object is found out.
    let path = path(&store.log, &store.log.stored[1]);
    let mut longer = store.memory.objects()[&path].to_vec();
    longer.push(0);
    store.memory.replace(&path, longer.into());
    assert!(!verify_since_last(&bucket, &namespace, &handles).await.unwrap().problems.is_empty());
}

#[tokio::test]
async fn a_drill_is_written_down_and_fails_where_a_restore_would() {
    let store = store().await;
    let (handles, _) = handles(5000, 9);
    let bucket = bucket(&store);
    let namespace = store.log.namespace.clone();
    let mut frames = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let (drill, restored) = restore_drill(&bucket, &namespace, &handles).await.unwrap();
        assert!(restored.verified);
        let recorded = store.log.commits.iter().find(|commit| commit.commit.frame_no == drill.frame).unwrap();
        assert_eq!(recorded.commit.state, Some(drill.state));
        frames.insert(drill.frame);
        let timeline = Timeline::load(&bucket, &namespace).await.unwrap();
        assert_eq!(last_drill(&bucket, &timeline).await.unwrap(), Some(drill));
    }
    assert_eq!(frames.len(), 3, "each point is drawn");

    // A later verification keeps what the drill wrote down, and the other way round.
    verify_since_last(&bucket, &namespace, &handles).await.unwrap();
    let timeline = Timeline::load(&bucket, &namespace).await.unwrap();
    assert!(last_drill(&bucket, &timeline).await.unwrap().is_some());
    restore_drill(&bucket, &namespace, &handles).await.unwrap();
    assert_eq!(verify_since_last(&bucket, &namespace, &handles).await.unwrap().proven_before, 3);

    for key in &store.log.stored {
        damage(&store, key);
    }
    let last = last_drill(&bucket, &timeline).await.unwrap();
    let error = restore_drill(&bucket, &namespace, &handles).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error}");
    assert_eq!(last_drill(&bucket, &timeline).await.unwrap(), last, "a drill that failed proves nothing");
}

#[tokio::test]
async fn a_namespace_without_a_commit_has_nothing_to_try() {
    let metered = Arc::new(Metered::new(Arc::new(Memory::new())));
    let log = History::open(Arc::clone(&metered), PageSize::DEFAULT, 5).await;
    let (handles, _) = handles(5000, 9);
    let error = restore_drill(&log.bucket, &log.namespace, &handles).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
    assert!(metered.default_config() == Memory::new().default_config());
}
