//! Which node writes which namespace.
//!
//! An assignment is an agreement among nodes, and no lock: what keeps a node from writing that lost its namespace is the
//! epoch in the store. So a new owner first takes the assignment, then opens the namespace for writing (which fences the
//! one before), and then writes its epoch into the assignment.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::NodeId;
use crate::epoch::Epoch;
use crate::error::{Error, Result};
use crate::namespace::Namespace;
use crate::unix_millis::UnixMillis;

/// Counts the changes of owner of a namespace: one more with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// Of a namespace that was never assigned.
    pub const NONE: Self = Self(0);

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which node writes a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// The namespace.
    pub namespace: Namespace,
    /// Its owner; none after it was released.
    pub node: Option<NodeId>,
    /// One more with each change of owner.
    pub generation: Generation,
    /// The epoch with which this owner opened the namespace, once it has.
    pub epoch: Option<Epoch>,
    /// The highest epoch that any owner had.
    #[serde(default)]
    pub epoch_max: Epoch,
    /// When it was assigned first.
    pub created: UnixMillis,
    /// When it last changed.
    pub updated: UnixMillis,
}

impl Assignment {
    /// What giving a namespace to a node leaves behind. Giving it to its owner again is a new generation: the node may be
    /// another process by now.
    ///
    /// # Errors
    ///
    /// `Fenced` when the generation is not `over`, if that was asked for: somebody else was faster.
    pub fn assign(
        before: Option<&Self>,
        namespace: &Namespace,
        node: &NodeId,
        over: Option<Generation>,
        now: UnixMillis,
    ) -> Result<Self> {
        let present = before.map_or(Generation::NONE, |before| before.generation);
        if let Some(over) = over.filter(|over| *over != present) {
            return Err(taken(namespace, over, before));
        }
        Ok(Self {
            namespace: namespace.clone(),
            node: Some(node.clone()),
            generation: next(namespace, present)?,
            epoch: None,
            epoch_max: before.map_or(Epoch::default(), |before| before.epoch_max),
            created: before.map_or(now, |before| before.created),
            updated: before.map_or(now, |before| now.max(before.updated)),
        })
    }

    /// The assignment with the epoch that its owner opened the namespace with. The same again changes nothing.
    ///
    /// # Errors
    ///
    /// `Fenced` when the namespace was given away meanwhile, or was opened with a higher epoch before.
    pub fn confirm(&self, generation: Generation, epoch: Epoch, now: UnixMillis) -> Result<Self> {
        if self.generation != generation || self.node.is_none() {
            return Err(taken(&self.namespace, generation, Some(self)));
        }
        if epoch < self.epoch_max {
            return Err(Error::Fenced {
                namespace: self.namespace.to_string(),
                ours: epoch.get(),
                theirs: format!("epoch {} was confirmed before", self.epoch_max),
            });
        }
        if self.epoch == Some(epoch) {
            return Ok(self.clone());
        }
        Ok(Self { epoch: Some(epoch), epoch_max: epoch, updated: now.max(self.updated), ..self.clone() })
    }

    /// The assignment after its owner gave the namespace back. Doing it again changes nothing.
    ///
    /// # Errors
    ///
    /// `Fenced` when the namespace was given to somebody else meanwhile.
    pub fn release(&self, generation: Generation, now: UnixMillis) -> Result<Self> {
        let after = next(&self.namespace, generation)?;
        if self.node.is_none() && self.generation == after {
            return Ok(self.clone());
        }
        if self.generation != generation || self.node.is_none() {
            return Err(taken(&self.namespace, generation, Some(self)));
        }
        Ok(Self {
            node: None,
            epoch: None,
            generation: after,
            updated: now.max(self.updated),
            ..self.clone()
        })
    }

    /// The assignment as a catalog has it that was restored from a copy. Changes of owner that were made after the copy
    /// are not in it: their generations must not be given out a second time.
    #[must_use]
    pub fn restored(&self) -> Self {
        /// More changes of one owner than are made between two copies.
        const LEAP: u64 = 1 << 32;
        let generation = Generation(self.generation.0.saturating_add(LEAP));
        Self { generation, ..self.clone() }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.generation == Generation::NONE {
            return Err("the generation of an assignment is at least 1".into());
        }
        if self.epoch.is_some_and(|epoch| epoch != self.epoch_max || self.node.is_none()) {
            return Err("an epoch that is confirmed is the highest one, and an owner's".into());
        }
        Ok(())
    }
}

fn next(namespace: &Namespace, generation: Generation) -> Result<Generation> {
    let next = generation.0.checked_add(1).map(Generation);
    next.ok_or_else(|| Error::Exhausted {
        what: format!("all generations of namespace {namespace} are used"),
    })
}

/// The error of a node that lost a namespace to somebody.
fn taken(namespace: &Namespace, ours: Generation, present: Option<&Assignment>) -> Error {
    let theirs = match present {
        None => "it is assigned to nobody".to_string(),
        Some(Assignment { node: None, generation, .. }) => {
            format!("it was released in generation {generation} of its assignment")
        }
        Some(Assignment { node: Some(node), generation, .. }) => {
            format!("it is assigned to node {node} in generation {generation}")
        }
    };
    Error::Fenced {
        namespace: namespace.to_string(),
        ours: present.and_then(|present| present.epoch).unwrap_or_default().get(),
        theirs: format!("generation {ours} of its assignment is over: {theirs}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assign(before: Option<&Assignment>, node: &str, over: Option<u64>) -> Result<Assignment> {
        let (namespace, node) = (Namespace::new("shop").unwrap(), NodeId::new(node).unwrap());
        Assignment::assign(before, &namespace, &node, over.map(Generation), UnixMillis(7))
    }

    #[test]
    fn generations_rise_through_owners_and_releases() {
        let a = assign(None, "a", None).unwrap();
        let b = assign(Some(&a), "b", Some(1)).unwrap();
        let free = b.release(b.generation, UnixMillis(8)).unwrap();
        let c = assign(Some(&free), "c", Some(3)).unwrap();
        assert_eq!([&a, &b, &free, &c].map(|one| one.generation.get()), [1, 2, 3, 4]);
        assert_eq!(free.release(b.generation, UnixMillis(9)).unwrap(), free);
    }

    #[test]
    fn who_lost_a_namespace_is_told_to_whom() {
        let a = assign(None, "a", None).unwrap();
        let b = assign(Some(&a), "b", None).unwrap();
        for error in [
            b.confirm(a.generation, Epoch(1), UnixMillis(8)).unwrap_err(),
            b.release(a.generation, UnixMillis(8)).unwrap_err(),
            assign(Some(&b), "c", Some(1)).unwrap_err(),
        ] {
            assert!(matches!(error, Error::Fenced { .. }), "{error}");
            assert!(error.to_string().contains("node b in generation 2"), "{error}");
        }
    }

    #[test]
    fn an_epoch_is_confirmed_once_and_never_a_lower_one() {
        let a = assign(None, "a", None).unwrap().confirm(Generation(1), Epoch(5), UnixMillis(8)).unwrap();
        assert_eq!(a.confirm(Generation(1), Epoch(5), UnixMillis(9)).unwrap(), a);
        let b = assign(Some(&a), "b", None).unwrap();
        assert_eq!((b.epoch, b.epoch_max), (None, Epoch(5)));
        assert!(matches!(b.confirm(Generation(2), Epoch(4), UnixMillis(9)), Err(Error::Fenced { .. })));
        assert_eq!(b.confirm(Generation(2), Epoch(6), UnixMillis(9)).unwrap().epoch, Some(Epoch(6)));
    }
}
