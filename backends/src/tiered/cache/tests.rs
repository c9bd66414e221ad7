//! The cache on a real directory: what is answered, what is damaged, what goes.
#![allow(clippy::disallowed_methods, reason = "tests damage files")]

use walkeep_core::UnixMillis;

use super::*;
use crate::os::OsDirectory;

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

const SIZE: u64 = PART * 2 + 10;

fn version() -> Version {
    Version { size: SIZE, modified: 5 }
}

fn content(part: u64) -> Vec<u8> {
    let len = usize::try_from(PART.min(SIZE - part * PART)).unwrap();
    vec![u8::try_from(part).unwrap() + 1; len]
}

fn open(root: &Path, bytes_max: u64) -> Cache {
    let directory = Arc::new(OsDirectory::open(root).unwrap());
    Cache::new(CacheOptions { directory, store: "s3://b".into(), bytes_max })
}

fn files(root: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(root).unwrap().map(|folder| folder.unwrap().path());
    let files =
        folders.flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|file| file.unwrap().path());
    files.collect()
}

#[test]
fn a_part_is_answered_once_it_came_twice_also_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let object = path("namespaces/a/segments/1");
    let cache = open(root.path(), 1 << 20);
    assert_eq!(cache.get(&object, version(), 2), Held::Nothing);
    cache.put(&object, version(), 2, &content(2));
    assert_eq!(cache.get(&object, version(), 2), Held::Nothing);
    let cache = open(root.path(), 1 << 20);
    assert_eq!(cache.get(&object, version(), 2), Held::Nothing);
    cache.put(&object, version(), 2, &content(2));
    assert_eq!(cache.get(&object, version(), 2), Held::Part(content(2).into()));
    let cache = open(root.path(), 1 << 20);
    assert_eq!(cache.get(&object, version(), 2), Held::Part(content(2).into()));
    let newer = Version { modified: 6, ..version() };
    assert_eq!(cache.get(&object, newer, 2), Held::Nothing);
    assert_eq!(cache.get(&path("namespaces/a/segments/2"), version(), 2), Held::Nothing);
}

#[test]
fn a_directory_that_served_another_store_answers_nothing_of_it() {
    let root = tempfile::tempdir().unwrap();
    let object = path("namespaces/a/segments/1");
    let cache = open(root.path(), 1 << 20);
    (0..2).for_each(|_| cache.put(&object, version(), 2, &content(2)));
    let directory = Arc::new(OsDirectory::open(root.path()).unwrap());
    let other = Cache::new(CacheOptions { directory, store: "s3://c".into(), bytes_max: 1 << 20 });
    assert_eq!(other.get(&object, version(), 2), Held::Nothing);
}

#[test]
fn what_came_differently_is_not_answered() {
    let root = tempfile::tempdir().unwrap();
    let object = path("namespaces/a/segments/1");
    let cache = open(root.path(), 1 << 20);
    for byte in [1, 2, 1, 3] {
        cache.put(&object, version(), 0, &vec![byte; content(0).len()]);
        assert_eq!(cache.get(&object, version(), 0), Held::Nothing);
    }
    cache.put(&object, version(), 0, &vec![3; content(0).len()]);
    assert_eq!(cache.get(&object, version(), 0), Held::Part(vec![3; content(0).len()].into()));
}

#[test]
fn a_damaged_file_is_a_miss_and_is_removed() {
    let root = tempfile::tempdir().unwrap();
    let object = path("namespaces/a/segments/1");
    let cache = open(root.path(), 1 << 20);
    let put = || (0..2).for_each(|_| cache.put(&object, version(), 0, &content(0)));
    let damages: [&dyn Fn(&Path); 4] = [
        &|file| std::fs::write(file, b"").unwrap(),
        &|file| std::fs::write(file, &std::fs::read(file).unwrap()[..100]).unwrap(),
        &|file| {
            let mut bytes = std::fs::read(file).unwrap();
            bytes[5000] ^= 1;
            std::fs::write(file, bytes).unwrap();
        },
        &|file| std::fs::remove_file(file).unwrap(),
    ];
    for (n, damage) in damages.into_iter().enumerate() {
        put();
        assert_eq!(cache.get(&object, version(), 0), Held::Part(content(0).into()));
        let file = files(root.path()).pop().unwrap();
        damage(&file);
        assert_eq!(cache.get(&object, version(), 0), Held::Nothing, "damage {n}");
        assert!(!file.exists(), "damage {n}");
    }
    assert_eq!(cache.status().discarded, 4);
}

#[test]
fn it_takes_no_more_than_it_may() {
    let root = tempfile::tempdir().unwrap();
    let cache = open(root.path(), 5 * PART);
    let object = |n: u32| path(&format!("namespaces/a/segments/{n}"));
    for n in 0..20 {
        for _ in 0..2 {
            cache.put(&object(n), version(), 0, &content(0));
        }
        // One that is used stays.
        assert_eq!(cache.get(&object(0), version(), 0), Held::Part(content(0).into()), "{n}");
    }
    let on_disk: u64 = files(root.path()).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(on_disk <= 5 * PART && on_disk == cache.status().bytes, "{on_disk}");
    assert_eq!(cache.get(&object(1), version(), 0), Held::Nothing);
    assert_eq!(cache.get(&object(19), version(), 0), Held::Part(content(0).into()));
    // A smaller bound holds from the next part on.
    let cache = open(root.path(), PART + 1000);
    cache.put(&object(30), version(), 0, &content(0));
    assert!(cache.status().bytes <= PART + 1000, "{:?}", cache.status());
}

#[test]
fn versions_come_from_listings_and_go_with_deletes() {
    let root = tempfile::tempdir().unwrap();
    let cache = open(root.path(), 1 << 20);
    let object = path("namespaces/a/segments/1");
    assert_eq!(cache.version(&object), None);
    cache.saw(&ObjectMeta { path: object.clone(), size: 7, modified: Some(UnixMillis(3)) });
    assert_eq!(cache.version(&object), Some(Version { size: 7, modified: 3 }));
    cache.forget(std::slice::from_ref(&object));
    assert_eq!(cache.version(&object), None);
}
