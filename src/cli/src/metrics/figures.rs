//! What is measured.

use std::sync::Arc;

use walkeep::backends::CopyStatus;
use walkeep::backends::metered::Requests;
use walkeep::core::UnixMillis;
use walkeep::storage::Total;
use walkeep_sqlite::replication::Status;

use crate::commands::Done;

/// What is measured, at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// Where each replication stands.
    pub(crate) statuses: Vec<Status>,
    /// What was done for each history, beside the same.
    pub(crate) cares: Vec<(Status, Done)>,
    /// Of each store, by its name without secrets.
    pub(crate) stores: Vec<(String, StoreFigures)>,
    pub(crate) now: UnixMillis,
}

/// What is measured of a store.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreFigures {
    /// What has gone to it.
    pub(crate) requests: Requests,
    /// What all databases together may take of it, and take.
    pub(crate) quota: Total,
    /// Of a store in two places, how far copying is.
    pub(crate) copying: Option<CopyStatus>,
}

impl StoreFigures {
    /// Together with those of a store of the same name: two may differ in settings only, which the name leaves out.
    pub(crate) fn plus(self, more: Self) -> Self {
        let copying = match (self.copying, more.copying) {
            (Some(one), Some(other)) => Some(CopyStatus {
                waiting: one.waiting + other.waiting,
                waiting_bytes: one.waiting_bytes + other.waiting_bytes,
                uncompared: one.uncompared + other.uncompared,
                copied: one.copied + other.copied,
                copied_bytes: one.copied_bytes + other.copied_bytes,
                failures: one.failures.max(other.failures),
                last_error: one.last_error.or(other.last_error),
                conflicts_total: one.conflicts_total + other.conflicts_total,
                conflicts: one.conflicts,
                fallen_back: one.fallen_back + other.fallen_back,
            }),
            (one, other) => one.or(other),
        };
        Self {
            requests: self.requests.plus(&more.requests),
            quota: Total {
                bytes_max: self.quota.bytes_max.or(more.quota.bytes_max),
                bytes: self.quota.bytes + more.quota.bytes,
            },
            copying,
        }
    }
}

/// Where figures come from, at each scrape.
pub(crate) type Source = Arc<dyn Fn() -> Figures + Send + Sync>;
