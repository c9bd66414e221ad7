//! The namespaces of files that a pattern matches: `tenant-{stem}`.

use std::path::Path;

use walkeep::core::Namespace;

const STEM: &str = "{stem}";

/// A namespace in which `{stem}` stands for the name of a file without its extension.
#[derive(Clone, Debug)]
pub(crate) struct NamespaceTemplate(String);

impl NamespaceTemplate {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let template = Self(text.to_string());
        let probe = text.replace(STEM, "x");
        if probe.contains(['{', '}']) {
            return Err(format!("only {STEM} stands for something"));
        }
        match Namespace::new(probe) {
            Ok(_) => Ok(template),
            Err(_) => Err(Namespace::RULE.to_string()),
        }
    }

    /// Whether different files get different namespaces.
    pub(crate) fn has_stem(&self) -> bool {
        self.0.contains(STEM)
    }

    /// The namespace of a file.
    pub(crate) fn namespace_of(&self, file: &Path) -> Result<Namespace, String> {
        let stem = file.file_stem().and_then(|stem| stem.to_str());
        let stem = stem.ok_or_else(|| "its name is not UTF-8".to_string())?;
        Namespace::new(self.0.replace(STEM, stem)).map_err(|_| Namespace::RULE.to_string())
    }
}

impl Default for NamespaceTemplate {
    fn default() -> Self {
        Self(STEM.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stem_stands_for_the_name_without_its_extension() {
        let name = |template: &str, file: &str| {
            let namespace = NamespaceTemplate::parse(template).unwrap().namespace_of(Path::new(file));
            namespace.map(|namespace| namespace.to_string())
        };
        assert_eq!(name("tenant-{stem}", "/srv/a.b.db"), Ok("tenant-a.b".into()));
        assert_eq!(name("{stem}", "x"), Ok("x".into()));
        assert_eq!(name("one", "/srv/a.db"), Ok("one".into()));
        assert!(name("{stem}", "/srv/m\u{fc}ller.db").unwrap_err().contains("ASCII"));
        assert!(name("{stem}", "/").unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn what_can_be_no_namespace_is_refused() {
        for (text, why) in [
            ("a/{stem}", "ASCII"),
            ("", "ASCII"),
            ("{name}", "{stem}"),
            ("{stem", "{stem}"),
            ("__{stem}", "__"),
        ] {
            assert!(NamespaceTemplate::parse(text).unwrap_err().contains(why), "{text}");
        }
    }
}
