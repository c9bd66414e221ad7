//! The registry of segments. It is no part of what is copied: its changes are not counted.

use redb::WriteTransaction;
use walkeep_core::catalog::{ListedSegments, SegmentChanges, SegmentRecord};
use walkeep_core::{Error, Namespace, Result, SegmentKey, UnixMillis};

use super::key;
use super::table::{Numbers, Source};
use super::tables::{SEGMENTS, present};
use crate::redb::failure::Step;

fn numbers(segment: &SegmentRecord) -> Numbers<2> {
    // A time that is not known is 0, a known one stands one higher.
    Numbers([segment.size, segment.stored.map_or(0, |stored| stored.get().saturating_add(1))])
}

fn record(below: &[u8], key: &[u8], Numbers([size, stored]): Numbers<2>) -> Result<SegmentRecord> {
    let segment = key::segment(below, key).ok_or_else(|| {
        Error::corrupt("catalog table catalog_segments", 0, "the key of a segment", key.escape_ascii())
    })?;
    Ok(SegmentRecord { key: segment, size, stored: stored.checked_sub(1).map(UnixMillis) })
}

pub(super) fn check(namespace: &Namespace, listed: &ListedSegments) -> Result<()> {
    let what = || format!("a listing of the segments of namespace {namespace}");
    listed.check().map_err(|why| Error::invalid(what(), why))
}

pub(super) fn sync(
    transaction: &WriteTransaction,
    namespace: &Namespace,
    listed: &ListedSegments,
) -> Step<SegmentChanges> {
    present(transaction, namespace)?;
    let below = key::below(&[namespace.as_str()]);
    let after = listed.after.map(|after| key::of_segment(&below, &after));
    // Two rows of segments in one order, walked side by side.
    let mut changes = SegmentChanges::default();
    let (mut put, mut gone) = (Vec::new(), Vec::new());
    let mut wanted = listed.segments.iter().copied().peekable();
    SEGMENTS.scan(transaction, &below, after.as_deref(), |key, numbers| {
        let known = record(&below, key, numbers)?;
        if !listed.spans(&known.key) {
            return Ok(false);
        }
        while let Some(new) = wanted.next_if(|wanted| wanted.key < known.key) {
            changes.added += 1;
            put.push(new);
        }
        match wanted.next_if(|wanted| wanted.key == known.key) {
            Some(same) if same == known => changes.unchanged += 1,
            Some(other) => {
                changes.changed += 1;
                put.push(other);
            }
            None => {
                changes.removed += 1;
                gone.push(key.to_vec());
            }
        }
        Ok(true)
    })?;
    for new in wanted {
        changes.added += 1;
        put.push(new);
    }
    for key in &gone {
        SEGMENTS.remove(transaction, key)?;
    }
    for segment in &put {
        SEGMENTS.put(transaction, &key::of_segment(&below, &segment.key), &numbers(segment))?;
    }
    Ok(changes)
}

pub(super) fn list(
    transaction: &impl Source,
    namespace: &Namespace,
    after: Option<&SegmentKey>,
    limit: usize,
) -> Step<Vec<SegmentRecord>> {
    present(transaction, namespace)?;
    let below = key::below(&[namespace.as_str()]);
    let after = after.map(|after| key::of_segment(&below, after));
    let rows = SEGMENTS.page(transaction, &below, after.as_deref(), limit)?;
    Ok(rows.into_iter().map(|(key, numbers)| record(&below, &key, numbers)).collect::<Result<_>>()?)
}
