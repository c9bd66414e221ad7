//! A [`Catalog`] on a set of shards (`docs/catalog.md`).
//!
//! Invariants, besides those of [`Catalog`] and of [`Shards`]:
//!
//! - all records of a namespace are in one shard, so that each call changes one shard, in one durable commit;
//! - a change and the count of changes of its part are one commit;
//! - a node is not removed while something is assigned to it: the two are in different shards, and wait for each other.
//!
//! Lists that span shards are made of one state of each shard, not of one state of all.

mod assignments;
mod followers;
mod key;
mod merge;
mod namespaces;
mod nodes;
mod opening;
mod records;
mod reshard;
mod segments;
mod siblings;
mod table;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, RwLock};

use redb::{ReadTransaction, WriteTransaction};
use walkeep_core::catalog::{
    Ack, Assignment, Catalog, CatalogIdentity, CatalogPart, CatalogRecord, Deleted, FollowerGroup,
    FollowerPosition, Generation, Inserted, ListedSegments, NamespaceChange, NamespaceRecord,
    NamespaceSettings, Node, NodeId, RecordSink, SegmentChanges, SegmentRecord,
};
use walkeep_core::shards::{ShardLayout, ShardNo};
use walkeep_core::{Clock, Epoch, GroupName, LogId, MemberName, Namespace, Result, SegmentKey, UnixMillis};

pub use self::siblings::Siblings;
use self::tables::{IDENTITY, IDENTITY_KEY};
use super::failure::Step;
use super::misplaced::Misplaced;
use super::shard::Shard;
use super::shards::Shards;
use super::shrunk::Shrunk;

/// A catalog in a set of shards, on disk or in memory.
pub struct RedbCatalog {
    shards: Shards,
    clock: Arc<dyn Clock>,
    /// Held for reading while something is assigned, for writing while a node is removed.
    nodes: RwLock<()>,
    /// Where namespaces are that are not where they belong.
    moved_namespaces: BTreeMap<String, ShardNo>,
    /// Where nodes are that are not where they belong.
    moved_nodes: BTreeMap<String, ShardNo>,
    misplaced: Vec<Misplaced>,
}

impl fmt::Debug for RedbCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedbCatalog({:?})", self.shards)
    }
}

impl RedbCatalog {
    /// The set of shards that it is in.
    #[must_use]
    pub const fn layout(&self) -> &ShardLayout {
        self.shards.layout()
    }

    /// Names that were found in another shard than they belong to when it was opened. They are used where they are.
    #[must_use]
    pub fn misplaced(&self) -> &[Misplaced] {
        &self.misplaced
    }

    fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    fn shard_of(&self, namespace: &Namespace) -> Result<&Shard> {
        let moved = self.moved_namespaces.get(namespace.as_str()).copied();
        self.shards.shard(moved.unwrap_or_else(|| self.shards.home_of(namespace.as_str())))
    }

    fn shard_of_node(&self, node: &NodeId) -> Result<&Shard> {
        let moved = self.moved_nodes.get(node.as_str()).copied();
        self.shards.shard(moved.unwrap_or_else(|| self.shards.home_of(node.as_str())))
    }

    fn read<T>(&self, namespace: &Namespace, work: impl FnOnce(&ReadTransaction) -> Step<T>) -> Result<T> {
        self.shard_of(namespace)?.read(work)
    }

    fn write<T>(&self, namespace: &Namespace, work: impl FnOnce(&WriteTransaction) -> Step<T>) -> Result<T> {
        self.shard_of(namespace)?.write(work)
    }

    /// Gives the space that is not needed any more back to the file system: see [`Shards::compact`].
    ///
    /// # Errors
    ///
    /// As [`Shard::compact`](super::Shard::compact).
    pub fn compact(&self) -> Result<Shrunk> {
        self.shards.compact()
    }
}

impl Catalog for RedbCatalog {
    fn identity(&self) -> Result<CatalogIdentity> {
        let first = self.shards.shard(ShardNo(0))?;
        first.read(opening::identity)
    }

    fn set_identity(&self, identity: &CatalogIdentity) -> Result<()> {
        let first = self.shards.shard(ShardNo(0))?;
        first.write(|transaction| IDENTITY.put(transaction, IDENTITY_KEY, identity))
    }

    fn create_namespace(
        &self,
        namespace: &Namespace,
        settings: &NamespaceSettings,
    ) -> Result<NamespaceRecord> {
        self.write(namespace, |transaction| namespaces::create(transaction, namespace, settings, self.now()))
    }

    fn namespace(&self, namespace: &Namespace) -> Result<NamespaceRecord> {
        self.read(namespace, |transaction| tables::present(transaction, namespace))
    }

    fn update_namespace(&self, namespace: &Namespace, change: &NamespaceChange) -> Result<NamespaceRecord> {
        self.write(namespace, |transaction| namespaces::update(transaction, namespace, change, self.now()))
    }

    fn namespaces(
        &self,
        prefix: &str,
        after: Option<&Namespace>,
        limit: usize,
    ) -> Result<Vec<NamespaceRecord>> {
        let after = after.map(|after| after.as_str().as_bytes());
        merge::pages(&self.shards, after, limit, |transaction, after, limit| {
            tables::NAMESPACES.page(transaction, prefix.as_bytes(), after, limit)
        })
    }

    fn delete_namespace(&self, namespace: &Namespace) -> Result<Deleted> {
        self.write(namespace, |transaction| namespaces::delete(transaction, namespace))
    }

