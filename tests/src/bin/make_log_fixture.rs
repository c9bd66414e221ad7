//! Makes `fixtures/log-v1`: `cargo run -p walkeep-tests --bin make_log_fixture -- fixtures/log-v1`, into a new directory.
//!
//! It is run once per version of the log's format. The bytes stay as they are for ever; this program says how they came
//! to be.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a tool for developers: a panic tells enough"
)]

use std::path::Path;
use std::sync::Arc;

use walkeep::backends::os::OsDirectory;
use walkeep::core::{Directory, PageCount};
use walkeep::log::LogOptions;
use walkeep_tests::handles::handles;
use walkeep_tests::log_scene::{fixture_head, image, open_log, read_all};
use walkeep_tests::recorded::page_no;

fn main() {
    let root = std::env::args().nth(1).expect("usage: make_log_fixture DIRECTORY");
    let root = Path::new(&root);
    let directory: Arc<dyn Directory> = Arc::new(OsDirectory::create(&root.join("log")).unwrap());
    let (handles, _clock) = handles(1_795_250_000_000, 1);
    let random = walkeep_tests::handles::SeededRandom::new(2);
    let (mut log, _) = open_log(&directory, &fixture_head(), &LogOptions::default(), &handles).unwrap();
    // One sealed file with a shrink and growth, and a current file with two commits.
    for (pages, size, seal) in
        [(1..=6, 6, false), (1..=2, 3, false), (2..=3, 8, true), (7..=8, 8, false), (1..=1, 7, false)]
    {
        let mut transaction = log.begin().unwrap();
        for page in pages {
            transaction.write(page_no(page), image(&random)).unwrap();
        }
        transaction.commit(PageCount(size)).unwrap();
        if seal {
            log.seal().unwrap().unwrap();
        }
    }
    std::fs::write(root.join("state.db"), read_all(&log, &*directory).unwrap()).unwrap();
}
