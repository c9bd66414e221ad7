//! The disk cache of a tiered store: whatever becomes of its files, and whatever the remote store answers, what is read is
//! what is stored.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use walkeep::backends::faulty::{Faults, Faulty};
use walkeep::backends::tiered::{CacheOptions, Tiered, TieredAck, TieredOptions};
use walkeep::backends::{Memory, Metered};
use walkeep::core::{Backend, ByteRange, Directory, ObjectPath};
use walkeep_tests::handles::SeededRandom;
use walkeep_tests::sim_directory::SimDirectory;

const OBJECTS: u64 = 4;
const BYTES_MAX: u64 = 600 << 10;

type Remote = Arc<Metered<Memory>>;

fn path(n: u64) -> ObjectPath {
    ObjectPath::new(format!("namespaces/a/segments/{n}")).unwrap()
}

/// Objects of several lengths around those of the parts that are cached.
async fn remote() -> (Remote, BTreeMap<u64, Bytes>) {
    let memory = Memory::new();
    let mut contents = BTreeMap::new();
    for (n, len) in (0..OBJECTS).zip([100, 65_536, 200_000, 300_000]) {
        let random = SeededRandom::new(n);
        let content = (0..len).map(|_| random.next_u64().to_le_bytes()[0]).collect::<Vec<_>>();
        memory.put_new(None, &path(n), content.clone().into()).await.unwrap();
        contents.insert(n, Bytes::from(content));
    }
    (Arc::new(Metered::new(memory)), contents)
}

fn open<R: Backend>(remote: &Arc<R>, directory: Arc<dyn Directory>) -> Tiered<Memory, R> {
    let cache = CacheOptions { directory, store: "the remote".into(), bytes_max: BYTES_MAX };
    let options = TieredOptions::new(TieredAck::Both).with_cache(cache);
    Tiered::new(Arc::new(Memory::new()), Arc::clone(remote), options).unwrap()
}

async fn list<R: Backend>(tiered: &Tiered<Memory, R>) {
    let prefix = ObjectPath::new("namespaces/a/segments").unwrap();
    while tiered.list(None, &prefix, None, 99).try_collect::<Vec<_>>().await.is_err() {}
}

/// A range of an object, of any kind, also beyond its end.
fn a_range(random: &SeededRandom, len: u64) -> ByteRange {
    match random.below(5) {
        0 => ByteRange::Full,
        1 => ByteRange::Suffix(random.below(70_000)),
        2 => ByteRange::From(random.below(len + 10)),
        _ => {
            let start = random.below(len + 10);
            ByteRange::Bounded(start..start + random.below(100_000))
        }
    }
}

async fn read_some<R: Backend>(
    tiered: &Tiered<Memory, R>,
    contents: &BTreeMap<u64, Bytes>,
    random: &SeededRandom,
    reads: usize,
) {
    for _ in 0..reads {
        let n = random.below(OBJECTS);
        let content = &contents[&n];
        let range = a_range(random, content.len() as u64);
        let read = tiered.get(None, &path(n), range.clone()).await.unwrap();
        let resolved = range.resolve(content.len() as u64);
        let offset = |at: u64| usize::try_from(at).unwrap();
        assert!(read == content[offset(resolved.start)..offset(resolved.end)], "{n}: {range:?}");
    }
}

#[tokio::test]
async fn what_was_read_twice_needs_no_request_and_is_the_same() {
    let (remote, contents) = remote().await;
    let sim = SimDirectory::new();
    let tiered = open(&remote, Arc::new(sim.clone()));
    let random = SeededRandom::new(1);
    read_some(&tiered, &contents, &random, 20).await;
    assert!(sim.files().is_empty(), "without a listing nothing is cached");
    list(&tiered).await;
    read_some(&tiered, &contents, &random, 300).await;
    let before = remote.requests().gets;
    for _ in 0..3 {
        let tail = tiered.get(None, &path(3), ByteRange::Suffix(65_536)).await.unwrap();
        assert_eq!(tail, contents[&3].slice(300_000 - 65_536..));
    }
    let requests = remote.requests().gets - before;
    assert!(requests <= 2, "{requests}");
    let status = tiered.cache_status().unwrap();
    assert!(status.hits > status.misses && status.bytes <= BYTES_MAX && status.discarded == 0, "{status:?}");

    // A new process has it, too.
    let tiered = open(&remote, Arc::new(sim));
    list(&tiered).await;
    let before = remote.requests().gets;
    tiered.get(None, &path(3), ByteRange::Suffix(65_536)).await.unwrap();
    assert_eq!(remote.requests().gets, before);
}

