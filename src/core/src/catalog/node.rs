//! The processes that serve namespaces.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::unix_millis::UnixMillis;

/// The name of a node: 1 to 128 ASCII letters, digits, `.`, `_`, `-` and `:`, not beginning with `.` or `__`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(String);

impl NodeId {
    /// The most characters a name may have.
    pub const LEN_MAX: usize = 128;

    /// The rule, for messages.
    pub const RULE: &'static str = "the name of a node has 1 to 128 ASCII letters, digits, '.', '_', '-' and ':', and \
                                    begins with neither '.' nor \"__\" (reserved for Walkeep itself)";

    /// A name, checked.
    ///
    /// # Errors
    ///
    /// `Invalid` with [`NodeId::RULE`].
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':');
        let valid = (1..=Self::LEN_MAX).contains(&name.len())
            && name.bytes().all(allowed)
            && !name.starts_with('.')
            && !name.starts_with("__");
        if valid { Ok(Self(name)) } else { Err(Error::invalid(format!("node {name:?}"), Self::RULE)) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for NodeId {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl TryFrom<String> for NodeId {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        Self::new(name)
    }
}

impl From<NodeId> for String {
    fn from(node: NodeId) -> Self {
        node.0
    }
}

/// Whether a node takes work, at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    /// It serves what it has, and may be given more.
    Up,
    /// It serves what it has, and gets no more.
    Draining,
    /// It has not been heard of for longer than allowed.
    Down,
}

impl fmt::Display for NodeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Down => "down",
        })
    }
}

/// A process that serves namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// Where others reach it, as they understand it.
    pub address: String,
    /// What was said about it, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether it gets no more work.
    #[serde(default)]
    pub draining: bool,
    /// When it was last heard of. It never goes back.
    pub heartbeat: UnixMillis,
    /// When it was registered first.
    pub created: UnixMillis,
    /// When its address, labels or draining last changed.
    pub updated: UnixMillis,
}

impl Node {
    /// The most bytes of an address.
    pub const ADDRESS_LEN_MAX: usize = 512;
    /// The most labels of a node.
    pub const LABELS_MAX: usize = 64;
    /// The most bytes of a label's name, and of what it says.
    pub const LABEL_LEN_MAX: usize = 256;

    /// What the registration of a node leaves behind.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when another address has this name: two processes would take each other's work for their own.
    /// The same address again is the same node, started anew. `Invalid` for an address or labels out of bounds.
    pub fn register(
        before: Option<&Self>,
        id: &NodeId,
        address: &str,
        labels: &BTreeMap<String, String>,
        now: UnixMillis,
    ) -> Result<Self> {
        let fresh = Self {
            id: id.clone(),
            address: address.to_string(),
            labels: labels.clone(),
            draining: false,
            heartbeat: now,
            created: now,
            updated: now,
        };
        fresh.check().map_err(|why| Error::invalid(format!("node {id}"), why))?;
        let Some(before) = before else { return Ok(fresh) };
        if before.address != address {
            let other = &before.address;
            let what = format!(
                "node {id} (at {other}; to give the name to {address}, remove the node first, or choose another name)"
            );
            return Err(Error::AlreadyExists { what });
        }
        let updated = if before.labels == *labels { before.updated } else { now.max(before.updated) };
        Ok(Self { labels: labels.clone(), heartbeat: now.max(before.heartbeat), updated, ..before.clone() })
    }

    /// The node, heard of now.
    #[must_use]
    pub fn heard(&self, now: UnixMillis) -> Self {
        Self { heartbeat: now.max(self.heartbeat), ..self.clone() }
    }

    /// The node, which gets no more work, or gets some again.
    #[must_use]
    pub fn set_draining(&self, draining: bool, now: UnixMillis) -> Self {
        let updated = if self.draining == draining { self.updated } else { now.max(self.updated) };
        Self { draining, updated, ..self.clone() }
    }

    /// Its status now, if a node is down that has not been heard of for `down_after`.
    #[must_use]
    pub fn status(&self, now: UnixMillis, down_after: Duration) -> NodeStatus {
        let silent_ms = now.get().saturating_sub(self.heartbeat.get());
        if u128::from(silent_ms) > down_after.as_millis() {
            NodeStatus::Down
        } else if self.draining {
            NodeStatus::Draining
        } else {
            NodeStatus::Up
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let plain =
            |text: &str, max: usize| (1..=max).contains(&text.len()) && !text.chars().any(char::is_control);
        if !plain(&self.address, Self::ADDRESS_LEN_MAX) {
            return Err(format!(
                "an address has 1 to {} bytes and no control characters",
                Self::ADDRESS_LEN_MAX
            ));
        }
        let fits = |(name, text): (&String, &String)| {
            plain(name, Self::LABEL_LEN_MAX) && (text.is_empty() || plain(text, Self::LABEL_LEN_MAX))
        };
        if self.labels.len() > Self::LABELS_MAX || !self.labels.iter().all(fits) {
            return Err(format!(
                "a node has at most {} labels, each of at most {} bytes and without control characters",
                Self::LABELS_MAX,
                Self::LABEL_LEN_MAX
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        let id = NodeId::new("n:1").unwrap();
        Node::register(None, &id, "host:1", &BTreeMap::new(), UnixMillis(1000)).unwrap()
    }

    #[test]
    fn a_silent_node_is_down_and_one_that_is_heard_of_is_not() {
        let second = Duration::from_secs(1);
        assert_eq!(node().status(UnixMillis(2000), second), NodeStatus::Up);
        assert_eq!(node().status(UnixMillis(2001), second), NodeStatus::Down);
        let draining = node().set_draining(true, UnixMillis(1500));
        assert_eq!(draining.status(UnixMillis(2000), second), NodeStatus::Draining);
        assert_eq!(draining.status(UnixMillis(9000), second), NodeStatus::Down);
        assert_eq!(draining.heard(UnixMillis(9000)).status(UnixMillis(9000), second), NodeStatus::Draining);
    }

    #[test]
    fn a_clock_that_goes_back_makes_nobody_older() {
        let heard = node().heard(UnixMillis(5));
        assert_eq!(heard.heartbeat, UnixMillis(1000));
        assert_eq!(heard.status(UnixMillis(5), Duration::ZERO), NodeStatus::Up);
    }

    #[test]
    fn two_addresses_do_not_share_a_name() {
        let again =
            |address| Node::register(Some(&node()), &node().id, address, &BTreeMap::new(), UnixMillis(3000));
        assert_eq!(again("host:1").unwrap().created, UnixMillis(1000));
        let error = again("host:2").unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }));
        assert!(error.to_string().contains("host:1") && error.to_string().contains("host:2"), "{error}");
    }

    #[test]
    fn names_and_texts_out_of_bounds_are_refused() {
        for name in ["", ".n", "__n", "a/b", "a b", "ä", &"n".repeat(129)] {
            assert!(NodeId::new(name).is_err(), "{name:?}");
        }
        let register = |address: &str, label: &str| {
            let labels = BTreeMap::from([("zone".to_string(), label.to_string())]);
            Node::register(None, &NodeId::new("n").unwrap(), address, &labels, UnixMillis(0))
        };
        assert!(register("a", "").is_ok());
        assert!(register("", "x").is_err());
        assert!(register("a\nb", "x").is_err());
        assert!(register("a", &"x".repeat(257)).is_err());
    }
}
