//! Namespaces: created once, changed, listed, and deleted with everything that is theirs.

use super::{create, frame, group, member, missing, must, namespace, node_id, refused, register, taken};
use crate::catalog::{
    Ack, Catalog, Deleted, ListedSegments, NamespaceChange, NamespaceSettings, NamespaceState, SegmentRecord,
};
use crate::epoch::Epoch;
use crate::ids::LogId;
use crate::namespace::Namespace;
use crate::page::PageSize;
use crate::quota::Quota;
use crate::seal_policy::SealPolicy;
use crate::segment_key::SegmentKey;
use crate::unix_millis::UnixMillis;

/// A record is created once, reads back with all its settings, changes, and is gone when it was deleted.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn namespaces_are_created_once_changed_and_deleted(catalog: &dyn Catalog) {
    let name = namespace("crud-a");
    missing(catalog.namespace(&name));
    missing(catalog.update_namespace(&name, &NamespaceChange::default()));
    let settings = NamespaceSettings {
        page_size: Some(PageSize::MIN),
        seal: Some(SealPolicy::default()),
        retention: None,
        quota: Quota { bytes: std::num::NonZeroU64::new(7), ..Quota::default() },
        store: Some("s3://bucket/tenant".into()),
    };
    let created = must(catalog.create_namespace(&name, &settings));
    assert_eq!((created.state, &created.settings), (NamespaceState::Active, &settings));
    assert_eq!(must(catalog.namespace(&name)), created);
    taken(catalog.create_namespace(&name, &NamespaceSettings::default()));
    assert_eq!(must(catalog.namespace(&name)), created, "the first one stays as it is");

    let change = NamespaceChange {
        settings: Some(NamespaceSettings::default()),
        state: Some(NamespaceState::Closed),
        log_id: Some(LogId(1)),
    };
    let changed = must(catalog.update_namespace(&name, &change));
    assert_eq!((changed.state, changed.log_id), (NamespaceState::Closed, Some(LogId(1))));
    assert_eq!((changed.created, &changed.settings), (created.created, &NamespaceSettings::default()));
    assert!(changed.updated >= created.updated);
    assert_eq!(must(catalog.update_namespace(&name, &change)), changed, "the same again changes nothing");
    let other_log = NamespaceChange { log_id: Some(LogId(2)), ..NamespaceChange::default() };
    refused(catalog.update_namespace(&name, &other_log));
    let broken = NamespaceSettings { store: Some(String::new()), ..NamespaceSettings::default() };
    refused(catalog.create_namespace(&namespace("crud-b"), &broken));
    missing(catalog.namespace(&namespace("crud-b")));
    assert_eq!(must(catalog.namespace(&name)), changed, "what is refused changes nothing");

    assert!(must(catalog.delete_namespace(&name)).existed);
    missing(catalog.namespace(&name));
    assert_eq!(
        must(catalog.delete_namespace(&name)),
        Deleted::default(),
        "deleting it again is done already"
    );
    assert_eq!(create(catalog, "crud-a").log_id, None, "a new one knows nothing of the old one");
}

/// Lists hold what begins with a prefix, in order, page by page, across all shards.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn namespaces_are_listed_by_prefix_in_pages(catalog: &dyn Catalog) {
    let mut names = (0..40).map(|n| format!("page.{:03}", n * 7919 % 997)).collect::<Vec<_>>();
    for name in names.iter().map(String::as_str).chain(["page", "page-", "pagf", "pag"]) {
        create(catalog, name);
    }
    names.sort();
    let list = |prefix: &str, after: Option<&Namespace>, limit| {
        let page = must(catalog.namespaces(prefix, after, limit));
        page.into_iter().map(|record| record.namespace).collect::<Vec<_>>()
    };
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = list("page.", after.as_ref(), 7);
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        paged.extend(page.iter().map(|name| name.as_str().to_string()));
    }
    assert_eq!(paged, names);
    assert_eq!(list("page.", Some(&namespace("page.zzz")), 5), []);
    assert_eq!(list("page.", Some(&namespace("a")), 1).len(), 1, "a name before the prefix");
    assert_eq!(list("pagf", None, 9), [namespace("pagf")]);
    assert_eq!(list("page.", None, 0), []);
    assert_eq!(list("no such prefix", None, 9), []);
    assert!(list("", None, usize::MAX).len() >= 44, "the empty prefix is that of all");
}

/// Names that belong to Walkeep itself cannot be made, whatever is tried.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn reserved_names_are_refused(catalog: &dyn Catalog) {
    for name in ["__catalog", "__positions", "__x"] {
        assert!(refused(Namespace::new(name)).contains("reserved"), "{name}");
    }
    let there = must(catalog.namespaces("__", None, 10));
    assert!(there.is_empty(), "nothing of Walkeep's own is listed among the user's: {there:?}");
}

