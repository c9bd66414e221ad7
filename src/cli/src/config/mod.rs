//! The configuration file of `walkeep replicate --config FILE`: which databases are replicated, where to, and how.
//!
//! [`Config::load`] reads the file and finds all that is wrong with it at once, each with its line and column.
//! [`Config::databases`] looks at the file system for what the file names: it is called again whenever files may have
//! come or gone.
//!
//! Invariants:
//!
//! - an unknown key is refused, never passed over; every key that is read has an effect;
//! - what a variable of the environment stands for appears in no message of this module: those repeat what is written in
//!   the file. Stores are shown as [`StoreUrl`](walkeep::backends::StoreUrl) shows them, without settings;
//! - relative paths are relative to the directory of the file, wherever the process runs;
//! - no database is replicated twice, and no namespace of a store gets two databases.
//!
//! It opens no store and takes hold of no database.

mod care;
mod databases;
mod directory;
mod entry;
mod file_identity;
mod left_out;
mod log_format;
mod namespace_template;
mod overrides;
mod place;
mod problem;
mod reader;
mod root;
mod section;
mod settings;
mod store_identity;
mod upkeep;
mod variables;

#[cfg(test)]
mod tests;

pub(crate) use care::Care;
pub(crate) use databases::Databases;
pub(crate) use entry::DatabaseEntry;
pub(crate) use left_out::{LeftOut, Why};
pub(crate) use log_format::LogFormat;
pub(crate) use problem::{ConfigError, Problem};
pub(crate) use root::Config;
pub(crate) use settings::ReplicationSettings;
pub(crate) use upkeep::Upkeep;
