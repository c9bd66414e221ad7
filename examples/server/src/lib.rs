//! A database server on Walkeep: one SQLite database a tenant, over HTTP. See its `README.md`.
//!
//! - [`Tenants`] opens databases, and restores those that are missing on disk;
//! - [`Cluster`] says which of several servers serves a tenant, [`LocalFiles`] which files on this machine are current;
//! - [`Replicas`] are copies of what is served elsewhere, to read from;
//! - [`Tenant`] is one open database: its only connection, and its replication;
//! - [`sql`] runs one statement; [`routes`] is HTTP, and [`failure`] what it answers when something fails.

pub mod catalog_copies;
pub mod cluster;
pub mod failure;
pub mod local_files;
pub mod replicas;
pub mod routes;
pub mod sql;
pub mod tenant;
pub mod tenants;

pub use catalog_copies::CatalogCopies;
pub use cluster::Cluster;
pub use local_files::LocalFiles;
pub use replicas::Replicas;
pub use routes::{Server, router};
pub use tenant::Tenant;
pub use tenants::Tenants;