/// Names that look alike when they are strung together are kept apart: nobody meets another one's records.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn names_with_separators_do_not_meet(catalog: &dyn Catalog) {
    // Strung together with any of the characters that names may have, some of these would be one.
    let parts = ["sep", "sep-a", "a", "sep-a-b", "b", "a-b", "sep.a", "sep_a", "a.b", "a_b", "b-a"];
    let names = parts.map(|part| format!("sep{part}"));
    for name in &names {
        create(catalog, name);
        for part in parts {
            must(catalog.create_group(&namespace(name), &group(part)));
        }
    }
    let mut number = 0;
    for name in &names {
        for (one, two) in parts.iter().flat_map(|one| parts.map(|two| (*one, two))) {
            number += 1;
            let (name, one, two) = (namespace(name), group(one), member(two));
            let durable = Some(frame(number));
            must(catalog.ack(&Ack {
                namespace: &name,
                group: &one,
                member: &two,
                frame_no: frame(number),
                durable,
            }));
        }
    }
    let mut expected = 0;
    for name in &names {
        for (one, two) in parts.iter().flat_map(|one| parts.map(|two| (*one, two))) {
            expected += 1;
            let position = must(catalog.position(&namespace(name), &group(one), &member(two)));
            assert_eq!(
                position.map(|position| position.frame_no.get()),
                Some(expected),
                "{name} {one} {two}"
            );
        }
    }
    let before = names.len() - 1;
    must(catalog.delete_namespace(&namespace("sepa")));
    let left = names.iter().filter(|name| catalog.namespace(&namespace(name)).is_ok()).count();
    assert_eq!(left, before);
    for name in names.iter().filter(|name| *name != "sepa") {
        let groups = must(catalog.groups(&namespace(name), None, usize::MAX));
        assert_eq!(groups.len(), parts.len(), "{name}");
        must(catalog.delete_group(&namespace(name), &group("a")));
        let kept = must(catalog.positions(&namespace(name), &group("a-b"), None, usize::MAX));
        assert_eq!(kept.len(), parts.len(), "{name}");
    }
    // Nodes may have colons in their names.
    for node in ["sep:a", "sep:a:b", "sep"] {
        register(catalog, node);
    }
    must(catalog.assign(&namespace("sepb"), &node_id("sep:a"), None));
    must(catalog.assign(&namespace("sepa-b"), &node_id("sep:a:b"), None));
    for (node, has) in [("sep", None), ("sep:a", Some("sepb")), ("sep:a:b", Some("sepa-b"))] {
        let assigned = must(catalog.assignments_of(&node_id(node), None, 9));
        let assigned = assigned.iter().map(|one| one.namespace.as_str()).collect::<Vec<_>>();
        assert_eq!(assigned, has.into_iter().collect::<Vec<_>>(), "{node}");
    }
}

/// With a namespace goes its registry, its assignment, its groups and their positions, and nobody else's.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn deleting_a_namespace_takes_everything_with_it(catalog: &dyn Catalog) {
    register(catalog, "cascade-node");
    let node = node_id("cascade-node");
    let segments = [5_u64, 3].map(|end| {
        let key = SegmentKey::new(Epoch(1), frame(end - 1), frame(end), UnixMillis(end), 0);
        SegmentRecord { key: must(key), size: end, stored: None }
    });
    for name in ["cascade", "cascade-2"] {
        create(catalog, name);
        let name = namespace(name);
        must(catalog.assign(&name, &node, None));
        let listed = ListedSegments { segments: segments.to_vec(), ..ListedSegments::default() };
        must(catalog.sync_segments(&name, &listed));
        for one in ["x", "y"].map(group) {
            must(catalog.create_group(&name, &one));
            for two in ["m", "n", "o"].map(member) {
                let durable = Some(frame(9));
                must(catalog.ack(&Ack {
                    namespace: &name,
                    group: &one,
                    member: &two,
                    frame_no: frame(4),
                    durable,
                }));
            }
        }
    }
    let name = namespace("cascade");
    let went = must(catalog.delete_namespace(&name));
    assert_eq!(went, Deleted { existed: true, segments: 2, groups: 2, positions: 6, assigned: true });
    missing(catalog.segments(&name, None, 9));
    missing(catalog.groups(&name, None, 9));
    missing(catalog.assignment(&name));
    missing(catalog.positions(&name, &group("x"), None, 9));
    create(catalog, "cascade");
    assert_eq!(must(catalog.segments(&name, None, 9)), [], "nothing of the old one comes back");
    assert_eq!(must(catalog.groups(&name, None, 9)), []);
    assert_eq!(must(catalog.assignment(&name)), None);
    must(catalog.create_group(&name, &group("x")));
    assert_eq!(must(catalog.position(&name, &group("x"), &member("m"))), None);

    let other = namespace("cascade-2");
    assert_eq!(must(catalog.segments(&other, None, 9)), segments);
    assert_eq!(must(catalog.groups(&other, None, 9)).len(), 2);
    assert_eq!(must(catalog.positions(&other, &group("y"), None, 9)).len(), 3);
    let assigned = must(catalog.assignments_of(&node, None, 9));
    assert_eq!(assigned.into_iter().map(|one| one.namespace).collect::<Vec<_>>(), [other]);
}
