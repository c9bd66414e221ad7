//! The form of log lines.

use serde::Serialize;

use super::section::nearest;

/// The form of log lines on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON document a line.
    Json,
}

impl LogFormat {
    /// Reads its name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(match nearest(other, &["text", "json"]) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "it is \"text\" or \"json\"".to_string(),
            }),
        }
    }
}
