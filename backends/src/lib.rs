//! The stores that Walkeep keeps segments in, each a [`walkeep_core::Backend`] of its own:
//!
//! - [`fs`] (feature `fs`): a local directory;
//! - [`memory`]: a map, for tests and caches;
//! - [`faulty`] (feature `faulty`): fails and lies on purpose over any other, for tests;
//! - [`object`] (feature `object`): S3 and compatibles, Google Cloud Storage, Azure Blob Storage;
//! - [`redb`] (feature `redb`): many small databases in a few files, one sync for all that wait;
//! - [`metered`]: counts the requests and bytes of any other;
//! - [`mirror`] (feature `copies`): two stores with the same objects;
//! - [`tiered`] (feature `copies`): a local store in front of a remote one.
//!
//! [`StoreUrl`] (feature `fs`) is where one is, as users write it: a path, or an address like `s3://bucket/prefix`.
//!
//! [`os`] (feature `os`) is the machine itself behind the handles of `walkeep-core`: files, clock, randomness. It
//! is the only place in Walkeep that calls the operating system for them.

#[cfg(any(feature = "copies", feature = "fs", feature = "object", feature = "redb"))]
mod blocking;
#[cfg(feature = "copies")]
mod copies;
#[cfg(feature = "faulty")]
pub mod faulty;
#[cfg(feature = "fs")]
pub mod fs;
pub mod memory;
pub mod metered;
#[cfg(feature = "copies")]
pub mod mirror;
#[cfg(feature = "object")]
pub mod object;
#[cfg(feature = "os")]
pub mod os;
#[cfg(feature = "redb")]
pub mod redb;
#[cfg(all(feature = "copies", feature = "fs"))]
mod store_pair;
#[cfg(feature = "fs")]
mod store_url;
#[cfg(feature = "copies")]
pub mod tiered;

#[cfg(feature = "copies")]
pub use copies::{Conflict, CopyStatus};
#[cfg(feature = "faulty")]
pub use faulty::Faulty;
#[cfg(feature = "fs")]
pub use fs::Fs;
pub use memory::Memory;
pub use metered::Metered;
#[cfg(feature = "copies")]
pub use mirror::Mirror;
#[cfg(feature = "object")]
pub use object::Object;
#[cfg(feature = "redb")]
pub use redb::Redb;
#[cfg(all(feature = "copies", feature = "fs"))]
pub use store_pair::{Copies, MirrorLocation, TieredLocation};
#[cfg(feature = "fs")]
pub use store_url::StoreUrl;
#[cfg(feature = "copies")]
pub use tiered::Tiered;
