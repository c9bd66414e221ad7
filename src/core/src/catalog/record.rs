//! A record of a catalog as it travels: into exports, and into copies in a store.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Assignment, FollowerGroup, FollowerPosition, NamespaceRecord, Node};
use crate::error::{Error, Result};

/// A part of a catalog that is copied on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatalogPart {
    /// Namespaces, nodes, assignments, groups: the reserved namespace `__catalog`.
    Records,
    /// Positions of followers, which change all the time: the reserved namespace `__positions`.
    Positions,
}

impl CatalogPart {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Records, Self::Positions];

    /// The reserved namespace that its copies are in.
    #[must_use]
    pub const fn system_namespace(self) -> &'static str {
        match self {
            Self::Records => "__catalog",
            Self::Positions => "__positions",
        }
    }
}

impl fmt::Display for CatalogPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Records => "records",
            Self::Positions => "positions",
        })
    }
}

/// A record. The registry of segments is not among them: it is listed anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CatalogRecord {
    /// A node.
    Node(Node),
    /// A namespace.
    Namespace(NamespaceRecord),
    /// Who writes a namespace.
    Assignment(Assignment),
    /// A group of followers.
    Group(FollowerGroup),
    /// A position of one of its members.
    Position(FollowerPosition),
}

impl CatalogRecord {
    /// Which part of the catalog it belongs to.
    #[must_use]
    pub const fn part(&self) -> CatalogPart {
        match self {
            Self::Position(_) => CatalogPart::Positions,
            _ => CatalogPart::Records,
        }
    }

    /// The name by which the catalog decides where it stands: all records of a namespace stand together.
    #[must_use]
    pub fn home(&self) -> &str {
        match self {
            Self::Node(node) => node.id.as_str(),
            Self::Namespace(record) => record.namespace.as_str(),
            Self::Assignment(assignment) => assignment.namespace.as_str(),
            Self::Group(group) => group.namespace.as_str(),
            Self::Position(position) => position.namespace.as_str(),
        }
    }

    /// Refuses a record that no catalog would have written.
    ///
    /// # Errors
    ///
    /// `Invalid` with what is wrong.
    pub fn check(&self) -> Result<()> {
        let checked = match self {
            Self::Node(node) => node.check(),
            Self::Namespace(record) => record.check(),
            Self::Assignment(assignment) => assignment.check(),
            Self::Group(_) | Self::Position(_) => Ok(()),
        };
        checked.map_err(|why| Error::invalid(self.to_string(), why))
    }
}

impl fmt::Display for CatalogRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {}", node.id),
            Self::Namespace(record) => write!(f, "namespace {}", record.namespace),
            Self::Assignment(assignment) => write!(f, "the assignment of namespace {}", assignment.namespace),
            Self::Group(group) => write!(f, "group {} of namespace {}", group.group, group.namespace),
            Self::Position(position) => {
                let FollowerPosition { namespace, group, member, .. } = position;
                write!(f, "the position of member {member} of group {group} of namespace {namespace}")
            }
        }
    }
}

/// What became of records that were put into a catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inserted {
    /// Records that were not there.
    pub added: u64,
    /// Records that were there, and the same.
    pub unchanged: u64,
    /// Records that were there, and others: they stay as they are. What they are, by name.
    pub conflicts: Vec<String>,
}

impl Inserted {
    /// Adds what became of others.
    pub fn add(&mut self, other: Self) {
        self.added += other.added;
        self.unchanged += other.unchanged;
        self.conflicts.extend(other.conflicts);
    }
}
