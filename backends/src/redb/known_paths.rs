//! A path for each of many directories, as many as there is room for.

use std::collections::HashMap;

/// How many directories are known in one shard, at most: some 4 MiB.
pub(super) const KNOWN_MAX: usize = 16_384;

/// Paths by directory; what is not here is not known. When half of the room is full, what was set before the last time that it was is forgotten.
#[derive(Debug, Default)]
pub(super) struct KnownPaths {
    young: HashMap<Box<str>, String>,
    old: HashMap<Box<str>, String>,
}

impl KnownPaths {
    pub(super) fn get(&self, directory: &str) -> Option<&str> {
        self.young.get(directory).or_else(|| self.old.get(directory)).map(String::as_str)
    }

    pub(super) fn set(&mut self, directory: &str, path: &str) {
        if let Some(known) = self.young.get_mut(directory) {
            path.clone_into(known);
            return;
        }
        self.old.remove(directory);
        if self.young.len() == KNOWN_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(directory.into(), path.into());
    }

    pub(super) fn remove(&mut self, directory: &str) {
        self.young.remove(directory);
        self.old.remove(directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_is_known_of_each_and_what_was_set_long_ago_is_forgotten() {
        let mut known = KnownPaths::default();
        let all = 3 * KNOWN_MAX;
        for n in 0..all {
            known.set(&n.to_string(), "a");
            let before = n.saturating_sub(KNOWN_MAX / 2 - 1);
            for n in [n, before] {
                known.set(&n.to_string(), &format!("{n}/x"));
                assert_eq!(known.get(&n.to_string()), Some(&*format!("{n}/x")));
            }
        }
        let left = (0..all).filter(|n| known.get(&n.to_string()).is_some()).count();
        assert!((KNOWN_MAX / 2..=KNOWN_MAX).contains(&left), "{left}");
        for n in [all - 1, all - KNOWN_MAX / 4] {
            known.remove(&n.to_string());
            assert_eq!(known.get(&n.to_string()), None);
        }
    }

    #[test]
    fn what_is_set_anew_is_not_known_from_before() {
        let mut known = KnownPaths::default();
        known.set("a", "a/2");
        (0..KNOWN_MAX / 2).for_each(|n| known.set(&n.to_string(), "x"));
        assert_eq!(known.get("a"), Some("a/2"));
        known.set("a", "a/1");
        assert_eq!(known.get("a"), Some("a/1"));
        known.remove("a");
        assert_eq!(known.get("a"), None);
    }
}
