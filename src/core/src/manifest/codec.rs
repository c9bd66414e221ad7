//! The bytes of a manifest: one line of JSON and one line with its checksum (`docs/format.md`, section 5).

use crate::checked_json;
use crate::error::{Error, Result};
use crate::manifest::{Manifest, ManifestVersion};

/// The most bytes a manifest may have: room for more than a million epochs.
pub const LEN_MAX: u64 = 128 << 20;

/// The bytes of a manifest.
///
/// # Errors
///
/// `Exhausted` when it would be longer than [`LEN_MAX`].
pub fn encode(manifest: &Manifest) -> Result<Vec<u8>> {
    let bytes = checked_json::encode("a manifest", manifest)?;
    if bytes.len() as u64 > LEN_MAX {
        return Err(Error::Exhausted { what: format!("the manifest would have {} bytes", bytes.len()) });
    }
    Ok(bytes)
}

/// Reads the manifest `version` from the bytes of the object `path`.
///
/// # Errors
///
/// `Corrupt` when the checksum or an invariant does not hold. `Invalid` when a newer format or a field that this
/// code does not know stands in it.
pub fn decode(path: &str, version: ManifestVersion, bytes: &[u8]) -> Result<Manifest> {
    let value = checked_json::decode(path, "a manifest", bytes)?;
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    if format != Some(u64::from(Manifest::FORMAT)) {
        let found = format.map_or_else(|| "none".to_string(), |format| format.to_string());
        return Err(Error::invalid(
            format!("{path} of manifest format {found}"),
            format!("this version of Walkeep reads format {}; use a newer one", Manifest::FORMAT),
        ));
    }
    let manifest: Manifest = serde_json::from_value(value).map_err(|error| {
        Error::invalid(
            path,
            format!("it is not a manifest that this version of Walkeep knows ({error}); use a newer one"),
        )
    })?;
    if manifest.version != version {
        return Err(Error::corrupt(path, 0, format!("manifest version {version}"), manifest.version));
    }
    manifest.check().map_err(|why| Error::corrupt(path, 0, "a manifest whose invariants hold", why))?;
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checked_json::checksum_line;
    use crate::{FrameNo, HashSeed, LogId, Nonce, PageSize, UnixMillis};

    fn manifest() -> Manifest {
        let manifest = Manifest::create(LogId(1), HashSeed(2), PageSize::DEFAULT, Nonce(3));
        let manifest = manifest.begin(FrameNo::FIRST, UnixMillis(0)).unwrap();
        manifest.claim(Nonce(4), PageSize::MIN).unwrap()
    }

    #[test]
    fn a_manifest_reads_back() {
        let manifest = manifest();
        let bytes = encode(&manifest).unwrap();
        assert_eq!(decode("m", manifest.version(), &bytes).unwrap(), manifest);
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_an_error() {
        let manifest = manifest();
        let bytes = encode(&manifest).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = decode("m", manifest.version(), &damaged).unwrap_err();
            assert!(matches!(error, Error::Corrupt(_)), "bit {bit}: {error}");
        }
        for len in 0..bytes.len() {
            let error = decode("m", manifest.version(), &bytes[..len]).unwrap_err();
            assert!(matches!(error, Error::Corrupt(_)), "{len} bytes: {error}");
        }
    }

    #[test]
    fn another_version_than_the_name_says_is_corrupt() {
        let bytes = encode(&manifest()).unwrap();
        assert!(matches!(decode("m", ManifestVersion::FIRST, &bytes), Err(Error::Corrupt(_))));
    }

    #[test]
    fn newer_formats_and_unknown_fields_are_refused() {
        let json = serde_json::to_string(&manifest()).unwrap();
        for (from, to) in [("\"format\":1", "\"format\":2"), ("\"format\":1", "\"format\":1,\"pins\":[]")] {
            let mut bytes = json.replace(from, to).into_bytes();
            bytes.push(b'\n');
            let line = checksum_line(&bytes);
            bytes.extend_from_slice(line.as_bytes());
            let error = decode("m", manifest().version(), &bytes).unwrap_err();
            assert!(matches!(error, Error::Invalid { .. }), "{error}");
            assert!(error.to_string().contains("use a newer one"), "{error}");
        }
    }
}
