//! What is measured.

use std::sync::Arc;

use walkeep::backends::metered::Requests;
use walkeep::core::UnixMillis;
use walkeep_sqlite::replication::Status;

use crate::commands::Done;

/// What is measured, at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// Where each replication stands.
    pub(crate) statuses: Vec<Status>,
    /// What was done for each history, beside the same.
    pub(crate) cares: Vec<(Status, Done)>,
    /// What has gone to each store, by its name without secrets.
    pub(crate) requests: Vec<(String, Requests)>,
    pub(crate) now: UnixMillis,
}

/// Where figures come from, at each scrape.
pub(crate) type Source = Arc<dyn Fn() -> Figures + Send + Sync>;
