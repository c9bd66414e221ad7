//! Comparing two stores that should have the same objects: those of a mirror, or of a tiered store.

use walkeep_core::{ByteRange, Namespace, ObjectMeta, ObjectPath, Result};

use crate::bucket::Bucket;

/// Objects are compared in parts of this size.
const PART: u64 = 8 << 20;
/// A part that differs is read until both say the same twice, at most so often: an answer that was bent on the way is no
/// difference.
const READINGS_MAX: u32 = 8;

/// What a comparison of two stores found, of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopiesReport {
    /// Objects that both have, of the same size; with `deep` of the same bytes.
    pub alike: usize,
    /// Their bytes.
    pub alike_bytes: u64,
    /// Objects that only the first one has: not copied yet, or lost by the second.
    pub only_in_first: Vec<ObjectPath>,
    /// Objects that only the second one has.
    pub only_in_second: Vec<ObjectPath>,
    /// Objects that differ, with how.
    pub differing: Vec<(ObjectPath, String)>,
}

/// Compares what two stores have of a namespace: names and sizes, and with `deep` all bytes.
///
/// Nothing is taken for granted: what one of them says of itself is compared with what the other says. The second one is
/// listed first, so that what is being stored meanwhile is at most *only in the first*.
///
/// # Errors
///
/// `Unavailable`; others of the backends. Differences are no errors of this call.
pub async fn compare_copies(
    first: &Bucket,
    second: &Bucket,
    namespace: &Namespace,
    deep: bool,
) -> Result<CopiesReport> {
    let folder = first.layout().namespaces().join(namespace)?;
    let there = second.list(&folder, None, usize::MAX).await?;
    let here = first.list(&folder, None, usize::MAX).await?;
    let mut report = CopiesReport::default();
    let mut there = there.into_iter().peekable();
    for object in here {
        while let Some(other) = there.next_if(|other| other.path < object.path) {
            report.only_in_second.push(other.path);
        }
        match there.next_if(|other| other.path == object.path) {
            None => report.only_in_first.push(object.path),
            Some(other) if other.size != object.size => {
                let how = format!("{} bytes in the first, {} in the second", object.size, other.size);
                report.differing.push((object.path, how));
            }
            Some(_) => match if deep { differ(first, second, &object).await? } else { None } {
                Some(at) => {
                    report.differing.push((object.path, format!("other bytes from offset {at} on")));
                }
                None => {
                    report.alike += 1;
                    report.alike_bytes += object.size;
                }
            },
        }
    }
    report.only_in_second.extend(there.map(|other| other.path));
    Ok(report)
}

/// The beginning of the first part in which an object differs.
async fn differ(first: &Bucket, second: &Bucket, object: &ObjectMeta) -> Result<Option<u64>> {
    let mut offset = 0;
    while offset < object.size {
        let end = (offset + PART).min(object.size);
        let range = ByteRange::Bounded(offset..end);
        let mut before = None;
        let mut alike = false;
        for _ in 0..READINGS_MAX {
            let now = Some((
                first.get(&object.path, range.clone()).await?,
                second.get(&object.path, range.clone()).await?,
            ));
            alike = now.as_ref().is_some_and(|(one, other)| one == other);
            if alike || now == before {
                break;
            }
            before = now;
        }
        if !alike {
            return Ok(Some(offset));
        }
        offset = end;
    }
    Ok(None)
}
