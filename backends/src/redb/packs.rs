//! Packs: small objects that were stored together lie behind one another in one value, in the order in which they came. So their bytes
//! are written once, in full pages at the end of a table, wherever their names sort.
//!
//! A pack is a sequence of records: the length of the path and that of the body (4 bytes each, little-endian), the path, the body. Its
//! checksum is over all of it.
//!
//! A record without a path is a date: its body is the time (milliseconds, 8 bytes, little-endian) at which the records behind it were
//! stored. Sets of version 3 have them, so that a pack tells all that stands in the rows of its objects.
//!
//! Invariant: a record is alive if the row of its path points to it. A pack with nothing alive is removed with the commit that
//! deleted the last; one of which less than half is alive is written anew. That is the work of [`Writing`](super::writing::Writing).

use redb::TableDefinition;
use walkeep_core::{Body, Error, Result, UnixMillis};

use super::checked;

/// The name of the table, which is in the checksums of its values.
pub(super) const PACKS: &str = "packs";

/// The key is the number of the pack; a new one has the next behind the last that is there.
pub(super) type PacksDefinition = TableDefinition<'static, u64, &'static [u8]>;

pub(super) const PACKS_TABLE: PacksDefinition = TableDefinition::new(PACKS);

/// The most bytes of a pack: with key and checksum it fits the 64 KiB that redb gives it.
pub(super) const PACK_LEN: usize = 62 << 10;

/// The longest record that is put into a pack.
const RECORD_LEN_MAX: u64 = 16 << 10;

/// The bytes before the path of a record.
const HEAD_LEN: usize = 8;

/// The bytes of a date.
pub(super) const DATE_LEN: usize = HEAD_LEN + 8;

/// The length of the record of an object, if it is one for packs: one without bytes has nothing to pack. (Such a one often goes at
/// once, and would take the rows of others with it.)
pub(super) fn record_len(path: &str, body: &Body) -> Option<usize> {
    let len = (HEAD_LEN as u64 + path.len() as u64).checked_add(body.len())?;
    usize::try_from(len).ok().filter(|_| len <= RECORD_LEN_MAX && !body.is_empty())
}

/// An object in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) offset: u32,
    pub(super) path: &'a str,
    pub(super) body: &'a [u8],
}

impl<'a> Record<'a> {
    /// How many bytes it takes.
    pub(super) fn len(&self) -> usize {
        HEAD_LEN + self.path.len() + self.body.len()
    }

    /// The record at an offset of a pack whose checksum held; `None` when none can be there.
    pub(super) fn at(content: &'a [u8], offset: u32) -> Option<Self> {
        let rest = content.get(usize::try_from(offset).ok()?..)?;
        let (path_len, rest) = rest.split_first_chunk::<4>()?;
        let (body_len, rest) = rest.split_first_chunk::<4>()?;
        let (path, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*path_len)).ok()?)?;
        let body = rest.get(..usize::try_from(u32::from_le_bytes(*body_len)).ok()?)?;
        Some(Self { offset, path: std::str::from_utf8(path).ok()?, body })
    }
}

/// All records of a pack whose checksum held.
pub(super) fn records(content: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut offset = 0_u32;
    std::iter::from_fn(move || {
        let record = Record::at(content, offset)?;
        offset = offset.checked_add(u32::try_from(record.len()).ok()?)?;
        Some(record)
    })
}

/// All objects of a pack whose checksum held, and when each was stored.
pub(super) fn dated(content: &[u8]) -> impl Iterator<Item = (Record<'_>, UnixMillis)> {
    let mut stored = UnixMillis(0);
    records(content).filter_map(move |record| match (record.path, <[u8; 8]>::try_from(record.body)) {
        ("", Ok(millis)) => {
            stored = UnixMillis(u64::from_le_bytes(millis));
            None
        }
        _ => Some((record, stored)),
    })
}

/// The content of a stored pack, once its checksum held; `object` is what is looked for.
///
/// # Errors
///
/// `Corrupt`.
pub(super) fn open<'a>(object: &str, number: u64, stored: &'a [u8]) -> Result<&'a [u8]> {
    checked::unwrap(object, PACKS, &number.to_be_bytes(), stored)
}

/// A pack that is being filled.
#[derive(Debug)]
pub(super) struct NewPack {
    /// Room for the checksum, and the records.
    value: Vec<u8>,
    /// The last date in it.
    date: Option<UnixMillis>,
    /// Whether there is more in it than dates.
    has_objects: bool,
}

impl NewPack {
    pub(super) fn new() -> Self {
        let mut value = Vec::with_capacity(checked::OVERHEAD + PACK_LEN);
        value.resize(checked::OVERHEAD, 0);
        Self { value, date: None, has_objects: false }
    }

    /// Whether no object is in it.
    pub(super) const fn is_empty(&self) -> bool {
        !self.has_objects
    }

    /// Whether a record of this length has room.
    pub(super) fn has_room(&self, record_len: usize) -> bool {
        self.value.len() + record_len <= checked::OVERHEAD + PACK_LEN
    }

