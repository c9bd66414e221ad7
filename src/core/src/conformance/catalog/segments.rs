//! The registry of segments: what it says after a listing is what the listing showed.

use super::{create, frame, missing, must, namespace, refused};
use crate::catalog::{Catalog, ListedSegments, SegmentChanges, SegmentRecord};
use crate::epoch::Epoch;
use crate::segment_key::SegmentKey;
use crate::unix_millis::UnixMillis;

/// The segment of one frame, as long as its number.
fn segment(end: u64) -> SegmentRecord {
    let key = must(SegmentKey::new(Epoch(1), frame(end), frame(end), UnixMillis(end), 0));
    SegmentRecord { key, size: end, stored: Some(UnixMillis(end)) }
}

fn segments(ends: &[u64]) -> Vec<SegmentRecord> {
    ends.iter().map(|end| segment(*end)).collect()
}

/// What a part of a listing shows is written, what it does not show goes, what lies outside of it stays.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn segments_follow_a_listing(catalog: &dyn Catalog) {
    let name = namespace("registry");
    missing(catalog.sync_segments(&name, &ListedSegments::default()));
    create(catalog, "registry");
    create(catalog, "registry-2");
    let all = |ends: &[u64]| ListedSegments { segments: segments(ends), ..ListedSegments::default() };
    let changes = must(catalog.sync_segments(&name, &all(&[9, 7, 5, 3, 1])));
    assert_eq!(changes, SegmentChanges { added: 5, ..SegmentChanges::default() });
    assert_eq!(must(catalog.segments(&name, None, 99)), segments(&[9, 7, 5, 3, 1]), "newest first");
    let again = must(catalog.sync_segments(&name, &all(&[9, 7, 5, 3, 1])));
    assert!(again.is_none() && again.unchanged == 5, "{again:?}");

    // Between 8 and 4: a new segment, another one gone, and one that is longer than it was.
    let mut listed = segments(&[6, 5]);
    for one in listed.iter_mut().filter(|one| one.size == 5) {
        one.size = 50;
    }
    let part =
        ListedSegments { after: Some(segment(8).key), until: Some(segment(4).key), segments: listed.clone() };
    let changes = must(catalog.sync_segments(&name, &part));
    assert_eq!(changes, SegmentChanges { added: 1, removed: 1, changed: 1, unchanged: 0 });
    let expected = [segments(&[9]), listed, segments(&[3, 1])].concat();
    assert_eq!(must(catalog.segments(&name, None, 99)), expected);
    let after = Some(segment(9).key);
    let page = must(catalog.segments(&name, after.as_ref(), 2));
    assert_eq!(page.as_slice(), expected.get(1..3).unwrap_or_default(), "in pages");
    assert_eq!(must(catalog.segments(&namespace("registry-2"), None, 9)), [], "nobody else's");
    let gone = must(catalog.sync_segments(&name, &ListedSegments::default()));
    assert_eq!(gone.removed, 5);
    assert_eq!(must(catalog.segments(&name, None, 9)), []);
}

/// A listing that is not in order, or shows what it does not span, changes nothing.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn segments_out_of_order_are_refused(catalog: &dyn Catalog) {
    let name = namespace("registry-3");
    create(catalog, "registry-3");
    let first = ListedSegments { segments: segments(&[4, 2]), ..ListedSegments::default() };
    must(catalog.sync_segments(&name, &first));
    for (after, until, ends) in [
        (None, None, &[1_u64, 3][..]),
        (None, None, &[3, 3]),
        (Some(3), None, &[3, 1]),
        (None, Some(3), &[4, 3, 2]),
    ] {
        let key = |end: Option<u64>| end.map(|end| segment(end).key);
        let listed = ListedSegments { after: key(after), until: key(until), segments: segments(ends) };
        refused(catalog.sync_segments(&name, &listed));
    }
    assert_eq!(must(catalog.segments(&name, None, 9)), segments(&[4, 2]));
}
