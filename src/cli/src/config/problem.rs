//! What is wrong with a configuration.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::place::Place;

/// One thing that is wrong with a configuration: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Problem {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    suggestion: Option<String>,
}

impl Problem {
    /// Something at a place in the file.
    pub(crate) fn at(place: &Place, message: impl Into<String>, suggestion: impl Into<String>) -> Self {
        Self {
            file: place.file.display().to_string(),
            line: Some(place.line),
            column: Some(place.column),
            message: message.into(),
            suggestion: Some(suggestion.into()).filter(|text| !text.is_empty()),
        }
    }

    /// Something with the file as a whole.
    pub(crate) fn of_file(file: &Path, message: impl Into<String>, suggestion: impl Into<String>) -> Self {
        Self {
            file: file.display().to_string(),
            line: None,
            column: None,
            message: message.into(),
            suggestion: Some(suggestion.into()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; {suggestion}"),
            None => Ok(()),
        }
    }
}

/// A configuration that cannot be used, with all that is wrong with it, in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct ConfigError(Vec<Problem>);

impl ConfigError {
    /// Nothing if there is nothing wrong.
    pub(crate) fn check(mut problems: Vec<Problem>) -> Result<(), Self> {
        problems.sort();
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }

    pub(crate) fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
