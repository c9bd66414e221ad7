//! The newest commit of a namespace, and who wrote it.

use walkeep::core::{Commit, Epoch, Error, LogId, Namespace, PageHashTable, PageSize, Result};
use walkeep::{Bucket, RestorePoint, View, locate};

/// The newest commit of a namespace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newest {
    pub(super) log_id: LogId,
    pub(super) page_size: PageSize,
    pub(super) commit: Commit,
    /// The epoch it was written in.
    pub(super) epoch: Epoch,
}

/// What a look at a namespace finds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look {
    /// No commits.
    Empty,
    /// An opening was cut short: opening the namespace settles which commits count.
    Unsettled,
    Newest(Newest),
}

/// Looks for the newest commit.
///
/// # Errors
///
/// `Corrupt`, `Unavailable`.
pub(super) async fn look(bucket: &Bucket, namespace: &Namespace) -> Result<Look> {
    let located = match locate(bucket, namespace, RestorePoint::Latest).await {
        Ok(located) => located,
        Err(Error::NotFound { .. }) => return Ok(Look::Empty),
        Err(Error::Unreachable(unreachable)) if unreachable.missing.is_none() => return Ok(Look::Unsettled),
        Err(error) => return Err(error),
    };
    let manifest = located.timeline.manifest();
    let Some(stored) = located.timeline.newest().copied() else { return Ok(Look::Empty) };
    let segment = located.timeline.open(bucket, stored).await?;
    let Some(commit) = segment.commits().last().copied() else { return Ok(Look::Empty) };
    Ok(Look::Newest(Newest {
        log_id: manifest.log_id(),
        page_size: segment.index().footer().header.page_size,
        commit,
        epoch: stored.key.epoch(),
    }))
}

impl Newest {
    /// The page hashes at this commit, from the store.
    ///
    /// # Errors
    ///
    /// As [`View::open`]; `Corrupt` when they are not what the commit says.
    pub(super) async fn table(
        &self,
        bucket: &Bucket,
        namespace: &Namespace,
        database_bytes_max: u64,
    ) -> Result<PageHashTable> {
        let point = RestorePoint::Frame(self.commit.frame_no);
        let table = View::open(bucket, namespace, point, database_bytes_max).await?.page_hashes()?;
        match self.commit.state {
            Some(state) if state != table.state() => {
                let object = format!("namespace {namespace} at frame {}", self.commit.frame_no);
                Err(Error::corrupt(object, 0, state, table.state()))
            }
            _ => Ok(table),
        }
    }
}
