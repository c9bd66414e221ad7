//! What one store has and the other has not, of a group.

use futures::TryStreamExt;
use walkeep_core::{Backend, ObjectMeta, ObjectPath, Result};

use super::side::Side;

/// What a comparison of two listings found.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// What is to be copied, oldest first: keys sort newest first, and segments behind the manifests that tell of them.
    pub(super) missing: Vec<ObjectMeta>,
    /// What both have, in different sizes: of the source, and the size in the other store.
    pub(super) differing: Vec<(ObjectMeta, u64)>,
}

/// Compares what lies below `prefix` and is `wanted`.
///
/// # Errors
///
/// As [`Backend::list`].
pub(super) async fn compare<A: Backend, B: Backend>(
    from: &Side<A>,
    to: &Side<B>,
    prefix: &ObjectPath,
    wanted: fn(&ObjectPath) -> bool,
) -> Result<Difference> {
    let mut source = from.backend.list(from.config.as_ref(), prefix, None, usize::MAX);
    let mut target = to.backend.list(to.config.as_ref(), prefix, None, usize::MAX);
    let mut difference = Difference::default();
    let mut there = target.try_next().await?;
    while let Some(object) = source.try_next().await? {
        if !wanted(&object.path) {
            continue;
        }
        while there.as_ref().is_some_and(|there| there.path < object.path) {
            there = target.try_next().await?;
        }
        match &there {
            Some(there) if there.path == object.path => {
                if there.size != object.size {
                    difference.differing.push((object, there.size));
                }
            }
            _ => difference.missing.push(object),
        }
    }
    difference.missing.reverse();
    Ok(difference)
}
