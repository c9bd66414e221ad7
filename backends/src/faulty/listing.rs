//! Listings that lie: how a true one is bent.

use std::collections::BTreeSet;

use walkeep_core::{ObjectMeta, ObjectPath};

use super::dice::Dice;

/// A change that was made to a store: an object that was created or deleted.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// Where: what the configuration of the call looks like.
    pub(super) place: String,
    pub(super) path: ObjectPath,
    /// The length of the object that was created; of one that was deleted, if it is known.
    pub(super) size: Option<u64>,
    pub(super) created: bool,
}

/// The objects that the last `undo` of these changes created and those they deleted, as seen from before them.
#[derive(Debug, Default)]
pub(super) struct Undone {
    pub(super) created: BTreeSet<ObjectPath>,
    pub(super) deleted: Vec<ObjectMeta>,
}

impl Undone {
    /// Undoes changes; they come newest first.
    pub(super) fn new<'a>(changes: impl Iterator<Item = &'a Change>) -> Self {
        let mut undone = Self::default();
        for Change { path, size, created, .. } in changes {
            undone.deleted.retain(|object| object.path != *path);
            if *created {
                undone.created.insert(path.clone());
            } else {
                undone.created.remove(path);
                undone.deleted.extend(size.map(|size| ObjectMeta {
                    path: path.clone(),
                    size,
                    modified: None,
                }));
            }
        }
        undone
    }

    /// A listing of objects as it was before: what was created is left out, what was deleted is back.
    pub(super) fn objects(
        &self,
        now: Vec<ObjectMeta>,
        prefix: &ObjectPath,
        after: Option<&ObjectPath>,
    ) -> Vec<ObjectMeta> {
        let back = self.deleted.iter().filter(|object| {
            object.path.below(prefix).is_some() && after.is_none_or(|after| object.path > *after)
        });
        let mut before = now;
        before.retain(|object| !self.created.contains(&object.path));
        before.extend(back.cloned());
        before.sort_by(|a, b| a.path.cmp(&b.path));
        before.dedup_by(|a, b| a.path == b.path);
        before
    }
}

/// Ends a listing too early.
pub(super) fn cut<T>(items: &mut Vec<T>, dice: Dice) {
    items.truncate(dice.below("where the listing ends", items.len()));
}

/// Repeats one item of a listing; the last ones make room, if there must be room.
pub(super) fn repeat<T: Clone>(items: &mut Vec<T>, limit: usize, dice: Dice) {
    let at = dice.below("what is repeated", items.len());
    if let Some(item) = items.get(at).cloned() {
        items.insert(at, item);
        items.truncate(limit);
    }
}

/// Puts a listing into another order.
pub(super) fn shuffle<T: Clone + PartialEq>(items: &mut [T], dice: Dice) {
    let sorted = items.to_vec();
    for (nth, last) in (1..items.len()).rev().enumerate() {
        items.swap(last, dice.of(nth as u64).below("what stands last", last + 1));
    }
    if items == sorted && items.len() > 1 {
        items.rotate_left(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(path: &str, created: bool) -> Change {
        Change { place: String::new(), path: ObjectPath::new(path).unwrap(), size: Some(1), created }
    }

    #[test]
    fn a_listing_from_before_knows_neither_later_creates_nor_later_deletes() {
        // Newest first: `a/1` was deleted, `a/2` created; `a/3` created, then deleted; `a/4` deleted, then created.
        let changes = [
            change("a/1", false),
            change("a/2", true),
            change("a/3", false),
            change("a/3", true),
            change("a/4", true),
            change("a/4", false),
        ];
        let prefix = ObjectPath::new("a").unwrap();
        let now = ["a/2", "a/4", "a/5"].map(|path| ObjectMeta {
            path: path.parse().unwrap(),
            size: 1,
            modified: None,
        });
        let before = Undone::new(changes.iter()).objects(now.to_vec(), &prefix, None);
        let names = before.iter().map(|object| object.path.as_str()).collect::<Vec<_>>();
        assert_eq!(names, ["a/1", "a/4", "a/5"]);
    }

    #[test]
    fn each_bend_really_bends() {
        for seed in 0..200 {
            let dice = Dice::new(seed, "list", "a", 1);
            let (mut short, mut doubled, mut mixed) = (vec![1, 2, 3], vec![1, 2, 3], vec![1, 2, 3]);
            cut(&mut short, dice);
            assert!(short.len() < 3);
            repeat(&mut doubled, 10, dice);
            assert_eq!(doubled.len(), 4);
            doubled.dedup();
            assert_eq!(doubled, [1, 2, 3]);
            shuffle(&mut mixed, dice);
            assert_ne!(mixed, [1, 2, 3]);
            mixed.sort_unstable();
            assert_eq!(mixed, [1, 2, 3]);
        }
    }
}
