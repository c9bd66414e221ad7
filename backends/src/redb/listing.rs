//! Listings over several shards: each shard is read a page at a time, and the smallest key of all comes next.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use walkeep_core::{ObjectMeta, ObjectPath, Result};

use super::committer::Lane;
use super::shard_listing;

/// How many entries are read at once, of all shards together.
const PAGE: usize = 1024;

/// What is listed.
pub(super) trait Listed: Clone + Send + Sync + 'static {
    type Item: Clone + Send + 'static;

    /// What comes behind `last`, or from the beginning, at most `limit`.
    fn page(&self, lane: &Lane, last: Option<&Self::Item>, limit: usize) -> Result<Vec<Self::Item>>;

    /// The order.
    fn order(item: &Self::Item) -> String;
}

/// The objects below a prefix.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    pub(super) prefix: ObjectPath,
    pub(super) after: Option<ObjectPath>,
}

impl Listed for Objects {
    type Item = ObjectMeta;

    fn page(&self, lane: &Lane, last: Option<&ObjectMeta>, limit: usize) -> Result<Vec<ObjectMeta>> {
        let after = last.map(|last| &last.path).or(self.after.as_ref());
        let after = after.filter(|after| **after > self.prefix).unwrap_or(&self.prefix);
        shard_listing::list(lane.shard()?, &self.prefix, after.as_str(), limit)
    }

    fn order(item: &ObjectMeta) -> String {
        item.path.to_string()
    }
}

/// The directories directly below a prefix.
#[derive(Clone, Debug)]
pub(super) struct Directories {
    pub(super) prefix: ObjectPath,
    pub(super) after: Option<String>,
}

impl Listed for Directories {
    type Item = String;

    fn page(&self, lane: &Lane, last: Option<&String>, limit: usize) -> Result<Vec<String>> {
        let after = last.or(self.after.as_ref()).map(String::as_str);
        shard_listing::directories(lane.shard()?, self.prefix.as_str(), after, limit)
    }

    fn order(item: &String) -> String {
        format!("{item}/")
    }
}

/// What was read of one shard.
struct Cursor<T> {
    lane: Arc<Lane>,
    ahead: VecDeque<(String, T)>,
    /// The last one that was read, if more may follow.
    last: Option<T>,
    ended: bool,
}

struct Merge<L: Listed> {
    listed: L,
    cursors: Vec<Cursor<L::Item>>,
    page: usize,
    left: usize,
}

/// The listing of these shards, merged, at most `limit`. It ends at its first error.
pub(super) fn merged<L: Listed>(
    listed: L,
    lanes: Result<Vec<Arc<Lane>>>,
    limit: usize,
) -> BoxStream<'static, Result<L::Item>> {
    let lanes = match lanes {
        Ok(lanes) => lanes,
        Err(error) => return stream::iter([Err(error)]).boxed(),
    };
    let page = (PAGE / lanes.len().max(1)).max(16).min(limit);
    let cursor = |lane: &Arc<Lane>| Cursor {
        lane: Arc::clone(lane),
        ahead: VecDeque::new(),
        last: None,
        ended: false,
    };
    let merge = Merge { listed, cursors: lanes.iter().map(cursor).collect(), page, left: limit };
    stream::unfold(Some(merge), |merge| async {
        let mut merge = merge.filter(|merge| merge.left > 0)?;
        match merge.next().await {
            Ok(None) => None,
            Ok(Some(item)) => Some((Ok(item), Some(merge))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

impl<L: Listed> Merge<L> {
    async fn next(&mut self) -> Result<Option<L::Item>> {
        self.fill().await?;
        let heads = self.cursors.iter().enumerate();
        let heads = heads.filter_map(|(i, cursor)| cursor.ahead.front().map(|(order, _)| (order, i)));
        let Some((_, smallest)) = heads.min() else { return Ok(None) };
        self.left -= 1;
        let cursor = self.cursors.get_mut(smallest);
        Ok(cursor.and_then(|cursor| cursor.ahead.pop_front()).map(|(_, item)| item))
    }

    /// Reads the next page of every shard of which nothing is ahead.
    async fn fill(&mut self) -> Result<()> {
        let wanted = |cursor: &&mut Cursor<L::Item>| cursor.ahead.is_empty() && !cursor.ended;
        let page = self.page;
        for cursor in self.cursors.iter_mut().filter(wanted) {
            let (lane, listed, last) = (Arc::clone(&cursor.lane), self.listed.clone(), cursor.last.take());
            let readers = Arc::clone(lane.readers());
            let items = readers.read(move || listed.page(&lane, last.as_ref(), page)).await?;
            cursor.ended = items.len() < page;
            cursor.last = items.last().cloned();
            cursor.ahead = items.into_iter().map(|item| (L::order(&item), item)).collect();
        }
        Ok(())
    }
}
