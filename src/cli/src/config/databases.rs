//! The databases that a configuration means at a moment: entries, and what patterns match.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use walkeep::core::Namespace;
use walkeep_sqlite::{Probe, probe};

use super::directory::Directory;
use super::entry::DatabaseEntry;
use super::file_identity::FileIdentity;
use super::left_out::{LeftOut, Why};
use super::place::Place;
use super::problem::Problem;
use super::store_identity::StoreIdentity;

/// The databases that a configuration means at a moment.
#[derive(Debug, Default)]
pub(crate) struct Databases {
    /// Those named by an entry in the order of the file, then those that patterns match.
    pub(crate) entries: Vec<DatabaseEntry>,
    /// What patterns match besides.
    pub(crate) left_out: Vec<LeftOut>,
}

/// Who has taken a file.
struct Owner {
    place: Place,
    path: PathBuf,
    by_pattern: bool,
}

/// Gathers databases, and sees to it that each file and each namespace of a store is taken once.
#[derive(Default)]
pub(crate) struct Gathering {
    found: Databases,
    files: BTreeMap<FileIdentity, Owner>,
    namespaces: BTreeMap<(StoreIdentity, Namespace), Owner>,
    problems: Vec<Problem>,
}

impl Gathering {
    pub(crate) fn finish(self) -> (Databases, Vec<Problem>) {
        (self.found, self.problems)
    }

    /// Takes a database that an entry names.
    pub(crate) fn name(&mut self, entry: DatabaseEntry) {
        let identity = FileIdentity::of(&entry.path);
        self.take(entry, identity, false);
    }

    /// Takes the databases that a pattern matches. Those that are replicated already come first: what is new and
    /// contradicts them is refused, not they. They also stay whatever becomes of the file, as long as there is one.
    pub(crate) fn search(&mut self, directory: &Directory, running: &[PathBuf]) {
        let (mut files, errors) = directory.files();
        if !errors.is_empty() {
            // What could not be listed is not gone.
            let missed = running.iter().filter(|file| directory.matches(file) && !files.contains(file));
            let missed = missed.cloned().collect::<Vec<_>>();
            files.extend(missed);
        }
        for error in errors {
            let message = format!("{} cannot be looked into: {}", error.path().display(), error.error());
            self.problems.push(Problem::at(&directory.place, message, "give this user the right to list it"));
        }
        let (known, new): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| running.contains(file));
        for file in known.into_iter().filter(|file| file.exists()) {
            self.matched(directory, file);
        }
        for file in new {
            match why_left_out(&file) {
                Some(why) => {
                    self.found.left_out.push(LeftOut { path: file, why, place: directory.place.clone() });
                }
                None => self.matched(directory, file),
            }
        }
    }

    fn matched(&mut self, directory: &Directory, file: PathBuf) {
        let identity = FileIdentity::of(&file);
        if self.files.get(&identity).is_some_and(|owner| !owner.by_pattern) {
            // An entry of its own says how it is replicated.
            return;
        }
        let name = file.display().to_string();
        match directory.entry(file) {
            Ok(entry) => self.take(entry, identity, true),
            Err(why) => {
                let message = format!("{name} gets no valid namespace: {why}");
                let suggestion = "rename it, exclude it, or give it a [[database]] entry with a `namespace`";
                self.problems.push(Problem::at(&directory.place, message, suggestion));
            }
        }
    }

    fn take(&mut self, entry: DatabaseEntry, identity: FileIdentity, by_pattern: bool) {
        let owner = || Owner { place: entry.place.clone(), path: entry.path.clone(), by_pattern };
        if let Some(first) = self.files.get(&identity) {
            let message = format!(
                "{} is replicated twice: here, and{} by {}",
                entry.path.display(),
                other_name(first, &entry.path),
                first.place
            );
            let suggestion = "remove one of the two, or exclude the file in one of them";
            self.problems.push(Problem::at(&entry.place, message, suggestion));
            return;
        }
        let key = (StoreIdentity::of(&entry.store), entry.namespace.clone());
        if let Some(first) = self.namespaces.get(&key) {
            let message = format!(
                "namespace {} of {} gets two databases: {} here, and {} by {}",
                entry.namespace,
                entry.store,
                entry.path.display(),
                first.path.display(),
                first.place
            );
            let suggestion = "give one of them another `namespace` or another `store`";
            self.problems.push(Problem::at(&entry.place, message, suggestion));
            return;
        }
        self.files.insert(identity, owner());
        self.namespaces.insert(key, owner());
        self.found.entries.push(entry);
    }
}

fn other_name(first: &Owner, path: &Path) -> String {
    if first.path == path { String::new() } else { format!(" as {}", first.path.display()) }
}

/// A file that cannot be looked into is replicated all the same: that fails, and is seen.
fn why_left_out(file: &Path) -> Option<Why> {
    let found = probe(file).unwrap_or(Probe::Database { wal_mode: true });
    Why::of(file, &found)
}
