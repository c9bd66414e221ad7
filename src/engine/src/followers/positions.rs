//! How far followers have come: asking for it, and acknowledging more.

use std::collections::BTreeMap;

use walkeep_core::manifest::Group;
use walkeep_core::storage::Durable;
use walkeep_core::{
    Acknowledgement, Body, Error, FrameNo, GroupName, Manifest, MemberName, Namespace, Reader, Result,
};

use super::Followers;
use super::acknowledged::{self, Acknowledged, Position};
use super::groups::{group_of, refuse_absent};
use crate::family::publish;
use crate::find;
use crate::manifests;
use crate::writer::{ATTEMPTS, BACK_OFF, may_have_happened};

/// How many acknowledgements of a member are listed: as soon as there are so many, the older ones are deleted.
const LISTED: usize = 8;

impl Followers {
    /// How far a member has come: the largest frame that it has acknowledged, or where its group begins (`None`: before the
    /// first frame).
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown namespace or group; `Corrupt` when its last acknowledgement is damaged; `Unavailable`.
    pub async fn position(
        &self,
        namespace: &Namespace,
        group: &GroupName,
        member: &MemberName,
    ) -> Result<Option<FrameNo>> {
        let manifest = manifests::present(&self.bucket, namespace).await?;
        self.position_in(namespace, &manifest, group, member).await
    }

    /// How far each member of a group has come.
    ///
    /// # Errors
    ///
    /// As [`Followers::position`].
    pub async fn positions(
        &self,
        namespace: &Namespace,
        group: &GroupName,
    ) -> Result<BTreeMap<MemberName, FrameNo>> {
        let manifest = manifests::present(&self.bucket, namespace).await?;
        group_of(&manifest, group)?;
        let acknowledged = Acknowledged::list(&self.bucket, namespace).await?;
        let positions = acknowledged.positions(&self.bucket, namespace, &manifest, group).await?;
        Ok(positions.into_iter().map(|Position { member, frame }| (member, frame)).collect())
    }

    pub(super) async fn position_in(
        &self,
        namespace: &Namespace,
        manifest: &Manifest,
        group: &GroupName,
        member: &MemberName,
    ) -> Result<Option<FrameNo>> {
        let found = group_of(manifest, group)?;
        let Some(reader) = reader(group, found, member) else { return Ok(found.from) };
        let joined = found.members.get(member).map(|member| member.frame);
        let log_id = manifest.log_id();
        Ok(joined.max(acknowledged::largest(&self.bucket, namespace, log_id, &reader).await?))
    }

    /// Acknowledges everything up to a frame: durable when this returns. The first acknowledgement of a member makes it
    /// join its group. The same again is done already.
    ///
    /// # Errors
    ///
    /// `Invalid`, with both numbers, for a frame lower than the acknowledged one, one beyond the durable frame, and for a
    /// first acknowledgement behind which commits are gone. `NotFound` for an unknown namespace or group. `Corrupt` when
    /// the last acknowledgement is damaged and this is the same one (a larger one heals it). `Unavailable`: it may have been done; repeat it.
    ///
    /// # Cancel safety
    ///
    /// A cancelled call may have acknowledged.
    pub async fn ack(
        &self,
        namespace: &Namespace,
        group: &GroupName,
        member: &MemberName,
        frame: FrameNo,
    ) -> Result<()> {
        self.refuse_libsql()?;
        let manifest = manifests::present(&self.bucket, namespace).await?;
        group_of(&manifest, group)?;
        self.refuse_beyond_durable(namespace, &manifest, frame).await?;
        let manifest = self.joined(namespace, manifest, group, member, frame).await?;
        let found = group_of(&manifest, group)?;
        let (Some(reader), Some(joined)) = (reader(group, found, member), found.members.get(member)) else {
            return Err(Error::not_found(format!("member {member} of group {group}")));
        };
        if frame <= joined.frame {
            return if frame == joined.frame && self.has_not_gone_on(namespace, &reader).await? {
                Ok(())
            } else {
                self.refuse_lower(namespace, &reader, joined.frame, frame).await
            };
        }
        self.create(namespace, &manifest, reader, frame).await
    }

    /// The manifest in which the member has joined, if not before then with this frame.
    async fn joined(
        &self,
        namespace: &Namespace,
        manifest: Manifest,
        group: &GroupName,
        member: &MemberName,
        frame: FrameNo,
    ) -> Result<Manifest> {
        if group_of(&manifest, group)?.members.contains_key(member) {
            return Ok(manifest);
        }
        let time = self.handles.clock.now();
        publish(&self.bucket, namespace, |newest| {
            refuse_absent(namespace, newest)?;
            match group_of(newest, group)?.members.contains_key(member) {
                true => Ok(None),
                false => newest.with_member(group, member.clone(), frame, time).map(Some),
            }
        })
        .await
    }

    /// Whether nothing was acknowledged since the member joined.
    async fn has_not_gone_on(&self, namespace: &Namespace, reader: &Reader) -> Result<bool> {
        Ok(acknowledged::newest(&self.bucket, namespace, reader, LISTED).await?.is_empty())
    }

