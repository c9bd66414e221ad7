//! Records that leave a catalog and come back: exports and copies.

use super::{all_records, create, frame, group, member, must, namespace, node_id, refused, register};
use crate::catalog::{
    Ack, Catalog, CatalogIdentity, CatalogPart, CatalogRecord, Claim, ClaimNo, Inserted, NamespaceRecord,
    NamespaceSettings,
};
use crate::ids::Nonce;
use crate::unix_millis::UnixMillis;

/// A catalog has one identity, which changes only when it is told so.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn the_identity_is_kept(catalog: &dyn Catalog) {
    let before = must(catalog.identity());
    assert_eq!(must(catalog.identity()), before);
    let claim = Some(Claim { no: ClaimNo(3), nonce: Nonce(4) });
    must(catalog.set_identity(&CatalogIdentity { id: before.id, claim }));
    assert_eq!(must(catalog.identity()).claim, claim);
    must(catalog.set_identity(&before));
    assert_eq!(must(catalog.identity()), before);
}

/// What a dump gives can be put back; what is there already and the same is left; what is another is reported and left.
/// Each change is counted in its part of its shard, and nowhere else.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn records_travel_unchanged(catalog: &dyn Catalog) {
    register(catalog, "travel-node");
    create(catalog, "travel");
    let (name, one) = (namespace("travel"), group("g"));
    must(catalog.assign(&name, &node_id("travel-node"), None));
    must(catalog.create_group(&name, &one));
    let counts =
        |part| (0..catalog.shards()).map(|shard| must(catalog.changes(shard, part))).collect::<Vec<_>>();
    let before = CatalogPart::ALL.map(counts);
    let two = member("m");
    let durable = Some(frame(9));
    must(catalog.ack(&Ack { namespace: &name, group: &one, member: &two, frame_no: frame(5), durable }));
    let after = CatalogPart::ALL.map(counts);
    assert_eq!(before.first(), after.first(), "a position is counted among the positions");
    let rose = |part: usize| {
        let pair = before.get(part).into_iter().flatten().zip(after.get(part).into_iter().flatten());
        pair.filter(|(before, after)| before < after).count()
    };
    assert_eq!(rose(1), 1, "in one shard");

    let records = all_records(catalog);
    let of = |record: &CatalogRecord| ["travel", "travel-node"].contains(&record.home());
    let travelling = records.iter().filter(|record| of(record)).cloned().collect::<Vec<_>>();
    assert_eq!(travelling.len(), 5, "{travelling:?}");
    let same = Inserted { unchanged: 5, ..Inserted::default() };
    assert_eq!(must(catalog.insert(&travelling)), same, "all of it is there already");
    assert_eq!(CatalogPart::ALL.map(counts), after, "what changes nothing is not counted");

    must(catalog.delete_namespace(&name));
    assert_eq!(must(catalog.try_insert(&travelling)).added, 4);
    assert!(catalog.namespace(&name).is_err(), "trying it changes nothing");
    assert_eq!(must(catalog.insert(&travelling)).added, 4);
    let back = all_records(catalog);
    assert_eq!(back, records, "everything is as it was");

    let mut changed = travelling;
    for record in &mut changed {
        if let CatalogRecord::Position(position) = record {
            position.frame_no = frame(6);
        }
    }
    let outcome = must(catalog.insert(&changed));
    assert_eq!((outcome.unchanged, outcome.conflicts.len()), (4, 1), "{outcome:?}");
    assert!(outcome.conflicts.iter().all(|what| what.contains("member m")), "{outcome:?}");
    assert_eq!(must(catalog.position(&name, &one, &two)).map(|one| one.frame_no), Some(frame(5)));
    refused(catalog.changes(catalog.shards(), CatalogPart::Records));
}

/// A record of a namespace or a group that is nowhere is refused, and nothing with it is written.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn records_without_a_home_are_refused(catalog: &dyn Catalog) {
    create(catalog, "home");
    let name = namespace("home");
    must(catalog.create_group(&name, &group("g")));
    let durable = Some(frame(9));
    let (one, two) = (group("g"), member("m"));
    must(catalog.ack(&Ack { namespace: &name, group: &one, member: &two, frame_no: frame(5), durable }));
    let records =
        all_records(catalog).into_iter().filter(|record| record.home() == "home").collect::<Vec<_>>();
    must(catalog.delete_namespace(&name));
    let orphans = records.iter().filter(|record| !matches!(record, CatalogRecord::Namespace(_)));
    let orphans = orphans.cloned().collect::<Vec<_>>();
    assert_eq!(orphans.len(), 2);
    for orphan in &orphans {
        refused(catalog.insert(std::slice::from_ref(orphan)));
        refused(catalog.try_insert(std::slice::from_ref(orphan)));
    }
    must(catalog.insert(&records));
    let settings = NamespaceSettings { store: Some(String::new()), ..NamespaceSettings::default() };
    let broken = NamespaceRecord { settings, ..must(catalog.namespace(&name)) };
    let broken = NamespaceRecord { namespace: namespace("home-broken"), created: UnixMillis(1), ..broken };
    refused(catalog.insert(&[CatalogRecord::Namespace(broken)]));
}
