//! Any bytes as a manifest, with and without a right checksum line: an error, or a manifest that writes back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use walkeep_core::manifest::{ManifestVersion, codec};
use walkeep_core::segment::ObjectChecksum;

fuzz_target!(|bytes: &[u8]| {
    let _ = codec::decode("fuzz", ManifestVersion::FIRST, bytes);
    let mut signed = bytes.iter().copied().filter(|byte| *byte != b'\n').collect::<Vec<_>>();
    signed.push(b'\n');
    let mut checksum = ObjectChecksum::new();
    checksum.update(&signed);
    signed.extend_from_slice(format!("crc64:{:016x}\n", checksum.value()).as_bytes());
    if let Ok(manifest) = codec::decode("fuzz", ManifestVersion::FIRST, &signed) {
        let again = codec::encode(&manifest).expect("a manifest that was read can be written");
        assert_eq!(codec::decode("fuzz", ManifestVersion::FIRST, &again).expect("and read again"), manifest);
    }
});
