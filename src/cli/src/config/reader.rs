//! What all sections of the configuration file share while it is read.

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::place::Place;
use super::problem::Problem;
use super::variables::Lookup;

/// Reads one configuration file, and gathers what is wrong with it.
pub(crate) struct Reader<'a> {
    pub(crate) file: Arc<Path>,
    pub(crate) text: &'a str,
    pub(crate) lookup: Lookup<'a>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(file: Arc<Path>, text: &'a str, lookup: Lookup<'a>) -> Self {
        Self { file, text, lookup, problems: RefCell::new(Vec::new()) }
    }

    pub(crate) fn place(&self, span: &Range<usize>) -> Place {
        Place::of(&self.file, self.text, span.start)
    }

    /// Notes that something is wrong, and goes on: one run shows all.
    pub(crate) fn refuse(&self, place: &Place, message: impl Into<String>, suggestion: impl Into<String>) {
        self.problems.borrow_mut().push(Problem::at(place, message, suggestion));
    }

    /// A path, made absolute from the directory of the file.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        // A file without a directory is in this one, which has no name of its own.
        let directory = Path::new(".").join(self.file.parent().unwrap_or(Path::new("")));
        let path = directory.join(path);
        std::path::absolute(&path).unwrap_or(path)
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}
