//! Which files the cache has, and which one goes first.

use std::collections::BTreeMap;

/// The files of the cache by name, with their sizes, and in order of use.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By name: the size in bytes, and when it was used last.
    files: BTreeMap<String, (u64, u64)>,
    by_use: BTreeMap<u64, String>,
    bytes: u64,
    uses: u64,
}

impl Index {
    /// The bytes of all files.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// A file is there, and was used now.
    pub(super) fn insert(&mut self, name: &str, size: u64) {
        self.remove(name);
        self.uses += 1;
        self.bytes += size;
        self.by_use.insert(self.uses, name.to_string());
        self.files.insert(name.to_string(), (size, self.uses));
    }

    /// A file was used now.
    pub(super) fn touch(&mut self, name: &str) {
        if let Some((size, _)) = self.files.get(name) {
            self.insert(name, *size);
        }
    }

    /// A file is gone.
    pub(super) fn remove(&mut self, name: &str) {
        if let Some((size, used)) = self.files.remove(name) {
            self.by_use.remove(&used);
            self.bytes -= size;
        }
    }

    /// Takes out the file that was not used for longest.
    pub(super) fn pop_oldest(&mut self) -> Option<String> {
        let (_, name) = self.by_use.first_key_value()?;
        let name = name.clone();
        self.remove(&name);
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut index = Index::default();
        for name in ["a", "b", "c"] {
            index.insert(name, 10);
        }
        index.touch("a");
        index.insert("b", 5);
        assert_eq!(index.bytes(), 25);
        let gone = std::iter::from_fn(|| index.pop_oldest()).collect::<Vec<_>>();
        assert_eq!((gone.join(" ").as_str(), index.bytes()), ("c a b", 0));
    }
}
