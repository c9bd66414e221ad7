//! Log lines on stderr, for people or for machines. `RUST_LOG` says which; by default warnings and errors.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command};
use crate::config::{Config, LogFormat};

/// The form that the command line asks for, or else its configuration file. One that cannot be read is refused later,
/// by whoever uses it.
pub(crate) fn format_of(cli: &Cli) -> LogFormat {
    let Command::Replicate(args) = &cli.command else { return LogFormat::Text };
    let of_file = || Config::load(args.config.as_ref()?).ok().map(|config| config.log_format);
    args.reporting.log_format.or_else(of_file).unwrap_or_default()
}

/// Begins to write log lines.
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
