//! What waits to be copied.

use std::collections::BTreeMap;

use walkeep_core::{Backend, ObjectPath};

use super::side::Side;
use super::status::{Conflict, CopyStatus};

/// More than these are not remembered one by one: their group is compared instead.
pub(super) const JOBS_MAX: usize = 10_000;
/// How many conflicts are remembered one by one.
const CONFLICTS_MAX: usize = 100;

/// A group of objects, in one place: which configuration, and which folder.
pub(super) type GroupKey = (String, ObjectPath);

/// An object to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) path: ObjectPath,
    /// What it is thought to be: a listing tells, where copying so many bytes fails.
    pub(super) size: u64,
}

/// What waits in one group.
#[derive(Debug)]
pub(super) struct Group<A: Backend, B: Backend> {
    pub(super) from: Side<A>,
    pub(super) to: Side<B>,
    /// The listings are to be compared before anything is copied.
    pub(super) compare: bool,
    jobs: BTreeMap<u64, Job>,
    numbers: BTreeMap<ObjectPath, u64>,
}

impl<A: Backend, B: Backend> Group<A, B> {
    pub(super) fn new(from: Side<A>, to: Side<B>) -> Self {
        Self { from, to, compare: false, jobs: BTreeMap::new(), numbers: BTreeMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.compare && self.jobs.is_empty()
    }

    pub(super) fn first(&self) -> Option<Job> {
        self.jobs.first_key_value().map(|(_, job)| job.clone())
    }

    pub(super) fn has(&self, path: &ObjectPath) -> bool {
        self.numbers.contains_key(path)
    }

    pub(super) fn push(&mut self, job: Job, number: u64) {
        if self.jobs.len() >= JOBS_MAX {
            self.compare = true;
            return;
        }
        if !self.has(&job.path) {
            self.numbers.insert(job.path.clone(), number);
            self.jobs.insert(number, job);
        }
    }

    pub(super) fn remove(&mut self, path: &ObjectPath) {
        if let Some(number) = self.numbers.remove(path) {
            self.jobs.remove(&number);
        }
    }

    /// Takes what a comparison found in place of everything that was known: it found that too, unless it came later.
    pub(super) fn replace(&mut self, found: Vec<Job>, mut number: u64) -> u64 {
        let known = std::mem::take(&mut self.jobs);
        self.numbers.clear();
        self.compare = false;
        for job in found.into_iter().chain(known.into_values()) {
            number += 1;
            // However many there are: they were counted by the listing already.
            if !self.has(&job.path) {
                self.numbers.insert(job.path.clone(), number);
                self.jobs.insert(number, job);
            }
        }
        number
    }
}

/// All that waits, and what became of what does not.
#[derive(Debug)]
pub(super) struct Pending<A: Backend, B: Backend> {
    pub(super) groups: BTreeMap<GroupKey, Group<A, B>>,
    pub(super) number: u64,
    /// Objects that need not be looked at any more.
    pub(super) done: u64,
    pub(super) status: CopyStatus,
}

impl<A: Backend, B: Backend> Default for Pending<A, B> {
    fn default() -> Self {
        Self { groups: BTreeMap::new(), number: 0, done: 0, status: CopyStatus::default() }
    }
}

impl<A: Backend, B: Backend> Pending<A, B> {
    pub(super) fn conflict(&mut self, path: &ObjectPath, why: String) {
        let status = &mut self.status;
        if status.conflicts.iter().any(|known| known.path == *path) {
            return;
        }
        tracing::error!(%path, why, "two copies of an object differ");
        status.conflicts_total += 1;
        if status.conflicts.len() < CONFLICTS_MAX {
            status.conflicts.push(Conflict { path: path.clone(), why });
        }
    }

    pub(super) fn status(&self) -> CopyStatus {
        let jobs = || self.groups.values().flat_map(|group| group.jobs.values());
        CopyStatus {
            waiting: jobs().count(),
            waiting_bytes: jobs().map(|job| job.size).sum(),
            uncompared: self.groups.values().filter(|group| group.compare).count(),
            ..self.status.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Memory;

    fn group() -> Group<Memory, Memory> {
        let side = |name| Side { backend: Arc::new(Memory::new()), config: None, name };
        Group::new(side("first"), side("second"))
    }

    fn job(n: usize) -> Job {
        Job { path: ObjectPath::new(format!("namespaces/a/segments/{n}")).unwrap(), size: 1 }
    }

    fn left(group: &mut Group<Memory, Memory>) -> Vec<Job> {
        std::iter::from_fn(|| group.first().inspect(|job| group.remove(&job.path))).collect()
    }

    #[test]
    fn a_group_of_too_many_is_compared_instead() {
        let mut group = group();
        (0..JOBS_MAX).for_each(|n| group.push(job(n), n as u64));
        assert!(!group.compare);
        group.push(job(JOBS_MAX), JOBS_MAX as u64);
        assert!(group.compare && !group.has(&job(JOBS_MAX).path));
    }

    /// What was created while the listings were compared may be in neither of them.
    #[test]
    fn what_a_comparison_found_comes_first_and_what_came_meanwhile_stays() {
        let mut group = group();
        for (n, number) in [(5, 1), (2, 2), (9, 3)] {
            group.push(job(n), number);
        }
        group.compare = true;
        assert_eq!(group.replace(vec![job(1), job(2)], 3), 8);
        assert!(!group.compare);
        assert_eq!(left(&mut group), [1, 2, 5, 9].map(job));
    }
}
