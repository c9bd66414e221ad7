//! What libsql-wal wrote (`fixtures/libsql/`) is read, written back, and survives damage.

mod bucket;
mod checkpoint;
mod damage;
mod local;
mod made_up;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::{Error, FrameNo, Namespace, ObjectPath, PageCount, PageNo};

const ENDS: [u64; 5] = [23, 57, 81, 115, 172];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/libsql")
}

fn read(path: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(path)).unwrap()
}

fn state(end: u64) -> Vec<u8> {
    read(&format!("states/state-{end:05}.db"))
}

fn sealed_file(start: u64) -> Vec<u8> {
    read(&format!("local_segments/sealed-{start:020}.seg"))
}

fn frame(number: u64) -> FrameNo {
    FrameNo::new(number).unwrap()
}

fn page(number: u32) -> PageNo {
    PageNo::new(number).unwrap()
}

fn fixture_namespace() -> Namespace {
    Namespace::new("fixture").unwrap()
}

/// The keys of the fixture's objects of one kind, as a listing gives them.
fn listed(kind: ObjectKind) -> Vec<ObjectKey> {
    let cluster = Cluster::new("cluster0").unwrap();
    let folder = cluster.objects(&fixture_namespace(), kind);
    let mut names = std::fs::read_dir(fixtures().join("bucket").join(folder.as_str()))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect::<Vec<_>>();
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let path = folder.join(&name).unwrap();
            let parsed = ObjectName::parse(&path).unwrap();
            assert_eq!(parsed.path(), path);
            assert_eq!((&parsed.namespace, parsed.kind), (&fixture_namespace(), kind));
            parsed.key
        })
        .collect()
}

fn object(kind: ObjectKind, key: &ObjectKey) -> Vec<u8> {
    let path = Cluster::new("cluster0").unwrap().object(&fixture_namespace(), kind, key);
    read(&format!("bucket/{path}"))
}

/// The data and the index of the segment with this start and end.
fn segment(start: u64, end: u64) -> (Vec<u8>, Vec<u8>) {
    let keys = listed(ObjectKind::Segment);
    let key = keys.iter().find(|key| (key.start(), key.end()) == (frame(start), frame(end))).unwrap();
    (object(ObjectKind::Segment, key), object(ObjectKind::Index, key))
}

/// A database to which segments are applied.
#[derive(Default)]
struct Rebuilt(BTreeMap<PageNo, Vec<u8>>);

impl Rebuilt {
    fn apply<'a>(&mut self, images: impl IntoIterator<Item = (PageNo, &'a [u8])>, size_after: PageCount) {
        self.0.extend(images.into_iter().map(|(page, image)| (page, image.to_vec())));
        self.0.retain(|page, _| size_after.contains(*page));
    }

    fn file(&self, size: PageCount) -> Vec<u8> {
        let zeros = vec![0; PAGE_SIZE.bytes()];
        (1..=size.get()).flat_map(|n| self.0.get(&page(n)).unwrap_or(&zeros).clone()).collect()
    }
}

/// Asserts that the error says where the damage is.
fn assert_names(error: &Error, object: &str) {
    match error {
        Error::Corrupt(corruption) => {
            assert_eq!(corruption.object, object);
            assert!(!corruption.expected.is_empty() && !corruption.found.is_empty(), "{error}");
        }
        Error::Invalid { what, .. } => assert!(what.contains(object), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_path_of_the_bucket_is_a_path_of_walkeep() {
    let path = "v2/clusters/cluster0/namespaces/fixture/segments";
    let cluster = Cluster::new("cluster0").unwrap();
    assert_eq!(cluster.objects(&fixture_namespace(), ObjectKind::Segment), ObjectPath::new(path).unwrap());
}
