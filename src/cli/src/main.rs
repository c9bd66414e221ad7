//! The `walkeep` command.
//!
//! Data goes to stdout, everything else to stderr. With `--json` both are JSON. Exit codes are in `--help` and in
//! [`failure`].

mod args;
mod commands;
mod config;
#[cfg(test)]
mod documents;
mod failure;
mod libsql_args;
mod log_output;
mod metrics;
mod output;
mod progress;
mod quantity;
mod reporting_args;
mod signals;
mod store;
mod store_format;
mod time_arg;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::Cli;
use config::LogFormat;
use failure::Failure;

/// Threads for work on local files. More would not be faster, and a thousand databases at rest need none.
const BLOCKING_THREADS_MAX: usize = 32;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let format = log_output::format_of(&cli);
    log_output::start(format);
    // Who reads the log as JSON reads all of stderr so.
    let json = cli.json || format == LogFormat::Json;
    if json {
        output::write_notes_as_json();
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().max_blocking_threads(BLOCKING_THREADS_MAX).build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(cli)),
        Err(error) => Err(anyhow::Error::new(error).context("start the runtime")),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            let failure = Failure::of(&error);
            output::failure(&failure, json);
            failure.exit_code()
        }
    }
}

/// Help and version go to stdout and are no failure; anything else is wrong usage.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A reader that went away is not worth an error.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if std::env::args_os().any(|arg| arg == "--json") {
        output::failure(&Failure::usage(error), true);
    } else {
        let _ = error.print();
    }
    ExitCode::from(failure::USAGE)
}
