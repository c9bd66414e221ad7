//! The metadata of a server that hosts many namespaces: a [`Catalog`].
//!
//! Which namespaces there are and with what settings, which segments each has (a cache), which nodes serve, which of them
//! writes which namespace, and how far the followers of each log have come.
//!
//! Invariants, which the suite `conformance::catalog` (feature `conformance`) checks of every implementation:
//!
//! - each call happens wholly or not at all, and what it changed is durable when it returns;
//! - calls may be made from any number of threads; whatever a call checks still holds when it writes;
//! - an assignment's generation and a member's position never go back;
//! - deleting a namespace takes with it whatever the catalog holds of it;
//! - nothing is read that was not checked: damage is `Corrupt`, never another answer.
//!
//! Calls block, for as long as a disk needs to sync: an asynchronous caller makes them on a thread for blocking work.
//!
//! Not here: the logs. What the catalog says of a log (its segments, its identity) is what was seen in the store at some
//! time, and the store is right where the two differ. What keeps two nodes from writing one namespace is the store as well.

mod assignment;
mod copy;
mod copy_layout;
mod export;
mod follower_group;
mod identity;
mod namespace_record;
mod node;
mod rebalance;
mod record;
mod segment_record;

use std::collections::BTreeMap;
use std::fmt::Debug;

pub use self::assignment::{Assignment, Generation};
pub use self::copy::{CopyHeader, CopyWriter, read_copy, read_copy_header};
pub use self::copy_layout::{CopyLayout, CopyName, StoredClaim};
pub use self::export::{EXPORT_VERSION, ExportReader, export_begin, export_end, export_record};
pub use self::follower_group::{Ack, FollowerGroup, FollowerPosition};
pub use self::identity::{CatalogIdentity, Claim, ClaimNo};
pub use self::namespace_record::{
    Deleted, NamespaceChange, NamespaceRecord, NamespaceSettings, NamespaceState,
};
pub use self::node::{Node, NodeId, NodeStatus};
pub use self::rebalance::{Move, plan_rebalance};
pub use self::record::{CatalogPart, CatalogRecord, Inserted};
pub use self::segment_record::{ListedSegments, SegmentChanges, SegmentRecord};
use crate::epoch::Epoch;
use crate::error::Result;
pub use crate::ids::CatalogId;
use crate::ids::LogId;
use crate::namespace::Namespace;
use crate::segment_key::SegmentKey;
use crate::{GroupName, MemberName};

/// Receives records one by one.
pub type RecordSink<'a> = dyn FnMut(CatalogRecord) -> Result<()> + 'a;

