//! Failures as the user meets them: what went wrong, what to do, and the exit code.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | another failure |
//! | 2 | usage; also a bad name, or a wrong configuration file |
//! | 3 | the restore point, namespace or range cannot be reached |
//! | 4 | corruption found |
//! | 5 | fenced: another writer has taken over |
//! | 6 | the store is unavailable |
//! | 7 | refused to overwrite |
//! | 8 | the outcome is unknown |
//! | 9 | the lag is over `--max-lag` |
//! | 10 | the command of `changes --exec` failed |

use std::fmt;
use std::process::ExitCode;

use serde::Serialize;
use walkeep::Error;
use walkeep::core::Corruption;

use crate::config::{ConfigError, Problem};

pub(crate) const USAGE: u8 = 2;
pub(crate) const UNREACHABLE: u8 = 3;
pub(crate) const CORRUPT: u8 = 4;
pub(crate) const UNAVAILABLE: u8 = 6;
pub(crate) const LAGGING: u8 = 9;
const COMMAND_FAILED: u8 = 10;

/// Wrong usage that the grammar of the command line cannot tell: a name made from a file, a choice left open.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A command that the user had run for a commit, and that failed.
#[derive(Debug)]
pub(crate) struct CommandFailed(pub(crate) String);

impl fmt::Display for CommandFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CommandFailed {}

/// A failure, ready to be shown.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    kind: &'static str,
    message: String,
    hint: &'static str,
    exit_code: u8,
    /// What is wrong with a configuration, one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
}

const USAGE_HINT: &str = "see `walkeep --help`";
const CONFIG_HINT: &str = "`walkeep config check FILE` tries it out; docs/operations.md lists all keys";

impl Failure {
    /// What an error of a command means to the user.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let config = error.chain().find_map(|cause| cause.downcast_ref::<ConfigError>());
        let problems = config.map(|error| error.problems().to_vec()).unwrap_or_default();
        let known = error.chain().find_map(|cause| cause.downcast_ref::<Error>());
        let (kind, exit_code, hint) = match known {
            _ if error.chain().any(|cause| cause.is::<Usage>()) => ("usage", USAGE, USAGE_HINT),
            _ if error.chain().any(|cause| cause.is::<CommandFailed>()) => {
                ("command_failed", COMMAND_FAILED, "the commit was not acknowledged: it is delivered again")
            }
            _ if config.is_some() => ("config", USAGE, CONFIG_HINT),
            Some(known) => classify(known),
            None => ("other", 1, USAGE_HINT),
        };
        Self { kind, message: message(error), hint, exit_code, problems }
    }

    pub(crate) fn usage(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        // What is wrong stands before the first empty line; behind it is the usage of the command.
        let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect::<Vec<_>>();
        let message = lines.join(" ").trim_start_matches("error: ").to_string();
        Self { kind: "usage", message, hint: USAGE_HINT, exit_code: USAGE, problems: Vec::new() }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit_code)
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) const fn hint(&self) -> &'static str {
        self.hint
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

fn classify(error: &Error) -> (&'static str, u8, &'static str) {
    match error {
        Error::NotFound { what } if is_pin(what) => {
            ("not_found", UNREACHABLE, "`walkeep pins STORE -n NS` lists the pins")
        }
        Error::NotFound { what } if what.ends_with(" in the catalog") => {
            ("not_found", UNREACHABLE, in_catalog(what))
        }
        Error::NotFound { what } if is_of_followers(what) => {
            ("not_found", UNREACHABLE, "`walkeep followers STORE -n NS` lists groups and members")
        }
        Error::NotFound { .. } => ("not_found", UNREACHABLE, "`walkeep ls STORE` lists the namespaces"),
        Error::Unreachable(_) => {
            ("unreachable", UNREACHABLE, "`walkeep log STORE -n NS` lists the restore points")
        }
        Error::Corrupt(damage) if damage.object.ends_with("-wal") => (
            "corrupt",
            CORRUPT,
            "the damage is in the log of the database, not in the store; nothing was stored",
        ),
        Error::Corrupt(_) => ("corrupt", CORRUPT, Corruption::REMEDY),
        Error::Fenced { theirs, .. } if theirs.starts_with("generation ") => {
            ("fenced", 5, "`walkeep catalog assignments` shows who writes what now; decide anew")
        }
        Error::Fenced { .. } => {
            ("fenced", 5, "another process writes this namespace now; stop one of the two")
        }
        Error::Unavailable { .. } => {
            ("unavailable", UNAVAILABLE, "check the store's path or address, and try again")
        }
        Error::AlreadyExists { what } if is_pin(what) => {
            ("already_exists", 7, "choose another name, or take this one away with `walkeep unpin`")
        }
        Error::AlreadyExists { what } if what.starts_with("node ") || what.ends_with(" in the catalog") => {
            ("already_exists", 7, "choose another name, or remove the record that is there first")
        }
        Error::AlreadyExists { what } if is_of_followers(what) => {
            ("already_exists", 7, "choose another name, or delete it with `walkeep followers STORE delete`")
        }
        Error::AlreadyExists { .. } => {
            ("already_exists", 7, "choose another name, or --force to replace a file")
        }
        Error::Unknown { .. } => {
            ("unknown", 8, "it may or may not have happened: look with `walkeep log`, or repeat the command")
        }
        Error::Exhausted { .. } => {
            ("exhausted", 1, "nothing was changed; make room, wait or raise the limit, and try again")
        }
        Error::Invalid { .. } => ("invalid", 1, "no commit was stored; the message says what is needed"),
        Error::Io { .. } => ("io", 1, "check that the path is right, and that you may read and write it"),
        _ => ("other", 1, USAGE_HINT),
    }
}

/// Where to look for what a catalog does not have.
fn in_catalog(what: &str) -> &'static str {
    let kind = what.split_once(' ').map_or(what, |(kind, _)| kind);
    match kind {
        "node" => "`walkeep catalog node list` lists the nodes of a catalog",
        "group" | "member" => "`walkeep catalog group list NS` lists groups and members",
        "an" => "`walkeep catalog assignments` lists who writes what",
        _ => "`walkeep catalog list` lists the namespaces of a catalog",
    }
}

/// Whether an error is about followers.
fn is_of_followers(what: &str) -> bool {
    what.starts_with("group ") || what.starts_with("member ")
}

/// Whether an error is about a pin.
fn is_pin(what: &str) -> bool {
    what.starts_with("pin ")
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
