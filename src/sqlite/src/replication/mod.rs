//! Continuous replication: every transaction of a live SQLite database becomes a restore point.
//!
//! A [`Replicator`] serves any number of databases, without a thread for each:
//!
//! - a `LiveDatabase` holds a database with read marks, so that its log cannot begin anew before it
//!   was captured;
//! - a `Capturer` reads the log and seals its transactions into the spool;
//! - a `Session` hands them to the store, through an [`AsyncStorage`](walkeep::storage::AsyncStorage);
//! - the modules `lineage` and `opening` decide whether a database continues its namespace, `attach` from where.
//!
//! What is guaranteed: the newest commit that is stored is a state that the database had; if transactions could not be
//! captured one by one, that is said ([`FallBack`]), and the next commit is marked as discontinuous.

mod attach;
mod capturer;
mod checkpoint_lock;
mod checkpointing;
mod connection;
mod fall_back;
mod flusher;
mod flushes;
mod handle;
mod increment;
mod lineage;
mod live_database;
mod mark;
mod newest;
mod opening;
mod options;
mod quota_status;
mod replicator;
mod reporter;
mod session;
mod state;
mod status;
mod store;
mod task;
mod throttle;
mod watcher;

pub use self::connection::set_wal;
pub use self::fall_back::{FallBack, Way};
pub(crate) use self::flusher::Flusher;
pub use self::handle::{DatabaseSpec, Replication};
pub use self::options::ReplicationOptions;
pub use self::quota_status::QuotaStatus;
pub use self::replicator::Replicator;
pub use self::state::{LocalStatus, state_directory};
pub use self::status::{CommitSeen, Phase, Status};
pub use self::store::ReplicationStore;