/// The metadata of many namespaces. See the [module](self) for what holds of all calls.
///
/// Lists come in the order of names, strictly behind `after`, at most `limit`; an empty list is not an error.
///
/// Besides the errors named with each call, all may end with `Corrupt` (the catalog is damaged: restore it from its
/// copies), `Exhausted` (the disk is full, nothing was changed), `Unavailable` (try again), `Unknown` (it may or may not
/// have happened, and nothing more is taken until the catalog is opened again) and `Io`.
pub trait Catalog: Debug + Send + Sync + 'static {
    /// Which catalog this is.
    ///
    /// # Errors
    ///
    /// As all calls.
    fn identity(&self) -> Result<CatalogIdentity>;

    /// Makes it another one: a catalog that is being restored, or was bound to the copies in a store.
    ///
    /// # Errors
    ///
    /// As all calls.
    fn set_identity(&self, identity: &CatalogIdentity) -> Result<()>;

    /// Creates a namespace's record.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`; `Invalid` for settings that contradict themselves.
    fn create_namespace(
        &self,
        namespace: &Namespace,
        settings: &NamespaceSettings,
    ) -> Result<NamespaceRecord>;

    /// A namespace's record.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    fn namespace(&self, namespace: &Namespace) -> Result<NamespaceRecord>;

    /// Changes a namespace's record, and gives it as it is then.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Invalid` as [`NamespaceRecord::apply`].
    fn update_namespace(&self, namespace: &Namespace, change: &NamespaceChange) -> Result<NamespaceRecord>;

    /// The namespaces whose names begin with `prefix`.
    ///
    /// # Errors
    ///
    /// As all calls.
    fn namespaces(
        &self,
        prefix: &str,
        after: Option<&Namespace>,
        limit: usize,
    ) -> Result<Vec<NamespaceRecord>>;

    /// Deletes all that the catalog holds of a namespace, in one step. Of one that is not there, nothing. The log in the
    /// store is not touched.
    ///
    /// # Errors
    ///
    /// As all calls.
    fn delete_namespace(&self, namespace: &Namespace) -> Result<Deleted>;

    /// Makes the registry of a namespace's segments say what a part of a listing shows.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such namespace; `Invalid` when the listing is not in order.
    fn sync_segments(&self, namespace: &Namespace, listed: &ListedSegments) -> Result<SegmentChanges>;

    /// The segments that are registered, newest first.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such namespace.
    fn segments(
        &self,
        namespace: &Namespace,
        after: Option<&SegmentKey>,
        limit: usize,
    ) -> Result<Vec<SegmentRecord>>;

    /// Registers a node, or the same node when it starts anew.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` and `Invalid` as [`Node::register`].
    fn register_node(&self, id: &NodeId, address: &str, labels: &BTreeMap<String, String>) -> Result<Node>;

    /// Notes that a node was heard of.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    fn heartbeat(&self, id: &NodeId) -> Result<Node>;

    /// Gives a node no more work, or some again.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    fn set_draining(&self, id: &NodeId, draining: bool) -> Result<Node>;

    /// A node.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    fn node(&self, id: &NodeId) -> Result<Node>;

    /// The nodes.
    ///
    /// # Errors
    ///
    /// As all calls.
    fn nodes(&self, after: Option<&NodeId>, limit: usize) -> Result<Vec<Node>>;

    /// Removes a node that has no namespace. Of one that is not there, nothing; says whether it was.
    ///
    /// # Errors
    ///
    /// `Invalid` when namespaces are assigned to it.
    fn remove_node(&self, id: &NodeId) -> Result<bool>;

    /// Gives a namespace to a node; with `over`, only if the generation of its assignment is still that one
    /// ([`Generation::NONE`]: if it was never assigned).
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown namespace or node; `Invalid` for a tombstone, and a node that is draining; `Fenced` when
    /// the generation is another.
    fn assign(&self, namespace: &Namespace, node: &NodeId, over: Option<Generation>) -> Result<Assignment>;

    /// Notes the epoch with which an owner has opened a namespace, and the log that it found.
    ///
    /// # Errors
    ///
    /// `NotFound` for a namespace that is unknown or not assigned; `Fenced` as [`Assignment::confirm`]; `Invalid` when
    /// another log of this namespace is known.
    fn confirm(
        &self,
        namespace: &Namespace,
        generation: Generation,
        epoch: Epoch,
        log_id: LogId,
    ) -> Result<Assignment>;

    /// Takes a namespace back from its owner.
    ///
    /// # Errors
    ///
    /// `NotFound` for a namespace that is unknown or was never assigned; `Fenced` as [`Assignment::release`].
    fn release(&self, namespace: &Namespace, generation: Generation) -> Result<Assignment>;

    /// Who writes a namespace; `None` if it was never assigned.
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown namespace.
    fn assignment(&self, namespace: &Namespace) -> Result<Option<Assignment>>;

    /// What is assigned to a node, in order of namespaces. Of one that is unknown, nothing.
    ///
    /// # Errors
    ///
    /// As all calls.
    fn assignments_of(
        &self,
        node: &NodeId,
        after: Option<&Namespace>,
        limit: usize,
    ) -> Result<Vec<Assignment>>;

    /// Creates a group of followers of a namespace.
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown namespace; `AlreadyExists`.
    fn create_group(&self, namespace: &Namespace, group: &GroupName) -> Result<FollowerGroup>;

    /// A group.
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown namespace or group.
    fn group(&self, namespace: &Namespace, group: &GroupName) -> Result<FollowerGroup>;

    /// The groups of a namespace.
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown namespace.
    fn groups(
        &self,
        namespace: &Namespace,
        after: Option<&GroupName>,
        limit: usize,
    ) -> Result<Vec<FollowerGroup>>;

    /// Deletes a group and the positions of its members. Of one that is not there, nothing; says how many positions went.
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown namespace.
    fn delete_group(&self, namespace: &Namespace, group: &GroupName) -> Result<Option<u64>>;

    /// Moves a member's position up. Of calls at the same time, none takes it back.
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown namespace or group; `Invalid` as [`Ack::advance`].
    fn ack(&self, ack: &Ack<'_>) -> Result<FollowerPosition>;

    /// A member's position; `None` if it has not acknowledged anything.
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown namespace or group.
    fn position(
        &self,
        namespace: &Namespace,
        group: &GroupName,
        member: &MemberName,
    ) -> Result<Option<FollowerPosition>>;

    /// The positions of a group, by member.
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown namespace or group.
    fn positions(
        &self,
        namespace: &Namespace,
        group: &GroupName,
        after: Option<&MemberName>,
        limit: usize,
    ) -> Result<Vec<FollowerPosition>>;

    /// Forgets a member's position. Says whether there was one.
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown namespace or group.
    fn delete_member(&self, namespace: &Namespace, group: &GroupName, member: &MemberName) -> Result<bool>;

    /// How many shards the catalog has: the parts that are copied each on its own.
    fn shards(&self) -> u16;

    /// How often a part of a shard was changed. It never goes back while the catalog lives.
    ///
    /// # Errors
    ///
    /// `Invalid` for a shard that it does not have.
    fn changes(&self, shard: u16, part: CatalogPart) -> Result<u64>;

    /// Gives all records of a part of a shard as they were at one time, and says how often that was changed by then.
    ///
    /// # Errors
    ///
    /// `Invalid` for a shard that it does not have; what the sink ends with.
    fn dump(&self, shard: u16, part: CatalogPart, to: &mut RecordSink<'_>) -> Result<u64>;

    /// Puts records in as they are, unless others of these names are there. Those of one shard in one step.
    ///
    /// # Errors
    ///
    /// `Invalid` for a record that contradicts itself, or belongs to a namespace or group that is neither here nor
    /// among the records before it.
    fn insert(&self, records: &[CatalogRecord]) -> Result<Inserted>;

    /// What [`Catalog::insert`] would do.
    ///
    /// # Errors
    ///
    /// As [`Catalog::insert`].
    fn try_insert(&self, records: &[CatalogRecord]) -> Result<Inserted>;
}
