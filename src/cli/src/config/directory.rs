//! Databases that a pattern finds: `[[directory]]`.
//!
//! A pattern has `*`, `?` and `[…]` within a name, and `**` for any number of directories. Names that begin with a dot
//! are matched only by patterns that begin so: never the state that replication keeps beside databases.

use std::path::{Path, PathBuf};

use glob::{GlobError, MatchOptions, Pattern};
use walkeep::backends::StoreUrl;

use super::entry::DatabaseEntry;
use super::namespace_template::NamespaceTemplate;
use super::overrides::Overrides;
use super::place::Place;
use super::reader::Reader;
use super::section::{Section, Text};
use super::settings::ReplicationSettings;

pub(crate) const TITLE: &str = "[[directory]]";

/// Names that begin with a dot are left out here: the library panics at names that are not UTF-8 if it is to do so.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// Databases that a pattern finds.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    /// Absolute.
    pattern: String,
    exclude: Vec<Exclusion>,
    namespace: NamespaceTemplate,
    store: StoreUrl,
    unfenced: bool,
    settings: ReplicationSettings,
    pub(crate) place: Place,
}

/// Files that are not meant.
#[derive(Clone, Debug)]
enum Exclusion {
    /// By name, in whatever directory.
    Name(Pattern),
    /// By the whole path.
    Path(Pattern),
}

impl Directory {
    /// Reads a `[[directory]]`.
    pub(crate) fn read(mut section: Section<'_>, defaults: &Overrides) -> Option<Self> {
        let (reader, place) = (section.reader, section.place.clone());
        let glob = section.text("glob");
        let template = section.parsed("namespace", |text| NamespaceTemplate::parse(&text.value));
        let is_named = section.has("namespace");
        let exclude = section.texts("exclude");
        let overrides = Overrides::read(&mut section).over(defaults);
        if !section.has("glob") {
            section.missing("glob", "say which files: glob = \"/srv/tenants/*.db\"");
        }
        overrides.require_store(&section);
        section.finish();
        let exclude = exclude.iter().filter_map(|text| Exclusion::read(reader, text)).collect();
        let glob = glob?;
        let pattern = absolute_pattern(reader, &glob)?;
        let namespace = if is_named { template? } else { NamespaceTemplate::default() };
        if glob.value.contains(['*', '?', '[']) && !namespace.has_stem() {
            reader.refuse(
                &place,
                "all files that the pattern matches would have one namespace",
                "put {stem}, the file name without its extension, into `namespace`",
            );
            return None;
        }
        Some(Self {
            pattern,
            exclude,
            namespace,
            store: overrides.store.clone()?,
            unfenced: overrides.unfenced.unwrap_or_default(),
            settings: overrides.settings(),
            place,
        })
    }

    /// The files that match now, in the order of their names; and what could not be looked into.
    pub(crate) fn files(&self) -> (Vec<PathBuf>, Vec<GlobError>) {
        let (mut files, mut errors) = (Vec::new(), Vec::new());
        // The pattern was tried out when it was read.
        for found in glob::glob_with(&self.pattern, MATCHING).into_iter().flatten() {
            match found {
                Ok(file) if self.hides(&file) => {}
                Ok(file) if self.exclude.iter().any(|exclusion| exclusion.matches(&file)) => {}
                Ok(file) => files.push(file),
                Err(error) => errors.push(error),
            }
        }
        (files, errors)
    }

    /// Whether the pattern matches a file, wherever it is.
    pub(crate) fn matches(&self, file: &Path) -> bool {
        let pattern = Pattern::new(&self.pattern);
        let matches = pattern.is_ok_and(|pattern| pattern.matches_path_with(file, MATCHING));
        matches && !self.hides(file) && !self.exclude.iter().any(|exclusion| exclusion.matches(file))
    }

    /// Whether a name begins with a dot, and none of the pattern does.
    fn hides(&self, file: &Path) -> bool {
        let literal = self.pattern.split(['*', '?', '[']).next().unwrap_or_default();
        let Some(rest) = self.pattern.get(literal.rfind('/').unwrap_or(0)..) else { return false };
        let depth = literal.matches('/').count();
        let dotted =
            file.components().skip(depth).any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."));
        dotted && !rest.contains("/.")
    }

    /// The entry of a file that matches, or why it cannot have one.
    pub(crate) fn entry(&self, path: PathBuf) -> Result<DatabaseEntry, String> {
        Ok(DatabaseEntry {
            namespace: self.namespace.namespace_of(&path)?,
            path,
            store: self.store.clone(),
            unfenced: self.unfenced,
            settings: self.settings.clone(),
            place: self.place.clone(),
        })
    }
}

impl Exclusion {
    fn read(reader: &Reader<'_>, text: &Text) -> Option<Self> {
        if text.value.contains('/') {
            let pattern = absolute_pattern(reader, text)?;
            return Pattern::new(&pattern).ok().map(Self::Path);
        }
        let refused = |error| refuse(reader, text, &error);
        Pattern::new(&text.value).map_err(refused).ok().map(Self::Name)
    }

    fn matches(&self, file: &Path) -> bool {
        match self {
            Self::Name(pattern) => {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                pattern.matches_with(&name, MATCHING)
            }
            Self::Path(pattern) => pattern.matches_path_with(file, MATCHING),
        }
    }
}

/// The pattern, made absolute from the directory of the file.
fn absolute_pattern(reader: &Reader<'_>, text: &Text) -> Option<String> {
    if let Err(error) = Pattern::new(&text.value) {
        refuse(reader, text, &error);
        return None;
    }
    if Path::new(&text.value).is_absolute() {
        return Some(text.value.clone());
    }
    let directory = reader.absolute(Path::new(""));
    match directory.to_str() {
        Some(directory) => {
            Some(format!("{}/{}", Pattern::escape(directory.trim_end_matches('/')), text.value))
        }
        None => {
            let message = "a relative pattern, in a directory whose name is not UTF-8";
            reader.refuse(&text.place, message, "write an absolute one");
            None
        }
    }
}

fn refuse(reader: &Reader<'_>, text: &Text, error: &glob::PatternError) {
    let message = format!("the pattern {:?} is refused: {}", text.written, error.msg);
    reader.refuse(&text.place, message, "patterns have *, ?, [a-z] within a name, and ** for directories");
}
