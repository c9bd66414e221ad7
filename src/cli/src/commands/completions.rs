//! `walkeep completions`: a script that completes the command line in a shell.

use clap::CommandFactory;

use crate::args::Cli;

pub(super) fn run(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "walkeep", &mut std::io::stdout());
}
