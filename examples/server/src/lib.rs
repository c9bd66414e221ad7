//! A database server on Walkeep: one SQLite database a tenant, over HTTP. See its `README.md`.
//!
//! - [`Tenants`] opens databases, and restores those that are missing on disk;
//! - [`Tenant`] is one open database: its only connection, and its replication;
//! - [`sql`] runs one statement; [`routes`] is HTTP, and [`failure`] what it answers when something fails.

pub mod failure;
pub mod routes;
pub mod sql;
pub mod tenant;
pub mod tenants;

pub use routes::router;
pub use tenant::Tenant;
pub use tenants::Tenants;
