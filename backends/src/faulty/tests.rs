//! Each fault really happens, is what it says, and replays from its seed.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::Memory;
use crate::memory::MemoryConfig;

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

fn body() -> Body {
    Body::from(b"0123456789".to_vec())
}

fn faulty(faults: Faults) -> Faulty<Memory> {
    Faulty::new(Memory::new(), faults, 1).unwrap()
}

/// With the objects `a/1` to `a/9`, stored while nothing failed.
async fn filled(faults: Faults) -> Faulty<Memory> {
    let faulty = faulty(Faults::default());
    for n in 1..10 {
        faulty.put_new(None, &path(&format!("a/{n}")), body()).await.unwrap();
    }
    faulty.set_faults(faults).unwrap();
    faulty
}

async fn names(backend: &impl Backend<Config = MemoryConfig>, limit: usize) -> Vec<String> {
    let prefix = path("a");
    let listing = backend.list(None, &prefix, None, limit);
    listing.map_ok(|object| object.path.to_string()).try_collect().await.unwrap()
}

fn is_unavailable<T: fmt::Debug>(outcome: Result<T>) {
    assert!(matches!(outcome, Err(Error::Unavailable { .. })), "{outcome:?}");
}

/// How often this one fault happened; and that no other did.
fn only(faulty: &Faulty<Memory>, fault: Fault) -> u64 {
    let happened = faulty.happened();
    assert_eq!(happened.keys().collect::<Vec<_>>(), [&fault]);
    happened[&fault]
}

#[tokio::test]
async fn without_faults_it_conforms() {
    let faulty = faulty(Faults::default());
    walkeep_core::conformance::everything(&faulty, None).await;
    let other = MemoryConfig { bucket: "other".into() };
    walkeep_core::conformance::everything(&faulty, Some(&other)).await;
    assert!(faulty.happened().is_empty());
}

#[tokio::test]
async fn any_call_fails_before_it_does_anything() {
    let failing = [
        (Faults { fail_before: 1.0, ..Faults::default() }, Fault::FailBefore),
        (Faults { throttled: 1.0, ..Faults::default() }, Fault::Throttled),
    ];
    for (faults, fault) in failing {
        let faulty = filled(faults).await;
        let before = faulty.inner().objects();
        is_unavailable(faulty.put_new(None, &path("a/new"), body()).await);
        is_unavailable(faulty.get(None, &path("a/1"), ByteRange::Full).await);
        is_unavailable(faulty.list(None, &path("a"), None, 9).try_collect::<Vec<_>>().await);
        is_unavailable(faulty.list_directories(None, &path("a"), None, 9).try_collect::<Vec<_>>().await);
        is_unavailable(faulty.delete(None, &[path("a/1")]).await);
        assert_eq!(faulty.inner().objects(), before);
        assert_eq!(only(&faulty, fault), 5);
    }
}

#[tokio::test]
async fn a_conflict_stores_nothing() {
    let faulty = faulty(Faults { conflict: 1.0, ..Faults::default() });
    let outcome = faulty.put_new(None, &path("a/1"), body()).await;
    assert!(matches!(outcome, Err(Error::AlreadyExists { .. })), "{outcome:?}");
    assert!(faulty.inner().objects().is_empty());
    assert_eq!(only(&faulty, Fault::Conflict), 1);
}

#[tokio::test]
async fn a_put_whose_reply_is_lost_is_done() {
    let faulty = faulty(Faults { lost_put_reply: 1.0, ..Faults::default() });
    for _ in 0..2 {
        // The second time it would have been `AlreadyExists`: a lost reply is lost whatever it was.
        is_unavailable(faulty.put_new(None, &path("a/1"), body()).await);
        assert!(faulty.inner().objects().contains_key(&path("a/1")));
    }
    faulty.delete(None, &[path("a/1")]).await.unwrap();
    assert_eq!(only(&faulty, Fault::LostPutReply), 2);
}

