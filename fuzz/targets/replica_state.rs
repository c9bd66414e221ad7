//! Any bytes as the state of a replica: read or refused, never a panic; what is read is written the same. Half of the inputs
//! get a checksum that holds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use walkeep_core::{REPLICA_STATE_LEN, ReplicaState};

fuzz_target!(|bytes: &[u8]| {
    let Some((mode, bytes)) = bytes.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if mode % 2 == 1 && bytes.len() >= REPLICA_STATE_LEN {
        bytes.truncate(REPLICA_STATE_LEN);
        bytes[..10].copy_from_slice(b"WALKREP\0\x01\0");
        let (checked, crc) = bytes.split_at_mut(REPLICA_STATE_LEN - 4);
        crc.copy_from_slice(&crc32fast::hash(checked).to_le_bytes());
    }
    if let Ok(state) = ReplicaState::decode("fuzz", &bytes) {
        let again = ReplicaState::decode("fuzz", &state.encode()).expect("what is written is read");
        assert_eq!(again, state);
    }
});
