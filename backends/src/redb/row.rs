//! The row of an object: how long it is, when it was stored, and where its bytes are (`docs/redb.md`).

use walkeep_core::{Error, Result, UnixMillis};

use super::checked;

/// The name of the table of objects, which is in the checksums of its rows.
pub(super) const OBJECTS: &str = "objects";

/// Where the bytes of an object are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// In chunks of their own, all but the last of this length.
    Chunks(u32),
    /// In a pack, as the record that begins at this offset of its content.
    Pack { number: u64, offset: u32 },
}

/// What stands in the table of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) len: u64,
    pub(super) stored: UnixMillis,
    pub(super) whereabouts: Whereabouts,
}

impl Row {
    /// The row of `path` with its checksum, as it is stored.
    pub(super) fn encode(self, path: &str) -> Vec<u8> {
        let chunk_len = match self.whereabouts {
            Whereabouts::Chunks(len) => len,
            Whereabouts::Pack { .. } => 0,
        };
        let mut value = vec![0; checked::OVERHEAD];
        value.extend_from_slice(&self.len.to_le_bytes());
        value.extend_from_slice(&chunk_len.to_le_bytes());
        value.extend_from_slice(&self.stored.get().to_le_bytes());
        if let Whereabouts::Pack { number, offset } = self.whereabouts {
            value.extend_from_slice(&number.to_le_bytes());
            value.extend_from_slice(&offset.to_le_bytes());
        }
        checked::seal(OBJECTS, path.as_bytes(), &mut value);
        value
    }

    /// The row of an object, once its checksum held.
    pub(super) fn decode(path: &str, stored: &[u8]) -> Result<Self> {
        let content = checked::unwrap(path, OBJECTS, path.as_bytes(), stored)?;
        let unknown = || Error::corrupt(path, 0, "a row of an object", format!("{} bytes", content.len()));
        let (len, rest) = content.split_first_chunk::<8>().ok_or_else(unknown)?;
        let (chunk_len, rest) = rest.split_first_chunk::<4>().ok_or_else(unknown)?;
        let (stored, rest) = rest.split_first_chunk::<8>().ok_or_else(unknown)?;
        let whereabouts = match (u32::from_le_bytes(*chunk_len), rest.split_first_chunk::<8>()) {
            (0, Some((number, offset))) => {
                let offset = <[u8; 4]>::try_from(offset).map_err(|_| unknown())?;
                Whereabouts::Pack { number: u64::from_le_bytes(*number), offset: u32::from_le_bytes(offset) }
            }
            (len @ 1.., None) if rest.is_empty() => Whereabouts::Chunks(len),
            _ => return Err(unknown()),
        };
        Ok(Self {
            len: u64::from_le_bytes(*len),
            stored: UnixMillis(u64::from_le_bytes(*stored)),
            whereabouts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_back() {
        for whereabouts in [Whereabouts::Chunks(7), Whereabouts::Pack { number: 1 << 40, offset: 12 }] {
            let row = Row { len: 5, stored: UnixMillis(9), whereabouts };
            let stored = row.encode("x");
            assert_eq!(Row::decode("x", &stored).unwrap(), row);
            assert!(Row::decode("y", &stored).is_err());
        }
        let nothing = Row { len: 5, stored: UnixMillis(9), whereabouts: Whereabouts::Chunks(0) };
        assert!(Row::decode("x", &nothing.encode("x")).is_err());
    }

    #[test]
    fn rows_look_the_same_for_ever() {
        let content = |whereabouts| {
            let row = Row { len: 5, stored: UnixMillis(9), whereabouts };
            row.encode("x").split_off(checked::OVERHEAD)
        };
        let chunked = [5, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(content(Whereabouts::Chunks(7)), chunked);
        let packed =
            [5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0];
        assert_eq!(content(Whereabouts::Pack { number: 3, offset: 8 }), packed);
    }
}
