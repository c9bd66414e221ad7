//! When a current segment is sealed.

use crate::error::{Error, Result};
use crate::unix_millis::UnixMillis;
use serde::{Deserialize, Serialize};

/// What a current segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsealed {
    /// Committed frames.
    pub frames: u64,
    /// Bytes of committed page images.
    pub bytes: u64,
    /// When its first transaction was committed.
    pub since: UnixMillis,
}

/// When a current segment is due to be sealed. One without a commit never is.
///
/// What is not sealed cannot be stored: it is lost with the disk. So the age is the longest time that a transaction
/// may be exposed before its storing begins, provided that a timer calls the log's `seal_if_due` at its
/// `seal_due_at`, also while nothing is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SealPolicy {
    /// When it holds so many frames.
    Frames(u64),
    /// When it holds so many bytes of page images.
    Bytes(u64),
    /// When its first transaction was committed so many milliseconds ago.
    AgeMs(u64),
    /// When any of these is due.
    Any(Vec<SealPolicy>),
    /// When all of these are due.
    All(Vec<SealPolicy>),
}

impl Default for SealPolicy {
    /// 16 MiB or 10 seconds, whichever comes first.
    fn default() -> Self {
        Self::Any(vec![Self::Bytes(16 << 20), Self::AgeMs(10_000)])
    }
}

impl SealPolicy {
    /// From when on a segment is due if nothing more is committed; `None` if that alone never makes it due.
    #[must_use]
    pub fn due_at(&self, unsealed: &Unsealed) -> Option<UnixMillis> {
        let reached = |reached: bool| reached.then_some(unsealed.since);
        match self {
            Self::Frames(frames) => reached(unsealed.frames >= *frames),
            Self::Bytes(bytes) => reached(unsealed.bytes >= *bytes),
            Self::AgeMs(age_ms) => Some(UnixMillis(unsealed.since.get().saturating_add(*age_ms))),
            Self::Any(policies) => policies.iter().filter_map(|policy| policy.due_at(unsealed)).min(),
            Self::All(policies) => {
                let all = policies.iter().map(|policy| policy.due_at(unsealed)).collect::<Option<Vec<_>>>();
                all.and_then(|all| all.into_iter().max())
            }
        }
    }

    /// Refuses combinations of nothing, which would mean "never" or "always" by accident.
    ///
    /// # Errors
    ///
    /// `Invalid` for one.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Frames(_) | Self::Bytes(_) | Self::AgeMs(_) => Ok(()),
            Self::Any(policies) | Self::All(policies) if policies.is_empty() => {
                Err(Error::invalid("a seal policy", "`any` and `all` need at least one policy"))
            }
            Self::Any(policies) | Self::All(policies) => policies.iter().try_for_each(Self::check),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNSEALED: Unsealed = Unsealed { frames: 5, bytes: 500, since: UnixMillis(1000) };

    #[test]
    fn each_limit_is_due_when_it_is_reached() {
        let due = |policy: SealPolicy| policy.due_at(&UNSEALED).map(UnixMillis::get);
        assert_eq!(due(SealPolicy::Frames(5)), Some(1000));
        assert_eq!(due(SealPolicy::Frames(6)), None);
        assert_eq!(due(SealPolicy::Bytes(500)), Some(1000));
        assert_eq!(due(SealPolicy::Bytes(501)), None);
        assert_eq!(due(SealPolicy::AgeMs(30)), Some(1030));
        assert_eq!(due(SealPolicy::AgeMs(u64::MAX)), Some(u64::MAX));
    }

    #[test]
    fn any_is_due_with_the_first_and_all_with_the_last() {
        let (full, fresh) = (SealPolicy::Frames(5), SealPolicy::Frames(6));
        let (young, old) = (SealPolicy::AgeMs(30), SealPolicy::AgeMs(70));
        let due = |policy: SealPolicy| policy.due_at(&UNSEALED).map(UnixMillis::get);
        assert_eq!(due(SealPolicy::Any(vec![fresh.clone(), old.clone(), young.clone()])), Some(1030));
        assert_eq!(due(SealPolicy::All(vec![full.clone(), old, young.clone()])), Some(1070));
        assert_eq!(due(SealPolicy::All(vec![full, fresh.clone(), young])), None);
        assert_eq!(due(SealPolicy::Any(vec![fresh])), None);
    }

    #[test]
    fn a_combination_of_nothing_is_refused() {
        assert!(SealPolicy::default().check().is_ok());
        for nothing in [SealPolicy::Any(Vec::new()), SealPolicy::All(Vec::new())] {
            assert!(nothing.check().is_err());
            assert!(SealPolicy::Any(vec![SealPolicy::Frames(1), nothing]).check().is_err());
        }
    }
}
