//! Copying one object, and comparing two.

use walkeep_core::{Backend, ByteRange, Error, ObjectPath, Result};

use super::checked::CheckedBody;
use super::side::Side;

/// Objects are read in parts of this size.
pub(super) const PART: u64 = 8 << 20;

/// What came of copying an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copied {
    /// It is there now.
    New,
    /// The very same bytes were there already.
    There,
    /// There is nothing to copy: it was deleted.
    Gone,
}

/// Copies an object of `size` bytes, as its listing says. Durable when this returns.
///
/// # Errors
///
/// `Corrupt` when the other store has other bytes under this name, or the object is damaged: trying again does not help.
/// Others: it may or may not be there, and copying again settles it.
pub(crate) async fn copy<A: Backend, B: Backend>(
    from: &Side<A>,
    to: &Side<B>,
    path: &ObjectPath,
    size: u64,
) -> Result<Copied> {
    let body = match CheckedBody::read(from, path, size).await {
        Err(Error::NotFound { .. }) => return Ok(Copied::Gone),
        body => body?,
    };
    match to.backend.put_new(to.config.as_ref(), path, body).await {
        Ok(()) => Ok(Copied::New),
        Err(Error::AlreadyExists { .. }) => match compare(from, to, path, size).await {
            Ok(None) => Ok(Copied::There),
            Ok(Some(at)) => Err(differs(from.name, to.name, path, at)),
            Err(error) => Err(not_there_after_all(error)),
        },
        Err(error) => Err(error),
    }
}

/// An object that exists and is not there: some stores say so while it is being created or deleted. Trying again tells.
pub(crate) fn not_there_after_all(error: Error) -> Error {
    match error {
        Error::NotFound { what } => {
            let what = format!("{what} is said to exist, and is not there");
            Error::Unavailable { what, source: None }
        }
        error => error,
    }
}

/// How often a part is read at most before it is left for later.
const READINGS_MAX: u32 = 8;

/// Where an object of two stores differs, if it does. An answer that was bent on the way is no difference: only what each
/// store says twice is.
///
/// # Errors
///
/// `Unavailable` when they do not; as [`Backend::get`].
pub(crate) async fn compare<A: Backend, B: Backend>(
    one: &Side<A>,
    other: &Side<B>,
    path: &ObjectPath,
    size: u64,
) -> Result<Option<u64>> {
    let mut offset = 0;
    loop {
        let end = (offset + PART).min(size);
        // A byte beyond the end tells a longer object.
        let beyond = u64::from(end == size);
        if !is_alike(one, other, path, &ByteRange::Bounded(offset..end.saturating_add(beyond))).await? {
            return Ok(Some(offset));
        }
        offset = end;
        if offset == size {
            return Ok(None);
        }
    }
}

async fn is_alike<A: Backend, B: Backend>(
    one: &Side<A>,
    other: &Side<B>,
    path: &ObjectPath,
    range: &ByteRange,
) -> Result<bool> {
    let mut before = None;
    for _ in 0..READINGS_MAX {
        let left = one.backend.get(one.config.as_ref(), path, range.clone()).await?;
        let right = other.backend.get(other.config.as_ref(), path, range.clone()).await?;
        if left == right {
            return Ok(true);
        }
        let now = Some((left, right));
        if now == before {
            return Ok(false);
        }
        before = now;
    }
    let what = format!("{path}: readings of it in the {} or the {} store differ", one.name, other.name);
    Err(Error::Unavailable { what, source: None })
}

/// The error for an object that differs.
pub(crate) fn differs(right: &str, wrong: &str, path: &ObjectPath, at: u64) -> Error {
    let object = format!("{path} in the {wrong} store");
    Error::corrupt(object, at, format!("the bytes that the {right} store has"), "other bytes")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Memory;

    fn side(name: &'static str) -> Side<Memory> {
        Side { backend: Arc::new(Memory::new()), config: None, name }
    }

    fn path() -> ObjectPath {
        ObjectPath::new("namespaces/a/segments/1").unwrap()
    }

    /// What a listing said may be of a create that came too late: not the first bytes of what is there are copied.
    #[tokio::test]
    async fn an_object_of_another_size_than_was_said_is_not_copied() {
        let (from, to) = (side("first"), side("second"));
        from.backend.put_new(None, &path(), vec![7; 100].into()).await.unwrap();
        for said in [0, 99, 101] {
            let copied = copy(&from, &to, &path(), said).await;
            assert!(matches!(copied, Err(Error::Unavailable { .. })), "{said}: {copied:?}");
            assert!(to.backend.objects().is_empty(), "{said}");
        }
        assert_eq!(copy(&from, &to, &path(), 100).await.unwrap(), Copied::New);
        assert_eq!(copy(&from, &to, &path(), 100).await.unwrap(), Copied::There);
    }

    #[tokio::test]
    async fn an_object_that_goes_on_where_the_other_one_ends_differs() {
        let (from, to) = (side("first"), side("second"));
        from.backend.put_new(None, &path(), vec![7; 100].into()).await.unwrap();
        to.backend.put_new(None, &path(), vec![7; 101].into()).await.unwrap();
        assert_eq!(compare(&from, &to, &path(), 100).await.unwrap(), Some(0));
        assert!(matches!(copy(&from, &to, &path(), 100).await, Err(Error::Corrupt(_))));
    }
}
