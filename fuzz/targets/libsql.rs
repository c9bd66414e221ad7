//! Any bytes as the objects and files of libsql-wal: an error or a value, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use walkeep_core::libsql::{CheckpointFooter, DataObject, LocalSegment, PageIndex};

fuzz_target!(|bytes: &[u8]| {
    let _ = PageIndex::parse("fuzz", bytes);
    let _ = DataObject::parse("fuzz", bytes);
    let _ = LocalSegment::open_sealed("fuzz", bytes);
    let _ = LocalSegment::recover("fuzz", bytes);
    let _ = CheckpointFooter::split("fuzz", bytes);
});
