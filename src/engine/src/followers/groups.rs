//! Groups and their members, as the manifest has them.

use std::collections::BTreeMap;

use walkeep_core::manifest::{Cap, Group};
use walkeep_core::{Error, FrameNo, GroupName, Manifest, MemberName, Namespace, RestorePoint, Result};

use super::Followers;
use crate::family::publish;
use crate::find;
use crate::manifests;

/// Where a group begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With the oldest commit behind which none is gone.
    Oldest,
    /// Behind the newest commit.
    Newest,
    /// Behind this commit.
    Behind(RestorePoint),
}

impl Followers {
    /// Creates a group. From now on a collection keeps what it needs.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when the name is taken; `Unreachable` when there is no such commit to begin at; `Invalid` when
    /// commits behind it are gone, or for a cap of nothing; `NotFound` for an unknown namespace; `Unavailable`, also while
    /// a writer is just opening the namespace.
    ///
    /// # Cancel safety
    ///
    /// A cancelled call may have created it.
    pub async fn create_group(
        &self,
        namespace: &Namespace,
        name: &GroupName,
        begin: Begin,
        cap: Cap,
    ) -> Result<Group> {
        self.refuse_libsql()?;
        if cap.bytes == Some(0) || cap.age_ms == Some(0) {
            return Err(Error::invalid(format!("group {name}"), "a cap of nothing keeps nothing for it"));
        }
        if self.groups(namespace).await?.contains_key(name) {
            return Err(Error::AlreadyExists { what: format!("group {name}") });
        }
        let created = self.handles.clock.now();
        let from = self.begin(namespace, begin).await?;
        let next = |newest: &Manifest| {
            refuse_absent(namespace, newest)?;
            let from = from.unwrap_or_else(|| oldest(newest));
            match newest.followers().get(name) {
                // Ours, by an attempt whose reply was lost.
                Some(found) if (found.created, found.from, found.cap()) == (created, from, cap) => Ok(None),
                _ => newest.with_group(name.clone(), from, cap, created).map(Some),
            }
        };
        let manifest = publish(&self.bucket, namespace, next).await?;
        group_of(&manifest, name).cloned()
    }

    /// Where positions begin; `None`: that is for the manifest to say which the group is added to.
    async fn begin(&self, namespace: &Namespace, begin: Begin) -> Result<Option<Option<FrameNo>>> {
        let point = match begin {
            Begin::Oldest => return Ok(None),
            Begin::Newest => RestorePoint::Latest,
            Begin::Behind(point) => point,
        };
        match find::commit(&self.bucket, namespace, point).await {
            Ok((_, frame, _)) => Ok(Some(Some(frame))),
            // No commit is there yet: all that will come are behind.
            Err(Error::Unreachable(_)) if begin == Begin::Newest && self.is_empty(namespace).await? => {
                Ok(Some(None))
            }
            Err(error) => Err(error),
        }
    }

    async fn is_empty(&self, namespace: &Namespace) -> Result<bool> {
        Ok(manifests::newest_segment_epoch(&self.bucket, namespace).await?.is_none())
    }

    /// Deletes a group, and what its members acknowledged. Returns what it was.
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown namespace or group; `Unavailable`.
    ///
    /// # Cancel safety
    ///
    /// A cancelled call may have deleted it.
    pub async fn delete_group(&self, namespace: &Namespace, name: &GroupName) -> Result<Group> {
        let found = self.group(namespace, name).await?;
        let next = |newest: &Manifest| match newest.followers().get(name) {
            Some(group) if group.generation == found.generation => newest.without_group(name).map(Some),
            _ => Ok(None),
        };
        publish(&self.bucket, namespace, next).await?;
        for member in found.members.keys() {
            self.tidy_up_after(namespace, name, member, &found).await;
        }
        Ok(found)
    }

    /// Removes a member from its group: nothing is kept for it any more. If it comes back, it joins anew.
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown namespace, group or member; `Unavailable`.
    ///
    /// # Cancel safety
    ///
    /// A cancelled call may have removed it.
    pub async fn remove_member(
        &self,
        namespace: &Namespace,
        group: &GroupName,
        member: &MemberName,
    ) -> Result<()> {
        let found = self.group(namespace, group).await?;
        let Some(joined) = found.members.get(member) else {
            return Err(Error::not_found(format!("member {member} of group {group}")));
        };
        let next = |newest: &Manifest| {
            let still = newest.followers().get(group).and_then(|group| group.members.get(member));
            match still {
                Some(still) if still.generation == joined.generation => {
                    newest.without_member(group, member).map(Some)
                }
                _ => Ok(None),
            }
        };
        publish(&self.bucket, namespace, next).await?;
        self.tidy_up_after(namespace, group, member, &found).await;
        Ok(())
    }

    /// The groups of a namespace.
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown namespace; `Corrupt`, `Unavailable`.
    pub async fn groups(&self, namespace: &Namespace) -> Result<BTreeMap<GroupName, Group>> {
        Ok(manifests::present(&self.bucket, namespace).await?.followers().clone())
    }

    /// A group.
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown namespace or group; `Corrupt`, `Unavailable`.
    pub async fn group(&self, namespace: &Namespace, name: &GroupName) -> Result<Group> {
        group_of(&manifests::present(&self.bucket, namespace).await?, name).cloned()
    }

    pub(super) fn refuse_libsql(&self) -> Result<()> {
        if self.bucket.is_libsql() {
            return Err(Error::invalid("followers", "a bucket of libsql-wal is only read"));
        }
        Ok(())
    }
}

/// The position behind which no commit of a namespace is gone.
fn oldest(manifest: &Manifest) -> Option<FrameNo> {
    let frontier = Some(manifest.frontier()).filter(|frontier| *frontier > FrameNo::FIRST);
    frontier.max(manifest.parent().map(|parent| parent.frame))
}

pub(super) fn refuse_absent(namespace: &Namespace, manifest: &Manifest) -> Result<()> {
    match manifest.life() {
        life if life.is_there() => Ok(()),
        life => Err(Error::not_found(format!("namespace {:?} (it is {life})", namespace.as_str()))),
    }
}

pub(super) fn group_of<'a>(manifest: &'a Manifest, name: &GroupName) -> Result<&'a Group> {
    manifest.followers().get(name).ok_or_else(|| Error::not_found(format!("group {name}")))
}