/// The process is killed, or the machine, before any operation on the cache; or one fails. Reads go on, and are right.
#[tokio::test]
async fn a_crash_at_any_operation_harms_nothing() {
    let (remote, contents) = remote().await;
    for round in 0..150 {
        let sim = SimDirectory::new();
        match round % 3 {
            0 => sim.fail_at(1 + round * 3, [ErrorKind::StorageFull, ErrorKind::Other][round as usize % 2]),
            _ => sim.crash_at(1 + round * 3),
        }
        let tiered = open(&remote, Arc::new(sim.clone()));
        list(&tiered).await;
        let random = SeededRandom::new(round);
        read_some(&tiered, &contents, &random, 40).await;
        drop(tiered);
        let after = match round % 3 {
            1 => {
                sim.restart();
                sim
            }
            _ => sim.after_crash(round),
        };
        let tiered = open(&remote, Arc::new(after.clone()));
        list(&tiered).await;
        read_some(&tiered, &contents, &random, 60).await;
        let unfinished = after.files().into_keys().filter(|name| name.ends_with(".tmp")).collect::<Vec<_>>();
        assert!(unfinished.is_empty(), "{unfinished:?}");
        let bytes: u64 = after.files().values().map(|file| file.len() as u64).sum();
        assert!(bytes <= BYTES_MAX, "{bytes}");
    }
}

#[tokio::test]
async fn damage_in_any_file_is_a_miss() {
    let (remote, contents) = remote().await;
    let sim = SimDirectory::new();
    let tiered = open(&remote, Arc::new(sim.clone()));
    list(&tiered).await;
    let random = SeededRandom::new(5);
    read_some(&tiered, &contents, &random, 200).await;
    let files = sim.files();
    assert!(files.len() > 5);
    for round in 0..40 {
        let damaged = SimDirectory::new();
        for (name, mut content) in files.clone() {
            match random.below(4) {
                0 => content.truncate(usize::try_from(random.below(content.len() as u64)).unwrap()),
                1 => {
                    let at = usize::try_from(random.below(content.len() as u64)).unwrap();
                    content[at] ^= 1 << random.below(8);
                }
                2 => content.extend_from_slice(&[0; 7]),
                _ => {}
            }
            damaged.create_directories(std::path::Path::new(&name).parent().unwrap()).unwrap();
            damaged.put(&name, &content);
        }
        let tiered = open(&remote, Arc::new(damaged));
        list(&tiered).await;
        read_some(&tiered, &contents, &random, 40).await;
        assert!(tiered.cache_status().unwrap().discarded > 0, "round {round}");
    }
}

/// A remote store that bends answers: nothing bent is kept, so that each part heals as soon as the store does.
#[tokio::test]
async fn what_a_store_bends_on_the_way_is_not_kept() {
    let (remote, contents) = remote().await;
    for seed in 0..30 {
        let memory = Memory::new();
        for (n, content) in &contents {
            memory.put_new(None, &path(*n), content.to_vec().into()).await.unwrap();
        }
        let bent = Faults { short_body: 0.2, flipped_body: 0.3, fail_before: 0.1, ..Faults::default() };
        let faulty = Arc::new(Faulty::new(memory, bent, seed).unwrap());
        let sim = SimDirectory::new();
        let tiered = open(&faulty, Arc::new(sim.clone()));
        list(&tiered).await;
        let random = SeededRandom::new(seed);
        for _ in 0..200 {
            let n = random.below(OBJECTS);
            let _ = tiered.get(None, &path(n), a_range(&random, contents[&n].len() as u64)).await;
        }
        faulty.set_faults(Faults::default()).unwrap();
        read_some(&tiered, &contents, &random, 100).await;
        assert!(tiered.cache_status().unwrap().hits > 0);
    }
    assert_eq!(remote.requests().gets, 0);
}

#[tokio::test]
async fn an_object_that_was_made_anew_is_read_anew() {
    let (remote, contents) = remote().await;
    let sim = SimDirectory::new();
    let tiered = open(&remote, Arc::new(sim));
    list(&tiered).await;
    for _ in 0..3 {
        tiered.get(None, &path(0), ByteRange::Full).await.unwrap();
    }
    assert!(tiered.cache_status().unwrap().hits > 0);
    tiered.delete(None, &[path(0)]).await.unwrap();
    assert!(tiered.get(None, &path(0), ByteRange::Full).await.is_err());
    let other = contents[&0].iter().map(|byte| !byte).collect::<Vec<_>>();
    // Not in the same millisecond, or it would look the same in a listing.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    remote.put_new(None, &path(0), other.clone().into()).await.unwrap();
    list(&tiered).await;
    assert_eq!(tiered.get(None, &path(0), ByteRange::Full).await.unwrap(), other);
}
