//! Opening a catalog, and what is made when it is new.
//!
//! A new catalog gets its tables shard by shard, and its identity last: so that one whose creation was cut short, in which
//! nothing can have been written yet, is made again, and one that has an identity has all its tables.

use std::path::Path;
use std::sync::{Arc, RwLock};

use redb::{ReadTransaction, TableError};
use walkeep_core::catalog::{CatalogId, CatalogIdentity};
use walkeep_core::shards::{ShardCount, ShardNo, ShardPurpose};
use walkeep_core::{Clock, Directory, Error, Random, Result};

use super::RedbCatalog;
use super::table::Source;
use super::tables::{self, IDENTITY, IDENTITY_KEY, NAMESPACES, NODES};
use crate::redb::failure::Step;
use crate::redb::options::ShardsOptions;
use crate::redb::shards::Shards;

impl RedbCatalog {
    /// Opens the catalog in a directory, or creates it; `name` is the directory's, for messages. This blocks.
    ///
    /// All pages are checked, whatever `options.check` says: a bit that flipped since the catalog was closed is found here.
    ///
    /// # Errors
    ///
    /// As [`Shards::open`]; `Corrupt` also when a name is in two shards.
    pub fn open(
        directory: &Arc<dyn Directory>,
        name: &Path,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
        options: &ShardsOptions,
    ) -> Result<Self> {
        let options = ShardsOptions { purpose: ShardPurpose::Catalog, check: true, ..options.clone() };
        let shards = Shards::open(directory, name, random, &options)?;
        Self::on(shards, &name.display().to_string(), clock, random)
    }

    /// A catalog in memory, gone with the process.
    ///
    /// # Errors
    ///
    /// `Io` when the source of randomness fails.
    pub fn in_memory(shards: ShardCount, clock: Arc<dyn Clock>, random: &dyn Random) -> Result<Self> {
        let shards = Shards::in_memory(ShardPurpose::Catalog, shards, random)?;
        Self::on(shards, "in memory", clock, random)
    }

    fn on(shards: Shards, name: &str, clock: Arc<dyn Clock>, random: &dyn Random) -> Result<Self> {
        let first = shards.shard(ShardNo(0))?;
        if first.read(has_identity)? {
            for shard in shards.iter() {
                shard.read(|transaction| tables::check_format(transaction, name))?;
            }
        } else {
            let id = CatalogId::random(random)?;
            for shard in shards.iter().filter(|shard| shard.no() != first.no()) {
                shard.write(tables::make)?;
            }
            first.write(|transaction| {
                tables::make(transaction)?;
                IDENTITY.put(transaction, IDENTITY_KEY, &CatalogIdentity { id, claim: None })
            })?;
        }
        let mut catalog = Self {
            shards,
            clock,
            nodes: RwLock::new(()),
            moved_namespaces: Default::default(),
            moved_nodes: Default::default(),
            misplaced: Vec::new(),
        };
        catalog.audit()?;
        Ok(catalog)
    }

    /// Looks for names that are not where they belong.
    fn audit(&mut self) -> Result<()> {
        let namespaces = self.shards.audit(|transaction, hand| {
            NAMESPACES.scan(transaction, b"", None, |_, record| {
                hand(record.namespace.as_str());
                Ok(true)
            })
        })?;
        let nodes = self.shards.audit(|transaction, hand| {
            NODES.scan(transaction, b"", None, |_, node| {
                hand(node.id.as_str());
                Ok(true)
            })
        })?;
        let place = |one: &crate::redb::misplaced::Misplaced| (one.name.clone(), one.shard);
        self.moved_namespaces = namespaces.iter().map(place).collect();
        self.moved_nodes = nodes.iter().map(place).collect();
        self.misplaced = namespaces.into_iter().chain(nodes).collect();
        Ok(())
    }
}

/// Whether the catalog was made: as long as it was not, there need not be a table.
fn has_identity(transaction: &ReadTransaction) -> Step<bool> {
    match transaction.open_table(IDENTITY.definition()) {
        Err(TableError::TableDoesNotExist(_)) => Ok(false),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(IDENTITY.get(transaction, IDENTITY_KEY)?.is_some()),
    }
}

/// Which catalog it is.
pub(super) fn identity(transaction: &impl Source) -> Step<CatalogIdentity> {
    let found = IDENTITY.get(transaction, IDENTITY_KEY)?;
    Ok(found.ok_or_else(|| Error::corrupt("the catalog", 0, "its identity", "none"))?)
}
