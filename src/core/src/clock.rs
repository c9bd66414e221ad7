//! Time as a handle.

use std::fmt::Debug;

use crate::unix_millis::UnixMillis;

/// A clock. It may jump, also backwards: whoever needs an order of times clamps them.
pub trait Clock: Debug + Send + Sync {
    /// What time it is.
    fn now(&self) -> UnixMillis;
}
