//! A path for each of many directories, as many as there is room for.

use std::collections::HashMap;

/// Paths by directory; what is not here is not known. When half of the room is full, what was set before the last time that it was is forgotten.
#[derive(Debug)]
pub(super) struct KnownPaths {
    max: usize,
    young: HashMap<Box<str>, String>,
    old: HashMap<Box<str>, String>,
}

impl KnownPaths {
    /// Room for so many directories.
    pub(super) fn new(max: usize) -> Self {
        Self { max, young: HashMap::new(), old: HashMap::new() }
    }

    pub(super) fn get(&self, directory: &str) -> Option<&str> {
        self.young.get(directory).or_else(|| self.old.get(directory)).map(String::as_str)
    }

    pub(super) fn set(&mut self, directory: &str, path: &str) {
        if let Some(known) = self.young.get_mut(directory) {
            path.clone_into(known);
            return;
        }
        self.old.remove(directory);
        if self.young.len() >= self.max / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(directory.into(), path.into());
    }

    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1000;

    #[test]
    fn the_last_is_known_of_each_and_what_was_set_long_ago_is_forgotten() {
        let mut known = KnownPaths::new(MAX);
        let all = 3 * MAX;
        for n in 0..all {
            known.set(&n.to_string(), "a");
            let before = n.saturating_sub(MAX / 2 - 1);
            for n in [n, before] {
                known.set(&n.to_string(), &format!("{n}/x"));
                assert_eq!(known.get(&n.to_string()), Some(&*format!("{n}/x")));
            }
        }
        let left = (0..all).filter(|n| known.get(&n.to_string()).is_some()).count();
        assert!((MAX / 2..=MAX).contains(&left), "{left}");
    }

    #[test]
    fn what_is_set_anew_is_not_known_from_before() {
        let mut known = KnownPaths::new(MAX);
        known.set("a", "a/2");
        (0..MAX / 2).for_each(|n| known.set(&n.to_string(), "x"));
        assert_eq!(known.get("a"), Some("a/2"));
        known.set("a", "a/1");
        assert_eq!(known.get("a"), Some("a/1"));
        known.clear();
        assert_eq!(known.get("a"), None);
    }
}
