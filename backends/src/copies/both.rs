//! What calls do to both stores of a pair, whichever of them decides.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;
use walkeep_core::{Backend, Body, Error, Leftovers, ObjectMeta, ObjectPath, Result, UnixMillis};

use super::copier::Copier;
use super::object::{compare, copy, differs, not_there_after_all};
use super::side::Side;

/// The configuration of two stores.
pub(crate) type Config<A, B> = (<A as Backend>::Config, <B as Backend>::Config);

impl<A: Backend, B: Backend> Copier<A, B> {
    /// Both stores, to be called with these configurations.
    pub(crate) fn sides(&self, config: Option<&Config<A, B>>) -> (Side<A>, Side<B>) {
        let (from, to) = config.cloned().unzip();
        (self.from().with(from), self.to().with(to))
    }

    /// Creates an object in the store that decides, and then in the other one. What `follower` has of that name already
    /// must be the same; otherwise it is a conflict. Repeating the call settles what an error leaves open.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when the one that decides has it already, and the other one then too; `Corrupt` for a conflict; as
    /// [`Backend::put_new`].
    pub(crate) async fn put_both<C: Backend, D: Backend>(
        &self,
        decider: &Side<C>,
        follower: &Side<D>,
        path: &ObjectPath,
        body: Body,
    ) -> Result<()> {
        match decider.backend.put_new(decider.config.as_ref(), path, body.clone()).await {
            Ok(()) => self.follow(decider, follower, path, body).await,
            Err(Error::AlreadyExists { what }) => {
                // Whoever reads it now takes it for stored: then it must be in both. One that was deleted meanwhile need not
                // be there.
                if let Some(size) = decider.size_of(path).await? {
                    let followed = copy(decider, follower, path, size).await;
                    followed.map_err(|error| half_stored(decider, follower, path, error))?;
                }
                Err(Error::AlreadyExists { what })
            }
            Err(error) => Err(error),
        }
    }

    /// Lets the other store have an object that the one that decides has got just now.
    async fn follow<C: Backend, D: Backend>(
        &self,
        decider: &Side<C>,
        follower: &Side<D>,
        path: &ObjectPath,
        body: Body,
    ) -> Result<()> {
        let size = body.len();
        let followed = match follower.backend.put_new(follower.config.as_ref(), path, body).await {
            Err(Error::AlreadyExists { .. }) => match compare(decider, follower, path, size).await {
                Ok(None) => Ok(()),
                Ok(Some(at)) => {
                    let error = differs(decider.name, follower.name, path, at);
                    self.note_conflict(path, error.to_string());
                    Err(error)
                }
                Err(error) => Err(not_there_after_all(error)),
            },
            outcome => outcome,
        };
        followed.map_err(|error| half_stored(decider, follower, path, error))
    }

    /// Notes a conflict where two listings have different sizes of one object.
    pub(crate) fn compare_sizes(&self, one: &ObjectMeta, other: &ObjectMeta) {
        if one.size != other.size {
            self.note_conflict(&one.path, self.sizes(one.size, other.size));
        }
    }

    /// Keeps copies away from objects that are about to be deleted, for as long as the guards live, and no longer waits to
    /// copy them.
    pub(crate) async fn forget(
        &self,
        from: &Side<A>,
        to: &Side<B>,
        paths: &[ObjectPath],
    ) -> Vec<OwnedMutexGuard<()>> {
        let excluded = self.exclude(from, to, paths).await;
        for path in paths {
            self.remove(from, to, path);
        }
        excluded
    }

    /// The leftovers of both.
    ///
    /// # Errors
    ///
    /// As [`Backend::leftovers`].
    pub(crate) async fn leftovers(
        &self,
        config: Option<&Config<A, B>>,
        prefix: &ObjectPath,
        before: UnixMillis,
        delete: bool,
    ) -> Result<Leftovers> {
        let (from, to) = self.sides(config);
        let one = from.backend.leftovers(from.config.as_ref(), prefix, before, delete).await?;
        let other = to.backend.leftovers(to.config.as_ref(), prefix, before, delete).await?;
        Ok(Leftovers { count: one.count + other.count, bytes: one.bytes + other.bytes })
    }
}

impl<B: Backend> Side<B> {
    /// The same store, to be called with this configuration.
    fn with(&self, config: Option<B::Config>) -> Self {
        Self { backend: Arc::clone(&self.backend), config, name: self.name }
    }
}

/// It is in the store that decides. Repeating the call settles the other one.
fn half_stored<C: Backend, D: Backend>(
    decider: &Side<C>,
    follower: &Side<D>,
    path: &ObjectPath,
    error: Error,
) -> Error {
    match error {
        Error::Unavailable { what, source } => {
            let (decider, follower) = (decider.name, follower.name);
            let what = format!("{path} is in the {decider} store, and not in the {follower} one yet: {what}");
            Error::Unavailable { what, source }
        }
        error => error,
    }
}
