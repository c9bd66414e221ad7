//! What a store has of a namespace: what a restore can reach, whoever wrote it.

use std::process::ExitCode;

use serde::Serialize;
use walkeep::core::{Drill, Epoch, FrameNo, Namespace, UnixMillis};
use walkeep::verify::last_drill;
use walkeep::{Bucket, Error, Timeline};

use super::super::{is_gone, warn_foreign_folders};
use super::table::{age, dash};
use crate::output;

/// What a store has of a namespace.
#[derive(Debug, Serialize)]
pub(super) struct Stored {
    namespace: Namespace,
    /// The last writer's; `None` if there is no such namespace.
    epoch: Option<Epoch>,
    pub(super) durable_frame_no: Option<FrameNo>,
    pub(super) durable_time_ms: Option<UnixMillis>,
    /// The last restore that was tried and proven (`walkeep verify --restore-drill`).
    pub(super) proven: Option<Drill>,
}

impl Stored {
    /// Looks into a store.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(super) async fn of(bucket: &Bucket, namespace: &Namespace) -> Result<Self, Error> {
        Ok(Self::find(bucket, namespace).await?.unwrap_or_else(|| Self {
            namespace: namespace.clone(),
            epoch: None,
            durable_frame_no: None,
            durable_time_ms: None,
            proven: None,
        }))
    }

    async fn find(bucket: &Bucket, namespace: &Namespace) -> Result<Option<Self>, Error> {
        let timeline = match Timeline::load(bucket, namespace).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            loaded => loaded?,
        };
        let durable = timeline.durable_frame_no();
        let newest = timeline.segments().iter().find(|segment| Some(segment.key.end()) == durable);
        Ok(Some(Self {
            namespace: namespace.clone(),
            epoch: Some(timeline.manifest().last().epoch),
            durable_frame_no: durable,
            durable_time_ms: newest.map(|segment| segment.key.time()),
            proven: last_drill(bucket, &timeline).await?,
        }))
    }
}

/// Shows what a store has, of one namespace or of all.
pub(super) async fn show(
    bucket: &Bucket,
    namespace: Option<&Namespace>,
    now: UnixMillis,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let (namespaces, mut foreign) = match namespace {
        Some(namespace) => (vec![namespace.clone()], 0),
        None => bucket.namespaces().await?,
    };
    let line = |cells: [String; 6]| {
        let [namespace, epoch, frame, time, age, proven] = cells;
        output::line(format!("{namespace:<24} {epoch:>8} {frame:>12} {time:<24} {age:>10}  {proven}"));
    };
    let mut is_first = true;
    for one in &namespaces {
        let stored = match Stored::find(bucket, one).await? {
            Some(stored) => stored,
            None if namespace.is_some() => {
                return Err(Error::not_found(format!("namespace {one} in this store")).into());
            }
            None => {
                foreign += usize::from(!is_gone(bucket, one).await?);
                continue;
            }
        };
        if json {
            output::json(&stored)?;
            continue;
        }
        if std::mem::take(&mut is_first) {
            line(["NAMESPACE", "EPOCH", "DURABLE", "OF", "AGE", "RESTORE PROVEN"].map(String::from));
        }
        line([
            one.to_string(),
            dash(stored.epoch.map(Epoch::get)),
            dash(stored.durable_frame_no),
            dash(stored.durable_time_ms),
            dash(stored.durable_time_ms.map(|time| age(time, now))),
            dash(stored.proven.map(|drill| format!("{} ago", age(drill.at, now)))),
        ]);
    }
    warn_foreign_folders(foreign);
    Ok(ExitCode::SUCCESS)
}