#[tokio::test]
async fn a_delete_whose_reply_is_lost_is_done() {
    let faulty = filled(Faults { lost_delete_reply: 1.0, ..Faults::default() }).await;
    faulty.put_new(None, &path("a/new"), body()).await.unwrap();
    is_unavailable(faulty.delete(None, &[path("a/1"), path("a/2")]).await);
    assert_eq!(faulty.inner().objects().len(), 8);
    assert_eq!(only(&faulty, Fault::LostDeleteReply), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_hangs_is_done_and_never_returns() {
    let faulty = filled(Faults { apply_then_hang: 1.0, ..Faults::default() }).await;
    let day = Duration::from_secs(86_400);
    tokio::time::timeout(day, faulty.put_new(None, &path("a/new"), body())).await.unwrap_err();
    assert!(faulty.inner().objects().contains_key(&path("a/new")));
    tokio::time::timeout(day, faulty.delete(None, &[path("a/1")])).await.unwrap_err();
    assert!(!faulty.inner().objects().contains_key(&path("a/1")));
    faulty.get(None, &path("a/new"), ByteRange::Full).await.unwrap();
    assert_eq!(only(&faulty, Fault::ApplyThenHang), 2);
}

#[tokio::test]
async fn a_late_put_is_done_after_a_later_call() {
    let faulty = faulty(Faults { late_apply: 1.0, ..Faults::default() });
    is_unavailable(faulty.put_new(None, &path("a/1"), body()).await);
    let mut calls_without = 0;
    while names(&faulty, 9).await.is_empty() {
        calls_without += 1;
        assert!(calls_without <= LATE_CALLS_MAX);
    }
    assert!(calls_without >= 1, "a later call came first");
    assert_eq!(faulty.get(None, &path("a/1"), ByteRange::Full).await.unwrap(), &b"0123456789"[..]);
    assert_eq!(only(&faulty, Fault::LateApply), 1);
}

#[tokio::test]
async fn a_late_put_comes_too_late_for_a_name_that_was_taken_meanwhile() {
    let faulty = faulty(Faults { late_apply: 1.0, ..Faults::default() });
    is_unavailable(faulty.put_new(None, &path("a/1"), Body::from(b"late".to_vec())).await);
    faulty.set_faults(Faults::default()).unwrap();
    faulty.put_new(None, &path("a/1"), body()).await.unwrap();
    assert_eq!(faulty.apply_late().await, 1);
    assert_eq!(faulty.get(None, &path("a/1"), ByteRange::Full).await.unwrap(), &b"0123456789"[..]);
    assert_eq!(faulty.apply_late().await, 0);
}

#[tokio::test]
async fn a_late_delete_takes_what_was_created_again() {
    let faulty = filled(Faults { late_apply: 1.0, ..Faults::default() }).await;
    is_unavailable(faulty.delete(None, &[path("a/1")]).await);
    assert!(faulty.inner().objects().contains_key(&path("a/1")));
    assert_eq!(faulty.apply_late().await, 1);
    assert!(!faulty.inner().objects().contains_key(&path("a/1")));
}

#[tokio::test]
async fn bodies_come_short_or_with_one_bit_flipped() {
    let faulty = filled(Faults { short_body: 1.0, ..Faults::default() }).await;
    let short = faulty.get(None, &path("a/1"), ByteRange::Full).await.unwrap();
    assert!(short.len() < 10 && b"0123456789".starts_with(&short), "{short:?}");
    assert_eq!(only(&faulty, Fault::ShortBody), 1);

    let faulty = filled(Faults { flipped_body: 1.0, ..Faults::default() }).await;
    let flipped = faulty.get(None, &path("a/1"), ByteRange::Full).await.unwrap();
    let bits = flipped.iter().zip(b"0123456789").map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
    assert_eq!((flipped.len(), bits), (10, 1));
    assert_eq!(only(&faulty, Fault::FlippedBody), 1);
    assert_eq!(faulty.inner().objects()[&path("a/1")], &b"0123456789"[..], "what is stored is whole");
}

#[tokio::test]
async fn a_listing_ends_too_early() {
    let faulty = filled(Faults { partial_listing: 1.0, ..Faults::default() }).await;
    let (listed, all) = (names(&faulty, 99).await, names(faulty.inner(), 99).await);
    assert!(listed.len() < 9 && all.starts_with(&listed), "{listed:?}");
    assert_eq!(only(&faulty, Fault::PartialListing), 1);
}

#[tokio::test]
async fn a_listing_holds_an_item_twice() {
    let faulty = filled(Faults { duplicate_in_listing: 1.0, ..Faults::default() }).await;
    let mut listed = names(&faulty, 99).await;
    assert_eq!(listed.len(), 10);
    listed.dedup();
    assert_eq!(listed, names(faulty.inner(), 99).await);
    assert_eq!(names(&faulty, 9).await.len(), 9, "never more than asked for");
    assert_eq!(only(&faulty, Fault::DuplicateInListing), 2);
}

#[tokio::test]
async fn a_listing_comes_in_another_order() {
    let faulty = filled(Faults { unsorted_listing: 1.0, ..Faults::default() }).await;
    let mut listed = names(&faulty, 99).await;
    let sorted = names(faulty.inner(), 99).await;
    assert_ne!(listed, sorted);
    listed.sort();
    assert_eq!(listed, sorted);
    assert_eq!(only(&faulty, Fault::UnsortedListing), 1);
}

#[tokio::test]
async fn a_stale_listing_is_one_from_a_few_changes_ago() {
    let faulty = filled(Faults::default()).await;
    faulty.delete(None, &[path("a/9")]).await.unwrap();
    faulty.set_faults(Faults { stale_listing: 1.0, ..Faults::default() }).unwrap();
    // The last changes, undone one by one: the delete of `a/9`, then the creates from `a/9` down.
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        seen.insert(names(&faulty, 99).await);
    }
    let states = (2..=9).map(|last| (1..=last).map(|n| format!("a/{n}")).collect::<Vec<_>>());
    assert_eq!(seen, states.collect());
    assert!(names(&faulty, 2).await.len() == 2, "what is left out makes room");
    assert_eq!(only(&faulty, Fault::StaleListing), 101);
}

#[tokio::test]
async fn a_stale_listing_of_directories_lacks_new_ones_and_has_deleted_ones() {
    let faulty = filled(Faults::default()).await;
    faulty.put_new(None, &path("d/old/1"), body()).await.unwrap();
    faulty.put_new(None, &path("d/new/1"), body()).await.unwrap();
    faulty.delete(None, &[path("d/old/1")]).await.unwrap();
    faulty.set_faults(Faults { stale_listing: 1.0, ..Faults::default() }).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let prefix = path("d");
        let listing = faulty.list_directories(None, &prefix, None, 9);
        seen.insert(listing.try_collect::<Vec<_>>().await.unwrap().join(" "));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["", "new old", "old"]);
}

