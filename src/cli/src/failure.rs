//! Failures as the user meets them: what went wrong, what to do, and the exit code.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | another failure |
//! | 2 | usage; also a bad name |
//! | 3 | the restore point, namespace or range cannot be reached |
//! | 4 | corruption found |
//! | 5 | fenced: another writer has taken over |
//! | 6 | the store is unavailable |
//! | 7 | refused to overwrite |
//! | 8 | the outcome is unknown |

use std::process::ExitCode;

use serde::Serialize;
use walkeep::Error;
use walkeep::core::Corruption;

pub(crate) const USAGE: u8 = 2;
pub(crate) const UNREACHABLE: u8 = 3;
pub(crate) const CORRUPT: u8 = 4;

/// A failure, ready to be shown.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    kind: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    exit_code: u8,
}

impl Failure {
    /// What an error of a command means to the user.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let known = error.chain().find_map(|cause| cause.downcast_ref::<Error>());
        let (kind, exit_code, hint) = known.map_or(("other", 1, None), classify);
        Self { kind, message: message(error), hint: hint.map(str::to_string), exit_code }
    }

    pub(crate) fn usage(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_string();
        let hint = Some("see `walkeep --help`".to_string());
        Self { kind: "usage", message, hint, exit_code: USAGE }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit_code)
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// The error and its causes in one line, each said once.
fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if message.is_empty() {
            message = cause;
        } else if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

fn classify(error: &Error) -> (&'static str, u8, Option<&'static str>) {
    match error {
        Error::NotFound { .. } => ("not_found", UNREACHABLE, Some("`walkeep ls STORE` lists the namespaces")),
        Error::Unreachable(_) => {
            ("unreachable", UNREACHABLE, Some("`walkeep log STORE -n NS` lists the restore points"))
        }
        Error::Corrupt(_) => ("corrupt", CORRUPT, Some(Corruption::REMEDY)),
        Error::Fenced { .. } => {
            ("fenced", 5, Some("another process writes this namespace now; stop one of the two"))
        }
        Error::Unavailable { .. } => {
            ("unavailable", 6, Some("check the store's path or address, and try again"))
        }
        Error::AlreadyExists { .. } => {
            ("already_exists", 7, Some("--force replaces it, or choose another name with -o"))
        }
        Error::Unknown { .. } => (
            "unknown",
            8,
            Some("it may or may not have happened: look with `walkeep log`, or repeat the command"),
        ),
        Error::Exhausted { .. } => ("exhausted", 1, None),
        Error::Invalid { .. } => ("invalid", 1, None),
        Error::Io { .. } => ("io", 1, None),
        _ => ("other", 1, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_decides_the_exit_code_and_is_said_once() {
        let error = anyhow::Error::new(Error::corrupt("x", 7, "a", "b")).context("restoring");
        let failure = Failure::of(&error);
        assert_eq!((failure.kind, failure.exit_code), ("corrupt", CORRUPT));
        assert_eq!(failure.message, "restoring: x is damaged at offset 7: expected a, found b");
        let plain = Failure::of(&anyhow::anyhow!("no"));
        assert_eq!((plain.kind, plain.exit_code), ("other", 1));
    }
}
