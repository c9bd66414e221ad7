//! Another number of shards: a new catalog is made beside the old one, and takes its name in one step.
//!
//! The catalog is in its directory at any time, with the old number of shards or with the new one. What lies beside it
//! under another name is never needed: it is what was not finished, or what was replaced. A process that was waiting for
//! the old catalog, and gets it after that, finds it without its layout, and refuses it.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walkeep_core::catalog::{Catalog, CatalogPart, CatalogRecord, ListedSegments};
use walkeep_core::shards::{ShardCount, ShardPurpose};
use walkeep_core::{Clock, Error, Namespace, Random, Result};

use super::RedbCatalog;
use super::siblings::{OsSiblings, Siblings};
use crate::redb::layout_file;
use crate::redb::options::ShardsOptions;

/// How many records, namespaces or segments are moved at once.
const BATCH: usize = 1000;

impl RedbCatalog {
    /// Gives the catalog in the directory `path` another number of shards. It must not be open. Says how many records,
    /// those of segments not counted, were moved; if it has that number already, none.
    ///
    /// After an error or a crash the catalog is as it was, or has the new number: doing it again ends it.
    ///
    /// # Errors
    ///
    /// As [`RedbCatalog::open`]; `Invalid` where the file system cannot exchange two directories in one step.
    pub fn reshard(
        path: &Path,
        shards: ShardCount,
        clock: &Arc<dyn Clock>,
        random: &dyn Random,
        options: &ShardsOptions,
    ) -> Result<u64> {
        let failed = |error| Error::io(format!("open the directory of {}", path.display()), error);
        let parent =
            OsSiblings::open(path.parent().unwrap_or(Path::new("")).to_path_buf()).map_err(failed)?;
        Self::reshard_among(&parent, path, shards, clock, random, options)
    }

    /// As [`RedbCatalog::reshard`], on any file system: `parent` is the directory that `path` is in.
    ///
    /// # Errors
    ///
    /// As [`RedbCatalog::reshard`].
    pub fn reshard_among(
        parent: &dyn Siblings,
        path: &Path,
        shards: ShardCount,
        clock: &Arc<dyn Clock>,
        random: &dyn Random,
        options: &ShardsOptions,
    ) -> Result<u64> {
        let failed = |what: &str, error: io::Error| Error::io(format!("{what} {}", path.display()), error);
        let (name, beside) = names(path)?;
        let directory = parent.open(&name).map_err(|error| failed("open", error))?;
        let options = ShardsOptions { create: false, shards: None, ..options.clone() };
        let old = Self::open(&directory, path, Arc::clone(clock), random, &options)?;
        // The catalog is locked: nobody else makes or needs what may be here.
        parent.remove_tree(&beside).map_err(|error| failed("remove what was left beside", error))?;
        if old.layout().shards == shards {
            return Ok(0);
        }
        let new_path = path.with_file_name(&beside);
        let new = parent.create(&beside).map_err(|error| failed("make a directory beside", error))?;
        let options =
            ShardsOptions { create: true, shards: Some(shards), purpose: ShardPurpose::Catalog, ..options };
        let new = Self::open(&new, &new_path, Arc::clone(clock), random, &options)?;
        let moved = old.move_to(&new)?;
        drop(new);
        parent.exchange(&name, &beside).map_err(|error| {
            if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) {
                let what = format!("resharding {}", path.display());
                let why = "its file system cannot exchange two directories in one step: `walkeep catalog export`, and \
                           import into a new directory, instead";
                return Error::invalid(what, why);
            }
            failed("put the new catalog in the place of", error)
        })?;
        // Still locked until it is gone: whoever waits for the lock must not take it for the catalog, or make a new one there.
        directory
            .remove_file(Path::new(layout_file::NAME))
            .and_then(|()| directory.sync_directory(Path::new("")))
            .map_err(|error| failed("retire the files that were replaced of", error))?;
        drop(old);
        parent
            .remove_tree(&beside)
            .map_err(|error| failed("remove the files that were replaced of", error))?;
        Ok(moved)
    }

    /// Puts everything that is here into an empty catalog.
    fn move_to(&self, new: &Self) -> Result<u64> {
        let mut moved = 0;
        for part in CatalogPart::ALL {
            for shard in 0..self.shards() {
                let mut batch = Vec::with_capacity(BATCH);
                self.dump(shard, part, &mut |record| {
                    batch.push(record);
                    if batch.len() < BATCH { Ok(()) } else { put(new, &mut batch, &mut moved) }
                })?;
                put(new, &mut batch, &mut moved)?;
            }
        }
        let mut after: Option<Namespace> = None;
        loop {
            let page = self.namespaces("", after.as_ref(), BATCH)?;
            let Some(last) = page.last() else { break };
            after = Some(last.namespace.clone());
            for record in &page {
                self.move_segments(new, &record.namespace)?;
            }
        }
        // Last: as long as it is another one, nobody takes it for this catalog.
        new.set_identity(&self.identity()?)?;
        Ok(moved)
    }

    fn move_segments(&self, new: &Self, namespace: &Namespace) -> Result<()> {
        let mut after = None;
        loop {
            let segments = self.segments(namespace, after.as_ref(), BATCH)?;
            let Some(until) = segments.last().map(|last| last.key) else { return Ok(()) };
            new.sync_segments(namespace, &ListedSegments { after, until: Some(until), segments })?;
            after = Some(until);
        }
    }
}

fn put(new: &RedbCatalog, batch: &mut Vec<CatalogRecord>, moved: &mut u64) -> Result<()> {
    let inserted = new.insert(batch)?;
    if let Some(conflict) = inserted.conflicts.first() {
        return Err(Error::corrupt("the catalog", 0, format!("{conflict} once"), "it twice"));
    }
    *moved += inserted.added;
    batch.clear();
    Ok(())
}

/// The name of a catalog in the directory that it is in, and the name of what is made beside it.
fn names(path: &Path) -> Result<(PathBuf, PathBuf)> {
    let Some(name) = path.file_name() else {
        let why = "name the directory as its parent knows it, without \"..\" at the end";
        return Err(Error::invalid(format!("the catalog {}", path.display()), why));
    };
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(".reshard");
    Ok((name.into(), beside.into()))
}
