//! Making a namespace of a restore point of another: two small manifests, whatever the size of the database.
//!
//! First the parent says that the commit is needed, then the fork's first manifest is created. A fork that was cut
//! short between the two is listed and not there: making it again goes on, and deleting the parent sees to it too.

use walkeep_core::manifest::{Child, Life, Parent};
use walkeep_core::{Error, FrameNo, LogId, Manifest, Namespace, Nonce, RestorePoint, Result};

use super::publish::unlink;
use super::reclaim::is_needed;
use crate::bucket::Bucket;
use crate::find;
use crate::manifests;
use crate::writer::{ATTEMPTS, BACK_OFF, Handles, may_have_happened};

/// Makes the namespace `name` of a restore point of `parent`: its history begins with that commit, and goes on apart
/// from the parent's. What is before is read where the parent stores it, so that nothing is copied.
///
/// The requests do not go with the size of the database. Returns the fork's manifest.
///
/// # Errors
///
/// `AlreadyExists` when the name is taken; `NotFound` for an unknown parent; `Unreachable`, or `Invalid` when retention
/// no longer promises the point; `Unavailable` also while the parent is being opened: nothing has changed then, except
/// that the parent may list a fork that is not there, which making it again settles.
///
/// # Cancel safety
///
/// As `Unavailable`.
pub async fn fork(
    bucket: &Bucket,
    parent: &Namespace,
    name: &Namespace,
    point: RestorePoint,
    handles: &Handles,
) -> Result<Manifest> {
    let random = &*handles.random;
    let (log_id, nonce) = (LogId::random(random)?, Nonce::random(random)?);
    let forking = Forking { bucket, parent, name, log_id };
    let mut before = forking.free_name().await?;
    let mut wanted = point;
    let mut last = None;
    for attempt in 1..=ATTEMPTS {
        let (manifest, frame, time) = find::commit(bucket, parent, wanted).await?;
        // From here on it is this commit: a create whose outcome is unknown may still land.
        wanted = RestorePoint::Frame(frame);
        match manifest.children().iter().find(|child| child.namespace == *name) {
            Some(child) if child.log_id == log_id => {}
            Some(child) if is_needed(bucket, child, random).await? => return Err(taken(name)),
            Some(child) => {
                unlink(bucket, parent, child.log_id).await?;
                before = forking.free_name().await?;
                continue;
            }
            None => match forking.link(&manifest, frame).await {
                Ok(()) => {}
                Err(error) if may_have_happened(&error) => {
                    last = Some(error);
                    tokio::time::sleep(BACK_OFF * attempt).await;
                    continue;
                }
                Err(error) => return Err(error),
            },
        }
        let link = Parent { namespace: parent.clone(), log_id: manifest.log_id(), frame, time };
        return forking.create(&manifest.fork(link, log_id, nonce, before.as_ref())?).await;
    }
    Err(last.filter(|error| matches!(error, Error::Unavailable { .. })).unwrap_or_else(|| {
        let what = format!("namespace {parent} is being changed by others again and again");
        Error::Unavailable { what, source: None }
    }))
}

fn taken(name: &Namespace) -> Error {
    Error::AlreadyExists { what: format!("namespace {name}") }
}

/// What all steps have in common.
struct Forking<'a> {
    bucket: &'a Bucket,
    parent: &'a Namespace,
    name: &'a Namespace,
    log_id: LogId,
}

impl Forking<'_> {
    /// What is there under the name: nothing, or what is left of a namespace that is gone.
    async fn free_name(&self) -> Result<Option<Manifest>> {
        let (bucket, name) = (self.bucket, self.name);
        let segments = manifests::newest_segment_epoch(bucket, name).await?;
        let newest = manifests::newest(bucket, name).await?;
        manifests::refuse_lost(bucket, name, segments, newest.as_ref())?;
        let Some(newest) = newest else { return Ok(None) };
        let refuse = |why: &str| {
            Err(Error::AlreadyExists { what: format!("namespace {name} was deleted, and {why}: it") })
        };
        match newest.life() {
            Life::Active | Life::Frozen => Err(taken(name)),
            _ if !newest.children().is_empty() => refuse("has forks that need what it stored"),
            _ if segments.is_some() => refuse("`walkeep rm` has not ended (repeat that)"),
            Life::Aborted | Life::Tombstone => Ok(Some(newest)),
        }
    }

    /// Makes the parent list the fork.
    async fn link(&self, parent: &Manifest, frame: FrameNo) -> Result<()> {
        let child = Child { namespace: self.name.clone(), log_id: self.log_id, frame };
        let linked = parent.with_child(child)?;
        manifests::create(self.bucket, self.parent, &linked).await
    }

    /// Creates the fork's first manifest, or takes the parent's promise back.
    async fn create(&self, first: &Manifest) -> Result<Manifest> {
        let mut last = None;
        for attempt in 1..=ATTEMPTS {
            match manifests::create(self.bucket, self.name, first).await {
                Ok(()) => return Ok(first.clone()),
                Err(error) if may_have_happened(&error) => last = Some(error),
                Err(error) => return Err(error),
            }
            match manifests::newest(self.bucket, self.name).await? {
                Some(newest) if newest.log_id() == self.log_id => return Ok(newest),
                Some(newest) if newest.version() >= first.version() => {
                    // Somebody else has the name, so that this create can land no more.
                    unlink(self.bucket, self.parent, self.log_id).await?;
                    return Err(taken(self.name));
                }
                _ => tokio::time::sleep(BACK_OFF * attempt).await,
            }
        }
        let why = last.map_or_else(String::new, |error| format!(": {error}"));
        let what = format!("whether fork {} of {} came about{why}; repeat it", self.name, self.parent);
        Err(Error::Unknown { what })
    }
}
