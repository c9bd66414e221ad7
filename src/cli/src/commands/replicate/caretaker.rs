//! What a daemon does for the histories of its databases besides adding to them: it writes retention down, compacts,
//! deletes what nothing needs, and tries restores.
//!
//! One task looks after all databases of the process, one after the other and within a budget, so that this never takes
//! more of the machine than one compaction may. Whatever fails is said and tried again at the next look; nothing of it
//! keeps a database from being replicated. A look that is cut off by the end of the process leaves nothing half done.
//!
//! A look asks the store only when there is something to do: an idle database costs no request but those of a collection.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use walkeep::backends::StoreUrl;
use walkeep::backends::os::OsDirectory;
use walkeep::compact::{Budget, CompactOptions, Compactor, Tiered};
use walkeep::core::{Drill, Namespace};
use walkeep::gc::{GcOptions, collect};
use walkeep::verify::{last_drill, restore_drill};
use walkeep::{Bucket, Error, Handles, Timeline, retain};

use super::registry::Registry;
use crate::config::{Care, Upkeep};
use crate::store::Store;

/// Segments that were stored since the last compaction, from which on it is worth listing them.
const COMPACT_SEGMENTS: u64 = 64;

/// How often to compact, if anything was stored at all, and how often to collect.
const EACH: Duration = Duration::from_secs(60 * 60);

/// What is looked after.
#[derive(Clone, Debug)]
pub(crate) struct Tended {
    pub(super) namespace: Namespace,
    pub(super) store: StoreUrl,
    /// Where outputs are put together: the local state of the replication.
    pub(super) state_directory: PathBuf,
    pub(super) care: Care,
}

/// What has been done for a database, for whoever shows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    /// Compactions.
    pub(crate) compactions: u64,
    /// Objects deleted.
    pub(crate) deleted: u64,
    /// Their bytes.
    pub(crate) deleted_bytes: u64,
    /// The last restore that was tried and proven.
    pub(crate) drill: Option<Drill>,
    /// Looks that failed.
    pub(crate) failures: u64,
}

/// When what was done last.
#[derive(Debug, Default)]
struct Last {
    retained: bool,
    compacted: Option<(Instant, u64)>,
    collected: Option<Instant>,
    drilled: Option<Instant>,
    done: Done,
}

/// Looks after all databases that the registry has.
#[derive(Debug)]
pub(super) struct Caretaker {
    registry: Registry,
    upkeep: Upkeep,
    handles: Handles,
    stores: Vec<(StoreUrl, Bucket)>,
    last: BTreeMap<PathBuf, Last>,
}

impl Caretaker {
    pub(super) const fn new(registry: Registry, upkeep: Upkeep, handles: Handles) -> Self {
        Self { registry, upkeep, handles, stores: Vec::new(), last: BTreeMap::new() }
    }

    /// Looks after them until it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            tokio::time::sleep(self.upkeep.interval).await;
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let tended = self.registry.tended();
        self.last.retain(|path, _| tended.iter().any(|(known, ..)| known == path));
        for (path, one, stored) in tended {
            if let Err(error) = self.look_after(&path, &one, stored).await {
                tracing::warn!(database = %path.display(), %error, "its history could not be looked after");
                self.last.entry(path.clone()).or_default().done.failures += 1;
            }
            let done = self.last.get(&path).map(|last| last.done.clone()).unwrap_or_default();
            self.registry.note_done(&path, done);
        }
    }

    /// Does what is due for a database, of which so many segments were stored since the start.
    async fn look_after(&mut self, path: &Path, one: &Tended, stored: u64) -> Result<(), Error> {
        let (bucket, handles) = (self.bucket(&one.store)?, self.handles.clone());
        let last = self.last.entry(path.to_path_buf()).or_default();
        if let Some(retention) = one.care.retention.as_ref().filter(|_| !last.retained) {
            retain(&bucket, &one.namespace, Some(retention)).await?;
            last.retained = true;
        }
        let is_due = last.compacted.is_none_or(|(at, segments)| {
            stored >= segments + COMPACT_SEGMENTS || (stored > segments && at.elapsed() >= EACH)
        });
        if one.care.compact && is_due {
            last.compacted = Some((Instant::now(), stored));
            last.done.compactions += compact(&bucket, one, self.upkeep.budget, &handles).await?;
        }
        if one.care.gc && last.collected.is_none_or(|at| at.elapsed() >= EACH) {
            last.collected = Some(Instant::now());
            let collected = collect(&bucket, &one.namespace, &GcOptions::default(), &handles).await?;
            last.done.deleted += collected.deleted as u64;
            last.done.deleted_bytes += collected.bytes;
            if let Some((object, error)) = collected.refused.first() {
                let more = collected.refused.len();
                tracing::warn!(namespace = %one.namespace, objects = more, %object, %error, "the store does not delete");
            }
        }
        if let Some(each) = one.care.restore_drill {
            drill(&bucket, one, each, &handles, last).await?;
        }
        Ok(())
    }

    fn bucket(&mut self, url: &StoreUrl) -> Result<Bucket, Error> {
        if let Some((_, bucket)) = self.stores.iter().find(|(known, _)| known == url) {
            return Ok(bucket.clone());
        }
        let store = Store::open(url)?;
        let bucket = store.bucket.clone();
        self.registry.add_store(url.to_string(), store, None);
        self.stores.push((url.clone(), bucket.clone()));
        Ok(bucket)
    }
}

async fn compact(bucket: &Bucket, one: &Tended, budget: Budget, handles: &Handles) -> Result<u64, Error> {
    let spool = OsDirectory::open(&one.state_directory)
        .map_err(|error| Error::io(format!("open {}", one.state_directory.display()), error))?;
    let options = CompactOptions { budget, ..CompactOptions::new(Arc::new(spool), handles.clone()) };
    let compacted = Compactor::new(bucket, &one.namespace, options)?.compact(&Tiered, &|_| {}).await?;
    Ok(compacted.done.len() as u64)
}

/// Tries a restore, if none was tried for so long: by whoever it was.
async fn drill(
    bucket: &Bucket,
    one: &Tended,
    each: Duration,
    handles: &Handles,
    last: &mut Last,
) -> Result<(), Error> {
    if last.drilled.is_some_and(|at| at.elapsed() < each) {
        return Ok(());
    }
    if last.drilled.is_none() {
        let timeline = Timeline::load(bucket, &one.namespace).await?;
        last.done.drill = last_drill(bucket, &timeline).await?;
        let age = last.done.drill.map(|drill| handles.clock.now().get().saturating_sub(drill.at.get()));
        if age.is_some_and(|age| u128::from(age) < each.as_millis()) {
            return Ok(());
        }
    }
    last.drilled = Some(Instant::now());
    let (drill, _) = restore_drill(bucket, &one.namespace, handles).await?;
    last.done.drill = Some(drill);
    Ok(())
}