    fn sync_segments(&self, namespace: &Namespace, listed: &ListedSegments) -> Result<SegmentChanges> {
        segments::check(namespace, listed)?;
        self.write(namespace, |transaction| segments::sync(transaction, namespace, listed))
    }

    fn segments(
        &self,
        namespace: &Namespace,
        after: Option<&SegmentKey>,
        limit: usize,
    ) -> Result<Vec<SegmentRecord>> {
        self.read(namespace, |transaction| segments::list(transaction, namespace, after, limit))
    }

    fn register_node(&self, id: &NodeId, address: &str, labels: &BTreeMap<String, String>) -> Result<Node> {
        let shard = self.shard_of_node(id)?;
        shard.write(|transaction| nodes::register(transaction, id, address, labels, self.now()))
    }

    fn heartbeat(&self, id: &NodeId) -> Result<Node> {
        self.shard_of_node(id)?.write(|transaction| nodes::heartbeat(transaction, id, self.now()))
    }

    fn set_draining(&self, id: &NodeId, draining: bool) -> Result<Node> {
        let shard = self.shard_of_node(id)?;
        shard.write(|transaction| nodes::set_draining(transaction, id, draining, self.now()))
    }

    fn node(&self, id: &NodeId) -> Result<Node> {
        self.shard_of_node(id)?.read(|transaction| nodes::present(transaction, id))
    }

    fn nodes(&self, after: Option<&NodeId>, limit: usize) -> Result<Vec<Node>> {
        let after = after.map(|after| after.as_str().as_bytes());
        merge::pages(&self.shards, after, limit, |transaction, after, limit| {
            tables::NODES.page(transaction, b"", after, limit)
        })
    }

    fn remove_node(&self, id: &NodeId) -> Result<bool> {
        self.remove_idle_node(id)
    }

    fn assign(&self, namespace: &Namespace, node: &NodeId, over: Option<Generation>) -> Result<Assignment> {
        self.assign_to(namespace, node, over)
    }

    fn confirm(
        &self,
        namespace: &Namespace,
        generation: Generation,
        epoch: Epoch,
        log_id: LogId,
    ) -> Result<Assignment> {
        self.write(namespace, |transaction| {
            assignments::confirm(transaction, namespace, generation, epoch, log_id, self.now())
        })
    }

    fn release(&self, namespace: &Namespace, generation: Generation) -> Result<Assignment> {
        self.write(namespace, |transaction| {
            assignments::release(transaction, namespace, generation, self.now())
        })
    }

    fn assignment(&self, namespace: &Namespace) -> Result<Option<Assignment>> {
        self.read(namespace, |transaction| {
            tables::present(transaction, namespace)?;
            tables::ASSIGNMENTS.get(transaction, namespace.as_str().as_bytes())
        })
    }

    fn assignments_of(
        &self,
        node: &NodeId,
        after: Option<&Namespace>,
        limit: usize,
    ) -> Result<Vec<Assignment>> {
        self.assigned_to(node, after, limit)
    }

    fn create_group(&self, namespace: &Namespace, group: &GroupName) -> Result<FollowerGroup> {
        self.write(namespace, |transaction| followers::create(transaction, namespace, group, self.now()))
    }

    fn group(&self, namespace: &Namespace, group: &GroupName) -> Result<FollowerGroup> {
        self.read(namespace, |transaction| tables::present_group(transaction, namespace, group))
    }

    fn groups(
        &self,
        namespace: &Namespace,
        after: Option<&GroupName>,
        limit: usize,
    ) -> Result<Vec<FollowerGroup>> {
        self.read(namespace, |transaction| followers::groups(transaction, namespace, after, limit))
    }

    fn delete_group(&self, namespace: &Namespace, group: &GroupName) -> Result<Option<u64>> {
        self.write(namespace, |transaction| followers::delete(transaction, namespace, group))
    }

    fn ack(&self, ack: &Ack<'_>) -> Result<FollowerPosition> {
        self.write(ack.namespace, |transaction| followers::ack(transaction, ack, self.now()))
    }

    fn position(
        &self,
        namespace: &Namespace,
        group: &GroupName,
        member: &MemberName,
    ) -> Result<Option<FollowerPosition>> {
        self.read(namespace, |transaction| followers::position(transaction, namespace, group, member))
    }

    fn positions(
        &self,
        namespace: &Namespace,
        group: &GroupName,
        after: Option<&MemberName>,
        limit: usize,
    ) -> Result<Vec<FollowerPosition>> {
        self.read(namespace, |transaction| followers::positions(transaction, namespace, group, after, limit))
    }

    fn delete_member(&self, namespace: &Namespace, group: &GroupName, member: &MemberName) -> Result<bool> {
        self.write(namespace, |transaction| followers::delete_member(transaction, namespace, group, member))
    }

    fn shards(&self) -> u16 {
        self.shards.count().get()
    }

    fn changes(&self, shard: u16, part: CatalogPart) -> Result<u64> {
        self.numbered(shard)?.read(|transaction| tables::changes(transaction, part))
    }

    fn dump(&self, shard: u16, part: CatalogPart, to: &mut RecordSink<'_>) -> Result<u64> {
        self.numbered(shard)?.read(|transaction| records::dump(transaction, part, to))
    }

    fn insert(&self, records: &[CatalogRecord]) -> Result<Inserted> {
        self.insert_records(records)
    }

    fn try_insert(&self, records: &[CatalogRecord]) -> Result<Inserted> {
        self.try_insert_records(records)
    }
}
