//! A tiny transactional page store on a Walkeep log: what an embedder does, as a program. See its `README.md`.
//!
//! - [`PageStore`] is the embedding: log, storage and database file, and how they go together;
//! - [`table`] is the database: keys and values in pages;
//! - [`load`] are the transactions that its test runs.

pub mod database_file;
pub mod load;
pub mod page_store;
pub mod table;

pub use page_store::PageStore;

use walkeep::core::PageSize;

/// The size of a page in bytes.
pub const PAGE_SIZE: PageSize = PageSize::DEFAULT;
