//! `walkeep completions`: a script that completes the command line in a shell.

use clap::CommandFactory;

use crate::args::Cli;
use crate::output;

pub(super) fn run(shell: clap_complete::Shell) {
    // Written in one piece: the generator would panic when the reader has gone away.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "walkeep", &mut script);
    output::text(&script);
}
