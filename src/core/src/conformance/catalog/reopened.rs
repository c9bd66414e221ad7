//! What was answered stays, through any number of openings.

use super::{all_records, create, fenced, frame, group, member, missing, must, namespace, node_id, register};
use crate::catalog::{
    Ack, Catalog, CatalogIdentity, Claim, ClaimNo, Generation, ListedSegments, SegmentRecord,
};
use crate::epoch::Epoch;
use crate::ids::Nonce;
use crate::segment_key::SegmentKey;
use crate::unix_millis::UnixMillis;

/// Opens one catalog again and again; the one before is closed each time.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn reopening(open: &mut dyn FnMut() -> Box<dyn Catalog>) {
    let (name, one, two) = (namespace("reopened"), group("g"), member("m"));
    let catalog = open();
    create(&*catalog, "reopened");
    create(&*catalog, "reopened-gone");
    register(&*catalog, "reopened-node");
    let assigned = must(catalog.assign(&name, &node_id("reopened-node"), None));
    must(catalog.create_group(&name, &one));
    must(catalog.create_group(&name, &group("gone")));
    let ack = |number: u64| Ack {
        namespace: &name,
        group: &one,
        member: &two,
        frame_no: frame(number),
        durable: Some(frame(99)),
    };
    must(catalog.ack(&ack(5)));
    let key = must(SegmentKey::new(Epoch(1), frame(1), frame(5), UnixMillis(1), 0));
    let segment = SegmentRecord { key, size: 10, stored: None };
    let listed = ListedSegments { segments: vec![segment], ..ListedSegments::default() };
    must(catalog.sync_segments(&name, &listed));
    must(catalog.delete_namespace(&namespace("reopened-gone")));
    must(catalog.delete_group(&name, &group("gone")));
    let claim = Some(Claim { no: ClaimNo(1), nonce: Nonce(2) });
    let identity = CatalogIdentity { claim, ..must(catalog.identity()) };
    must(catalog.set_identity(&identity));
    let (records, shards) = (all_records(&*catalog), catalog.shards());
    drop(catalog);

    for _ in 0..2 {
        let catalog = open();
        assert_eq!(catalog.shards(), shards);
        assert_eq!(must(catalog.identity()), identity);
        assert_eq!(all_records(&*catalog), records);
        assert_eq!(must(catalog.segments(&name, None, 9)), [segment]);
        missing(catalog.namespace(&namespace("reopened-gone")));
        missing(catalog.group(&name, &group("gone")));
        assert!(catalog.ack(&ack(4)).is_err(), "a position does not go back through an opening");
        assert_eq!(must(catalog.ack(&ack(5))).frame_no, frame(5));
        fenced(catalog.assign(&name, &node_id("reopened-node"), Some(Generation::NONE)));
        let still = must(catalog.assignments_of(&node_id("reopened-node"), None, 9));
        assert_eq!(still, std::slice::from_ref(&assigned));
    }
}
