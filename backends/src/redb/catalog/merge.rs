//! One list, in order, of what several shards have.

use std::collections::{BTreeSet, VecDeque};

use redb::ReadTransaction;
use walkeep_core::Result;

use crate::redb::failure::Step;
use crate::redb::shards::Shards;

/// The least and the most to ask one shard for at once.
const CHUNK_MIN: usize = 16;
const CHUNK_MAX: usize = 1024;

/// What was read of a shard and not handed out yet.
struct Ahead<T> {
    rows: VecDeque<(Vec<u8>, T)>,
    /// Where to go on reading.
    last: Option<Vec<u8>>,
    done: bool,
}

/// The first `limit` rows behind the key `after`, of all shards. `page` reads at most so many of one shard, in order.
pub(super) fn pages<T>(
    shards: &Shards,
    after: Option<&[u8]>,
    limit: usize,
    page: impl Fn(&ReadTransaction, Option<&[u8]>, usize) -> Step<Vec<(Vec<u8>, T)>>,
) -> Result<Vec<T>> {
    let count = usize::from(shards.count().get());
    let chunk = limit.div_ceil(count).clamp(CHUNK_MIN, CHUNK_MAX).min(limit);
    let mut merged = Vec::new();
    if limit == 0 {
        return Ok(merged);
    }
    let fresh = || Ahead { rows: VecDeque::new(), last: after.map(<[u8]>::to_vec), done: false };
    let mut ahead = shards.iter().map(|shard| (shard, fresh())).collect::<Vec<_>>();
    let mut heads = BTreeSet::new();
    let mut wanted = (0..count).collect::<Vec<_>>();
    loop {
        // Of each shard without a row at hand the next ones are read, so that the smallest of all is among the heads.
        for index in wanted.drain(..) {
            let Some((shard, ahead)) = ahead.get_mut(index) else { continue };
            if ahead.rows.is_empty() && !ahead.done {
                let rows = shard.read(|transaction| page(transaction, ahead.last.as_deref(), chunk))?;
                ahead.done = rows.len() < chunk;
                ahead.last = rows.last().map(|(key, _)| key.clone()).or(ahead.last.take());
                ahead.rows = rows.into();
            }
            if let Some((key, _)) = ahead.rows.front() {
                heads.insert((key.clone(), index));
            }
        }
        let Some((_, index)) = heads.pop_first() else { return Ok(merged) };
        merged.extend(ahead.get_mut(index).and_then(|(_, ahead)| ahead.rows.pop_front()).map(|(_, row)| row));
        if merged.len() >= limit {
            return Ok(merged);
        }
        wanted.push(index);
    }
}
