//! What the tests share. Each module is one thing that a test can stand on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests make and damage files directly")]
#![allow(clippy::missing_errors_doc, clippy::cast_possible_truncation, reason = "test code")]

pub mod app;
pub mod command;
pub mod database;
pub mod footprint;
pub mod full_disk;
pub mod handles;