    /// Says when what is appended next was stored, unless it says so already.
    pub(super) fn date(&mut self, stored: UnixMillis) {
        if self.date != Some(stored) {
            self.date = Some(stored);
            self.value.extend_from_slice(&[0, 0, 0, 0, 8, 0, 0, 0]);
            self.value.extend_from_slice(&stored.get().to_le_bytes());
        }
    }

    /// Appends a record; its offset. Nothing is appended when the body cannot be read.
    ///
    /// # Errors
    ///
    /// `Io`, of the body.
    pub(super) fn append(&mut self, path: &str, body: &Body) -> Result<u32> {
        let begin = self.value.len();
        let too_long = |_| Error::invalid(path, "too long for a pack");
        let offset = u32::try_from(begin - checked::OVERHEAD).map_err(too_long)?;
        let path_len = u32::try_from(path.len()).map_err(too_long)?;
        let body_len = u32::try_from(body.len()).map_err(too_long)?;
        self.value.extend_from_slice(&path_len.to_le_bytes());
        self.value.extend_from_slice(&body_len.to_le_bytes());
        self.value.extend_from_slice(path.as_bytes());
        let body_begin = self.value.len();
        if let Body::Bytes(bytes) = body {
            self.value.extend_from_slice(bytes);
            self.has_objects = true;
            return Ok(offset);
        }
        self.value.resize(body_begin + usize::try_from(body_len).unwrap_or_default(), 0);
        let read = body.read_exact_at(0, self.value.get_mut(body_begin..).unwrap_or_default());
        if let Err(error) = read {
            self.value.truncate(begin);
            return Err(Error::io(format!("read the body of {path}"), error));
        }
        self.has_objects = true;
        Ok(offset)
    }

    /// The value to store under this number.
    pub(super) fn seal(&mut self, number: u64) -> &[u8] {
        checked::seal(PACKS, &number.to_be_bytes(), &mut self.value);
        &self.value
    }

    /// Begins another one in the same memory.
    pub(super) fn clear(&mut self) {
        self.value.truncate(checked::OVERHEAD);
        (self.date, self.has_objects) = (None, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_reads_back_and_looks_the_same_for_ever() {
        let mut pack = NewPack::new();
        assert_eq!(pack.append("a/b", &Body::from(b"xyz".to_vec())).unwrap(), 0);
        assert_eq!(pack.append("c", &Body::from(Vec::new())).unwrap(), 14);
        let stored = pack.seal(7);
        let content = open("x", 7, stored).unwrap();
        assert_eq!(content, b"\x03\0\0\0\x03\0\0\0a/bxyz\x01\0\0\0\0\0\0\0c");
        let found = records(content).map(|record| (record.offset, record.path, record.body));
        assert_eq!(found.collect::<Vec<_>>(), [(0, "a/b", &b"xyz"[..]), (14, "c", b"")]);
        assert!(open("x", 8, stored).is_err());
        for offset in [1, 13, 15, 23, u32::MAX] {
            assert!(Record::at(content, offset).is_none_or(|record| record.path != "c"), "{offset}");
        }
    }

    #[test]
    fn dates_are_of_what_stands_behind_them() {
        let mut pack = NewPack::new();
        for (path, stored) in [("a", 5), ("b", 5), ("c", 700)] {
            pack.date(UnixMillis(stored));
            pack.append(path, &Body::from(path.repeat(3).into_bytes())).unwrap();
        }
        let stored = pack.seal(1);
        let content = open("x", 1, stored).unwrap();
        assert_eq!(content.len(), 2 * DATE_LEN + 3 * 12);
        assert_eq!(content.get(..DATE_LEN).unwrap(), [0, 0, 0, 0, 8, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        let found = dated(content).map(|(record, stored)| (record.offset, record.path, stored.get()));
        assert_eq!(found.collect::<Vec<_>>(), [(16, "a", 5), (28, "b", 5), (56, "c", 700)]);
    }

    #[test]
    fn the_next_pack_in_the_same_memory_says_its_date_again() {
        let mut pack = NewPack::new();
        for name in ["a", "b"] {
            pack.date(UnixMillis(5));
            pack.append(name, &Body::from(vec![7])).unwrap();
            let content = open("x", 1, pack.seal(1)).unwrap();
            let found = dated(content).map(|(record, stored)| (record.path, stored.get()));
            assert_eq!(found.collect::<Vec<_>>(), [(name, 5)]);
            pack.clear();
            assert!(pack.is_empty());
        }
    }

    #[test]
    fn a_date_alone_is_nothing_to_store() {
        let mut pack = NewPack::new();
        pack.date(UnixMillis(5));
        assert!(pack.is_empty());
        pack.append("a", &Body::from(Vec::new())).unwrap();
        assert!(!pack.is_empty());
    }

    #[test]
    fn a_pack_takes_no_more_than_fits_a_page() {
        let mut pack = NewPack::new();
        assert!(pack.has_room(PACK_LEN) && !pack.has_room(PACK_LEN + 1));
        let body = Body::from(vec![7; 16_000]);
        let len = record_len("a", &body).unwrap();
        let mut count = 0;
        while pack.has_room(len) {
            pack.append("a", &body).unwrap();
            count += 1;
        }
        assert_eq!((count, record_len("a", &Body::from(vec![7; 16 << 10]))), (3, None));
    }
}
