//! What every [`Catalog`] must do, as plain functions that panic where one does not.
//!
//! Run [`everything`] in a test of your catalog, over an empty one, and [`reopening`] if it outlives its process. The
//! functions use names of their own, so that they can also be run one by one.
//!
//! Not here: what a crash leaves behind, which only a crash can show.

mod assignments;
mod concurrent;
mod followers;
mod namespaces;
mod nodes;
mod records;
mod reopened;
mod segments;

use std::collections::BTreeMap;

pub use self::assignments::{
    assignments_change_owners_and_never_go_back, assignments_of_a_node_are_listed_in_pages,
    owners_are_confirmed_with_their_epoch_and_log, what_cannot_be_assigned_is_refused,
};
pub use self::concurrent::{
    of_many_takers_of_one_generation_one_wins, one_of_many_creates_wins, positions_only_rise_under_many_hands,
};
pub use self::followers::{
    groups_are_created_listed_and_deleted, positions_are_sorted_and_independent, positions_never_go_back,
    unknown_namespaces_and_groups_are_said,
};
pub use self::namespaces::{
    deleting_a_namespace_takes_everything_with_it, names_with_separators_do_not_meet,
    namespaces_are_created_once_changed_and_deleted, namespaces_are_listed_by_prefix_in_pages,
    reserved_names_are_refused,
};
pub use self::nodes::{nodes_come_and_go, nodes_share_no_name};
pub use self::records::{records_travel_unchanged, records_without_a_home_are_refused, the_identity_is_kept};
pub use self::reopened::reopening;
pub use self::segments::{segments_follow_a_listing, segments_out_of_order_are_refused};
use crate::catalog::{Catalog, CatalogPart, CatalogRecord, NamespaceRecord, NamespaceSettings, Node, NodeId};
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::namespace::Namespace;
use crate::{GroupName, MemberName};

/// Runs the whole suite, but for [`reopening`].
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn everything(catalog: &dyn Catalog) {
    namespaces_are_created_once_changed_and_deleted(catalog);
    namespaces_are_listed_by_prefix_in_pages(catalog);
    reserved_names_are_refused(catalog);
    names_with_separators_do_not_meet(catalog);
    deleting_a_namespace_takes_everything_with_it(catalog);
    segments_follow_a_listing(catalog);
    segments_out_of_order_are_refused(catalog);
    nodes_come_and_go(catalog);
    nodes_share_no_name(catalog);
    assignments_change_owners_and_never_go_back(catalog);
    assignments_of_a_node_are_listed_in_pages(catalog);
    owners_are_confirmed_with_their_epoch_and_log(catalog);
    what_cannot_be_assigned_is_refused(catalog);
    groups_are_created_listed_and_deleted(catalog);
    positions_never_go_back(catalog);
    positions_are_sorted_and_independent(catalog);
    unknown_namespaces_and_groups_are_said(catalog);
    one_of_many_creates_wins(catalog);
    of_many_takers_of_one_generation_one_wins(catalog);
    positions_only_rise_under_many_hands(catalog);
    the_identity_is_kept(catalog);
    records_travel_unchanged(catalog);
    records_without_a_home_are_refused(catalog);
}

/// The value of a call that must succeed.
#[track_caller]
fn must<T>(outcome: Result<T>) -> T {
    match outcome {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// The error of a call that must be answered with `NotFound`.
#[track_caller]
fn missing<T: std::fmt::Debug>(outcome: Result<T>) -> String {
    match outcome {
        Err(error @ Error::NotFound { .. }) => error.to_string(),
        other => panic!("not found is expected, not {other:?}"),
    }
}

/// The error of a call that must be refused as wrong in itself.
#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T>) -> String {
    match outcome {
        Err(error @ Error::Invalid { .. }) => error.to_string(),
        other => panic!("a refusal is expected, not {other:?}"),
    }
}

#[track_caller]
fn fenced<T: std::fmt::Debug>(outcome: Result<T>) {
    assert!(matches!(outcome, Err(Error::Fenced { .. })), "fenced is expected, not {outcome:?}");
}

#[track_caller]
fn taken<T: std::fmt::Debug>(outcome: Result<T>) {
    assert!(
        matches!(outcome, Err(Error::AlreadyExists { .. })),
        "\"already exists\" is expected, not {outcome:?}"
    );
}

#[track_caller]
fn namespace(name: &str) -> Namespace {
    must(Namespace::new(name))
}

#[track_caller]
fn group(name: &str) -> GroupName {
    must(name.parse())
}

#[track_caller]
fn member(name: &str) -> MemberName {
    must(name.parse())
}

#[track_caller]
fn node_id(name: &str) -> NodeId {
    must(NodeId::new(name))
}

#[track_caller]
fn frame(number: u64) -> FrameNo {
    FrameNo::new(number).unwrap_or_else(|| panic!("frame {number}"))
}

#[track_caller]
fn create(catalog: &dyn Catalog, name: &str) -> NamespaceRecord {
    must(catalog.create_namespace(&namespace(name), &NamespaceSettings::default()))
}

#[track_caller]
fn register(catalog: &dyn Catalog, name: &str) -> Node {
    must(catalog.register_node(&node_id(name), &format!("{name}.example:1"), &BTreeMap::new()))
}

/// All records of a catalog, in the order in which another one can take them in.
#[track_caller]
fn all_records(catalog: &dyn Catalog) -> Vec<CatalogRecord> {
    let mut records = Vec::new();
    for part in CatalogPart::ALL {
        for shard in 0..catalog.shards() {
            must(catalog.dump(shard, part, &mut |record| {
                records.push(record);
                Ok(())
            }));
        }
    }
    records
}
