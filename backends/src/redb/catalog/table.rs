//! The tables of a shard of a catalog: typed, with a checksum on every value.
//!
//! A value is what [`checked`](super::super::checked) makes of one line of JSON, or of fixed-width numbers. A record that
//! this version does not know in every part was written by a newer one, and is refused.

use std::marker::PhantomData;
use std::ops::Bound;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use walkeep_core::catalog::{
    Assignment, CatalogIdentity, FollowerGroup, FollowerPosition, NamespaceRecord, Node,
};
use walkeep_core::{Error, Result};

use super::super::checked;
use super::super::failure::Step;

type Bytes = &'static [u8];
type Definition = TableDefinition<'static, Bytes, Bytes>;

/// A transaction that tables can be read in.
pub(super) trait Source {
    type Rows<'a>: ReadableTable<Bytes, Bytes>
    where
        Self: 'a;

    fn rows(&self, definition: Definition) -> Step<Self::Rows<'_>>;
}

impl Source for ReadTransaction {
    type Rows<'a> = ReadOnlyTable<Bytes, Bytes>;

    fn rows(&self, definition: Definition) -> Step<Self::Rows<'_>> {
        Ok(self.open_table(definition)?)
    }
}

impl Source for WriteTransaction {
    type Rows<'a> = redb::Table<'a, Bytes, Bytes>;

    fn rows(&self, definition: Definition) -> Step<Self::Rows<'_>> {
        Ok(self.open_table(definition)?)
    }
}

/// What a value holds.
pub(super) trait Content: Sized {
    fn encode(&self) -> Result<Vec<u8>>;
    fn decode(object: &str, bytes: &[u8]) -> Result<Self>;
}

/// Records that are kept as JSON.
trait Json: Serialize + DeserializeOwned {}

impl Json for Node {}
impl Json for NamespaceRecord {}
impl Json for Assignment {}
impl Json for FollowerGroup {}
impl Json for FollowerPosition {}
impl Json for CatalogIdentity {}

impl<T: Json> Content for T {
    fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|error| Error::invalid("a record", format!("it cannot be written as JSON: {error}")))
    }

    fn decode(object: &str, bytes: &[u8]) -> Result<Self> {
        // The checksum held: whoever wrote this meant it.
        serde_json::from_slice(bytes).map_err(|error| {
            let why =
                format!("this version of Walkeep does not know such a record ({error}); use a newer one");
            Error::invalid(object, why)
        })
    }
}

/// A number, or two, or none: what needs no names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers<const N: usize>(pub(super) [u64; N]);

impl<const N: usize> Content for Numbers<N> {
    fn encode(&self) -> Result<Vec<u8>> {
        Ok(self.0.iter().flat_map(|number| number.to_le_bytes()).collect())
    }

    fn decode(object: &str, bytes: &[u8]) -> Result<Self> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let numbers = numbers.iter().map(|number| u64::from_le_bytes(*number)).collect::<Vec<_>>();
        match <[u64; N]>::try_from(numbers) {
            Ok(numbers) if rest.is_empty() => Ok(Self(numbers)),
            _ => Err(Error::invalid(
                object,
                format!("{} bytes stand where {} are known; use a newer version", bytes.len(), N * 8),
            )),
        }
    }
}

/// A table of records of one kind.
pub(super) struct Table<T> {
    name: &'static str,
    kind: PhantomData<fn() -> T>,
}

impl<T: Content> Table<T> {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, kind: PhantomData }
    }

    pub(super) const fn definition(&self) -> Definition {
        TableDefinition::new(self.name)
    }

    /// Makes the table, if it is not there.
    pub(super) fn make(&self, transaction: &WriteTransaction) -> Step<()> {
        transaction.open_table(self.definition())?;
        Ok(())
    }

    /// What an entry is called in an error.
    fn object(&self, key: &[u8]) -> String {
        format!("catalog table {}, entry \"{}\"", self.name, key.escape_ascii())
    }

    fn value(&self, key: &[u8], stored: &[u8]) -> Result<T> {
        let object = self.object(key);
        T::decode(&object, checked::unwrap(&object, self.name, key, stored)?)
    }

    pub(super) fn get(&self, transaction: &impl Source, key: &[u8]) -> Step<Option<T>> {
        let rows = transaction.rows(self.definition())?;
        let found = rows.get(key)?;
        Ok(found.map(|stored| self.value(key, stored.value())).transpose()?)
    }

    pub(super) fn put(&self, transaction: &WriteTransaction, key: &[u8], record: &T) -> Step<()> {
        let value = checked::wrap(self.name, key, &record.encode()?);
        transaction.open_table(self.definition())?.insert(key, &*value)?;
        Ok(())
    }

    /// Whether there was one.
    pub(super) fn remove(&self, transaction: &WriteTransaction, key: &[u8]) -> Step<bool> {
        let mut table = transaction.open_table(self.definition())?;
        let removed = table.remove(key)?.is_some();
        Ok(removed)
    }

    /// Removes all whose keys begin with `prefix`, and says how many there were.
    pub(super) fn remove_below(&self, transaction: &WriteTransaction, prefix: &[u8]) -> Step<u64> {
        let mut table = transaction.open_table(self.definition())?;
        let mut removed = 0;
        let below = (Bound::Included(prefix), end_of(prefix).map_or(Bound::Unbounded, Bound::Excluded));
        let below = (below.0, below.1.as_ref().map(Vec::as_slice));
        table.retain_in::<&[u8], _>(below, |_, _| {
            removed += 1;
            false
        })?;
        Ok(removed)
    }

    /// Hands out those whose keys begin with `prefix`, in order, behind the key `after`, until told to stop.
    pub(super) fn scan(
        &self,
        transaction: &impl Source,
        prefix: &[u8],
        after: Option<&[u8]>,
        mut visit: impl FnMut(&[u8], T) -> Step<bool>,
    ) -> Step<()> {
        let rows = transaction.rows(self.definition())?;
        let start = match after.filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix),
        };
        for row in rows.range::<&[u8]>((start, Bound::Unbounded))? {
            let (key, stored) = row?;
            let key = key.value();
            if !key.starts_with(prefix) || !visit(key, self.value(key, stored.value())?)? {
                break;
            }
        }
        Ok(())
    }

    /// At most `limit` of them, with their keys.
    pub(super) fn page(
        &self,
        transaction: &impl Source,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Step<Vec<(Vec<u8>, T)>> {
        let mut page = Vec::new();
        if limit > 0 {
            self.scan(transaction, prefix, after, |key, record| {
                page.push((key.to_vec(), record));
                Ok(page.len() < limit)
            })?;
        }
        Ok(page)
    }

    /// At most `limit` of them, without their keys.
    pub(super) fn list(
        &self,
        transaction: &impl Source,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Step<Vec<T>> {
        let page = self.page(transaction, prefix, after, limit)?;
        Ok(page.into_iter().map(|(_, record)| record).collect())
    }
}

/// The first key behind all that begin with `prefix`; none, if there is no such key.
fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    *end.last_mut()? += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_behind_all_of_it() {
        assert_eq!(end_of(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(end_of(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(end_of(b"\xff"), None);
        assert_eq!(end_of(b""), None);
    }

    #[test]
    fn numbers_of_another_width_are_refused() {
        let bytes = Numbers([1, u64::MAX]).encode().unwrap();
        assert_eq!(Numbers::<2>::decode("x", &bytes).unwrap(), Numbers([1, u64::MAX]));
        for bytes in [&bytes[..15], &bytes[..8], &[bytes.clone(), vec![0]].concat()] {
            assert!(Numbers::<2>::decode("x", bytes).is_err());
        }
    }
}
