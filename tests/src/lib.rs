//! What the tests share. Each module is one thing that a test can stand on.

pub mod app;
pub mod capture_scene;
pub mod careless;
pub mod command;
pub mod database;
pub mod fake_server;
pub mod flaky;
pub mod footprint;
pub mod forge;
pub mod full_disk;
pub mod handles;
pub mod history;
pub mod libsql_bucket;
pub mod log_scene;
pub mod memory_target;
pub mod page_log;
pub mod recorded;
pub mod s3;
pub mod scenario;
pub mod sick;
pub mod sim_directory;
pub mod store_writers;
pub mod tenant;
pub mod wal_file;
pub mod wal_replay;
pub mod wal_scene;
