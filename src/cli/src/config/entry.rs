//! A database that is replicated, and what the file says of it: `[[database]]`.

use std::path::PathBuf;

use walkeep::backends::StoreUrl;
use walkeep::core::Namespace;

use super::namespace_template::NamespaceTemplate;
use super::overrides::Overrides;
use super::place::Place;
use super::section::Section;
use super::settings::ReplicationSettings;

pub(crate) const TITLE: &str = "[[database]]";

/// A database that is replicated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DatabaseEntry {
    /// The database; absolute.
    pub(crate) path: PathBuf,
    pub(crate) store: StoreUrl,
    pub(crate) namespace: Namespace,
    /// Whether to use a store that cannot tell two writers apart.
    pub(crate) unfenced: bool,
    pub(crate) settings: ReplicationSettings,
    /// Where in the file it is named, or matched.
    pub(crate) place: Place,
}

impl DatabaseEntry {
    /// Reads a `[[database]]`.
    pub(crate) fn read(mut section: Section<'_>, defaults: &Overrides) -> Option<Self> {
        let path = section.text("path");
        let named = section.parsed("namespace", |text| {
            Namespace::new(text.value.as_str()).map_err(|_| Namespace::RULE.to_string())
        });
        let is_named = section.has("namespace");
        let overrides = Overrides::read(&mut section).over(defaults);
        let (reader, place) = (section.reader, section.place.clone());
        if !section.has("path") {
            section.missing("path", "name the database: path = \"/srv/app.db\"");
        }
        overrides.require_store(&section);
        section.finish();
        let path = path?;
        let namespace = if is_named {
            named?
        } else {
            let of_file = NamespaceTemplate::default().namespace_of(path.value.as_ref());
            let refused = |why| {
                let message = format!("the file name of {:?} is no namespace", path.written);
                reader.refuse(&path.place, message, format!("add a `namespace`; {why}"));
            };
            of_file.map_err(refused).ok()?
        };
        Some(Self {
            path: reader.absolute(path.value.as_ref()),
            store: overrides.store.clone()?,
            namespace,
            unfenced: overrides.unfenced.unwrap_or_default(),
            settings: overrides.settings(),
            place,
        })
    }
}
