//! A place in the configuration file.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A place in the configuration file, as editors count: from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: Arc<Path>,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Place {
    /// The place of a byte of the file's text.
    pub(crate) fn of(file: &Arc<Path>, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            file: Arc::clone(file),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let file: Arc<Path> = Path::new("w.toml").into();
        let text = "ä = 1\n\u{1f512}x = 2\n";
        let at = |what: &str| Place::of(&file, text, text.find(what).unwrap()).to_string();
        assert_eq!((at("ä"), at("1"), at("x"), at("2")).0, "w.toml:1:1");
        assert_eq!(
            (at("1"), at("x"), at("2")),
            ("w.toml:1:5".into(), "w.toml:2:2".into(), "w.toml:2:6".into())
        );
        assert_eq!(Place::of(&file, text, 999).line, 3);
    }
}