#[tokio::test]
async fn listings_of_one_place_are_not_stale_with_the_changes_of_another() {
    let faulty = filled(Faults { stale_listing: 1.0, ..Faults::default() }).await;
    let other = MemoryConfig { bucket: "other".into() };
    faulty.put_new(Some(&other), &path("b/1"), body()).await.unwrap();
    faulty.put_new(Some(&other), &path("b/2"), body()).await.unwrap();
    let default = faulty.default_config();
    let prefix = path("b");
    let listing = faulty.list(Some(&default), &prefix, None, 9).try_collect::<Vec<_>>().await.unwrap();
    assert!(listing.is_empty());
    assert!(names(&faulty, 99).await.len() < 9, "the default place by its name or by `None` is one place");
}

/// It is always 1970.
#[derive(Debug)]
struct Epoch;

impl walkeep_core::Clock for Epoch {
    fn now(&self) -> UnixMillis {
        UnixMillis(0)
    }
}

async fn a_run(seed: u64) -> (Vec<String>, BTreeMap<Fault, u64>) {
    let each = 0.1;
    let faults = Faults {
        fail_before: each,
        throttled: each,
        conflict: each,
        late_apply: each,
        lost_put_reply: each,
        lost_delete_reply: each,
        short_body: each,
        flipped_body: each,
        stale_listing: each,
        partial_listing: each,
        duplicate_in_listing: each,
        unsorted_listing: each,
        apply_then_hang: 0.0,
    };
    let faulty = Faulty::new(Memory::with_clock(Arc::new(Epoch)), faults, seed).unwrap();
    let mut seen = Vec::new();
    for round in 0..200 {
        let name = path(&format!("a/{}", round % 7));
        seen.push(format!("{:?}", faulty.put_new(None, &name, body()).await));
        seen.push(format!("{:?}", faulty.get(None, &name, ByteRange::Full).await));
        seen.push(format!("{:?}", faulty.list(None, &path("a"), None, 9).try_collect::<Vec<_>>().await));
        seen.push(format!("{:?}", faulty.delete(None, &[name]).await));
    }
    (seen, faulty.happened())
}

#[tokio::test]
async fn a_run_replays_from_its_seed() {
    let (first, happened) = a_run(7).await;
    assert_eq!(happened.len(), 12, "every fault happened: {happened:?}");
    assert_eq!((first.clone(), happened), a_run(7).await);
    assert_ne!(first, a_run(8).await.0);
}

#[tokio::test]
async fn what_happens_to_one_name_does_not_hang_on_calls_about_others() {
    let faults = Faults { fail_before: 0.5, ..Faults::default() };
    let outcomes = async |others: bool| {
        let faulty = faulty(faults);
        let mut outcomes = Vec::new();
        for _ in 0..64 {
            outcomes.push(faulty.get(None, &path("a"), ByteRange::Full).await.unwrap_err().is_retryable());
            if others {
                let _ = faulty.get(None, &path("b"), ByteRange::Full).await;
            }
        }
        outcomes
    };
    let alone = outcomes(false).await;
    assert_eq!(alone, outcomes(true).await);
    assert!(alone.contains(&true) && alone.contains(&false));
}
