//! How much one namespace may take of a store.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};

/// What a namespace may take at most. What is absent is unlimited; nothing can be 0, so that a quota never forbids
/// everything by accident (to forbid writing, freeze the namespace).
///
/// As JSON: `{"bytes": 1000000, "segments": 500, "stores_per_second": 10}`, each of them optional.
///
/// ```
/// use walkeep_core::Quota;
///
/// let quota = Quota { bytes: 1_000_000.try_into().ok(), ..Quota::UNLIMITED };
/// assert_eq!(quota.to_string(), "at most 1000000 bytes");
/// assert!(Quota::UNLIMITED.is_unlimited() && !quota.is_unlimited());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Bytes of its stored segments: whole objects, headers and indexes included; manifests do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<NonZeroU64>,
    /// Stored segments, as objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<NonZeroU64>,
    /// Objects stored in a second, on average: more wait, and are not refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stores_per_second: Option<NonZeroU32>,
}

impl Quota {
    /// No limit of any kind.
    pub const UNLIMITED: Self = Self { bytes: None, segments: None, stores_per_second: None };

    /// Whether nothing is limited.
    #[must_use]
    pub const fn is_unlimited(&self) -> bool {
        self.bytes.is_none() && self.segments.is_none() && self.stores_per_second.is_none()
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, segments, stores_per_second } = self;
        let limits = [
            bytes.map(|bytes| format!("{bytes} bytes")),
            segments.map(|segments| format!("{segments} segments")),
            stores_per_second.map(|rate| format!("{rate} stores a second")),
        ];
        let limits = limits.into_iter().flatten().collect::<Vec<_>>();
        if limits.is_empty() {
            return f.write_str("unlimited");
        }
        write!(f, "at most {}", limits.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_unlimited_and_nothing_is_zero() {
        let quota: Quota = serde_json::from_str("{}").unwrap();
        assert_eq!(quota, Quota::UNLIMITED);
        let text = r#"{"bytes":7,"segments":2,"stores_per_second":3}"#;
        let quota: Quota = serde_json::from_str(text).unwrap();
        assert_eq!(quota.to_string(), "at most 7 bytes, 2 segments, 3 stores a second");
        assert_eq!(serde_json::to_string(&quota).unwrap(), text);
        for refused in [r#"{"bytes":0}"#, r#"{"segments":-1}"#, r#"{"bites":1}"#] {
            assert!(serde_json::from_str::<Quota>(refused).is_err(), "{refused}");
        }
    }
}
