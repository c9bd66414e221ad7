//! Small files that are replaced as a whole and known to be whole: a line of JSON, and a line with its CRC-32.

use std::io;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use walkeep::core::{Directory, Error, Random, Result};

/// More than any of them has.
const LEN_MAX: u64 = 1 << 20;

/// The bytes of such a file.
///
/// # Errors
///
/// `Invalid` when the value cannot be written as JSON.
pub(super) fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(value)
        .map_err(|error| Error::invalid("local state", format!("it cannot be written as JSON: {error}")))?;
    bytes.push(b'\n');
    let sum = format!("crc32:{:08x}\n", crc32fast::hash(&bytes));
    bytes.extend_from_slice(sum.as_bytes());
    Ok(bytes)
}

/// Reads such bytes; `None` when they are not whole, or of another version.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, sum) = bytes.split_at(end + 1);
    let expected = format!("crc32:{:08x}\n", crc32fast::hash(line));
    (sum == expected.as_bytes()).then(|| serde_json::from_slice(line).ok()).flatten()
}

/// Reads a file; `None` when there is none, or it is not whole.
///
/// # Errors
///
/// `Io`.
pub(super) fn read<T: DeserializeOwned>(directory: &dyn Directory, name: &str) -> Result<Option<T>> {
    let failed = |error| Error::io(format!("read {name} of the local state"), error);
    let file = match directory.open(Path::new(name)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let len = file.len().map_err(failed)?.min(LEN_MAX);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    let read = file.read_at(0, &mut bytes).map_err(failed)?;
    Ok(decode(bytes.get(..read).unwrap_or_default()))
}

/// Replaces a file. Whoever crashes meanwhile finds the old one or the new one; a power loss may leave none that is
/// whole, unless `sync` is asked for.
///
/// # Errors
///
/// `Io`, `Exhausted`; `Unknown` when a sync failed.
pub(super) fn replace(
    directory: &dyn Directory,
    name: &str,
    value: &impl Serialize,
    sync: bool,
    random: &dyn Random,
) -> Result<()> {
    let failed = |error| Error::io(format!("write {name} of the local state"), error);
    let bytes = encode(value)?;
    let temporary = super::temporary_name(random)?;
    let write = || -> io::Result<()> {
        let file = directory.create_new(Path::new(&temporary))?;
        file.write_all_at(0, &bytes)?;
        if sync {
            file.sync()?;
        }
        directory.rename(Path::new(&temporary), Path::new(name))?;
        if sync { directory.sync_directory(Path::new("")) } else { Ok(()) }
    };
    write().map_err(|error| {
        // If it stays, the next start removes it.
        let _ = directory.remove_file(Path::new(&temporary));
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_is_not_there() {
        let bytes = encode(&vec![1, 2, 3]).unwrap();
        assert_eq!(decode::<Vec<u32>>(&bytes), Some(vec![1, 2, 3]));
        for len in 0..bytes.len() {
            assert_eq!(decode::<Vec<u32>>(&bytes[..len]), None, "{len}");
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(decode::<Vec<u32>>(&flipped), None, "byte {at}");
        }
    }
}
