//! Groups of followers, and positions that only rise.

use super::{create, frame, group, member, missing, must, namespace, refused, taken};
use crate::catalog::{Ack, Catalog, FollowerPosition};
use crate::error::Result;

fn ack(catalog: &dyn Catalog, names: [&str; 3], number: u64, durable: u64) -> Result<FollowerPosition> {
    let [name, one, two] = names;
    let (name, one, two) = (namespace(name), group(one), member(two));
    let durable = crate::frame_no::FrameNo::new(durable);
    catalog.ack(&Ack { namespace: &name, group: &one, member: &two, frame_no: frame(number), durable })
}

/// A group is created once, listed in order, and is gone with its positions when it was deleted.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn groups_are_created_listed_and_deleted(catalog: &dyn Catalog) {
    create(catalog, "groups");
    let name = namespace("groups");
    for one in ["c", "a", "b"].map(group) {
        let created = must(catalog.create_group(&name, &one));
        assert_eq!(must(catalog.group(&name, &one)), created);
        taken(catalog.create_group(&name, &one));
    }
    let list = |after: Option<&str>, limit| {
        let after = after.map(group);
        let page = must(catalog.groups(&name, after.as_ref(), limit));
        page.into_iter().map(|one| one.group.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 9), ["a", "b", "c"]);
    assert_eq!(list(Some("a"), 1), ["b"]);
    must(ack(catalog, ["groups", "b", "m"], 4, 9));
    must(ack(catalog, ["groups", "b", "n"], 5, 9));
    must(ack(catalog, ["groups", "c", "m"], 6, 9));
    assert_eq!(must(catalog.delete_group(&name, &group("b"))), Some(2));
    assert_eq!(must(catalog.delete_group(&name, &group("b"))), None, "deleting it again is done already");
    missing(catalog.group(&name, &group("b")));
    missing(ack(catalog, ["groups", "b", "m"], 7, 9));
    must(catalog.create_group(&name, &group("b")));
    assert_eq!(must(catalog.position(&name, &group("b"), &member("m"))), None, "the new one begins anew");
    assert_eq!(must(catalog.positions(&name, &group("c"), None, 9)).len(), 1, "the others stay");
}

/// A lower frame is refused with both numbers, the same one is accepted, one that is not durable is refused.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn positions_never_go_back(catalog: &dyn Catalog) {
    create(catalog, "acks");
    let name = namespace("acks");
    must(catalog.create_group(&name, &group("g")));
    let position = || must(catalog.position(&name, &group("g"), &member("m")));
    assert_eq!(position(), None);
    refused(ack(catalog, ["acks", "g", "m"], 1, 0));
    assert_eq!(position(), None);
    let seventh = must(ack(catalog, ["acks", "g", "m"], 7, 7));
    assert_eq!(position(), Some(seventh.clone()));
    let error = refused(ack(catalog, ["acks", "g", "m"], 6, 9));
    assert!(error.contains('6') && error.contains('7'), "{error}");
    assert_eq!(must(ack(catalog, ["acks", "g", "m"], 7, 9)), seventh, "the same again");
    let error = refused(ack(catalog, ["acks", "g", "m"], 12, 9));
    assert!(error.contains("12") && error.contains('9'), "{error}");
    assert_eq!(position(), Some(seventh.clone()), "what is refused changes nothing");
    let ninth = must(ack(catalog, ["acks", "g", "m"], 9, 9));
    assert_eq!((ninth.frame_no, ninth.created), (frame(9), seventh.created));
    assert!(must(catalog.delete_member(&name, &group("g"), &member("m"))));
    assert!(!must(catalog.delete_member(&name, &group("g"), &member("m"))));
    assert_eq!(position(), None);
}

/// Members are independent of one another, and listed by name in pages.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn positions_are_sorted_and_independent(catalog: &dyn Catalog) {
    create(catalog, "members");
    let name = namespace("members");
    for one in ["g", "h"] {
        must(catalog.create_group(&name, &group(one)));
    }
    for (n, two) in ["m5", "m1", "m4", "m2", "m3"].into_iter().enumerate() {
        must(ack(catalog, ["members", "g", two], 10 - n as u64, 99));
    }
    must(ack(catalog, ["members", "h", "m1"], 50, 99));
    let list = |after: Option<&str>, limit| {
        let after = after.map(member);
        let page = must(catalog.positions(&name, &group("g"), after.as_ref(), limit));
        page.into_iter().map(|one| (one.member.to_string(), one.frame_no.get())).collect::<Vec<_>>()
    };
    let expected = [("m1", 9), ("m2", 7), ("m3", 6), ("m4", 8), ("m5", 10)].map(|(m, f)| (m.to_string(), f));
    assert_eq!(list(None, 9), expected);
    assert_eq!(list(Some("m2"), 2), expected.get(2..4).unwrap_or_default());
    assert_eq!(list(Some("m5"), 2), []);
}

/// A namespace or group that is not there is named, whatever is asked of it.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn unknown_namespaces_and_groups_are_said(catalog: &dyn Catalog) {
    create(catalog, "known");
    let (known, unknown) = (namespace("known"), namespace("unknown-ns"));
    let (one, two) = (group("unknown-group"), member("m"));
    for error in [
        missing(ack(catalog, ["unknown-ns", "unknown-group", "m"], 1, 9)),
        missing(catalog.create_group(&unknown, &one)),
        missing(catalog.groups(&unknown, None, 9)),
        missing(catalog.delete_group(&unknown, &one)),
        missing(catalog.position(&unknown, &one, &two)),
        missing(catalog.segments(&unknown, None, 9)),
    ] {
        assert!(error.contains("unknown-ns"), "{error}");
    }
    for error in [
        missing(ack(catalog, ["known", "unknown-group", "m"], 1, 9)),
        missing(catalog.group(&known, &one)),
        missing(catalog.position(&known, &one, &two)),
        missing(catalog.positions(&known, &one, None, 9)),
        missing(catalog.delete_member(&known, &one, &two)),
    ] {
        assert!(error.contains("unknown-group") && error.contains("known"), "{error}");
    }
}