    async fn refuse_lower(
        &self,
        namespace: &Namespace,
        reader: &Reader,
        joined: FrameNo,
        frame: FrameNo,
    ) -> Result<()> {
        let newest = acknowledged::newest(&self.bucket, namespace, reader, LISTED).await?;
        Err(lower(reader, newest.first().map_or(joined, |newest| newest.frame), frame))
    }

    /// Creates the acknowledgement of a member that has joined, unless it is there.
    async fn create(
        &self,
        namespace: &Namespace,
        manifest: &Manifest,
        reader: Reader,
        frame: FrameNo,
    ) -> Result<()> {
        let Some(path) = self.bucket.layout().acknowledgement(namespace, &reader, frame) else {
            return self.refuse_libsql();
        };
        let log_id = manifest.log_id();
        let acknowledged = Acknowledgement::new(log_id, reader.clone(), frame, self.handles.clock.now());
        let body = acknowledged.encode()?;
        let mut last = None;
        for attempt in 1..=ATTEMPTS {
            let listed = acknowledged::newest(&self.bucket, namespace, &reader, LISTED).await?;
            match listed.first().map(|newest| newest.frame) {
                Some(newest) if newest > frame => return Err(lower(&reader, newest, frame)),
                Some(newest) if newest == frame => {
                    match acknowledged::check(&self.bucket, namespace, log_id, &reader, frame).await {
                        // Gone since it was listed: a larger one is there now.
                        Err(Error::NotFound { .. }) => continue,
                        checked => return checked.map(drop),
                    }
                }
                _ => {}
            }
            match self.bucket.put_new(&path, Body::from(body.clone())).await {
                Ok(()) => {
                    if listed.len() >= LISTED {
                        self.tidy_up(namespace, &reader, &listed).await;
                    }
                    return Ok(());
                }
                // Whether it is there is seen in the next listing.
                Err(error) if may_have_happened(&error) => last = Some(error),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(BACK_OFF * attempt).await;
        }
        Err(last.unwrap_or_else(|| Error::Unknown { what: format!("acknowledging frame {frame}") }))
    }

    async fn refuse_beyond_durable(
        &self,
        namespace: &Namespace,
        manifest: &Manifest,
        frame: FrameNo,
    ) -> Result<()> {
        let log_id = manifest.log_id();
        let known = self.known().durable.get(namespace).copied();
        if known.is_some_and(|(log, durable)| log == log_id && frame <= durable) {
            return Ok(());
        }
        let durable = match find::durable(&self.bucket, namespace).await? {
            Durable::Until(durable) => durable,
            Durable::Nothing | Durable::Unbounded => {
                return Err(Error::invalid(
                    format!("acknowledging frame {frame}"),
                    format!("no frame of namespace {namespace} is durable yet"),
                ));
            }
        };
        self.remember_durable(namespace, manifest, durable);
        if frame <= durable {
            return Ok(());
        }
        let what = format!("acknowledging frame {frame}");
        let why = format!("the durable frame of namespace {namespace} is {durable}");
        if manifest.is_pending() {
            let what = format!("{what}: {why}, and a writer is just opening it; try again");
            return Err(Error::Unavailable { what, source: None });
        }
        Err(Error::invalid(what, why))
    }

    pub(super) fn remember_durable(&self, namespace: &Namespace, manifest: &Manifest, durable: FrameNo) {
        self.known().durable.insert(namespace.clone(), (manifest.log_id(), durable));
    }

    /// Deletes acknowledgements that do not count any more, as far as the store lets it: a collection deletes the rest.
    async fn tidy_up(&self, namespace: &Namespace, reader: &Reader, listed: &[acknowledged::Listed]) {
        if let Err(error) = acknowledged::delete(&self.bucket, namespace, reader, listed).await {
            tracing::debug!(%namespace, %error, "old acknowledgements stay for now");
        }
    }

    /// The same for a member that is gone.
    pub(super) async fn tidy_up_after(
        &self,
        namespace: &Namespace,
        group: &GroupName,
        member: &MemberName,
        found: &Group,
    ) {
        let Some(reader) = reader(group, found, member) else { return };
        match acknowledged::newest(&self.bucket, namespace, &reader, crate::timeline::LIST_PAGE).await {
            Ok(listed) => self.tidy_up(namespace, &reader, &listed).await,
            Err(error) => tracing::debug!(%namespace, %error, "old acknowledgements stay for now"),
        }
    }
}

/// The present life of a member; `None` if it has not joined.
fn reader(group: &GroupName, found: &Group, member: &MemberName) -> Option<Reader> {
    let generation = found.members.get(member)?.generation;
    Some(Reader { group: group.clone(), member: member.clone(), generation })
}

fn lower(reader: &Reader, acknowledged: FrameNo, frame: FrameNo) -> Error {
    let Reader { group, member, .. } = reader;
    let why = format!(
        "member {member} of group {group} has acknowledged frame {acknowledged}: a position does not go back"
    );
    Error::invalid(format!("acknowledging frame {frame}"), why)
}
