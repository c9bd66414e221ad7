//! Figures about replication for Prometheus, in its text format, at `http://ADDRESS/metrics`.
//!
//! Invariants: a scrape reads what is known anyway, and asks neither a store nor a database; names of stores have no
//! secrets in them.

mod exposition;
mod figures;
mod server;
mod store_families;

pub(crate) use figures::{Figures, StoreFigures};
pub(crate) use server::MetricsServer;
