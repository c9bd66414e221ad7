//! What the tests share. Each module is one thing that a test can stand on.

pub mod handles;
pub mod page_log;
pub mod sim_directory;
