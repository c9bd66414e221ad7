//! Writes that are done late, or whose answers are lost.

use std::future;

use walkeep_core::{Backend, Body, ObjectPath, Result};

use super::dice::Dice;
use super::listing::Change;
use super::{CHANGES_REMEMBERED, Fault, Faulty, LATE_CALLS_MAX, unavailable};

/// What is to be done to the store.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Put(ObjectPath, Body),
    Delete(Vec<ObjectPath>),
}

impl Write {
    const fn call(&self) -> &'static str {
        match self {
            Self::Put(..) => "put",
            Self::Delete(_) => "delete",
        }
    }

    fn first(&self) -> &str {
        match self {
            Self::Put(path, _) => path.as_str(),
            Self::Delete(paths) => paths.first().map(ObjectPath::as_str).unwrap_or_default(),
        }
    }
}

/// A write that was asked for, but is not done yet.
#[derive(Debug)]
pub(super) struct Late<C> {
    /// The last call that does not see it done.
    pub(super) due: u64,
    config: Option<C>,
    write: Write,
}

impl<B: Backend> Faulty<B> {
    /// Does a write now, late, or without an answer.
    pub(super) async fn write(&self, config: Option<&B::Config>, write: Write, dice: Dice) -> Result<()> {
        let (call, name) = (write.call(), write.first());
        let lost_reply = match write {
            Write::Put(..) => Fault::LostPutReply,
            Write::Delete(_) => Fault::LostDeleteReply,
        };
        if self.happens(dice, Fault::LateApply) {
            let error = unavailable(call, name, "no answer in time");
            let delay = 1 + dice.below("how late", LATE_CALLS_MAX) as u64;
            let mut state = self.state();
            let due = state.calls + delay;
            state.late.push(Late { due, config: config.cloned(), write });
            return Err(error);
        }
        let outcome = self.apply(config, &write).await;
        if self.happens(dice, Fault::ApplyThenHang) {
            future::pending::<()>().await;
        }
        if self.happens(dice, lost_reply) {
            return Err(unavailable(call, name, "the answer was lost"));
        }
        outcome
    }

    pub(super) async fn apply_all(&self, late: Vec<Late<B::Config>>) {
        for Late { config, write, .. } in late {
            // Nobody waits for the outcome any more. That the object exists by now is what repeating is for.
            if let Err(error) = self.apply(config.as_ref(), &write).await {
                tracing::debug!(name = write.first(), %error, "a late write did nothing");
            }
        }
    }

    async fn apply(&self, config: Option<&B::Config>, write: &Write) -> Result<()> {
        match write {
            Write::Put(path, body) => {
                self.inner.put_new(config, path, body.clone()).await?;
                self.remember(config, path, Some(body.len()), true);
            }
            Write::Delete(paths) => {
                self.inner.delete(config, paths).await?;
                for path in paths {
                    self.remember(config, path, self.size_of(config, path), false);
                }
            }
        }
        Ok(())
    }

    /// What the configuration of a call looks like; for stale listings.
    pub(super) fn place(&self, config: Option<&B::Config>) -> String {
        match config {
            Some(config) => format!("{config:?}"),
            None => format!("{:?}", self.inner.default_config()),
        }
    }

    /// The length of an object that was created through here not long ago, unless it was deleted since.
    fn size_of(&self, config: Option<&B::Config>, path: &ObjectPath) -> Option<u64> {
        let place = self.place(config);
        let state = self.state();
        let last = state.changes.iter().find(|change| change.place == place && change.path == *path)?;
        last.created.then_some(last.size)?
    }

    fn remember(&self, config: Option<&B::Config>, path: &ObjectPath, size: Option<u64>, created: bool) {
        let place = self.place(config);
        let mut state = self.state();
        state.changes.push_front(Change { place, path: path.clone(), size, created });
        state.changes.truncate(CHANGES_REMEMBERED);
    }
}
