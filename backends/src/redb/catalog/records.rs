//! Records that leave the catalog and come back.

use std::collections::BTreeMap;

use redb::WriteTransaction;
use walkeep_core::catalog::{CatalogPart, CatalogRecord, Inserted, Node, RecordSink};
use walkeep_core::shards::ShardNo;
use walkeep_core::{Error, Result};

use super::table::{Content, Source, Table};
use super::tables::{
    ASSIGNMENTS, GROUPS, NAMESPACES, NODES, POSITIONS, changes, count_change, put_assignment,
};
use super::{RedbCatalog, key};
use crate::redb::failure::{Failure, Step};
use crate::redb::shard::Shard;

/// Hands out all records of a part, each behind those that it belongs to, and says how often the part was changed.
pub(super) fn dump(transaction: &impl Source, part: CatalogPart, to: &mut RecordSink<'_>) -> Step<u64> {
    let mut hand = |record| {
        to(record)?;
        Ok(true)
    };
    match part {
        CatalogPart::Records => {
            NODES.scan(transaction, b"", None, |_, node| hand(CatalogRecord::Node(node)))?;
            NAMESPACES.scan(transaction, b"", None, |_, record| hand(CatalogRecord::Namespace(record)))?;
            ASSIGNMENTS.scan(transaction, b"", None, |_, one| hand(CatalogRecord::Assignment(one)))?;
            GROUPS.scan(transaction, b"", None, |_, group| hand(CatalogRecord::Group(group)))?;
        }
        CatalogPart::Positions => {
            POSITIONS.scan(transaction, b"", None, |_, one| hand(CatalogRecord::Position(one)))?;
        }
    }
    changes(transaction, part)
}

impl RedbCatalog {
    pub(super) fn numbered(&self, shard: u16) -> Result<&Shard> {
        let found = self.shards.iter().find(|one| u16::from(one.no().0) == shard);
        found.ok_or_else(|| {
            let count = self.shards.count();
            Error::invalid(format!("shard {shard} of the catalog"), format!("it has {count} shards"))
        })
    }

    /// The records by the shard that they belong to, in their order.
    fn sort<'a>(&self, records: &'a [CatalogRecord]) -> Result<BTreeMap<ShardNo, Vec<&'a CatalogRecord>>> {
        let mut sorted = BTreeMap::<_, Vec<_>>::new();
        for record in records {
            record.check()?;
            let shard = match record {
                CatalogRecord::Node(node) => self.shard_of_node(&node.id)?.no(),
                CatalogRecord::Namespace(record) => self.shard_of(&record.namespace)?.no(),
                CatalogRecord::Assignment(one) => self.shard_of(&one.namespace)?.no(),
                CatalogRecord::Group(group) => self.shard_of(&group.namespace)?.no(),
                CatalogRecord::Position(one) => self.shard_of(&one.namespace)?.no(),
            };
            sorted.entry(shard).or_default().push(record);
        }
        Ok(sorted)
    }

    pub(super) fn insert_records(&self, records: &[CatalogRecord]) -> Result<Inserted> {
        // What one shard refuses must not find the others written.
        self.try_insert_records(records)?;
        let mut inserted = Inserted::default();
        for (shard, records) in self.sort(records)? {
            inserted.add(self.shards.shard(shard)?.write(|transaction| insert(transaction, &records))?);
        }
        Ok(inserted)
    }

    pub(super) fn try_insert_records(&self, records: &[CatalogRecord]) -> Result<Inserted> {
        let mut inserted = Inserted::default();
        for (shard, records) in self.sort(records)? {
            let mut outcome = None;
            let tried = self.shards.shard(shard)?.write(|transaction| {
                outcome = Some(insert(transaction, &records)?);
                // An error, so that nothing of it is kept.
                Err::<(), _>(Failure::Own(Error::invalid(
                    "this transaction",
                    "it was tried, and is not kept",
                )))
            });
            match (outcome, tried) {
                (Some(outcome), _) => inserted.add(outcome),
                (None, tried) => tried?,
            }
        }
        Ok(inserted)
    }
}

/// What is there in the place of a record.
enum There {
    Nothing,
    TheSame,
    Another,
}

impl There {
    fn of<T: PartialEq>(there: Option<T>, record: &T) -> Self {
        match there {
            None => Self::Nothing,
            Some(there) if there == *record => Self::TheSame,
            Some(_) => Self::Another,
        }
    }
}

fn insert(transaction: &WriteTransaction, records: &[&CatalogRecord]) -> Step<Inserted> {
    let mut inserted = Inserted::default();
    let mut changed = std::collections::BTreeSet::new();
    for record in records {
        match insert_one(transaction, record)? {
            There::Nothing => {
                inserted.added += 1;
                changed.insert(record.part());
            }
            There::TheSame => inserted.unchanged += 1,
            There::Another => inserted.conflicts.push(record.to_string()),
        }
    }
    for part in changed {
        count_change(transaction, part)?;
    }
    Ok(inserted)
}

/// Puts a record where nothing is.
fn place<T: Content + PartialEq>(
    transaction: &WriteTransaction,
    table: &Table<T>,
    key: &[u8],
    record: &T,
) -> Step<There> {
    let there = There::of(table.get(transaction, key)?, record);
    if matches!(there, There::Nothing) {
        table.put(transaction, key, record)?;
    }
    Ok(there)
}

fn insert_one(transaction: &WriteTransaction, record: &CatalogRecord) -> Step<There> {
    let homeless = |home: String| {
        Failure::Own(Error::invalid(record.to_string(), format!("{home} is neither here nor before it")))
    };
    let check_namespace = |name: &str| match NAMESPACES.get(transaction, name.as_bytes())? {
        Some(_) => Ok(()),
        None => Err(homeless(format!("namespace {name}"))),
    };
    match record {
        CatalogRecord::Node(node) => place_node(transaction, node),
        CatalogRecord::Namespace(record) => {
            place(transaction, &NAMESPACES, record.namespace.as_str().as_bytes(), record)
        }
        CatalogRecord::Assignment(assignment) => {
            let name = assignment.namespace.as_str();
            check_namespace(name)?;
            let there = There::of(ASSIGNMENTS.get(transaction, name.as_bytes())?, assignment);
            if matches!(there, There::Nothing) {
                put_assignment(transaction, None, assignment)?;
            }
            Ok(there)
        }
        CatalogRecord::Group(group) => {
            let name = group.namespace.as_str();
            check_namespace(name)?;
            place(transaction, &GROUPS, &key::of(&[name], group.group.as_str()), group)
        }
        CatalogRecord::Position(position) => {
            let (name, group) = (position.namespace.as_str(), position.group.as_str());
            if GROUPS.get(transaction, &key::of(&[name], group))?.is_none() {
                return Err(homeless(format!("group {group} of namespace {name}")));
            }
            let key = key::of(&[name, group], position.member.as_str());
            place(transaction, &POSITIONS, &key, position)
        }
    }
}

/// The same for a node: when it was last heard of is no part of what it is.
fn place_node(transaction: &WriteTransaction, node: &Node) -> Step<There> {
    let key = node.id.as_str().as_bytes();
    let before = NODES.get(transaction, key)?;
    let there = There::of(before.map(|before| Node { heartbeat: node.heartbeat, ..before }), node);
    if matches!(there, There::Nothing) {
        NODES.put(transaction, key, node)?;
    }
    Ok(there)
}
